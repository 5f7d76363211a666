"""Every budget of a device at once: what counts, what contradicts, what is not known."""

from __future__ import annotations

from typing import Any

import pytest

from tests.builders.costs import mcu, modelled, needs, not_modelled
from tests.builders.runs import memory, record
from trainfit.bench.costs.intervals import DeviceModel
from trainfit.bench.records.schema import Bounds, Energy, Evidence, Latency, Residual
from trainfit.bench.verdicts.judge import ResourceDemand, amounts, judge_all
from trainfit.bench.verdicts.memory import Status, Verdict, worst
from trainfit.hardware_profiles import Budgets, Device

PLAIN = mcu()
"""100,000 bytes of RAM, 50,000 of flash, no budgets."""


def asked(**texts: Any) -> Budgets:
    return Budgets.model_validate(texts)


def judged(
    found: ResourceDemand,
    device: Device = PLAIN,
    limits: Budgets | None = None,
    *,
    here: bool = False,
) -> dict[str, Verdict]:
    verdicts = judge_all(found, device, limits, here=here)
    by_budget = {verdict.budget: verdict for verdict in verdicts}
    assert len(by_budget) == len(verdicts)
    return {str(budget): verdict for budget, verdict in by_budget.items()}


def latency(low: float, high: float) -> Latency:
    return Latency(
        evidence=Evidence.CLOCK,
        step_seconds_median=(low + high) / 2,
        step_seconds_iqr=0,
        step_interval=Bounds(low=low, high=high),
        steps=50,
        threads=1,
        onednn=True,
        phases={},
    )


def energy(low: float, high: float, **changes: Any) -> Energy:
    values: dict[str, Any] = {
        "evidence": Evidence.SENSOR,
        "sensor": "jetson",
        "rails": ["VDD_IN"],
        "joules_per_step": (low + high) / 2,
        "joules_per_step_interval": Bounds(low=low, high=high),
        "valid": True,
    }
    return Energy(**values | changes)


# --- which budgets are judged


def test_bytes_always_time_and_energy_where_they_are_limited() -> None:
    assert list(judged(needs())) == ["ram"]
    assert list(judged(needs(storage_bytes=1))) == ["ram", "flash"]
    everything = asked(
        step_latency="1 s", energy_per_step="1 J", battery="1 Wh", training_samples=10
    )
    assert list(judged(needs(storage_bytes=1), limits=everything)) == [
        "ram",
        "flash",
        "step_latency",
        "energy_per_step",
        "training_energy",
    ]


def test_budgets_of_the_profile_and_of_the_user_both_count() -> None:
    device = mcu('step_latency = "50 ms"\nram = "96 KiB"')

    both = judged(needs(), device, asked(energy_per_step="1 mJ"))

    assert list(both) == ["ram", "step_latency", "energy_per_step"]
    assert both["ram"].margin == 96 * 1024 - 20_000
    assert both["step_latency"].margin == pytest.approx(46e-3)


def test_the_tighter_of_two_counts() -> None:
    device = mcu('step_latency = "50 ms"')

    found = judged(needs(), device, asked(step_latency="2 ms"))["step_latency"]

    assert found.status is Status.UNKNOWN
    assert "1 ms to 4 ms of 2 ms: the budget lies inside the interval" in found.reason


# --- bytes


def test_bytes_carry_their_evidence() -> None:
    for evidence in (Evidence.ALLOCATOR, Evidence.ANALYTIC):
        found = judged(needs(storage_bytes=7, evidence=evidence))
        assert [found[budget].evidence for budget in ("ram", "flash")] == [evidence] * 2


def test_bytes_that_are_not_known_are_unavailable() -> None:
    found = judged(needs(peak_dynamic_bytes=None, storage_bytes=7))
    assert (found["ram"].status, found["ram"].evidence) == (Status.UNKNOWN, Evidence.UNAVAILABLE)
    assert found["flash"].evidence is Evidence.ALLOCATOR

    found = judged(needs(storage_bytes=None))
    assert (found["ram"].status, found["ram"].evidence) == (Status.FITS, Evidence.ALLOCATOR)
    assert found["flash"].evidence is Evidence.UNAVAILABLE


@pytest.mark.parametrize(
    ("needed", "status", "margin"),
    [(40_000, Status.FITS, 11_200), (51_200, Status.TIGHT, 0), (51_201, Status.EXCEEDS, -1)],
)
def test_a_ram_budget_to_the_byte(needed: int, status: Status, margin: int) -> None:
    found = judged(needs(static_bytes=0, peak_dynamic_bytes=needed), limits=asked(ram="50 KiB"))

    assert (found["ram"].status, found["ram"].margin) == (status, margin)
    assert "of a budget of 50.0 KiB" in found["ram"].reason


