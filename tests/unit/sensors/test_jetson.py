"""The power monitors of Jetson boards, on boards that are folders."""

from __future__ import annotations

import errno
import math
import shutil

import pytest

from tests.fakes import boards
from tests.fakes.boards import FakeBoard, put
from tests.fakes.clock import FakeClock
from trainfit.bench.sensors import jetson
from trainfit.bench.sensors.base import Unavailable
from trainfit.bench.sensors.jetson import jetson_model, open_jetson
from trainfit.bench.sensors.trace import Trace

BOARDS = {
    # board: all rails, those of the total, a word of its coverage
    "jetson_nano": (["POM_5V_IN", "POM_5V_GPU", "POM_5V_CPU"], ["POM_5V_IN"], "5 V input"),
    "jetson_xavier_nx": (["VDD_IN", "VDD_CPU_GPU_CV", "VDD_SOC"], ["VDD_IN"], "whole module"),
    "jetson_orin_nano": (["VDD_IN", "VDD_CPU_GPU_CV", "VDD_SOC"], ["VDD_IN"], "whole module"),
    "jetson_agx_orin": (
        ["VDD_GPU_SOC", "VDD_CPU_CV", "VIN_SYS_5V0", "VDDQ_VDD2_1V8AO"],
        ["VDD_GPU_SOC", "VDD_CPU_CV", "VIN_SYS_5V0"],
        "VDDQ_VDD2_1V8AO is behind VIN_SYS_5V0",
    ),
    "jetson_agx_thor": (
        ["VDD_GPU", "VDD_CPU_SOC_MSS", "VIN_SYS_5V0", "VIN"],
        ["VIN"],
        "developer kit",
    ),
}


@pytest.mark.parametrize("name", BOARDS)
def test_a_board_gives_its_rails_its_total_and_its_joules(name, tmp_path):
    rails, total, covered = BOARDS[name]
    clock = FakeClock()
    board = getattr(boards, name)(tmp_path)
    # Every rail draws an amount of its own, a little more in every other half second, which
    # begins between two readings.
    means = {rail: 2.0 + 1.5 * index for index, rail in enumerate(rails)}
    draws = {
        rail: lambda now, mean=mean: mean + (0.3 if math.floor(now * 2 + 0.1) % 2 else -0.3)
        for rail, mean in means.items()
    }
    board.follow(clock, draws)
    sensor = open_jetson(tmp_path, clock)
    assert list(sensor.rails) == rails
    assert list(sensor.total) == total
    assert covered in sensor.coverage
    assert sensor.interval_seconds == 0.1

    trace = Trace(sensor)
    trace.take()
    with clock.every(0.1, trace.take):
        clock.sleep(20.0)
    trace.take()
    curve = trace.curve()
    for group in ([rail] for rail in rails), [total]:
        for chosen in group:
            expected = 20.0 * sum(means[rail] for rail in chosen)
            # Half of what each chip can tell apart, and one reading on the wrong side.
            rounding = 20.0 * sum(board.rails[rail].step_watts / 2 for rail in chosen)
            edge = 0.1 * 0.6 * len(chosen)
            found = float(curve.spent(chosen, 1000.0, 1020.0)[0])
            assert found == pytest.approx(expected, abs=rounding + edge)


def test_a_rail_below_zero_is_kept_and_named(tmp_path):
    board = boards.jetson_agx_orin(tmp_path)
    board.set_watts(VDD_GPU_SOC=-0.392, VDD_CPU_CV=3.0, VIN_SYS_5V0=2.0)
    sensor = open_jetson(tmp_path)
    watts = sensor.read().watts
    assert watts["VDD_GPU_SOC"] == pytest.approx(-0.392, abs=0.05)
    assert sum(watts[rail] for rail in sensor.total) == pytest.approx(4.608, abs=0.2)
    assert "an offset of the monitor: VDD_GPU_SOC down to -0.3" in sensor.coverage
    board.set_watts(VDD_GPU_SOC=1.0)
    sensor.read()
    assert "down to -0.3" in sensor.coverage, "what has been seen stays said"


def test_no_rail_below_zero_no_note(tmp_path):
    boards.jetson_agx_orin(tmp_path)
    sensor = open_jetson(tmp_path)
    assert "below zero" not in sensor.coverage


def test_a_thor_without_its_monitor_at_the_input_has_no_known_total(tmp_path):
    """NVIDIA: without the INA238 the rest works, but the total at the input is lost."""
    board = FakeBoard(tmp_path)
    rails = ["VDD_GPU", "VDD_CPU_SOC_MSS", "VIN_SYS_5V0"]
    board.ina3221("2-0040", rails, shunt_milliohm=2)
    sensor = open_jetson(tmp_path)
    assert list(sensor.total) == rails
    assert "the total is not known: on a Jetson AGX Thor only VIN has it" in sensor.coverage


