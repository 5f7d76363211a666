"""Cycles, seconds and joules of a microcontroller, worked out by hand."""

from __future__ import annotations

import pytest

from tests.builders.costs import UNKNOWN, core, mcu, phase, sbc, stage
from trainfit.bench.costs.cycles import cycles, joules_per_cycle, model_energy, model_latency
from trainfit.bench.costs.intervals import Modelled, bounds, summed
from trainfit.bench.records.schema import Bounds, Evidence
from trainfit.hardware_profiles import Device, ProfileError

FORWARD = phase(
    macs={"fp32": 1_000},
    elementwise={"fp32": {"add": 100}},
    operands={"fp32": 70},
    results={"fp32": 50},
    calls={"product": 1, "elementwise": 1},
)
TERMS = {
    # 1 alone; 5 and two loads of 2 and a loop of 4
    "fp32 mac": (1_000.0, 13_000.0),
    # 1 alone; 2 and two loads of 2, a store of 3 and a loop of 4
    "fp32 add": (100.0, 1_300.0),
    # kept in registers; written once each
    "stored results": (0.0, 150.0),
}
LOW, HIGH = 1_100, 14_450


@pytest.fixture(autouse=True)
def made_up_core(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every profile that names a cycle table gets the made-up one."""
    monkeypatch.setattr("trainfit.hardware_profiles.schema.load_core", lambda name: core())


def step(found: Modelled) -> tuple[float, float]:
    assert found.evidence is Evidence.MODELLED, found.reason
    assert found.reason is None
    assert found.step is not None
    return found.step.low, found.step.high


def test_cycles_of_a_phase_term_by_term() -> None:
    assert cycles(FORWARD, core()) == TERMS


def test_a_phase_in_which_nothing_is_computed_takes_nothing() -> None:
    assert cycles(phase(), core()) == {"stored results": (0, 0)}


def test_every_number_format_has_its_own_term() -> None:
    both = phase(macs={"fp32": 2, "int8": 10})

    found = cycles(both, core())

    assert found["int8 mac"] == (5, 100)  # 0.5 alone; 2 and two loads of 2 and a loop of 4
    assert found["fp32 mac"] == (2, 26)


def test_seconds_are_cycles_over_the_clock() -> None:
    found = model_latency([stage({"forward": FORWARD})], mcu())

    assert step(found) == (1.1e-3, 14.45e-3)
    assert (found.model, found.stage) == ("cycles", "all")
    assert found.source is not None
    assert "made-up" in found.source
    assert "1 MHz" in found.source


def test_a_faster_clock_takes_less_time_and_the_same_energy() -> None:
    fast = mcu(clock='{ value = 4000000, unit = "Hz", source = "sheet" }')
    stages = [stage({"forward": FORWARD})]

    assert step(model_latency(stages, fast)) == pytest.approx((LOW / 4e6, HIGH / 4e6), rel=1e-5)
    assert step(model_energy(stages, fast)) == step(model_energy(stages, mcu()))


def test_joules_are_volts_times_amperes_per_hertz_times_cycles() -> None:
    # 2 V x 100 uA/MHz = 2 V x 1e-4 A / 1e6 Hz = 200 pJ for a cycle
    assert joules_per_cycle(mcu()) == pytest.approx(200e-12, rel=1e-12)

    found = model_energy([stage({"forward": FORWARD})], mcu())

    assert step(found) == pytest.approx((220e-9, 2.89e-6), rel=1e-5)
    assert found.model == "supply x current per MHz x cycles"
    assert found.source is not None
    assert "2 V" in found.source
    assert "100 µA/MHz" in found.source


def test_a_cycle_of_a_known_part() -> None:
    # 3.3 V x 238 uA/MHz, the STM32F407 at 168 MHz: 785.4 pJ
    part = mcu(
        supply='{ value = 3.3, unit = "V", source = "sheet" }',
        current_per_mhz='{ value = 238.0, unit = "uA/MHz", source = "sheet" }',
    )

    assert joules_per_cycle(part) == pytest.approx(785.4e-12)


def test_refined_phases_are_shown_and_not_counted_twice() -> None:
    # GIVEN a forward phase in two parts, which count in it, and an update
    half = phase(macs={"fp32": 500})
    phases = {
        "forward": phase(macs={"fp32": 1_000}),
        "forward.positive": half,
        "forward.negative": half,
        "update": phase(elementwise={"fp32": {"add": 10}}),
    }

    found = model_latency([stage(phases)], mcu())

    # THEN the step is forward and update, and so is the sum over terms
    assert step(found) == pytest.approx((1_010e-6, 13_130e-6), rel=1e-5)
    assert set(found.phases) == set(phases)
    assert found.phases["forward.positive"] == Bounds(low=500e-6, high=6_500e-6)
    assert found.step is not None
    for parts in (found.terms, {name: found.phases[name] for name in ("forward", "update")}):
        whole = summed((each.low, each.high) for each in parts.values())
        assert whole == pytest.approx((found.step.low, found.step.high), rel=1e-5)


def test_the_stage_with_the_highest_upper_end_is_the_step() -> None:
    # GIVEN stages of which the second takes most at worst and the third most at best
    stages = [
        stage({"forward": phase(macs={"int8": 2_000})}, "first"),  # 1,000 to 20,000 cycles
        stage({"forward": phase(macs={"int8": 3_000})}, "second"),  # 1,500 to 30,000
        stage({"forward": phase(macs={"fp32": 2_000})}, "third"),  # 2,000 to 26,000
    ]

    for model in (model_latency, model_energy):
        assert model(stages, mcu()).stage == "second"
    assert step(model_latency(stages, mcu())) == (1.5e-3, 30e-3)


@pytest.mark.parametrize(
    ("device", "reason"),
    [
        (mcu(clock=UNKNOWN), "clock is unknown: not in the sheet"),
        (mcu(cycles=None), "the profile names no cycle table; add cycles = one of cortex-m0,"),
        (sbc(), "cycle tables are for microcontrollers"),
    ],
    ids=["no clock", "no cycle table", "no microcontroller"],
)
def test_a_device_whose_time_is_unavailable(device: Device, reason: str) -> None:
    found = model_latency([stage()], device)

    assert (found.evidence, found.step, found.terms) == (Evidence.UNAVAILABLE, None, {})
    assert (found.reason or "").startswith(reason)


@pytest.mark.parametrize(
    ("device", "reason"),
    [
        (mcu(supply=UNKNOWN), "supply is unknown: not in the sheet"),
        (mcu(current_per_mhz=UNKNOWN), "current per MHz is unknown: not in the sheet"),
        (mcu(cycles=None), "the profile names no cycle table; add cycles = one of cortex-m0,"),
        (sbc(), "cycle tables are for microcontrollers"),
    ],
    ids=["no supply", "no current", "no cycle table", "no microcontroller"],
)
def test_a_device_whose_energy_is_unavailable(device: Device, reason: str) -> None:
    found = model_energy([stage()], device)

    assert (found.evidence, found.step) == (Evidence.UNAVAILABLE, None)
    assert (found.reason or "").startswith(reason)


def test_energy_needs_no_clock() -> None:
    assert step(model_energy([stage()], mcu(clock=UNKNOWN))) == (200e-9, 2.6e-6)


def test_an_operation_that_the_table_lacks_is_a_reason() -> None:
    odd = [stage({"forward": phase(elementwise={"fp32": {"divide": 3}})})]

    for model in (model_latency, model_energy):
        found = model(odd, mcu())
        assert found.step is None
        assert found.reason == ("cycle table made-up: no fp32 operation 'divide'; known: add")


def test_a_store_of_unknown_cost_is_not_free() -> None:
    blind = core(store=UNKNOWN)

    with pytest.raises(ProfileError, match="made-up: store is unknown: not in the sheet"):
        cycles(phase(macs={"fp32": 1}, results={"fp32": 1}), blind)
    assert cycles(phase(macs={"fp32": 1}), blind)["stored results"] == (0, 0)


@pytest.mark.parametrize("model", [model_latency, model_energy])
def test_operations_that_are_not_known_whole_have_no_bounds(model: object) -> None:
    assert callable(model)
    nothing = model([], mcu())
    assert (nothing.step, nothing.reason) == (None, "the operations of the step are not known")

    # of version 1: no results, so that the upper end would lack what is stored
    old = model([stage(static_bytes=None)], mcu())
    assert old.step is None
    assert "version 1" in old.reason


def test_ends_of_an_interval_have_six_digits() -> None:
    assert bounds((1 / 3, 2 / 3)) == Bounds(low=0.333333, high=0.666667)
    assert bounds((0.0, 1e-12 / 3)) == Bounds(low=0, high=3.33333e-13)