def test_a_ram_budget_above_what_there_is_changes_nothing() -> None:
    verdict = judged(needs(), limits=asked(ram="1 GiB"))["ram"]

    assert verdict.margin == 80_000
    assert "usable in A" in verdict.reason


def test_a_flash_budget_to_the_byte() -> None:
    for storage, margin in ((10_240, 0), (10_241, -1)):
        verdict = judged(needs(storage_bytes=storage), limits=asked(flash="10 KiB"))["flash"]
        assert verdict.margin == margin
        assert "of a budget of 10.0 KiB" in verdict.reason


def test_a_budget_on_a_device_of_unknown_size() -> None:
    unknown = mcu(flash='{ unknown = "a card" }')

    above = judged(needs(storage_bytes=10_241), unknown, asked(flash="10 KiB"))["flash"]
    within = judged(needs(storage_bytes=10_240), unknown, asked(flash="10 KiB"))["flash"]

    assert (above.status, above.margin) == (Status.EXCEEDS, -1)
    assert (within.status, within.margin) == (Status.UNKNOWN, None)
    assert within.reason.endswith("within the budget of 10.0 KiB, but flash is unknown: a card")


# --- time and energy


def test_what_is_modelled_is_judged_with_its_evidence() -> None:
    found = judged(needs(), limits=asked(step_latency="10 ms", energy_per_step="0.5 mJ"))

    time, work = found["step_latency"], found["energy_per_step"]
    assert (time.status, time.evidence, time.unit) == (Status.FITS, Evidence.MODELLED, "s")
    assert time.margin == pytest.approx(6e-3)
    assert (work.status, work.evidence, work.unit) == (Status.EXCEEDS, Evidence.MODELLED, "J")
    assert work.margin == pytest.approx(-3.5e-3)
    assert time.reason.endswith("(modelled: cycles)")


def test_what_cannot_be_modelled_is_unknown_with_that_reason_and_in_its_unit() -> None:
    model = DeviceModel(
        device="board",
        latency=not_modelled("clock is unknown: no sheet"),
        energy=not_modelled("supply is unknown: no sheet"),
    )
    limits = asked(step_latency="1 s", energy_per_step="1 J", battery="1 Wh", training_samples=10)

    found = judged(needs(modelled=model), limits=limits)

    assert found["ram"].status is Status.FITS
    for budget, unit, why in (
        ("step_latency", "s", "clock"),
        ("energy_per_step", "J", "supply"),
        ("training_energy", "J", "supply"),
    ):
        verdict = found[budget]
        assert (verdict.status, verdict.margin, verdict.unit) == (Status.UNKNOWN, None, unit)
        assert verdict.evidence is Evidence.UNAVAILABLE
        assert verdict.reason == f"cannot be judged: {why} is unknown: no sheet"


def test_training_energy_is_that_of_a_sample_times_all_samples() -> None:
    # 1e-4 to 4e-4 J a sample, 60,000 samples: 6 to 24 J of 36 J
    battery = asked(battery="10 mWh", training_samples=60_000)

    verdict = judged(needs(), limits=battery)["training_energy"]

    assert (verdict.status, verdict.unit) == (Status.FITS, "J")
    assert verdict.margin == pytest.approx(12)
    assert verdict.reason == (
        "training takes 6 J to 24 J of 36 J: at least 12 J left"
        " (modelled: 60,000 samples; supply x current per MHz x cycles)"
    )


def test_more_training_takes_more() -> None:
    statuses = [
        judged(needs(), limits=asked(battery="10 mWh", training_samples=samples))[
            "training_energy"
        ].status
        for samples in (60_000, 85_000, 200_000, 400_000)
    ]

    assert statuses == [Status.FITS, Status.TIGHT, Status.UNKNOWN, Status.EXCEEDS]


# --- what was measured


MEASURED: dict[str, Any] = {"latency": latency(20e-3, 21e-3), "energy": energy(20e-3, 22e-3)}
LIMITS = asked(
    step_latency="10 ms", energy_per_step="10 mJ", battery="10 mWh", training_samples=60_000
)


def test_measured_figures_count_only_where_this_machine_is_the_device() -> None:
    elsewhere = judged(needs(**MEASURED), limits=LIMITS)
    here = judged(needs(**MEASURED), limits=LIMITS, here=True)

    costs = ("step_latency", "energy_per_step", "training_energy")
    assert {elsewhere[budget].evidence for budget in costs} == {Evidence.MODELLED}
    assert {elsewhere[budget].status for budget in costs} == {Status.FITS}
    assert [here[budget].evidence for budget in costs] == [
        Evidence.CLOCK,
        Evidence.SENSOR,
        Evidence.SENSOR,
    ]
    assert {here[budget].status for budget in costs} == {Status.EXCEEDS}
    assert here["step_latency"].margin == pytest.approx(-11e-3)
    assert here["energy_per_step"].margin == pytest.approx(-12e-3)
    # 22 mJ / 10 samples x 60,000 samples: 132 J of 36 J
    assert here["training_energy"].margin == pytest.approx(-96)
    assert "median of 50 steps on this machine" in here["step_latency"].reason
    assert "sensor: jetson: VDD_IN" in here["energy_per_step"].reason


