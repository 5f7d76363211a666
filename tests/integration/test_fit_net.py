"""``trainfit fit --model module:function``, as people use it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.fakes.small_boards import board

NET = ("--model", "own_net:make_net", "--input-shape", "64")


def write_board(ram: int) -> str:
    """A device file in the current folder; returns what --device takes."""
    Path("small.toml").write_text(board(ram), encoding="utf-8")
    return "small.toml"


@pytest.fixture(autouse=True)
def own_net(main: Any) -> None:
    """A module in the current folder, which ``main`` has changed to."""
    Path("own_net.py").write_text(
        "import torch\n\n\ndef make_net():\n    return torch.nn.Linear(64, 10)\n\n\n"
        "def normalised():\n"
        "    return torch.nn.Sequential(torch.nn.Linear(64, 8), torch.nn.BatchNorm1d(8))\n\n\n"
        "class Brighter(torch.nn.Linear):\n"
        "    def forward(self, x):\n"
        "        return super().forward(x) + x[x > 0.5].mean()\n\n\n"
        "def chooses():\n    return Brighter(64, 10)\n",
        "utf-8",
    )


def test_a_net_is_predicted_measured_and_judged(main: Any) -> None:
    code, out, err = main("fit", "--device", write_board(100_000), *NET)
    assert (code, err) == (0, "")
    assert out.startswith("backprop own_net:make_net b32 on small (A small one): fits\n")
    assert out.endswith("predicted: the same, to the byte\n")

    code, out, err = main("fit", "--device", write_board(100_000), *NET, "--json")
    document = json.loads(out)
    assert (code, err) == (0, "")
    assert document["measured"]["ram_bytes"] == document["predicted"]["ram_bytes"]
    assert document["net"] == "own_net:make_net"
    (judged,) = document["devices"]
    assert (judged["device"], judged["status"], judged["judged_by"]) == ("small", "fits", "arena")
    assert judged["torch_ram_bytes"] == document["measured"]["ram_bytes"]
    assert judged["arena_ram_bytes"] == judged["ram_bytes"] <= judged["torch_ram_bytes"]


def test_it_is_only_predicted_where_nothing_is_to_be_measured(main: Any) -> None:
    asked = ("fit", "--device", write_board(10_000), *NET, "--no-measure")
    code, out, _ = main(*asked, "--algorithm", "backprop[update=fused]")

    assert code == 0
    assert "backprop[update=fused] own_net:make_net b32 on small (A small one): exceeds" in out
    assert "not measured: no measurement was asked for (--no-measure)" in out
    assert main(*asked, "--strict")[0] == 1


def test_a_net_too_large_for_this_machine_is_predicted(main: Any) -> None:
    code, out, _ = main("fit", "--device", "jetson-nano", *NET, "--batch-size", str(2**40))

    assert code == 0
    assert "exceeds" in out
    assert "not measured: the step needs 422," in out


def test_what_depends_on_data_is_measured(main: Any) -> None:
    asked = ("fit", "--device", write_board(100_000), "--model", "own_net:chooses", *NET[2:])
    code, out, _ = main(*asked)
    assert code == 0
    assert (
        "not predicted: --model own_net:chooses: the step cannot be predicted: own_net.py:" in out
    )

    code, out, err = main(*asked, "--no-measure")
    assert (code, out) == (2, "")
    assert len(err.splitlines()) == 1
    assert "own_net.py:14: the size of what a mask as an index gives depends on data" in err


def test_the_largest_batch_of_a_net(main: Any) -> None:
    code, out, _ = main("fit", "--device", write_board(20_000), *NET, "--max", "batch", "--json")

    (row,) = json.loads(out)["devices"]
    assert code == 0
    assert row["ram_bytes"] <= 20_000 < row["above_ram_bytes"]
    assert row["measured_ram_bytes"] == row["ram_bytes"]


def test_the_largest_batch_of_a_net_that_cannot_have_one_sample(main: Any) -> None:
    net = ("--model", "own_net:normalised", "--input-shape", "64", "--no-measure")
    code, out, _ = main("fit", "--device", write_board(20_000), *net, "--max", "batch", "--json")
    (row,) = json.loads(out)["devices"]
    assert (code, row["largest_batch"] >= 2) == (0, True)

    code, out, err = main("fit", "--device", write_board(20_000), *net, "--batch-size", "1")
    assert (code, out) == (2, "")
    assert "use --batch-size 2 or more" in err


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (("--model", "own_net:make_net"), "needs --input-shape"),
        ((*NET, "--max", "width"), "--max width: a net of your own has a batch only"),
        ((*NET, "--algorithm", "ff_int8"), "--algorithm ff_int8 trains nets of its own families"),
        ((*NET, "-o", "slices=2"), "option slices=2 is for fully connected nets"),
        (("--model", "own_net:make_ne", *NET[2:]), "module 'own_net' has no 'make_ne'"),
        ((*NET[:2], "--input-shape", "3x3"), "the Linear raised RuntimeError"),
        ((*NET, "--classes", "7"), "gives 10 scores per sample, --classes is 7"),
        (
            ("--model", "mlp-64-10", "--algorithm", "backprop", "--classes", "10"),
            "--classes is for nets of your own",
        ),
    ],
    ids=str,
)
def test_bad_questions_are_one_line(main: Any, given: tuple[str, ...], said: str) -> None:
    code, out, err = main("fit", "--device", write_board(100_000), *given)
    assert (code, out) == (2, "")
    assert said in err
    assert len(err.splitlines()) == 1
