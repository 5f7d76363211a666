"""``trainfit compare``, as people use it, and the words in which it says what it found."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from trainfit.algorithms import build_algorithm
from trainfit.bench.cli import main as cli
from trainfit.bench.cli.reports import compare as compare_report
from trainfit.bench.latency_comparison import paired as pairing
from trainfit.bench.latency_comparison.paired import Comparison, Side
from trainfit.bench.latency_comparison.turns import PairedStop
from trainfit.bench.latency_comparison.waiting import Estimate, Use
from trainfit.bench.suite.workload_text import parse_workload
from trainfit.bench.trace.prediction import predict

PLUGINS = Path(__file__).parent.parent / "plugins"
NET = "mlp-64-128-128-10"
HEAD = ["side", "step", "from", "to", "CPU", "waited", "stage", "of", "steps/block", "workload"]


@pytest.fixture
def main(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capfd: Any) -> Any:
    """The command line in this process: exit code, stdout, stderr."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(PLUGINS))
    monkeypatch.delenv("TRAINFIT_DATA_ROOT", raising=False)

    def run(*arguments: str) -> tuple[Any, str, str]:
        with pytest.raises(SystemExit) as ended:
            cli.main(["compare", *arguments])
        return (ended.value.code, *capfd.readouterr())

    return run


def comparison(low: float, ratio: float, high: float, **changes: Any) -> Comparison:
    side = Side(
        workload=parse_workload("backprop mlp-64-10 digits b32"),
        stage="all",
        stages=1,
        steps_per_block=30,
        step_seconds=(0.001, 0.001),
        median=0.001,
        interval=(0.0009, 0.0011),
    )
    values: dict[str, Any] = {
        "confidence": 0.95,
        "cpu": Estimate(ratio, (low, high)),
        "doubt": "",
        "asked_width": 0.02,
        "blocks": 34,
        "stopped": PairedStop.SETTLED,
        "threads": 1,
        "onednn": True,
    }
    return Comparison(
        a=side,
        b=replace(side, median=0.001 * ratio),
        wall=Estimate(ratio, (low, high)),
        **values | changes,
    )


# ---- bytes ---------------------------------------------------------------------------------------


def test_bytes_are_those_of_the_prediction(main: Any) -> None:
    code, out, err = main(
        f"backprop[optimizer=adam] {NET} b32", f"forward_forward {NET} b8", "--json"
    )

    assert (code, err) == (0, "")
    rows = {row["figure"]: row for row in json.loads(out)["bytes"]}
    for key, name, options, rows_ in (
        ("a", "backprop", {"optimizer": "adam"}, 32),
        ("b", "forward_forward", {}, 8),
    ):
        plan = predict(build_algorithm(name, NET, options), rows_)
        assert rows["static bytes"][key] == plan.static_bytes
        assert rows["peak dynamic bytes"][key] == plan.peak_bytes
        assert rows["dynamic bytes as C would need them"][key] == plan.device_bytes
        assert rows["both together"][key] == plan.static_bytes + plan.peak_bytes
    for row in rows.values():
        assert row["ratio"] == row["b"] / row["a"]


def test_what_people_see(main: Any) -> None:
    options = ("--model", NET, "--batch-size", "32")
    code, out, err = main("tinyfoa", "plain:Delta mlp-64-10 digits b4", *options)

    assert (code, err) == (0, "")
    lines = out.splitlines()
    assert lines[0].split()[-3:] == ["A", "B", "B/A"]
    assert lines[-3] == f"A: tinyfoa {NET} b32, stage layer2, the worst of 2"
    assert lines[-2] == "B: plain:Delta mlp-64-10 digits b4"
    assert lines[-1].startswith("energy of the arithmetic alone, B/A: ")


def test_number_formats_are_a_ratio_of_energy(main: Any) -> None:
    _, out, _ = main(f"backprop {NET} b32", f"backprop {NET} b32", "--json")
    same = json.loads(out)["arithmetic_energy_ratio"]
    assert (same["low"], same["high"]) == (1, 1)
    assert "45 nm" in same["source"]

    _, out, _ = main(f"backprop {NET} b32", f"ff_int8 {NET} b32", "--json")
    low_bit = json.loads(out)["arithmetic_energy_ratio"]
    assert 0.01 < low_bit["low"] < low_bit["high"] < 0.5


