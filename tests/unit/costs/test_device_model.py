"""Which model a device gets, and what a training sample takes over all stages."""

from __future__ import annotations

from typing import Any

import pytest

from tests.builders.costs import UNKNOWN, core, mcu, phase, sbc, stage
from trainfit.bench.costs.device_model import model_device
from trainfit.bench.costs.intervals import DeviceModel
from trainfit.bench.records.schema import Evidence
from trainfit.hardware_profiles import Device

STAGES = [
    stage({"forward": phase(macs={"fp32": 1_000})}, "first"),
    stage({"forward": phase(macs={"fp32": 3_000})}, "second"),
]


@pytest.fixture(autouse=True)
def made_up_core(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("trainfit.hardware_profiles.schema.load_core", lambda name: core())


def per_sample(model: DeviceModel) -> tuple[float, float] | None:
    found = model.energy_per_sample
    return None if found is None else (found.low, found.high)


def test_microcontrollers_are_modelled_by_cycles_boards_by_a_roofline() -> None:
    small, large = model_device(STAGES, mcu(), 10), model_device(STAGES, sbc(), 10)

    assert (small.device, large.device) == ("board", "board")
    assert (small.latency.model, large.latency.model) == ("cycles", "roofline")
    assert small.energy.model == "supply x current per MHz x cycles"
    assert large.energy.model == "power mode x roofline"


def test_every_sample_is_shown_to_every_stage() -> None:
    model = model_device(STAGES, mcu(), 10)

    # the step is that of the second stage alone: 3,000 x 1 cycle, 3,000 x 13 cycles, 200 pJ each
    assert model.energy.step is not None
    assert (model.energy.step.low, model.energy.step.high) == pytest.approx((6e-7, 7.8e-6))
    # a sample is a tenth of both steps: 4,000 x 1 cycle, 4,000 x 13 cycles
    assert per_sample(model) == pytest.approx((8e-8, 1.04e-6))


def test_one_sample_of_a_larger_batch_takes_its_share() -> None:
    ten, forty = (per_sample(model_device(STAGES, mcu(), size)) for size in (10, 40))

    assert ten is not None
    assert forty == pytest.approx((ten[0] / 4, ten[1] / 4))


def test_a_board_sums_its_stages_too() -> None:
    model = model_device(STAGES, sbc(), 10)

    assert model.energy.step is not None
    # both hold 10^7 bytes: 10 ms at 2 W each
    assert model.energy.step.low == pytest.approx(20e-3)
    assert (per_sample(model) or (0,))[0] == pytest.approx(4e-3)


@pytest.mark.parametrize("changes", [{"supply": UNKNOWN}, {"current_per_mhz": UNKNOWN}])
def test_without_energy_there_is_none_per_sample(changes: dict[str, str]) -> None:
    model = model_device(STAGES, mcu(**changes), 10)

    assert model.latency.step is not None
    assert model.energy.step is None
    assert model.energy_per_sample is None


def test_without_a_clock_there_is_energy_and_no_time() -> None:
    model = model_device(STAGES, mcu(clock=UNKNOWN), 10)

    assert model.latency.step is None
    assert model.energy_per_sample is not None


def test_one_stage_that_cannot_be_modelled_leaves_no_sum() -> None:
    odd = stage({"forward": phase(elementwise={"fp32": {"random": 1}})}, "odd")

    model = model_device([*STAGES, odd], mcu(), 10)

    assert model.energy_per_sample is None
    assert "random" in (model.latency.reason or "")


def test_nothing_known_of_the_step_is_a_reason() -> None:
    model = model_device([], mcu(), 10)

    assert model.energy_per_sample is None
    assert model.latency.reason == model.energy.reason == "the operations of the step are not known"


def test_the_model_of_a_record_reads_back() -> None:
    model = model_device(STAGES, sbc(), 10)

    assert DeviceModel.model_validate_json(model.model_dump_json()) == model


@pytest.mark.parametrize("device", [mcu(), sbc()], ids=["cycles", "roofline"])
@pytest.mark.parametrize("tallies", [{}, {"macs": {"fp32": 0}}])
def test_what_states_no_operations_takes_nobody_knows_how_long(
    device: Device, tallies: dict[str, Any]
) -> None:
    silent = stage({"forward": phase(**tallies), "update": phase(**tallies)})

    model = model_device([silent], device, 10)

    for figure in (model.latency, model.energy):
        assert figure.step is None
        assert figure.evidence is Evidence.UNAVAILABLE
        assert figure.reason == "the algorithm states no operations"
    assert model.energy_per_sample is None


def test_one_stage_that_states_nothing_is_named() -> None:
    model = model_device([*STAGES, stage({"forward": phase()}, "third")], mcu(), 10)

    assert model.latency.reason == "the algorithm states no operations of stage third"
    assert model.energy_per_sample is None
