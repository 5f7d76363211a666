"""A measurement has the last word over the prediction, in both directions."""

from __future__ import annotations

from typing import Any

import pytest

from tests.builders.runs import memory
from tests.fakes.small_boards import with_torch
from trainfit.bench.records.schema import Evidence, Memory, Residual, Workload
from trainfit.bench.sizing.largest import Dimension, largest
from trainfit.bench.sizing.measured_largest import MOST_MEASUREMENTS, measured_largest
from trainfit.bench.sizing.measuring import NOT_ASKED, Confirmed, confirmed
from trainfit.bench.sizing.predicted_workload import PredictedWorkload, predicted_workload
from trainfit.bench.verdicts.memory import Status, worst
from trainfit.hardware_profiles import Budgets


def workload(algorithm: str = "backprop", **changes: Any) -> Workload:
    values = {"model": "mlp-64-32x2-10", "dataset": "none", "batch_size": 8}
    return Workload(algorithm=algorithm, **values | changes)


def measurement(form: PredictedWorkload, extra: int = 0, left: int = 0) -> Memory:
    """The prediction's bytes and some more at the peak."""
    return memory(
        static=form.plan.static_bytes,
        peak=form.plan.peak_bytes + extra,
        storage_bytes=form.storage_bytes or 0,
        residual=Residual(unexplained_bytes=extra, left_after_step_bytes=left),
    )


FORM = predicted_workload(workload())


@pytest.mark.parametrize(
    ("spare", "extra", "predicted", "decided"),
    [
        (0, 0, Status.TIGHT, Status.TIGHT),
        (0, 1, Status.TIGHT, Status.EXCEEDS),
        (10**6, 10**6 + 1, Status.FITS, Status.EXCEEDS),
        (10**6, 10**6, Status.FITS, Status.TIGHT),
        (-1, -1, Status.EXCEEDS, Status.TIGHT),
        (-2, -1, Status.EXCEEDS, Status.EXCEEDS),
    ],
)
def test_the_verdict_is_the_measurements(
    spare: int, extra: int, predicted: Status, decided: Status
) -> None:
    device = with_torch(FORM.ram_bytes + spare)

    found = confirmed(FORM, lambda form: measurement(form, extra))

    assert worst(confirmed(FORM, None).verdicts(device, Budgets())).status is predicted
    verdict = worst(found.verdicts(device, Budgets()))
    assert verdict.status is decided
    assert verdict.evidence is Evidence.ALLOCATOR
    assert (found.ram_bytes, found.difference) == (FORM.ram_bytes + extra, extra)
    fits = {Status.FITS, Status.TIGHT}
    assert found.refutes(device, Budgets()) == (predicted in fits and decided not in fits)


def test_what_was_not_measured_is_a_prediction_with_its_reason() -> None:
    device = with_torch(FORM.ram_bytes)

    for found, reason in (
        (confirmed(FORM, None), NOT_ASKED),
        (confirmed(FORM, lambda _: "no memory left"), "no memory left"),
    ):
        assert (found.memory, found.reason) == (None, reason)
        assert worst(found.verdicts(device, Budgets())).evidence is Evidence.TRACED
        assert not found.refutes(device, Budgets())


def test_what_a_step_leaves_behind_fills_every_memory() -> None:
    device = with_torch(FORM.ram_bytes + 1_000)

    found = Confirmed(FORM, measurement(FORM, left=300))

    verdict = worst(found.verdicts(device, Budgets()))
    assert verdict.status is Status.EXCEEDS
    assert verdict.reason.endswith("but leaves 300 B per step: full after 4 steps")
    assert found.refutes(device, Budgets())


def test_storage_that_grows_with_the_training_set_is_not_known_from_a_batch() -> None:
    form = predicted_workload(workload("tinyfoa", options={"features": "cached"}))
    assert form.storage_bytes is None

    found = Confirmed(form, measurement(form))

    assert found.demand(with_torch(10**6)).storage_bytes is None


# The largest size, where the prediction promised too much.