def test_the_inputs_of_an_igx_carrier_are_not_added_to_the_module(tmp_path):
    board = boards.jetson_agx_orin(tmp_path)
    board.ina3221("2-0041", ["CVB_ATX_12V", "CVB_ATX_3V3", "CVB_ATX_5V"], shunt_milliohm=2)
    board.ina238("2-0044", "", chip="ina219")
    sensor = open_jetson(tmp_path)
    assert sensor.total == ("VDD_GPU_SOC", "VDD_CPU_CV", "VIN_SYS_5V0")


@pytest.mark.parametrize(
    ("model", "reason"),
    [
        ("NVIDIA Jetson Nano 2GB Developer Kit", "this board has none, so that its energy needs a"),
        ("NVIDIA Jetson Orin Nano", "its kernel has no driver for them, or its device tree does"),
    ],
)
def test_a_jetson_without_monitors_says_what_it_is(model, reason, tmp_path):
    put_model(tmp_path, model)
    found = open_jetson(tmp_path)
    assert f"; {model}: {reason}" in found.reason


def test_a_board_that_is_no_jetson_is_not_called_one(tmp_path):
    put_model(tmp_path, "Raspberry Pi 5 Model B Rev 1.0")
    assert jetson_model(tmp_path) is None
    assert "Raspberry" not in open_jetson(tmp_path).reason


def put_model(root, model):
    folder = root / "firmware/devicetree/base"
    folder.mkdir(parents=True)
    (folder / "model").write_text(f"{model}\0")  # as the kernel ends it


def test_an_ina238_gives_microwatts(tmp_path):
    board = FakeBoard(tmp_path)
    board.ina238("1-0044", "VIN")
    board.set_watts(VIN=23.456789)
    reading = open_jetson(tmp_path, FakeClock()).read()
    assert reading.watts == {"VIN": pytest.approx(23.456789, abs=1e-6)}
    assert reading.at_seconds == 1000.0


def test_a_monitor_without_a_name_is_not_added_to_named_ones(tmp_path):
    board = FakeBoard(tmp_path)
    board.ina238("1-0044", "")
    assert open_jetson(tmp_path).total == ("ina238",)
    board.ina3221("1-0040", ["A", "B", "NC"])
    sensor = open_jetson(tmp_path)
    assert sensor.rails == ("A", "B", "ina238")
    assert sensor.total == ("A", "B")
    assert "may be counted twice" in sensor.coverage


def test_channels_that_are_off_are_no_rails(tmp_path, monkeypatch):
    board = FakeBoard(tmp_path)
    folder = board.ina3221("1-0040", ["VDD_IN", "OFF", "NO_DATA"])
    put(folder / "in2_enable", 0)
    text = jetson._text

    def no_data(file):
        if file.name == "in3_input":
            raise OSError(errno.ENODATA, "No data available", str(file))
        return text(file)

    monkeypatch.setattr(jetson, "_text", no_data)
    assert open_jetson(tmp_path).rails == ("VDD_IN",)


def test_two_rails_of_one_name_stay_two(tmp_path):
    board = FakeBoard(tmp_path)
    board.ina3221("1-0040", ["5V", "NC", "NC"])
    board.ina3221("1-0041", ["5V", "NC", "NC"])
    assert open_jetson(tmp_path).rails == ("5V", "5V (2)")


def test_the_chip_says_how_often_it_has_a_new_value(tmp_path):
    FakeBoard(tmp_path).ina3221("1-0040", ["VDD_IN", "A", "B"], interval_ms=845)
    assert open_jetson(tmp_path).interval_seconds == 0.845


def test_no_board(tmp_path):
    found = open_jetson(tmp_path)
    assert isinstance(found, Unavailable)
    assert f"{tmp_path}/class/hwmon" in found.reason


@pytest.mark.parametrize("denied", ["name", "in1_label", "in1_input", "curr1_input"])
def test_no_permission_says_where_and_what_would_help(denied, tmp_path, monkeypatch):
    boards.jetson_agx_orin(tmp_path)  # the second chip stays readable, and must not be the total
    text = jetson._text

    def refuse(file):
        if file.name == denied and "1-0040" in str(file):
            raise PermissionError(errno.EACCES, "Permission denied", str(file))
        return text(file)

    monkeypatch.setattr(jetson, "_text", refuse)
    found = open_jetson(tmp_path)
    assert isinstance(found, Unavailable)
    assert "no permission to read" in found.reason
    assert f"sudo chmod a+r {tmp_path}" in found.reason
    assert found.reason.endswith(denied)


def test_a_board_that_goes_away_is_unavailable_and_not_zero(tmp_path):
    boards.jetson_orin_nano(tmp_path)
    sensor = open_jetson(tmp_path)
    shutil.rmtree(tmp_path / "devices")
    found = sensor.read()
    assert isinstance(found, Unavailable)
    assert "in1_input: No such file or directory" in found.reason


def test_a_value_that_is_no_number_is_unavailable_where_it_counts(tmp_path):
    board = boards.jetson_orin_nano(tmp_path)
    sensor = open_jetson(tmp_path)
    put(board.rails["VDD_SOC"].files[0], "?")
    assert set(sensor.read().watts) == {"VDD_IN", "VDD_CPU_GPU_CV"}
    put(board.rails["VDD_IN"].files[0], "?")
    assert "holds '?', not a number" in sensor.read().reason
