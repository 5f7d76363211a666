"""Sensors by name, recordings, and how readings become energy."""

from __future__ import annotations

import json
import threading
from pathlib import Path

import numpy as np
import pytest

from tests.fakes import boards
from tests.fakes.clock import FakeClock
from trainfit.bench import sensors
from trainfit.bench.cli.lists import sensors as cli_sensors
from trainfit.bench.cli.output import Output, running
from trainfit.bench.errors import BenchError
from trainfit.bench.sensors import Unavailable, open_sensor, sensor_names, survey
from trainfit.bench.sensors.base import Reading
from trainfit.bench.sensors.jetson import open_jetson
from trainfit.bench.sensors.pacing import in_background
from trainfit.bench.sensors.rails import choose_total
from trainfit.bench.sensors.replay import ReplaySensor
from trainfit.bench.sensors.trace import Broken, make_curve


def readings(values, kind="watts", interval=0.1, rail="A"):
    return [Reading(i * interval, **{kind: {rail: value}}) for i, value in enumerate(values)]


def test_a_reading_is_of_one_kind():
    with pytest.raises(ValueError, match="either joules or watts"):
        Reading(0.0)
    with pytest.raises(ValueError, match="either joules or watts"):
        Reading(0.0, joules={}, watts={})


def test_a_power_stands_for_the_time_before_it():
    curve = make_curve(readings([9.0, 1.0, 2.0] + [3.0] * 9, interval=1.0), ["A"])
    assert curve.spent(["A"], [0.0, 0.0, 0.5, 10.0], [1.0, 2.0, 1.5, 99.0]) == pytest.approx(
        [1.0, 3.0, 1.5, 3.0]
    )


def test_a_counter_is_spread_evenly_over_an_interval():
    curve = make_curve(readings(range(100, 112), "joules", interval=2.0), ["A"])
    assert curve.spent(["A"], [0.0, 1.0], [22.0, 2.0]) == pytest.approx([11.0, 0.5])


def test_intervals_are_counted_once_however_many_spans_touch_them():
    curve = make_curve(readings([1.0, 2.0] * 6, interval=1.0), ["A"])
    starts, ends = np.array([0.1, 0.6, 4.5]), np.array([0.4, 0.7, 6.5])
    assert curve.intervals_touched(starts, ends) == 1 + 3


@pytest.mark.parametrize(
    ("values", "kind", "gone", "reason"),
    [
        ([5.0] * 20, "watts", True, "stuck: A 5 W, the same in 20 readings over 1.9 s"),
        ([0.0] * 20, "watts", True, "stuck: A 0 W"),
        ([5.0] * 20, "joules", True, "stuck: the counter of A did not move"),
        ([5.0, 6.0] * 5, "watts", False, "only 10 readings"),
        ([5.0, 6.0] * 9 + [float("nan"), 5.0], "watts", False, "A read nan W"),
        ([5.0, 6.0] * 9 + [float("inf"), 5.0], "watts", False, "A read inf W"),
        ([5.0, 6.0] * 9 + [-1.5, 5.0], "watts", False, "A read -1.5 W"),
        ([5.0, 6.0] * 9 + [900.0, 5.0], "watts", False, "jumped: 90 J of 99.9 J in 0.1 s of 1.9 s"),
        ([*range(15), 900, 901], "joules", False, "jumped: 886 J of 901 J"),
        ([*range(15), 13, 14], "joules", False, "went back by 1 J, which is no wrap"),
    ],
)
def test_readings_that_no_figure_may_be_made_of(values, kind, gone, reason):
    found = make_curve(readings(values, kind), ["A"])
    assert isinstance(found, Broken)
    assert reason in found.reason
    assert found.gone == gone


def test_a_machine_at_rest_may_draw_the_same_all_the_time():
    curve = make_curve(readings([5.0] * 20), ["A"], steady=True)
    assert curve.spent(["A"], 0.0, 1.0) == pytest.approx(5.0)
    assert isinstance(make_curve(readings([5.0] * 20, "joules"), ["A"], steady=True), Broken)


def test_a_sensor_that_went_away():
    found = make_curve([*readings([1.0, 2.0] * 9), Unavailable("unplugged")], ["A"])
    assert found == Broken("the sensor stopped reading: unplugged", gone=True)
    found = make_curve([*readings([1.0, 2.0] * 9), Reading(9.0, watts={})], ["A"])
    assert found == Broken("the sensor stopped reading one of its rails", gone=True)


