"""``trainfit fit`` where a measurement disagrees, on several boards, with a step of one's own."""

from __future__ import annotations

import csv
import json
import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.fakes.small_boards import board
from trainfit.bench.records.schema import Workload
from trainfit.bench.sizing.predicted_workload import PredictedWorkload, predicted_workload
from trainfit.bench.verdicts.memory import Status
from trainfit.hardware_profiles import format_bytes

OVERLOOKED = ("--algorithm", "tests.plugins.misstated:Overlooked", "--model", "mlp-64-10")
"""Its prediction forgets a copy of x and the gradient."""

ROOT = Path(__file__).parent.parent.parent
DIGITS = ("--algorithm", "backprop", "--model", "mlp-64-32x2-10")


@pytest.fixture
def few_algorithms(monkeypatch: pytest.MonkeyPatch) -> None:
    """A search of all of them takes seconds."""
    few = ["backprop", "ff_int8", "zeroth_order"]
    monkeypatch.setattr("trainfit.bench.sizing.suggestions.algorithm_names", lambda: few)


def write_board(ram: int, *, name: str = "small", **changes: Any) -> str:
    Path(f"{name}.toml").write_text(board(ram, name=name, **changes), encoding="utf-8")
    return f"{name}.toml"


def need(algorithm: str = "backprop", **changes: Any) -> int:
    """RAM on a microcontroller."""
    return form(algorithm, **changes).planned.ram_bytes


def form(algorithm: str = "backprop", **changes: Any) -> PredictedWorkload:
    values = {"model": "mlp-64-32x2-10", "dataset": "none", "batch_size": 32}
    return predicted_workload(Workload(algorithm=algorithm, **values | changes))


def overlooked(batch_size: int = 32) -> int:
    """RAM under torch."""
    return form(OVERLOOKED[1], model="mlp-64-10", batch_size=batch_size).ram_bytes


# A measurement beats a prediction.


@pytest.mark.usefixtures("few_algorithms")
def test_the_verdict_is_the_measurements_and_both_figures_are_said(main: Any) -> None:
    # GIVEN a board with room for what the prediction says, and no more
    device = write_board(overlooked() + 100)
    needs = overlooked() + 1_280  # at the peak, the error is alive as well
    question = ("fit", "--device", device, *OVERLOOKED)

    # WHEN the question is asked with a measurement, and without
    code, out, err = main(*question)
    _, document, _ = main(*question, "--json")
    unmeasured, prediction, _ = main(*question, "--no-measure")

    # THEN the measurement is believed, loudly
    found = json.loads(document)
    measured = found["measured"]["static_bytes"] + found["measured"]["peak_dynamic_bytes"]
    assert measured > overlooked() + 100
    assert (code, err) == (1, "")
    assert out.startswith("tests.plugins.misstated:Overlooked mlp-64-10 b32 on small (A small one)")
    assert out.splitlines()[0].endswith(": exceeds")
    assert (
        f"MEASURED OTHERWISE: the prediction of {OVERLOOKED[1]} says {overlooked():,} B of RAM,"
        f" the measurement {measured:,} B (+{measured - overlooked():,} B); small has"
        f" {overlooked() + 100:,} B. The verdict is the measurement's."
    ) in out
    assert "What the prediction is wrong about: measured only: scratch of descend +8,192 B" in out
    assert found["status"] == "exceeds"
    assert found["refuted"] is True
    arena = form(OVERLOOKED[1], model="mlp-64-10").planned.ram_bytes
    assert found["predicted"] == {
        "status": "tight",
        "ram_bytes": arena,
        "torch_ram_bytes": overlooked(),
    }
    # its arena is as wrong as its trace: torch's peak is judged, and that is said
    assert f"{arena:,} B in a planned arena are not to be trusted (measured +" in out
    assert found["ram"]["judged_by"] == found["budgets"][0]["judged_by"] == "torch"
    assert "no arena, so judged by torch's peak: measured +" in found["budgets"][0]["reason"]
    assert found["budgets"][0]["low"] == measured
    assert needs <= measured

    # THEN no other batch or option of that algorithm is offered on the word of its prediction
    assert found["remedies"]
    assert OVERLOOKED[1] not in [each["algorithm"] for each in found["remedies"]]
    assert "A smaller batch is found by measuring:\n    trainfit fit --device small.toml" in out

    # THEN without a measurement the prediction stands as what it is
    assert unmeasured == 0
    assert prediction.splitlines()[0].endswith(": tight")