def test_bytes_are_the_same_wherever_they_are_judged() -> None:
    assert judged(needs(), here=True)["ram"] == judged(needs())["ram"]


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({}, "the energy was not measured"),
        (
            {"energy": Energy(evidence=Evidence.UNAVAILABLE, reason="rapl: no counter")},
            "rapl: no counter",
        ),
        (
            {"energy": energy(1e-3, 2e-3, valid=False, reason="window of 3 intervals")},
            "window of 3 intervals",
        ),
    ],
)
def test_the_device_itself_without_a_measurement(changes: dict[str, Any], reason: str) -> None:
    found = judged(needs(**changes), limits=LIMITS, here=True)

    assert "modelled: cycles; not measured here: the latency" in found["step_latency"].reason
    for budget in ("energy_per_step", "training_energy"):
        assert found[budget].evidence is Evidence.MODELLED
        assert found[budget].reason.endswith(f"; not measured here: {reason})")
        elsewhere = judged(needs(**changes), limits=LIMITS)[budget]
        assert found[budget].status is elsewhere.status
        assert found[budget].margin == elsewhere.margin


def test_neither_measured_nor_modelled_is_unknown_for_what_was_not_measured() -> None:
    nothing = DeviceModel(device="board", latency=not_modelled("?"), energy=not_modelled("?"))
    found = judged(needs(modelled=nothing), limits=LIMITS, here=True)

    assert found["step_latency"].status is Status.UNKNOWN
    assert found["step_latency"].reason == "cannot be judged: the latency was not measured"
    assert found["training_energy"].reason == "cannot be judged: the energy was not measured"


def test_bytes_that_nobody_asked_for_are_not_judged() -> None:
    found = judged(
        needs(static_bytes=None, peak_dynamic_bytes=None, evidence=Evidence.UNAVAILABLE),
        limits=LIMITS,
    )
    assert set(found) == {"step_latency", "energy_per_step", "training_energy"}


def test_energy_without_what_idling_takes_says_so() -> None:
    net = needs(**MEASURED | {"energy": energy(1e-3, 2e-3, idle_subtracted=True)})

    reason = judged(net, limits=LIMITS, here=True)["energy_per_step"].reason

    assert reason.endswith("(sensor: jetson: VDD_IN, without what the machine takes idle)")


def test_a_measured_stage_says_nothing_good_about_the_others() -> None:
    good = {"latency": latency(1e-3, 2e-3), "energy": energy(1e-3, 2e-3)}

    one = judged(needs(**good), limits=LIMITS, here=True)
    three = judged(needs(**good, stages=3), limits=LIMITS, here=True)
    bad = judged(needs(**MEASURED, stages=3), limits=LIMITS, here=True)

    for budget in ("step_latency", "energy_per_step"):
        assert one[budget].status is Status.FITS
        assert (three[budget].status, three[budget].margin) == (Status.UNKNOWN, None)
        assert "at one of 3 stages" in three[budget].reason
        assert bad[budget].status is Status.EXCEEDS
    assert three["training_energy"].status is Status.UNKNOWN
    assert three["training_energy"].reason == (
        "cannot be judged: the energy was measured at one of 3 stages"
    )


def test_what_is_modelled_is_of_all_stages() -> None:
    one, three = (judged(needs(stages=stages), limits=LIMITS) for stages in (1, 3))

    assert one == three


# --- contradictions


LOOSE = (
    (
        "ram",
        {"ram": "80 KiB"},
        {"ram": "81 KiB"},
        "81.0 KiB (82,944 B) is looser than the 80.0 KiB",
    ),
    ("step_latency", {"step_latency": "50 ms"}, {"step_latency": "60 ms"}, "60 ms is looser"),
    ("energy_per_step", {"energy_per_step": "2 mJ"}, {"energy_per_step": "3 mJ"}, "3 mJ is looser"),
    (
        "training_energy",
        {"battery": "10 mWh", "training_samples": 60_000},
        {"battery": "20 mWh", "training_samples": 60_000},
        "training_energy: 1.2 mJ per sample is looser than the 600 uJ per sample",
    ),
)