def test_trouble_beside_the_total_leaves_that_rail_out():
    rows = [Reading(0.1 * i, watts={"A": 5.0 + i % 2, "BAD": -3.9, "GOOD": 1.0}) for i in range(20)]
    curve = make_curve(rows, ["A"])
    assert set(curve.joules) == {"A", "GOOD"}
    assert curve.left_out == ("BAD",)


def test_a_rail_a_little_below_zero_is_kept_as_it_was_read():
    """The offset of an INA3221: a rail that is off reads some tenths of a watt below zero."""
    rows = [Reading(0.1 * i, watts={"A": 5.0 + i % 2, "GPU": -0.392}) for i in range(21)]
    curve = make_curve(rows, ["A", "GPU"])
    assert curve.left_out == ()
    assert curve.spent(["GPU"], 0.0, 2.0) == pytest.approx(-0.784)
    assert curve.spent(["A", "GPU"], 0.0, 2.0) == pytest.approx(11.0 - 0.784)
    # A counter of energy has no offset.
    down = make_curve(readings([-0.3, *range(1, 15)], "joules"), ["A"])
    assert down == Broken("A read -0.3 J")


def test_total_rails():
    assert choose_total(["VDD_SOC", "VDD_IN"])[0] == ("VDD_IN",)
    assert choose_total(["GPU", "CPU", "SOC", "CV", "VDDRQ", "SYS5V"])[0] == (
        "GPU",
        "CPU",
        "SOC",
        "CV",
        "VDDRQ",
        "SYS5V",
    )
    assert choose_total(["X"]) == (("X",), "what X feeds, and nothing else")
    total, covered = choose_total(["X", "Y"])
    assert total == ("X", "Y")
    assert "may be counted twice" in covered


def recording(tmp_path, text):
    file = tmp_path / "run.csv"
    file.write_text(text)
    return file


def test_a_recording_shows_what_was_shown(tmp_path):
    file = recording(tmp_path, "seconds,VDD_IN,VDD_SOC\n5,1.0,0.1\n6,2.0,0.2\n\n7,3.0,0.3\n")
    clock = FakeClock()
    sensor = ReplaySensor(file, clock)
    assert (sensor.rails, sensor.total) == (("VDD_IN", "VDD_SOC"), ("VDD_IN",))
    assert sensor.interval_seconds == 1.0
    assert sensor.read().watts == {"VDD_IN": 1.0, "VDD_SOC": 0.1}
    clock.sleep(1.9)
    assert sensor.read() == Reading(clock.now, watts={"VDD_IN": 2.0, "VDD_SOC": 0.2})
    clock.sleep(0.1)
    assert sensor.read().watts["VDD_IN"] == 3.0
    clock.sleep(5.0)
    assert sensor.read() == Unavailable(f"the recording {file} ended after 2 s")


def test_a_recording_below_zero_says_so(tmp_path):
    file = recording(tmp_path, "seconds,VDD_IN,VDD_GPU\n0,5,-0.1\n1,5,-0.392\n2,5,0.2\n")
    assert ReplaySensor(file).coverage.endswith(
        "; read below zero and kept so, an offset of the monitor: VDD_GPU down to -0.392 W"
    )


def test_a_recording_of_counters(tmp_path):
    file = recording(tmp_path, "seconds,package-0_joules\n0,10\n1,12\n")
    sensor = ReplaySensor(file, FakeClock())
    assert sensor.rails == ("package-0",)
    assert sensor.read().joules == {"package-0": 10.0}