def test_the_largest_size_is_the_one_that_was_measured(main: Any) -> None:
    device = write_board(overlooked(57))
    question = ("fit", "--device", device, *OVERLOOKED, "--max", "batch")

    code, out, err = main(*question)
    _, document, _ = main(*question, "--json")

    found = json.loads(document)["largest"]
    sizes = {each["size"]: each for each in json.loads(document)["measured_sizes"]}
    assert (code, err) == (0, "")  # it is certain of what it says, in the end
    assert (found["predicted_size"], found["refuted"]) == (57, True)
    size = found["size"]
    assert out.startswith(f"largest batch that fits small when it is measured: {size} (mlp-64-10")
    assert "MEASURED OTHERWISE: by prediction batch 57 fits and needs " in out
    assert sizes[size]["ram_bytes"] == found["ram_bytes"] <= overlooked(57)
    assert sizes[size + 1]["ram_bytes"] > overlooked(57)
    assert found["workload"]["batch_size"] == size
    assert json.loads(document)["other_options"] == []  # its prediction is wrong


@pytest.mark.usefixtures("few_algorithms")
@pytest.mark.parametrize(("ram", "code"), [(10**6, 0), (100, 1)])
def test_strict_is_for_scripts(main: Any, ram: int, code: int) -> None:
    for rest in ((), ("--max", "batch"), ("--algorithm", "ff_int8"), ("--no-measure",)):
        question = ("fit", "--device", write_board(ram), *DIGITS, *rest, "--no-measure")
        assert main(*question, "--strict")[0] == code
        assert main(*question)[0] == 0


# What would make it fit can be pasted.


