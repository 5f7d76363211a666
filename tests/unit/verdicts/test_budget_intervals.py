"""Intervals against a limit, at their borders; and figures for people."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.builders.costs import mcu
from trainfit.bench.records.schema import Bounds, Evidence
from trainfit.bench.verdicts.intervals import format_quantity, judge_interval, spread
from trainfit.bench.verdicts.memory import Budget, Status, Verdict

LIMIT = 50e-3
BOARD = mcu()
STRICT = mcu(tight_margin="0.0")


def judged(
    low: float, high: float, limit: float = LIMIT, budget: Budget = "step_latency"
) -> Verdict:
    return judge_interval(
        BOARD, budget, Bounds(low=low, high=high), limit, Evidence.MODELLED, source="cycles"
    )


@pytest.mark.parametrize(
    ("low", "high", "status"),
    [
        (0.0, 0.0, Status.FITS),
        (1e-3, 40e-3, Status.FITS),
        (1e-3, 44.9e-3, Status.FITS),
        (1e-3, 45.1e-3, Status.TIGHT),  # less than a tenth of the limit is left
        (49e-3, 49e-3, Status.TIGHT),
        (1e-3, 50e-3, Status.TIGHT),  # exactly what is allowed
        (50e-3, 50e-3, Status.TIGHT),
        (1e-3, 50.1e-3, Status.UNKNOWN),
        (50e-3, 50.1e-3, Status.UNKNOWN),
        (0.0, 1.0, Status.UNKNOWN),
        (50.1e-3, 50.1e-3, Status.EXCEEDS),
        (50.1e-3, 1.0, Status.EXCEEDS),
    ],
)
def test_all_of_an_interval_has_to_fit(low: float, high: float, status: Status) -> None:
    verdict = judged(low, high)

    assert verdict.status is status
    assert verdict.margin == pytest.approx(LIMIT - high, abs=1e-15)
    assert (verdict.unit, verdict.evidence) == ("s", Evidence.MODELLED)
    assert (verdict.device, verdict.budget) == ("board", "step_latency")


def test_without_a_tight_margin_what_is_exactly_allowed_fits() -> None:
    verdict = judge_interval(
        STRICT, "step_latency", Bounds(low=1, high=2), 2, Evidence.MODELLED, source="cycles"
    )

    assert (verdict.status, verdict.margin) == (Status.FITS, 0)


@pytest.mark.parametrize(
    ("low", "high", "reason"),
    [
        (1e-3, 4e-3, "1 ms to 4 ms of 50 ms: at least 46 ms left"),
        (1e-3, 48e-3, "1 ms to 48 ms of 50 ms: at least 2 ms left, under the margin of 10%"),
        (1e-3, 50e-3, "1 ms to 50 ms of 50 ms: at least 0 s left, under the margin of 10%"),
        (1e-3, 60e-3, "1 ms to 60 ms of 50 ms: the budget lies inside the interval"),
        (70e-3, 0.9, "70 ms to 900 ms of 50 ms: at least 20 ms too much"),
        (0, 4e-3, "0 s to 4 ms of 50 ms: at least 46 ms left"),
    ],
)
def test_reasons(low: float, high: float, reason: str) -> None:
    assert judged(low, high).reason == f"a step takes {reason} (modelled: cycles)"


def test_training_is_called_training_and_energy_is_in_joules() -> None:
    verdict = judged(1_200, 5_000, 3_600, "training_energy")

    assert verdict.unit == "J"
    assert verdict.reason == (
        "training takes 1.2 kJ to 5 kJ of 3.6 kJ: the budget lies inside the interval"
        " (modelled: cycles)"
    )
    assert judged(1e-3, 2e-3, 4e-3, "energy_per_step").reason == (
        "a step takes 1 mJ to 2 mJ of 4 mJ: at least 2 mJ left (modelled: cycles)"
    )


@pytest.mark.parametrize(
    ("budget", "unit"), [("step_latency", "s"), ("energy_per_step", "J"), ("training_energy", "J")]
)
def test_without_a_figure_it_is_unknown_in_its_own_unit(budget: Budget, unit: str) -> None:
    verdict = judge_interval(
        BOARD, budget, None, 1.0, Evidence.UNAVAILABLE, source="clock is unknown: no sheet"
    )

    assert (verdict.status, verdict.margin, verdict.unit) == (Status.UNKNOWN, None, unit)
    assert verdict.evidence is Evidence.UNAVAILABLE
    assert verdict.reason == "cannot be judged: clock is unknown: no sheet"


@given(
    low=st.floats(0, 1e3),
    more=st.floats(0, 1e3),
    wider=st.floats(0, 1e3),
    limit=st.floats(1e-6, 1e3),
)
def test_taking_more_never_helps_and_knowing_less_never_decides(
    low: float, more: float, wider: float, limit: float
) -> None:
    narrow, wide = judged(low, low + more, limit), judged(low, low + more + wider, limit)

    order = [Status.FITS, Status.TIGHT, Status.UNKNOWN, Status.EXCEEDS]
    assert order.index(narrow.status) <= order.index(wide.status)
    assert (narrow.status is Status.EXCEEDS) == (low > limit) == (wide.status is Status.EXCEEDS)


# --- for people


@pytest.mark.parametrize(
    ("value", "unit", "text"),
    [
        (0, "s", "0 s"),
        (0.0, "J", "0 J"),
        (1.25e-3, "s", "1.25 ms"),
        (840e-6, "J", "840 uJ"),
        (3_600, "s", "3,600 s"),
        (3_600, "J", "3.6 kJ"),
        (12_345_678, "J", "12.3 MJ"),
        (1.5e10, "J", "15,000 MJ"),
        (1, "s", "1 s"),
        (0.9994, "s", "999 ms"),
        (0.9996, "s", "1 s"),  # not 1e+03 ms
        (999.6e-9, "J", "1 uJ"),
        (999.4e-9, "J", "999 nJ"),
        (999.5, "s", "1,000 s"),
        (1e-9, "s", "1 ns"),
        (200e-12, "J", "200 pJ"),
        (-2e-3, "s", "-2 ms"),
    ],
)
def test_figures_for_people(value: float, unit: str, text: str) -> None:
    assert format_quantity(value, unit) == text


@given(st.floats(1e-12, 1e9), st.sampled_from(["s", "J"]))
def test_a_figure_for_people_is_right_to_three_digits(value: float, unit: str) -> None:
    number, prefixed = format_quantity(value, unit).replace(",", "").split(" ")

    assert "e" not in number
    scale = {"M": 1e6, "k": 1e3, "": 1, "m": 1e-3, "u": 1e-6, "n": 1e-9, "p": 1e-12}
    assert prefixed.endswith(unit)
    assert float(number) * scale[prefixed.removesuffix(unit)] == pytest.approx(value, rel=0.006)


def test_an_interval_too_narrow_to_be_seen_is_one_figure() -> None:
    assert spread(Bounds(low=1e-3, high=4e-3), "s") == "1 ms to 4 ms"
    assert spread(Bounds(low=1.0001e-3, high=1.0002e-3), "s") == "1 ms"
    assert spread(Bounds(low=0, high=4e-3), "J") == "0 J to 4 mJ"