def test_a_short_model_name_is_completed_from_the_data(main: Any) -> None:
    code, out, _ = main("tinyfoa lc-4-8 digits b8", "tinyfoa lc-1x8x8-4-8-10 b8")
    assert code == 0
    assert "A: tinyfoa lc-1x8x8-4-8-10 digits b8" in out

    code, out, err = main("tinyfoa lc-4-8 b8", "backprop mlp-64-10 b8")
    assert (code, out) == (2, "")
    assert "'lc-4-8'" in err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("backprop mlp-64-10 b8", "bakprop mlp-64-10 b8"), "did you mean backprop"),
        (("backprop b8", "backprop b8"), "it has no model"),
        (("backprop[lr] mlp-64-10 b8", "backprop mlp-64-10 b8"), "option 'lr' is not of the form"),
        (("backprop[lt=3] mlp-64-10 b8", "backprop mlp-64-10 b8"), "did you mean lr"),
        (("backprop mlp-64-10 b8",), "Missing argument 'B'"),
        (("backprop mlp-64-10 b8", "backprop mlp-64-10 b8", "--latency"), "it has no data set"),
        (("backprop mlp-64-10 b8", "backprop b8", "--batch-size", "0"), "--batch-size"),
    ],
)
def test_bad_input_is_one_line(main: Any, arguments: tuple[str, ...], message: str) -> None:
    code, out, err = main(*arguments)
    assert (code, out) == (2, "")
    assert message in err
    assert err.startswith("trainfit: ")
    assert err.count("\n") == 1


def test_operations_that_nobody_states_are_unknown(main: Any) -> None:
    silent = "tests.plugins.misstated:Uncounted"

    code, out, err = main("backprop", silent, "--model", "mlp-64-10", "--batch-size", "8", "--json")

    assert (code, err) == (0, "")
    document = json.loads(out)
    rows = {row["figure"]: row for row in document["bytes"]}
    assert rows["multiply-accumulates"]["a"] > 0
    assert rows["multiply-accumulates"]["b"] is None
    assert rows["multiply-accumulates"]["ratio"] is None
    assert document["arithmetic_energy_ratio"] is None
    why = "B: the algorithm states no operations"
    assert document["no_arithmetic_energy_ratio_because"] == why


# ---- time ----------------------------------------------------------------------------------------


@pytest.fixture
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """Comparisons that end after the least number of blocks."""
    real = pairing.compare_latency

    def quick(*arguments: Any, **named: Any) -> Comparison:
        return real(*arguments, **named | {"limits": replace(named["limits"], most_pairs=10)})

    monkeypatch.setattr(pairing, "compare_latency", quick)


@pytest.mark.usefixtures("soon")
def test_time_side_by_side(main: Any) -> None:
    given = ("--dataset", "digits", "--batch-size", "32", "--latency", "--json")
    code, out, err = main("backprop mlp-64-10", "turns:TwoStages mlp-64-10", *given)

    assert (code, err) == (0, "")
    found = json.loads(out)
    assert [row["side"] for row in found["latency"]] == ["A", "B"]
    assert [(row["stage"], row["stages"]) for row in found["latency"]] == [("all", 1), ("short", 2)]
    for row in found["latency"]:
        assert row["cpu_seconds"] > 0
        assert row["involuntary_switches_per_block"] >= 0
        if found["no_ratio_because"] is None:
            assert 0 < row["low_seconds"] <= row["median_seconds"] <= row["high_seconds"]
    if found["no_ratio_because"] is None:  # this machine may be busy
        low, high = found["interval"]
        assert low <= found["ratio"] <= high
    low, high = found["cpu_interval"]
    assert low <= found["cpu_ratio"] <= high
    assert (found["blocks"], found["threads"]) == (10, 1)
    assert found["sentence"].endswith("; 95 % interval, 10 blocks each, 1 thread")


@pytest.mark.usefixtures("soon")
def test_what_people_see_of_time(main: Any) -> None:
    workload = "backprop mlp-64-10 digits b32"
    code, out, err = main(workload, workload, "--latency")

    assert (code, err) == (0, "")
    assert "times as long as A" in out or "Which takes longer is unknown" in out
    assert out.splitlines()[0].split() == HEAD
    assert "Absolute times are those of this machine." in out


@pytest.mark.parametrize("seconds", [0.00012, 0.12123, 98.7654])
@pytest.mark.parametrize("steps", [1, 300, 1_234_567])
def test_the_head_is_one_line_however_long_a_step_takes(
    main: Any, monkeypatch: pytest.MonkeyPatch, seconds: float, steps: int
) -> None:
    """Numbers of a slow machine are wide; the head names CPU time, and rows their sides, anyway."""
    found = comparison(1.1, 1.2, 1.3)
    side = replace(
        found.a,
        steps_per_block=steps,
        median=seconds,
        interval=(0.9 * seconds, 1.1 * seconds),
        use=Use(seconds, 0.013, 9),
    )
    monkeypatch.setattr(pairing, "compare_latency", lambda *_, **__: replace(found, a=side, b=side))

    code, out, err = main(side.workload.label, side.workload.label, "--latency")

    assert (code, err) == (0, "")
    lines = out.splitlines()
    assert lines[0].split() == HEAD
    assert [line.split()[0] for line in lines[1:] if line[:1] in "AB" and line[1:3] == "  "] == [
        "A",
        "B",
    ]