def per_sample(extra: int, *, once: int = 0, left: int = 0) -> Any:
    """A measurement that finds some bytes more per sample, and some once."""

    def measure(form: PredictedWorkload) -> Memory:
        return measurement(form, once + extra * form.workload.batch_size, left)

    return measure


@pytest.mark.parametrize(("extra", "once"), [(1, 0), (500, 0), (0, 900), (37, 411), (100_000, 0)])
def test_a_smaller_size_is_found_by_measuring(extra: int, once: int) -> None:
    # GIVEN a device, and a prediction that forgets bytes
    device = with_torch(predicted_workload(workload(batch_size=100)).ram_bytes)
    predicted = largest(workload(), device, Dimension.BATCH)
    assert predicted.size == 100
    measure = per_sample(extra, once=once)

    # WHEN its answer is confirmed
    found = measured_largest(predicted, workload(), device, Budgets(), measure)

    # THEN the answer is the largest that fits with those bytes, found with few measurements
    need = {
        size: predicted_workload(workload(batch_size=size)).ram_bytes + once + extra * size
        for size in range(1, 101)
    }
    fitting = [size for size, bytes_ in need.items() if bytes_ <= (device.usable_ram_bytes or 0)]
    assert found.refuted
    assert found.size == max(fitting, default=None)
    assert found.steps[0].size == 100
    assert len(found.steps) <= 10
    assert len({step.size for step in found.steps}) == len(found.steps)
    if found.answer is not None:
        assert found.answer.confirmed.ram_bytes == need[found.answer.size]


def test_a_prediction_that_holds_is_measured_once() -> None:
    device = with_torch(predicted_workload(workload(batch_size=100)).ram_bytes)
    predicted = largest(workload(), device, Dimension.BATCH)

    found = measured_largest(predicted, workload(), device, Budgets(), per_sample(0))

    assert (found.size, found.refuted, len(found.steps)) == (100, False, 1)


def test_widths_that_cannot_be_trained_are_not_measured() -> None:
    given = workload("tinyfoa")
    device = with_torch(predicted_workload(workload("tinyfoa", model="mlp-64-64x2-10")).ram_bytes)
    predicted = largest(given, device, Dimension.WIDTH)

    found = measured_largest(predicted, given, device, Budgets(), per_sample(40))

    assert found.refuted
    assert found.size is not None
    assert all(step.size % 2 == 0 for step in found.steps)  # two slices


def test_a_leak_ends_the_search() -> None:
    device = with_torch(predicted_workload(workload(batch_size=100)).ram_bytes + 10)
    predicted = largest(workload(), device, Dimension.BATCH)

    found = measured_largest(predicted, workload(), device, Budgets(), per_sample(0, left=7))

    assert found.size is None
    assert len(found.steps) == 1
    assert found.reason == "every step leaves 7 B behind, whatever its size"


def test_what_cannot_be_measured_stays_a_prediction() -> None:
    device = with_torch(predicted_workload(workload(batch_size=100)).ram_bytes)
    predicted = largest(workload(), device, Dimension.BATCH)

    found = measured_largest(predicted, workload(), device, Budgets(), lambda _: "too large")

    assert (found.size, found.refuted, found.reason) == (100, False, "too large")


def test_the_search_ends_where_measurements_follow_no_line() -> None:
    device = with_torch(predicted_workload(workload(batch_size=4_000)).ram_bytes)
    predicted = largest(workload(), device, Dimension.BATCH)
    sizes: list[int] = []

    def measure(form: PredictedWorkload) -> Memory:
        """Too much at every even batch, so that no line leads to the answer."""
        sizes.append(form.workload.batch_size)
        return measurement(form, 0 if form.workload.batch_size % 2 else 10**9)

    found = measured_largest(predicted, workload(), device, Budgets(), measure)

    assert found.refuted
    assert len(sizes) == len(set(sizes)) <= MOST_MEASUREMENTS
    if found.size is not None:
        assert found.size % 2 == 1
