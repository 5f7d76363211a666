"""Which of several algorithms no other betters, on every device by itself."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from tests.fakes.small_boards import small
from trainfit.bench.cli.reports import table as report
from trainfit.bench.records.schema import Bounds, Workload
from trainfit.bench.sizing.measuring import confirmed
from trainfit.bench.sizing.pareto import Axis, Combination, axis_of, combine, front
from trainfit.bench.sizing.predicted_workload import predicted_workload
from trainfit.hardware_profiles import Budgets

ROOM = small(10**6, clock=10**8)


def workload(algorithm: str = "backprop", **changes: Any) -> Workload:
    values = {"model": "mlp-64-32x2-10", "dataset": "none", "batch_size": 8}
    return Workload(algorithm=algorithm, **values | changes)


def combination(seconds: float | None, batch_size: int = 8, ram: int = 10**6) -> Combination:
    """One whose RAM grows with its batch."""
    found = confirmed(predicted_workload(workload(batch_size=batch_size)), None)
    device = small(ram, clock=10**8)
    time = None if seconds is None else Bounds(low=seconds / 2, high=seconds)
    return replace(combine(found, device, Budgets()), sample_seconds=time)


def test_the_front_is_what_nothing_betters() -> None:
    small_slow, mean, large_fast = (
        combination(4.0, 8),
        combination(2.0, 16),
        combination(1.0, 32),
    )
    worse_everywhere, worse_in_time = combination(3.0, 24), combination(5.0, 8)
    found = [mean, worse_everywhere, large_fast, worse_in_time, small_slow]

    assert front(found, Axis.TIME) == [mean, large_fast, small_slow]


def test_what_does_not_fit_is_on_no_front_and_hides_nothing() -> None:
    fast = combination(1.0, 8, ram=10)
    slow = combination(2.0, 8)

    assert not fast.fits
    assert front([fast, slow], Axis.TIME) == [slow]


def test_equals_are_both_on_the_front() -> None:
    one, other = combination(1.0), combination(1.0)

    assert front([one, other], Axis.TIME) == [one, other]


def test_operations_stand_in_where_a_time_is_unknown() -> None:
    known, unknown = combination(1.0), combination(None)

    assert axis_of([known]) is Axis.TIME
    assert axis_of([known, unknown]) is Axis.OPERATIONS
    assert axis_of([known, combination(None, ram=10)]) is Axis.TIME  # it does not fit anyway
    assert front([known, unknown], Axis.OPERATIONS) == [known, unknown]


def test_what_states_no_operations_is_on_no_front_and_leaves_the_axis() -> None:
    silent = combine(
        confirmed(
            predicted_workload(workload("tests.plugins.misstated:Uncounted", model="mlp-64-10")),
            None,
        ),
        ROOM,
        Budgets(),
    )
    counted = combine(confirmed(predicted_workload(workload()), None), ROOM, Budgets())

    assert silent.fits
    assert silent.why_no_time == "the algorithm states no operations"
    assert axis_of([silent, counted]) is Axis.TIME
    assert front([silent, counted], Axis.TIME) == [counted]
    row = report.row(silent, Axis.TIME, on_front=False)
    assert row["sample_seconds_high"] is None
    assert row["sample_operations"] is None


def test_a_sample_is_shown_to_every_stage() -> None:
    form = predicted_workload(workload("tinyfoa"))
    one = predicted_workload(workload("tinyfoa", model="mlp-64-32-10"))
    assert (len(form.stages), len(one.stages)) == (2, 1)

    for both, first in (
        (form.sample_operations, one.sample_operations),
        (form.sample_seconds(ROOM), one.sample_seconds(ROOM)),
    ):
        assert both is not None
        assert first is not None
    assert form.sample_operations > one.sample_operations  # type: ignore[operator]
    step = one.demand(ROOM).modelled.latency.step
    seconds = one.sample_seconds(ROOM)
    assert step is not None
    assert seconds is not None
    assert abs(seconds.high * 8 / step.high - 1) < 1e-5


def test_a_row_says_what_its_workload_is() -> None:
    given = workload(options={"momentum": 0.0})
    row = report.row(
        combine(confirmed(predicted_workload(given), None), ROOM, Budgets()),
        Axis.TIME,
        on_front=True,
    )

    assert row["workload"] == "backprop[momentum=0.0]"
    assert (row["algorithm"], row["options"]) == ("backprop", {"momentum": 0.0})
    assert row["front"] is True
    assert row["status"] == "fits"
    assert "no measurement was asked for" in row["why_not_measured"]
