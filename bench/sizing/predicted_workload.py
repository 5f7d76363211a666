"""What a workload needs by its prediction alone: nothing is trained, nothing is allocated.

Evidence is ``traced``, of a planned arena ``planned``; the memory pass confirms it by measurement.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, partial

from trainfit.algorithms import build_on_meta
from trainfit.algorithms.building import enter_on_meta
from trainfit.bench.costs.device_model import model_device
from trainfit.bench.costs.intervals import bounds, scaled, summed
from trainfit.bench.records.schema import Bounds, Evidence, StageOperations, Workload
from trainfit.bench.sizing.memo.figures import Figures, StageFigures
from trainfit.bench.sizing.memo.memo import memo_for
from trainfit.bench.sizing.memo.stage import StagePrediction
from trainfit.bench.trace.prediction import Prediction, predict
from trainfit.bench.verdicts.judge import ResourceDemand
from trainfit.bench.verdicts.ram import PlannedRam
from trainfit.hardware_profiles import Allocator, Device

QUICK = 1_000
"""Tensors held by all stages together up to which a prediction takes milliseconds to make."""

STORAGE_NOTE = "no step needs it in RAM"
"""Of what is in storage, where the algorithm does not say more."""


@dataclass(frozen=True)
class PredictedWorkload:
    """The prediction of a workload.

    Attributes:
        workload: With the full name of its model.
        stages: Names of the stages.
        plans: One per stage; a trace that is needed again may be made again.
        storage_note: When what is in storage is read and written.
    """

    workload: Workload
    stages: tuple[str, ...]
    plans: Sequence[StagePrediction]
    storage_note: str = STORAGE_NOTE

    @cached_property
    def worst(self) -> int:
        """Index of the stage with the largest static plus peak dynamic bytes."""
        return max(range(len(self.plans)), key=lambda index: self.plans[index].ram_bytes)

    @property
    def plan(self) -> StagePrediction:
        """Of the worst stage."""
        return self.plans[self.worst]

    @property
    def ram_bytes(self) -> int:
        """Static plus peak dynamic bytes of the worst stage, under torch."""
        return self.plan.ram_bytes

    @cached_property
    def planned(self) -> PlannedRam:
        """RAM with a planned arena, at the stage that needs the most of it.

        Planning takes about as long as making the prediction.
        """
        stages = [
            PlannedRam(plan.static_bytes, plan.arena_bytes, plan.arena_gap_bytes)
            for plan in self.plans
        ]
        return max(stages, key=lambda each: each.ram_bytes)

    def ram_on(self, device: Device) -> int:
        """RAM under the allocator of a device, in bytes."""
        planned = device.allocator is Allocator.ARENA
        return self.planned.ram_bytes if planned else self.ram_bytes

    @property
    def storage_bytes(self) -> int | None:
        """The most that any stage keeps out of RAM; None where it grows with the training set."""
        if self.workload.options.get("features") == "cached":
            return None
        return max(plan.storage_bytes for plan in self.plans)

    @cached_property
    def operations(self) -> list[StageOperations]:
        """The arithmetic of a step of every stage."""
        return [plan.stage_operations for plan in self.plans]

    @property
    def takes_long(self) -> bool:
        """It has so many stages and layers that making it hundreds of times takes minutes."""
        return sum(plan.tensors for plan in self.plans) > QUICK

    def demand(self, device: Device) -> ResourceDemand:
        """To be judged against a device."""
        return ResourceDemand(
            static_bytes=self.plan.static_bytes,
            peak_dynamic_bytes=self.plan.peak_bytes,
            storage_bytes=self.storage_bytes,
            evidence=Evidence.TRACED,
            batch_size=self.workload.batch_size,
            stages=len(self.stages),
            model=lambda: model_device(self.operations, device, self.workload.batch_size),
            plan=lambda: self.planned,
        )

    def sample_seconds(self, device: Device) -> Bounds | None:
        """Modelled time per training sample, which every stage is shown; None where unknown."""
        batch = self.workload.batch_size
        steps = [model_device([each], device, batch).latency.step for each in self.operations]
        known = [(step.low, step.high) for step in steps if step is not None]
        return bounds(scaled(summed(known), 1 / batch)) if len(known) == len(steps) else None

    @property
    def sample_operations(self) -> float | None:
        """Multiply-accumulates and element operations per training sample, over all stages.

        None where a stage states none. Every number format counts alike.
        """
        if not all(each.is_counted for each in self.operations):
            return None
        phases = [phase for each in self.operations for phase in each.outermost]
        total = sum(sum(phase.macs.values()) + phase.elements for phase in phases)
        return total / self.workload.batch_size


def predicted_workload(workload: Workload) -> PredictedWorkload:
    """The prediction of every stage of a workload.

    Raises:
        ConfigurationError: Algorithm, options, model and batch size do not exist or fit together.
    """
    remembered = memo_for(workload)
    known = remembered[0].get(remembered[1]) if remembered else None
    made: list[Prediction | None] = []
    if known is None:
        known, made = _traced(workload)
    figures = known

    def found_out() -> None:
        if remembered:
            remembered[0].put(remembered[1], figures)

    if made:
        found_out()
    plans = [
        StagePrediction(
            stage,
            each,
            partial(_stage_of, workload, index),
            found_out=found_out,
            made=made[index] if made else None,
        )
        for index, (stage, each) in enumerate(zip(figures.stages, figures.plans, strict=True))
    ]
    return PredictedWorkload(workload, figures.stages, plans, figures.storage_note)


def _traced(workload: Workload) -> tuple[Figures, list[Prediction | None]]:
    """The figures of all stages, and the predictions that have them."""
    algorithm = build_on_meta(workload.algorithm, workload.model, workload.options)
    note = algorithm.storage_note or STORAGE_NOTE
    figures, made = Figures(tuple(algorithm.stages), note), list[Prediction | None]()
    for index in range(len(algorithm.stages)):
        enter_on_meta(algorithm, index)
        plan = predict(algorithm, workload.batch_size)
        tensors = len(plan.static) + len(plan.storage)
        own = (plan.static_bytes, plan.peak_bytes, plan.storage_bytes, tensors)
        figures.plans.append(StageFigures(*own))
        made.append(plan)
    return figures, made


def _stage_of(workload: Workload, index: int) -> Prediction:
    """The prediction of one stage."""
    algorithm = build_on_meta(workload.algorithm, workload.model, workload.options)
    for stage in range(index + 1):
        enter_on_meta(algorithm, stage)
    return predict(algorithm, workload.batch_size)
