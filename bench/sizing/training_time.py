"""How long a training may take on this kind of machine: from records of the same algorithm.

A step of a like net in a like batch took so long where the record was made; that many steps are to
be made. Where no record is near enough, it is not known.
"""

from __future__ import annotations

from collections.abc import Iterable
from math import ceil

from trainfit.bench.records.schema import Workload
from trainfit.bench.sizing.grid import Forms
from trainfit.bench.sizing.predicted_workload import PredictedWorkload
from trainfit.bench.sizing.trained import Trained

NEAR = 4.0
"""Products per step, and samples per step, may be so many times more or fewer."""


def training_seconds(
    workload: Workload, in_hand: Iterable[Trained], made: Forms, samples: int | None
) -> float | None:
    """An estimate of the wall time of all passes of a workload; None where it is not known.

    Args:
        workload: What would be trained.
        in_hand: What has been trained on the same data set.
        made: Predictions.
        samples: Size of the training half.
    """
    form = made.of(workload)
    if samples is None or form is None or workload.epochs == 0:
        return None
    nearest: tuple[float, float] | None = None
    for each in in_hand:
        own = made.of(each.workload)
        if each.workload.algorithm != workload.algorithm or own is None:
            continue
        if each.train_seconds is None or each.passes == 0:
            continue
        distance = max(
            _times(_products(own), _products(form)),
            _times(each.workload.batch_size, workload.batch_size),
        )
        if distance <= NEAR and (nearest is None or distance < nearest[0]):
            shown = min(samples, each.workload.train_samples or samples)
            steps = each.passes * ceil(shown / each.workload.batch_size)
            nearest = distance, each.train_seconds / steps
    if nearest is None:
        return None
    passes = workload.epochs * len(form.stages)
    return nearest[1] * passes * ceil(samples / workload.batch_size)


def _products(form: PredictedWorkload) -> float:
    """Multiply-accumulates of a step, on average over the stages; at least 1."""
    counts = [
        sum(sum(phase.macs.values()) for phase in stage.phases.values())
        for stage in form.operations
    ]
    return max(1.0, sum(counts) / len(counts))


def _times(one: float, other: float) -> float:
    return max(one / other, other / one)