@pytest.mark.parametrize(
    ("budget", "declared", "wanted", "words"), LOOSE, ids=[c[0] for c in LOOSE]
)
def test_a_looser_budget_contradicts_the_profile(
    budget: str, declared: dict[str, Any], wanted: dict[str, Any], words: str
) -> None:
    text = "\n".join(
        f"{key} = {value if isinstance(value, int) else repr(value)}"
        for key, value in declared.items()
    )
    device = mcu(text)

    verdict = judged(needs(), device, asked(**wanted))[budget]

    assert (verdict.status, verdict.margin) == (Status.UNKNOWN, None)
    assert verdict.evidence is Evidence.UNAVAILABLE
    assert words in verdict.reason
    assert "a budget can only be tightened" in verdict.reason


def test_a_contradiction_concerns_its_own_budget_alone() -> None:
    device = mcu('step_latency = "50 ms"\nenergy_per_step = "20 mJ"')

    found = judged(needs(), device, asked(step_latency="60 ms", energy_per_step="10 mJ"))

    assert found["step_latency"].status is Status.UNKNOWN
    assert found["step_latency"].unit == "s"
    assert found["energy_per_step"].margin == pytest.approx(6e-3)
    assert found["ram"].status is Status.FITS


def test_the_same_budget_twice_is_no_contradiction() -> None:
    device = mcu('step_latency = "50 ms"')

    assert judged(needs(), device, asked(step_latency="50 ms")) == judged(needs(), device)


# --- the worst


def test_what_is_too_much_decides_before_what_is_not_known() -> None:
    model = needs().modelled.model_copy(update={"energy": not_modelled("no figure")})
    limits = asked(step_latency="10 ms", energy_per_step="1 J")
    found = needs(modelled=model, static_bytes=76_000, storage_bytes=50_001)

    verdicts = judge_all(found, PLAIN, limits)

    assert [verdict.status for verdict in verdicts] == [
        Status.FITS,
        Status.EXCEEDS,
        Status.FITS,
        Status.UNKNOWN,
    ]
    assert worst(verdicts).budget == "flash"
    assert worst(verdict for verdict in verdicts if verdict.budget != "flash").budget == (
        "energy_per_step"
    )
    assert worst(verdicts[:1]).status is Status.FITS


def test_tight_decides_before_fits() -> None:
    slow = needs(modelled=needs().modelled.model_copy(update={"latency": modelled(9e-3, 9.5e-3)}))

    decisive = worst(judge_all(slow, PLAIN, asked(step_latency="10 ms")))

    assert (decisive.budget, decisive.status) == ("step_latency", Status.TIGHT)


# --- to be drawn


def test_amounts_of_every_budget() -> None:
    needed, allowed = amounts(needs(storage_bytes=7), PLAIN, LIMITS)

    assert needed == {
        "ram": Bounds(low=20_000, high=20_000),
        "flash": Bounds(low=7, high=7),
        "step_latency": Bounds(low=1e-3, high=4e-3),
        "energy_per_step": Bounds(low=1e-3, high=4e-3),
        "training_energy": Bounds(low=6, high=24),
    }
    assert allowed == {
        "ram": 100_000,
        "flash": 50_000,
        "step_latency": 10e-3,
        "energy_per_step": 10e-3,
        "training_energy": pytest.approx(36),
    }


def test_amounts_take_the_tighter_limit_and_leave_open_what_is_not_known() -> None:
    unknown = mcu(flash='{ unknown = "a card" }')

    needed, allowed = amounts(
        needs(peak_dynamic_bytes=None, storage_bytes=None), unknown, asked(ram="50 KiB")
    )

    assert needed["ram"] is None
    assert needed["flash"] is None
    assert needed["training_energy"] is None
    assert (allowed["ram"], allowed["flash"]) == (51_200, None)
    assert allowed["step_latency"] is None
    assert amounts(needs(), unknown, asked(flash="10 KiB"))[1]["flash"] == 10_240


def test_a_record_of_a_step_that_leaks_fits_no_device() -> None:
    # GIVEN a record of two stages, of which the one that needs less RAM leaves bytes behind
    whole = memory()
    leaking = whole.stages[0].model_copy(
        update={
            "stage": "second",
            "static_bytes": 1,
            "residual": Residual(unexplained_bytes=0, left_after_step_bytes=100),
        }
    )
    kept = record(memory=whole.model_copy(update={"stages": [*whole.stages, leaking]}))
    device = mcu()

    demand = ResourceDemand.of(kept, needs().model)
    (ram,) = judge_all(demand, device)

    assert demand.left_bytes == 100
    assert ram.status is Status.EXCEEDS
    assert "but leaves 100 B per step" in ram.reason
    assert judge_all(ResourceDemand.of(record(), needs().model), device)[0].status is Status.FITS
