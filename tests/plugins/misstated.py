"""A third party's algorithms whose closed forms do not say all that their steps do.

Shape suffixes: B batch, I inputs, C classes.
"""

from __future__ import annotations

from typing import ClassVar

import torch

from tests.plugins.plain import Delta
from trainfit.algorithms import Category, MemoryPlan, phase
from trainfit.algorithms.contract import hold_inputs


class Overlooked(Delta):
    """Its plan leaves out the gradient, of four bytes per input and class, and a copy of x."""

    name: ClassVar[str] = "overlooked"

    def step(self, x: torch.Tensor, y: torch.Tensor) -> None:
        with phase("forward"):
            kept_BI = x.clone()
            error_BC = kept_BI @ self.w_IC
        with phase("gradient"):
            error_BC[torch.arange(len(y)), y] -= 1
            grad_IC = kept_BI.t() @ error_BC
        with phase("update"):
            self.w_IC.sub_(grad_IC, alpha=self.options.lr / len(x))

    def memory_model(self, batch_size: int) -> MemoryPlan:
        plan = MemoryPlan()
        hold_inputs(plan, self.model, batch_size)
        plan.hold("w", (self.model.inputs, self.model.classes), Category.PARAMETERS)
        with plan.phase("forward"):
            plan.product(batch_size, self.model.inputs, self.model.classes)
            error = plan.alloc("error", (batch_size, self.model.classes), Category.GRADIENTS)
        with plan.phase("gradient"):
            pass
        with plan.phase("update"):
            plan.free(error)
        return plan


class Uncounted(Overlooked):
    """It states bytes and no operations."""

    name: ClassVar[str] = "uncounted"

    def memory_model(self, batch_size: int) -> MemoryPlan:
        plan = MemoryPlan()
        hold_inputs(plan, self.model, batch_size)
        plan.hold("w", (self.model.inputs, self.model.classes), Category.PARAMETERS)
        with plan.phase("forward"):
            error = plan.alloc("error", (batch_size, self.model.classes), Category.GRADIENTS)
        plan.free(error)
        return plan
