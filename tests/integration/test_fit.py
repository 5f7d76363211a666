"""``trainfit fit``, as people use it."""

from __future__ import annotations

import csv
import json
import re
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from tests.fakes.small_boards import board
from trainfit.bench.records.schema import Workload
from trainfit.bench.sizing.predicted_workload import PredictedWorkload, predicted_workload

PLUGINS = Path(__file__).parent.parent / "plugins"
DIGITS = ("--algorithm", "backprop", "--model", "mlp-64-32x2-10")


def write_board(ram: int, **changes: Any) -> str:
    """A device file in the current folder; returns what --device takes."""
    Path("small.toml").write_text(board(ram, **changes), encoding="utf-8")
    return "small.toml"


def need(algorithm: str = "backprop", **changes: Any) -> int:
    """RAM on a microcontroller."""
    return form(algorithm, **changes).planned.ram_bytes


def form(algorithm: str = "backprop", **changes: Any) -> PredictedWorkload:
    values = {"model": "mlp-64-32x2-10", "dataset": "none", "batch_size": 32}
    return predicted_workload(Workload(algorithm=algorithm, **values | changes))


@pytest.fixture(autouse=True)
def few_algorithms(monkeypatch: pytest.MonkeyPatch) -> None:
    """A search of all of them takes seconds."""
    few = ["backprop", "ff_int8", "sparse_update", "tinyfoa", "zeroth_order"]
    monkeypatch.setattr("trainfit.bench.sizing.suggestions.algorithm_names", lambda: few)


# Does it fit?


def test_what_fits_is_said(main: Any) -> None:
    code, out, err = main("fit", "--device", "stm32f407", *DIGITS, "--no-measure")

    assert (code, err) == (0, "")
    assert out.startswith("backprop mlp-64-32x2-10 b32 on stm32f407 (STM32F407VG): fits\n")
    assert "no budget is set" in out
    assert "The peak is in gradient: " in out
    assert "measured" not in out
    assert "What would make it fit" not in out


