"""Time and energy of a run, from the command line to the records: measured here, by a recording."""

from __future__ import annotations

import csv
import math
from pathlib import Path
from typing import Any

import pytest

from tests.builders.logs import progress_lines
from tests.fakes.small_boards import board
from trainfit.bench.cli import main as cli
from trainfit.bench.frames.sources import load_run
from trainfit.bench.records.reading import read_records
from trainfit.bench.records.schema import Evidence
from trainfit.bench.verdicts.judges import judges_of

SUITE = """
name = "costs"
devices = ["nrf52840", "rp2040"]
timeout_seconds = 60
measure = ["memory", "latency", "energy"]
[defaults]
model = "mlp-64-10"
dataset = "digits"
batch_size = 32
[[workload]]
algorithm = "backprop"
"""


@pytest.fixture
def main(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capfd: Any) -> Any:
    """The command line in this process: exit code, stdout, stderr."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "costs.toml").write_text(SUITE)

    def run(*arguments: str) -> tuple[Any, str, str]:
        with pytest.raises(SystemExit) as ended:
            cli.main(["run", "costs.toml", *arguments])
        return (ended.value.code, *capfd.readouterr())

    return run


def record_power(file: Path, watts: float, seconds: float) -> None:
    """A recording that wavers a little, as every live sensor does."""
    rows = [(t / 50, watts + 0.1 * math.sin(t)) for t in range(int(seconds * 50))]
    with file.open("w", newline="") as stream:
        csv.writer(stream).writerows([("seconds", "VDD_IN"), *rows])


def test_what_is_measured_on_the_device_itself_is_judged(main: Any, tmp_path: Path) -> None:
    # GIVEN a recording of about 2 W that lasts longer than the run
    record_power(tmp_path / "power.csv", 2.0, 100)

    # WHEN this machine is said to be one of the devices
    code, out, err = main(
        "--sensor", "replay:power.csv", "--host", "nrf52840", "--out", "done",
        "--budget", "step_latency=20s", "--budget", "energy_per_step=9J",
    )  # fmt: skip

    # THEN its time and energy are what was measured, and the other's what was modelled
    assert code == 0
    assert [count for count, _ in progress_lines(err)] == ["1/1"]
    (record,) = read_records(tmp_path / "done")
    assert record.energy is not None
    assert record.latency is not None
    assert (record.energy.evidence, record.energy.valid) == (Evidence.SENSOR, True)
    assert record.energy.rails == ["VDD_IN"]
    joules, seconds = record.energy.joules_per_step, record.latency.step_seconds_median
    assert joules is not None
    assert seconds is not None
    assert 0.2 * 2 * seconds < joules < 20 * 2 * seconds  # on a machine that others use, too
    assert record.energy.idle_watts == pytest.approx(2, abs=0.1)
    assert set(record.energy.phases) == {"forward", "gradient", "update"}
    found = {
        (v.device, v.budget): (v.status, v.evidence)
        for v in judges_of(tmp_path / "done").verdicts(record)
    }
    assert found["nrf52840", "step_latency"] == ("fits", "clock")
    assert found["nrf52840", "energy_per_step"] == ("fits", "sensor")
    assert found["rp2040", "step_latency"] == ("fits", "modelled")
    assert found["rp2040", "energy_per_step"] == ("unknown", "unavailable")
    assert "\nenergy by replay:power.csv: a recording: VDD_IN is the whole module" in out
    assert "step latency (clock), step latency (modelled)" in " ".join(out.split())

    assert load_run(tmp_path / "done")["joules_per_step"][0] == joules
    verdicts = load_run(tmp_path / "done", "verdicts").set_index(["device", "budget"])
    assert verdicts.loc[("nrf52840", "energy_per_step"), "margin"] < 9


def test_a_sensor_that_a_suite_names_and_is_not_there_is_a_reason(
    main: Any, tmp_path: Path
) -> None:
    text = SUITE.replace("[defaults]", 'sensor = "replay:none.csv"\nhost = "rp2040"\n[defaults]')
    text += '[budgets]\nenergy_per_step = "1 mJ"\n'
    (tmp_path / "costs.toml").write_text(text.replace('"memory", "latency", ', '"memory", '))

    code, out, err = main("--out", "done")

    assert code == 0
    assert [count for count, _ in progress_lines(err)] == ["1/1"]
    assert "1 of 1 workloads measured" in out
    (record,) = read_records(tmp_path / "done")
    assert record.memory is not None
    assert record.energy is not None
    assert record.energy.evidence is Evidence.UNAVAILABLE
    assert "none.csv" in (record.energy.reason or "")
    verdicts = judges_of(tmp_path / "done").verdicts(record)
    (verdict,) = [v for v in verdicts if v.device == "rp2040" and v.unit == "J"]
    assert verdict.status == "unknown"
    assert "none.csv" in verdict.reason


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--sensor", "replay:none.csv"), "none.csv"),
        (("--sensor", "rappl"), "did you mean rapl"),
        (("--host", "stm32f407"), "host 'stm32f407' is none of its devices"),
        (("--budget", "step_latency=50"), "has no unit"),
        (("--budget", "step_latency=50mHz"), "is not a unit of time"),
        (("--budget", "energy_per_step=-1J"), "allows nothing"),
        (("--budget", "battery=1Wh"), "battery without training_samples"),
        (("--budget", "ram"), "write NAME=VALUE"),
        (("--budget", "ram=1KiB", "--budget", "ram=2KiB"), "is given twice"),
        (("--budget", "speed=1s"), "unknown budget 'speed'"),
    ],
)
def test_bad_input_is_one_line_and_nothing_is_written(
    main: Any, tmp_path: Path, arguments: tuple[str, ...], message: str
) -> None:
    code, out, err = main(*arguments, "--out", "done")

    assert (code, out) == (2, "")
    assert message in err
    assert err.startswith("trainfit: ")
    assert err.count("\n") == 1
    assert not (tmp_path / "done").exists()


def test_a_device_without_a_clock_is_not_asked_for_its_latency(main: Any, tmp_path: Path) -> None:
    (tmp_path / "small.toml").write_text(board(10**6))

    code, out, err = main("--device", "small.toml", "--budget", "step_latency=1s")

    assert (code, out) == (2, "")
    assert "small: step_latency cannot be modelled because the clock is unknown" in err

    text = SUITE.replace('["nrf52840", "rp2040"]', '["small.toml"]')
    (tmp_path / "costs.toml").write_text(f'{text}[budgets]\nstep_latency = "1 s"\n')
    code, _, err = main("--out", "done")

    assert code == 0
    assert [count for count, _ in progress_lines(err)] == ["1/1"]
    (record,) = read_records(tmp_path / "done")
    status = {
        verdict.budget: verdict.status for verdict in judges_of(tmp_path / "done").verdicts(record)
    }
    assert status == {"ram": "fits", "step_latency": "unknown"}