@pytest.mark.usefixtures("few_algorithms")
def test_the_commands_that_are_printed_do_fit(main: Any) -> None:
    # GIVEN a question whose answer is no, on a board in a folder with a space in its name
    Path("my boards").mkdir()
    text = board(need() * 6 // 10)
    Path("my boards/small.toml").write_text(text, encoding="utf-8")
    _, out, _ = main("fit", "--device", "my boards/small.toml", *DIGITS, "--no-measure")
    commands = re.findall(r"^    (trainfit fit .*)$", out, re.MULTILINE)
    assert len(commands) >= 3

    for command in commands:
        # WHEN a printed command is run as a shell would
        words = shlex.split(command)
        code, answer, err = main(*words[1:])

        # THEN it fits, measured
        assert (code, err) == (0, "")
        assert answer.splitlines()[0].endswith((": fits", ": tight"))
        assert "equal to the prediction" in answer


def test_algorithm_batch_and_option_are_found_for_a_real_board(main: Any) -> None:
    code, out, _ = main(
        "fit", "--device", "stm32f746", "--algorithm", "tinyfoa", "--model", "mlp-784-256-256-10",
        "--no-measure",
    )  # fmt: skip

    assert code == 0
    assert (
        "    trainfit fit --device stm32f746 --algorithm ff_int8 --model mlp-784-256-256-10"
        " --batch-size 6\n"
    ) in out
    assert re.search(r"searched [\d,]+ combinations of \d+ algorithms, \d+ batch sizes", out)


def test_what_other_options_reach_is_said(main: Any) -> None:
    question = (
        "fit", "--device", "stm32f746", "--algorithm", "tinyfoa", "--model", "mlp-784-256x2-10",
        "--max", "width", "--no-measure",
    )  # fmt: skip

    code, out, _ = main(*question)
    document = json.loads(main(*question, "--json")[1])

    assert code == 0
    assert "\n  width 232 instead of 62 with -o slices=8\n    trainfit fit --device" in out
    first = document["other_options"][0]
    assert (first["size"], first["options"]) == (232, {"slices": 8})
    answer = main(*shlex.split(first["command"])[1:], "--no-measure")[1]
    assert answer.splitlines()[0].endswith(": tight")


# Several devices and algorithms.


def test_one_table_for_several(main: Any, tmp_path: Path) -> None:
    small, large = write_board(need() - 1), write_board(10**6, name="large", clock=10**8)
    question = (
        "fit", "--device", small, "--device", large, "--device", small, *DIGITS,
        "--algorithm", "backprop[update=fused]", "--algorithm", "forward_forward", "-o",
        "slices=1",
    )  # fmt: skip

    code, out, err = main(*question, "--no-measure")
    document = json.loads(main(*question, "--no-measure", "--json", "--csv", "t")[1])

    assert (code, err) == (0, "")
    rows = document["combinations"]
    assert [(row["device"], row["workload"]) for row in rows] == [
        (device, algorithm)
        for device in ("small", "large")
        for algorithm in (
            "backprop[slices=1]",
            "backprop[slices=1,update=fused]",
            "forward_forward",
        )
    ]
    assert {row["status"] for row in rows} <= set(Status)
    assert rows[0]["status"] == "exceeds"
    assert rows[1]["status"] in {"fits", "tight"}
    assert document["status"] == "fits"
    # on the large board, nothing on the front is beaten by anything that fits
    on_large = [row for row in rows if row["device"] == "large"]
    for row in (row for row in on_large if row["front"]):
        assert not any(
            other["ram_bytes"] < row["ram_bytes"]
            and other["sample_seconds_high"] < row["sample_seconds_high"]
            for other in on_large
        )
    assert "* = on the device's Pareto front: of what fits" in out
    assert (
        "where a time is unknown, operations per sample stand in for it" in out
    )  # small: no clock
    assert "time on small: clock is unknown: nobody knows" in out
    with (tmp_path / "t" / "combinations.csv").open(encoding="utf-8") as stream:
        assert len(list(csv.DictReader(stream))) == len(rows)


def test_a_table_is_measured_too(main: Any) -> None:
    device, roomy = write_board(overlooked() + 100), write_board(10**6, name="roomy")

    code, out, _ = main("fit", "--device", device, "--device", roomy, *OVERLOOKED, "--json")

    rows = {row["device"]: row for row in json.loads(out)["combinations"]}
    assert code == 0  # it fits the other one
    assert (rows["small"]["status"], rows["small"]["refuted"]) == ("exceeds", True)
    assert (rows["roomy"]["status"], rows["roomy"]["refuted"]) == ("fits", False)
    assert rows["small"]["ram_bytes"] == rows["roomy"]["ram_bytes"] > overlooked()
    assert rows["small"]["evidence"] == "allocator"


def test_a_table_in_which_only_what_is_refuted_fits_ends_with_1(main: Any) -> None:
    device, tiny = write_board(overlooked() + 100), write_board(100, name="tiny")

    code, out, _ = main("fit", "--device", device, "--device", tiny, *OVERLOOKED)

    assert code == 1
    assert out.count("MEASURED OTHERWISE") == 1
    assert "nothing is sure to fit tiny" in out


def test_the_largest_sizes_of_several_are_a_table(main: Any) -> None:
    small, large = write_board(need(batch_size=20)), write_board(need(batch_size=70), name="large")

    code, out, err = main(
        "fit", "--device", small, "--device", large, *DIGITS, "--max", "batch", "--no-measure",
        "--json",
    )  # fmt: skip

    assert (code, err) == (0, "")
    rows = json.loads(out)["largest"]
    assert [(row["device"], row["size"]) for row in rows] == [("small", 20), ("large", 70)]


def test_options_in_brackets_and_beside(main: Any) -> None:
    base = ("fit", "--device", "stm32f746", "--model", "mlp-64-32x2-10", "--no-measure")

    code, out, _ = main(*base, "--algorithm", "backprop[update=fused]", "-o", "lr=0.1", "--json")
    twice = main(*base, "--algorithm", "backprop[lr=1]", "-o", "lr=0.1")
    nowhere = main(*base, "--algorithm", "backprop", "--algorithm", "ff_int8", "-o", "slicse=2")

    assert code == 0
    assert json.loads(out)["workload"]["options"] == {"update": "fused", "lr": 0.1}
    assert (twice[0], "'backprop[lr=1]' has it already" in twice[2]) == (2, True)
    assert (nowhere[0], "'slicse'; did you mean slices" in nowhere[2]) == (2, True)


def test_time_that_nobody_can_know_is_unknown(main: Any) -> None:
    code, out, _ = main(
        "fit", "--device", "nrf52840", "--algorithm", "tests.plugins.misstated:Uncounted",
        "--model", "mlp-64-10", "--no-measure",
    )  # fmt: skip

    assert code == 0
    assert "step latency: unknown (the algorithm states no operations)" in out
    assert "energy per step: unknown (the algorithm states no operations)" in out
    assert " 0 s" not in out


# A step of one's own.


@pytest.fixture
def train_py(tmp_path: Path) -> None:
    """A module in the current folder, as a user has it."""
    (tmp_path / "train_here.py").write_text(
        "import torch\n"
        "def make_step(batch_size=32):\n"
        "    net = torch.nn.Linear(64, 10)\n"
        "    x = torch.rand(batch_size, 64)\n"
        "    def step():\n"
        "        net(x).sum().backward()\n"
        "        net.zero_grad()\n"
        "    return step\n",
        encoding="utf-8",
    )


@pytest.mark.usefixtures("train_py")
def test_a_step_of_ones_own_on_several_boards(main: Any) -> None:
    devices = ("--device", "stm32f746", "--device", write_board(10_000))

    code, out, err = main("fit", *devices, "--step", "train_here:make_step")
    document = json.loads(main("fit", *devices, "--step", "train_here:make_step", "--json")[1])

    assert (code, err) == (0, "")
    assert "train_here:make_step on stm32f746 (STM32F746ZG): fits\n" in out
    assert "train_here:make_step on small (A small one): exceeds\n" in out
    measured = document["measured"]
    assert f"measured: {measured['ram_bytes']:,} B of RAM" in out
    # w, b and x are there all the time, their gradients come and go
    assert measured["static_bytes"] == 4 * (64 * 10 + 10 + 32 * 64)
    assert document["status"] == "fits"
    assert [(each["device"], each["status"]) for each in document["devices"]] == [
        ("stm32f746", "fits"),
        ("small", "exceeds"),
    ]
    for each in document["devices"]:
        assert each["judged_by"] == "arena"
        assert each["torch_ram_bytes"] == measured["ram_bytes"] > each["ram_bytes"]
    assert f"{format_bytes(each['ram_bytes'])} in a planned arena" in out
    assert document["tensors"][0]["bytes"] == 4 * 64 * 10
    assert "outside = in no phase" in out


@pytest.mark.usefixtures("train_py")
def test_a_step_that_fits_nowhere_ends_with_1(main: Any) -> None:
    code, out, _ = main("fit", "--device", write_board(100), "--step", "train_here:make_step")

    assert code == 1
    assert out.splitlines()[0].endswith(": exceeds")


@pytest.mark.usefixtures("train_py")
def test_a_step_is_predicted_where_it_is_not_to_be_measured(main: Any) -> None:
    asked = ("fit", "--device", "stm32f746", "--step", "train_here:make_step")
    measured = json.loads(main(*asked, "--json")[1])["measured"]

    code, out, _ = main(*asked, "--no-measure")
    document = json.loads(main(*asked, "--no-measure", "--json")[1])

    assert code == 0
    assert f"predicted: {measured['ram_bytes']:,} B of RAM" in out
    assert "from its code, nothing was run" in out
    assert "measured" not in document
    assert document["predicted"]["static_bytes"] == measured["static_bytes"]
    assert document["budgets"][0]["evidence"] == "planned"


@pytest.mark.usefixtures("train_py")
def test_the_largest_batch_of_a_step_is_traced_and_measured(main: Any) -> None:
    step = ("--step", "train_here:make_step", "--max", "batch")
    code, out, _ = main("fit", "--device", write_board(10_000), *step, "--json")

    row = json.loads(out)["devices"][0]
    assert code == 0
    assert row["ram_bytes"] <= 10_000 < row["above_ram_bytes"]
    assert row["measured_ram_bytes"] == row["ram_bytes"]
    assert row["status"] in ("fits", "tight")
    assert row["judged_by"] == "arena"
    assert row["torch_ram_bytes"] > row["ram_bytes"] == row["arena_ram_bytes"]


@pytest.mark.parametrize(
    ("rest", "message"),
    [
        (("--step", "nowhere:make"), "--step nowhere:make: there is no module 'nowhere'"),
        (("--step", "a:b", "--algorithm", "backprop"), "--step a:b: --algorithm is for algorithms"),
        (("--step", "a:b", "--max", "width"), "--max width: a step of your own has a batch only"),
        (("--step", "a:b", "-o", "lr=1"), "--step a:b: --option is for algorithms"),
        (("--model", "mlp-64-10"), "Missing option '--algorithm' (or '--step', for a step of you"),
    ],
)
def test_bad_questions_about_steps_are_one_line(
    main: Any, rest: tuple[str, ...], message: str
) -> None:
    code, out, err = main("fit", "--device", "stm32f746", *rest)

    assert (code, out) == (2, "")
    assert message in err
    assert err.count("\n") == 1


def test_help_and_wrong_questions_wait_for_no_torch() -> None:
    code = "import sys, trainfit.bench.cli.fit; sys.exit('torch' in sys.modules)"

    done = subprocess.run([sys.executable, "-c", code], check=False, cwd=ROOT, timeout=60)

    assert done.returncode == 0
