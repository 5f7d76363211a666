"""A prediction held against the budgets of a device."""

from __future__ import annotations

from typing import NamedTuple, Self

from trainfit.bench.sizing.predicted_workload import PredictedWorkload
from trainfit.bench.verdicts.judge import FITTING, judge_all
from trainfit.bench.verdicts.memory import Verdict, worst
from trainfit.hardware_profiles import Budgets, Device


class Judged(NamedTuple):
    """A prediction and what became of it on a device.

    Attributes:
        form: The prediction.
        ram_bytes: What it needs under the device's allocator; ``form.ram_bytes`` is that of torch.
        verdict: The one that decides.
    """

    form: PredictedWorkload
    ram_bytes: int
    verdict: Verdict

    @classmethod
    def on(cls, form: PredictedWorkload, device: Device, budgets: Budgets) -> Self:
        """Judge a prediction."""
        verdict = worst(judge_all(form.demand(device), device, budgets))
        return cls(form, form.ram_on(device), verdict)

    @property
    def fits(self) -> bool:
        """It is within every budget."""
        return self.verdict.status in FITTING