@pytest.mark.parametrize(
    ("text", "where", "what"),
    [
        ("", "", "empty; needed is a header such as seconds,VDD_IN"),
        ("time,A\n0,1\n1,2\n", ", line 1", "needed is a header such as"),
        ("seconds\n0\n1\n", ", line 1", "needed is a header such as"),
        ("seconds,A,\n0,1,2\n1,2,3\n", ", line 1", "needed is a header such as"),
        ("seconds,A,A\n0,1,2\n1,2,3\n", ", line 1", "a rail occurs twice"),
        ("seconds,A,B_joules\n0,1,2\n1,2,3\n", ", line 1", "watts and joules are mixed"),
        ("seconds,A\n0,1\n1\n", ", line 3", "1 values; the header has 2 columns"),
        ("seconds,A\n0,1\n1,x\n", ", line 3", "'x' is not a number"),
        ("seconds,A\n0,1\n1,nan\n", ", line 3", "'nan' is not a number"),
        ("seconds,A\n1,1\n1,2\n", ", line 3", "seconds 1 does not come after 1"),
        ("seconds,A\n1,1\n", "", "1 rows of values; at least two are needed"),
    ],
)
def test_a_bad_recording_is_one_message(text, where, what, tmp_path):
    file = recording(tmp_path, text)
    with pytest.raises(BenchError) as error:
        open_sensor(f"replay:{file}")
    assert str(error.value).startswith(f"{file}{where}: ")
    assert what in str(error.value)
    assert "\n" not in str(error.value)


def test_no_recording(tmp_path):
    with pytest.raises(BenchError, match=r"no such file; needed is a CSV file"):
        open_sensor(f"replay:{tmp_path}/none.csv")
    with pytest.raises(BenchError, match="not a CSV file that can be read"):
        open_sensor(f"replay:{tmp_path}")
    (tmp_path / "binary").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(BenchError, match="not a CSV file that can be read"):
        open_sensor(f"replay:{tmp_path}/binary")


def test_names():
    assert sensor_names() == ("auto", "jetson", "rapl", "nvml", "replay:FILE", "none")
    assert open_sensor("none") == Unavailable("no sensor was asked for")
    with pytest.raises(BenchError, match="there is no sensor 'jetsn'; did you mean jetson"):
        open_sensor("jetsn")


@pytest.fixture
def machine(monkeypatch, tmp_path):
    """A machine with an Orin Nano's monitors and nothing else."""
    board = boards.jetson_orin_nano(tmp_path)
    board.set_watts(VDD_IN=5.0, VDD_CPU_GPU_CV=2.0, VDD_SOC=1.0)
    openers = {
        "jetson": lambda: open_jetson(tmp_path),
        "rapl": lambda: Unavailable("no rapl here"),
        "nvml": lambda: Unavailable("no gpu here"),
    }
    monkeypatch.setattr(sensors, "_OPENERS", openers)
    return openers


def test_auto_takes_the_first_that_reads(machine):
    assert open_sensor("auto").name == "jetson"
    machine["jetson"] = lambda: Unavailable("no board")
    assert open_sensor("auto") == Unavailable("jetson: no board; rapl: no rapl here")
    assert open_sensor("nvml") == Unavailable("no gpu here")


def test_the_survey_lists_what_is_here_and_why_the_rest_is_not(machine):
    found = dict(survey())
    assert found["jetson"].total == ("VDD_IN",)
    assert found["jetson"].watts["VDD_CPU_GPU_CV"] == pytest.approx(2.0, abs=0.02)
    assert found["rapl"] == Unavailable("no rapl here")


def test_this_machine_can_be_surveyed():
    assert [name for name, _ in survey()] == ["jetson", "rapl", "nvml"]


def test_the_command(machine, monkeypatch, capsys):
    monkeypatch.setenv("COLUMNS", "200")
    cli_sensors.sensors()
    shown = " ".join(capsys.readouterr().out.split())
    assert "VDD_IN* 5.01 W, VDD_CPU_GPU_CV 1.99 W" in shown
    assert "unavailable: no gpu here" in shown


def test_the_command_for_machines(machine, capsys):
    with running(Output(as_json=True)) as chosen:
        cli_sensors.sensors()
        chosen.finish()
    rows = json.loads(capsys.readouterr().out)["sensors"]
    assert [row["sensor"] for row in rows] == ["jetson", "rapl", "nvml"]
    assert rows[0]["total"] == ["VDD_IN"]
    assert rows[1]["reason"] == "no rapl here"


def test_nothing_is_imported_before_it_is_needed():
    text = (Path(sensors.__file__).parent / "zeus_sensors.py").read_text("utf-8")
    assert not [line for line in text.splitlines() if line.startswith(("import zeus", "from zeus"))]


def test_the_background_calls_until_the_block_ends():
    called = threading.Event()
    count = 0

    def call():
        nonlocal count
        count += 1
        if count == 3:
            called.set()

    with in_background(0.002, call):
        called.wait()
    assert all(thread.name != "trainfit-sensor" for thread in threading.enumerate())
