"""A prediction held against a measurement of the same step, which has the last word.

A prediction says what a step should need; a measurement, made by the allocator of this machine,
what it did need. Where they differ, the verdict is the measurement's.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from trainfit.bench.processes.child import Ending, Message
from trainfit.bench.processes.isolation import call
from trainfit.bench.records.schema import Memory
from trainfit.bench.sizing.predicted_workload import PredictedWorkload
from trainfit.bench.verdicts.judge import FITTING, ResourceDemand, judge_all
from trainfit.bench.verdicts.memory import Verdict, worst
from trainfit.bench.verdicts.ram import PlannedRam, RamNeed, planned_of
from trainfit.hardware_profiles import Budgets, Device

MEASURE_SECONDS = 300.0
"""A measurement that confirms an answer may take this long."""

MEMORY_SHARE = 0.5
"""Of this machine's free memory, which a confirming measurement may need."""

NOT_ASKED = "no measurement was asked for (--no-measure)"

Measure = Callable[[PredictedWorkload], "Memory | str"]
"""Measures the step of a prediction; a text says why it cannot be measured."""


@dataclass(frozen=True)
class Confirmed:
    """A prediction and what was measured of the same step.

    Attributes:
        form: The prediction.
        memory: What was measured; None where nothing was.
        reason: Why nothing was measured; empty where it was.
    """

    form: PredictedWorkload
    memory: Memory | None
    reason: str = ""

    @property
    def ram_bytes(self) -> int:
        """Static plus peak dynamic bytes under torch: as measured, else of the prediction."""
        return self.form.ram_bytes if self.memory is None else self.memory.worst.ram_bytes

    @property
    def difference(self) -> int:
        """Bytes of RAM that were measured beyond the prediction; 0 where nothing was measured."""
        return self.ram_bytes - self.form.ram_bytes

    def ram_on(self, device: Device) -> RamNeed:
        """RAM on a device: in a planned arena where that is to be trusted, else torch's."""
        return self.demand(device).ram(device.allocator)

    @property
    def left_bytes(self) -> int:
        """What a step leaves behind, at the stage that leaves the most."""
        if self.memory is None:
            return 0
        return max(0, *(each.residual.left_after_step_bytes for each in self.memory.stages))

    def demand(self, device: Device) -> ResourceDemand:
        """What is to be judged: measured bytes, else those of the prediction; modelled costs."""
        predicted = self.form.demand(device)
        if self.memory is None:
            return predicted
        storage = predicted.storage_bytes
        return replace(
            predicted,
            static_bytes=self.memory.static_bytes,
            peak_dynamic_bytes=self.memory.peak_dynamic_bytes,
            # what grows with the training set is not known from one batch
            storage_bytes=None if storage is None else self.memory.storage_bytes,
            evidence=self.memory.evidence,
            left_bytes=self.left_bytes,
            plan=partial(self._planned, self.memory),
        )

    def _planned(self, memory: Memory) -> PlannedRam | str:
        """The arena of the measurement; of one that the prediction has as well, gaps are known."""
        found = planned_of(memory)
        return self.form.planned if found == self.form.planned else found

    def verdicts(self, device: Device, budgets: Budgets) -> list[Verdict]:
        """On every budget of a device."""
        return judge_all(self.demand(device), device, budgets)

    def refutes(self, device: Device, budgets: Budgets) -> bool:
        """By its prediction it fits, and by the measurement it does not."""
        predicted = worst(judge_all(self.form.demand(device), device, budgets))
        measured = worst(self.verdicts(device, budgets))
        return predicted.status in FITTING and measured.status not in FITTING


def confirmed(form: PredictedWorkload, measure: Measure | None) -> Confirmed:
    """Measure the step of a prediction, or say why not; None measures nothing."""
    found = NOT_ASKED if measure is None else measure(form)
    if isinstance(found, str):
        return Confirmed(form, None, found)
    return Confirmed(form, found)


def measured(form: PredictedWorkload) -> Memory | str:
    """Measure the step of a prediction in a process of its own, or say why that cannot be."""
    free = os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    # a real algorithm holds what is in storage on a device, too
    needed = form.ram_bytes + (form.storage_bytes or 0)
    if needed > MEMORY_SHARE * free:
        return f"the step needs {needed:,} B, and this machine has {free:,} B free"
    parts: Message = {}
    with tempfile.TemporaryDirectory() as scratch:
        outcome = call(
            "trainfit.bench.run.worker:confirm",
            {"workload": form.workload.model_dump(mode="json")},
            log=Path(scratch) / "log",
            timeout_seconds=MEASURE_SECONDS,
            on_message=parts.update,
        )
    if outcome.ending is not Ending.RETURNED:
        return f"{outcome.type}: {outcome.message}"
    return Memory.model_validate(parts["memory"])