def test_a_side_that_cannot_run_is_one_line(main: Any) -> None:
    workload = "backprop mlp-64-10 digits b32"
    code, out, err = main(workload, "broken:Raises mlp-64-10 digits b32", "--latency")

    assert (code, out) == (2, "")
    assert err.startswith("trainfit: B, broken:Raises mlp-64-10 digits b32: cannot be compared")
    assert err.count("\n") == 1


# ---- words ---------------------------------------------------------------------------------------


def test_the_sentence() -> None:
    assert compare_report.sentence(comparison(1.17, 1.19, 1.21)) == (
        "B takes 1.19 (1.17 to 1.21) times as long as A and 1.19 (1.17 to 1.21) times the CPU time;"
        " 95 % interval, 34 blocks each, 1 thread"
    )
    alone = compare_report.sentence(comparison(1.17, 1.19, 1.21, cpu=None))
    assert alone.startswith("B takes 1.19 (1.17 to 1.21) times as long as A; 95 % interval, ")
    several = comparison(0.5, 0.6, 0.7, threads=2, confidence=0.9)
    assert compare_report.sentence(several).endswith("; 90 % interval, 34 blocks each, 2 threads")


@pytest.mark.parametrize("interval", [(0.97, 1.0, 1.02), (1.0, 1.01, 1.02), (0.98, 0.99, 1.0)])
def test_an_interval_that_holds_one_shows_no_difference(
    interval: tuple[float, float, float],
) -> None:
    said = compare_report.sentence(comparison(*interval))
    assert said.startswith("No difference is shown: B takes ")
    assert "an interval that holds 1;" in said


def test_digits_show_what_the_words_say() -> None:
    assert "1.005 (1.001 to 1.009)" in compare_report.sentence(comparison(1.001, 1.005, 1.009))
    assert "0.995 (0.991 to 0.999)" in compare_report.sentence(comparison(0.991, 0.995, 0.9986))


def test_a_cap_that_came_first_is_said() -> None:
    assert compare_report.notes(comparison(1.1, 1.2, 1.3)) == [
        "Absolute times are those of this machine."
    ]
    capped = compare_report.notes(comparison(1.1, 1.2, 1.3, stopped=PairedStop.SECONDS))
    assert "the cap on seconds came first" in capped[1]
    assert "wider than the 2 %" in capped[1]


# ---- a busy machine ------------------------------------------------------------------------------

BUSY = "the machine was busy"


def busy(**changes: Any) -> Comparison:
    given = {"doubt": BUSY, "cpu": Estimate(0.63, (0.62, 0.64))}
    return comparison(0.90, 0.91, 0.92, **given | changes)


def test_a_ratio_in_doubt_is_unknown_and_says_why() -> None:
    found = busy()

    assert (found.ratio, found.interval, found.differs) == (None, None, False)
    assert compare_report.sentence(found) == (
        "Which takes longer is unknown: the machine was busy. B takes 0.63 (0.62 to 0.64) times the"
        " CPU time of A; 95 % interval, 34 blocks each, 1 thread"
    )
    assert compare_report.notes(busy(stopped=PairedStop.SECONDS)) == [
        "Absolute times are those of this machine.",
        "On a quieter machine it can be known.",
    ]


def test_a_ratio_in_doubt_is_no_number_for_machines_either(
    main: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pairing, "compare_latency", lambda *_, **__: busy())
    workload = "backprop mlp-64-10 digits b32"

    code, out, err = main(workload, workload, "--latency", "--json")

    assert (code, err) == (0, "")
    found = json.loads(out)
    assert (found["ratio"], found["interval"], found["no_ratio_because"]) == (None, None, BUSY)
    assert (found["cpu_ratio"], found["cpu_interval"]) == (0.63, [0.62, 0.64])
    for row in found["latency"]:
        assert (row["median_seconds"], row["low_seconds"], row["high_seconds"]) == (None,) * 3


def test_waiting_that_contradicts_nothing_is_said() -> None:
    found = comparison(1.1, 1.2, 1.3)
    waited = replace(
        found,
        a=replace(found.a, use=Use(0.001, 0.013, 9)),
        b=replace(found.b, use=Use(0.001, 0.4, 9)),
    )

    assert compare_report.notes(waited)[1] == (
        "A waited for a core for 1 % of its time, B for 40 %: times of steps are those of a busy"
        " machine."
    )
    assert compare_report.notes(replace(found, cpu=None))[1] == (
        "CPU time is unknown here, so a busy machine may not have been noticed."
    )
    assert "all threads together" in compare_report.notes(replace(found, threads=2))[1]