def test_a_remedy_that_is_offered_holds_when_it_is_measured(main: Any) -> None:
    # GIVEN a device for a part of what is needed, and the remedies
    device = write_board(need() * 7 // 8)
    code, out, err = main("--json", "fit", "--device", device, *DIGITS, "--no-measure")
    assert (code, err) == (0, "")
    (offered,) = [r for r in json.loads(out)["remedies"] if r["change"] == "momentum=0.0"]

    # WHEN one of them is taken and measured
    code, out, err = main("--json", "fit", "--device", device, *DIGITS, "-o", "momentum=0.0")

    # THEN it fits, and it needs what was said
    assert (code, err) == (0, "")
    document = json.loads(out)
    assert document["status"] in {"fits", "tight"}
    measured = document["measured"]
    torch = measured["static_bytes"] + measured["peak_dynamic_bytes"]
    assert torch == offered["torch_ram_bytes"] == document["ram"]["torch_ram_bytes"]
    assert measured["static_bytes"] + measured["arena_bytes"] == offered["ram_bytes"]
    assert document["ram"]["ram_bytes"] == offered["ram_bytes"]
    assert document["ram"]["judged_by"] == document["budgets"][0]["judged_by"] == "arena"
    assert "remedies" not in document


def test_what_does_not_fit_comes_with_its_owners_and_remedies(main: Any) -> None:
    device = write_board(need() - 1)

    code, out, err = main("fit", "--device", device, *DIGITS, "--no-measure")

    assert (code, err) == (0, "")
    assert "on small (A small one): exceeds\n" in out
    assert " in a planned arena without gaps (judged), " in out
    assert ": 1 B too much\n" in out
    assert "  come and go: " in out
    assert "What would make it fit" in out
    assert "--batch-size 31 " in out
    assert "update=product " in out
    assert "more (--json or --csv lists all)" in out


@pytest.mark.parametrize("width", [80, 100])
def test_the_whole_answer_is_on_one_screen(
    main: Any, monkeypatch: pytest.MonkeyPatch, width: int
) -> None:
    monkeypatch.setattr(
        "trainfit.bench.cli.output.stdout",
        lambda: Console(highlight=False, width=width, color_system=None),
    )
    budgets = ("step_latency=50ms", "energy_per_step=2mJ", "battery=1Wh", "training_samples=1000")
    asked = [part for budget in budgets for part in ("--budget", budget)]

    for device, *rest in (
        ("stm32f746", *DIGITS, *asked),
        ("nrf52840", "--algorithm", "backprop", "--model", "mlp-64-128x2-10", *asked),
        ("jetson-orin-nano-8gb", "--algorithm", "tinyfoa", "--model", "mlp-784-128x2-10"),
    ):
        code, out, _ = main("fit", "--device", device, *rest, "--no-measure")
        lines = out.splitlines()
        rows = sum(max(1, -(-len(line) // width)) for line in lines)
        assert code == 0
        assert rows + 1 <= 30, out  # the one is what the measurement says
        strokes = [line.index("│") for line in lines if "│" in line]
        assert len(set(strokes)) == 1
        assert all(len(line) <= width for line in lines if "│" in line)


def test_machines_get_all_of_it(main: Any, tmp_path: Path) -> None:
    device = write_board(need() - 1)

    code, out, _ = main("fit", "--device", device, *DIGITS, "--no-measure", "--json", "--csv", "t")

    document = json.loads(out)
    assert code == 0
    assert document["workload"]["model"] == "mlp-64-32x2-10"
    assert (document["device"], document["status"]) == ("small", "exceeds")
    (ram,) = document["budgets"]
    assert (ram["low"], ram["high"], ram["limit"]) == (need(), need(), need() - 1)
    assert (ram["margin"], ram["unit"], ram["evidence"]) == (-1, "B", "planned")
    assert document["ram"]["torch_ram_bytes"] == form().ram_bytes
    assert sum(r["bytes"] for r in document["tensors"]) == form().ram_bytes
    assert document["modelled"]["latency"]["reason"] == "clock is unknown: nobody knows"
    for name in ("budgets", "tensors", "remedies"):
        with (tmp_path / "t" / f"{name}.csv").open(encoding="utf-8") as stream:
            assert len(list(csv.DictReader(stream))) == len(document[name])


def test_text_options_stay_text(main: Any) -> None:
    code, out, err = main(
        "--json", "fit", "--device", "stm32f746", "--algorithm", "ff_int8", "--model",
        "mlp-64-32x2-10", "-o", "lookahead=true", "--no-measure",
    )  # fmt: skip

    assert (code, err) == (0, "")
    assert json.loads(out)["workload"]["options"] == {"lookahead": "true"}


def test_an_algorithm_of_ones_own_lies_in_the_current_folder(main: Any) -> None:
    Path("mine_alone.py").write_text((PLUGINS / "plain.py").read_text("utf-8"), "utf-8")

    code, out, err = main(
        "fit", "--device", "stm32f407", "--algorithm", "mine_alone:Delta", "--model", "mlp-64-10",
        "--no-measure",
    )  # fmt: skip

    assert (code, err) == (0, "")
    assert out.startswith("mine_alone:Delta mlp-64-10 b32 on stm32f407")


# What is the largest that fits?


def test_the_largest_batch_is_found_and_measured(main: Any) -> None:
    device = write_board(need(batch_size=50))

    code, out, err = main("fit", "--device", device, *DIGITS, "--max", "batch")

    assert (code, err) == (0, "")
    assert out.startswith("largest batch that fits small: 50 (mlp-64-32x2-10, batch 50)\n")
    assert f"\n  batch 51: needs {need(batch_size=51):,} B of RAM, exceeds (RAM: " in out
    assert f"measured: {form(batch_size=50).ram_bytes:,} B of RAM under torch" in out
    assert "equal to the prediction" in out


def test_the_largest_width_and_depth_keep_the_rest(main: Any, tmp_path: Path) -> None:
    device = write_board(need(model="mlp-64-40x2-10", batch_size=7))

    for dimension, size, model in (("width", 40, "mlp-64-40x2-10"), ("depth", 3, "mlp-64-32x3-10")):
        code, out, err = main(
            "fit", "--device", device, *DIGITS, "--batch-size", "7", "--max", dimension,
            "--no-measure", "--json", "--csv", dimension,
        )  # fmt: skip
        assert (code, err) == (0, "")
        found = json.loads(out)["largest"]
        assert (found["dimension"], found["size"]) == (dimension, size)
        assert found["workload"]["model"] == model
        assert found["workload"]["batch_size"] == 7
        assert found["next"]["size"] == size + 1
        assert found["monotone"] is True
        sizes = json.loads(out)["sizes"]
        assert len(sizes) == found["probes"]
        assert (tmp_path / dimension / "sizes.csv").is_file()


def test_nothing_fits_and_that_is_an_answer(main: Any) -> None:
    code, out, err = main("fit", "--device", write_board(100), *DIGITS, "--max", "batch")

    assert (code, err) == (0, "")
    least = f"  batch 1: needs {need(batch_size=1):,} B of RAM, exceeds (RAM: "
    assert out.startswith(f"no batch fits small\n{least}")
    assert "measured" not in out


# What is no question: one line that says what, where, and what would be right.


LC = ("--algorithm", "tinyfoa", "--model", "lc-1x28x28-16-32-10")
UNEVEN = ("--algorithm", "backprop", "--model", "mlp-64-32-16-10")
BAD: dict[str, tuple[tuple[str, ...], str]] = {
    "device": (("--device", "stm32f408", *DIGITS), "unknown device 'stm32f408'; did you mean"),
    "device file": (("--device", "none.toml", *DIGITS), "none.toml: no such file; packaged"),
    "algorithm": (
        ("--algorithm", "backprob", "--model", "mlp-64-10"),
        "unknown algorithm 'backprob'; did you mean backprop",
    ),
    "model": (("--algorithm", "backprop", "--model", "mpl-64-10"), "unknown model family 'mpl'"),
    "option": ((*DIGITS, "-o", "lrr=1"), "unknown option of backprop 'lrr'; did you mean lr?"),
    "option without value": ((*DIGITS, "-o", "lr"), "option 'lr' is not of the form name=value"),
    "option's value": ((*DIGITS, "-o", "momentum=much"), "option 'momentum' of backprop: "),
    "dimension": (
        (*DIGITS, "--max", "sideways"),
        "--max sideways: write batch or width or depth",
    ),
    "batch size": ((*DIGITS, "--batch-size", "0"), "Invalid value for '--batch-size'"),
    "budget": (
        (*DIGITS, "--budget", "rom=1KiB"),
        "--budget: unknown budget 'rom'; did you mean ram?",
    ),
    "budget without value": (
        (*DIGITS, "--budget", "ram"),
        "--budget ram: write NAME=VALUE, for instance ram=96KiB",
    ),
    "wrong unit": (
        (*DIGITS, "--budget", "ram=96ms"),
        "--budget: ram: '96ms': 'ms' is not a unit of size; write one of them (units: B, KiB, MiB,"
        " GiB)",
    ),
    "unit of two meanings": (
        (*DIGITS, "--budget", "ram=96kB"),
        "'kB' may mean 1000 or 1024 bytes; write KiB",
    ),
    "no unit": ((*DIGITS, "--budget", "step_latency=50"), "'50' has no unit; write text such as"),
    "negative": (
        (*DIGITS, "--budget", "step_latency=-5ms"),
        "'-5ms' allows nothing; write more than 0, or leave it out",
    ),
    "zero": (
        (*DIGITS, "--budget", "energy_per_step=0mJ"),
        "'0mJ' allows nothing; write more than 0, or leave it out",
    ),
    "twice": (
        (*DIGITS, "--budget", "ram=1KiB", "--budget", "ram=2KiB"),
        "--budget ram: is given twice; give it once",
    ),
    "battery alone": (
        (*DIGITS, "--budget", "battery=1000mWh"),
        "battery without training_samples: a battery is compared with the energy of a whole",
    ),
    "no clock": (
        (*DIGITS, "--budget", "step_latency=50ms"),
        "small: step_latency cannot be modelled because the clock is unknown: nobody knows;"
        " give the profile a clock, or leave that budget out",
    ),
    "locally connected": (
        (*LC, "--max", "width"),
        "model 'lc-1x28x28-16-32-10' is locally connected: its layers have channels and positions",
    ),
    "locally connected, depth": ((*LC, "--max", "depth"), "neither width nor depth can be chosen"),
    "uneven": (
        (*UNEVEN, "--max", "width"),
        "model 'mlp-64-32-16-10' has hidden layers of different widths (32, 16)",
    ),
    "uneven, depth": ((*UNEVEN, "--max", "depth"), "use one width, for instance mlp-64-32x2-10"),
    "slices": (
        ("--algorithm", "tinyfoa", "--model", "mlp-64-33-10"),
        "tinyfoa: slices=2 does not divide width 33 of 'mlp-64-33-10'; choose a divisor",
    ),
    "slices of no width": (
        ("--algorithm", "tinyfoa", "--model", "mlp-64-33-10", "-o", "slices=3", "--max", "width"),
        "tinyfoa: slices=3 does not divide width 64",
    ),
    "missing": (("--algorithm", "backprop"), "Missing option '--model'"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input_is_one_line(main: Any, case: str) -> None:
    arguments, message = BAD[case]
    if "--device" not in arguments:
        arguments = ("--device", write_board(10**6), *arguments)

    code, out, err = main("fit", *arguments, "--no-measure")

    assert (code, out) == (2, "")
    assert message in err
    assert err.startswith("trainfit: ")
    assert err.count("\n") == 1
    assert "Traceback" not in err


def test_a_budget_looser_than_the_profile_is_refused(main: Any) -> None:
    device = write_board(10**6, clock=10**8, budgets='step_latency = "5 ms"')

    code, out, err = main("fit", "--device", device, *DIGITS, "--budget", "step_latency=1s")

    assert (code, out) == (2, "")
    assert err == (
        "trainfit: small: step_latency: 1 s is looser than the 5 ms that the profile declares,"
        " which stays; a budget can only be tightened\n"
    )


def test_an_unknown_figure_has_no_largest_and_the_message_says_which(main: Any) -> None:
    device = write_board(10**6, flash=None)
    code, out, err = main(
        "fit", "--device", device, "--algorithm", "tinyfoa", "--model", "mlp-64-32x2-10", "--max",
        "batch",
    )  # fmt: skip

    assert (code, out) == (2, "")
    assert re.match(
        r"trainfit: small: the largest batch cannot be found: flash: needs .* of"
        r" storage, but flash is unknown: .*; a device file of your own .*\n$",
        err,
    )


def test_a_step_too_large_for_this_machine_is_not_measured(main: Any) -> None:
    code, out, err = main(
        "fit", "--device", "jetson-agx-orin", "--algorithm", "backprop", "--model",
        "mlp-784-500000x2-10",
    )  # fmt: skip

    assert (code, err) == (0, "")
    assert "\nnot measured: the step needs " in out
