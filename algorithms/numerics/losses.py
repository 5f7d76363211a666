"""The gradient of the cross-entropy with respect to its logits, in place.

Shape suffixes: B batch, C classes.
"""

from __future__ import annotations

import torch

from trainfit.algorithms.memory.operations import Kind
from trainfit.algorithms.memory.plan import MemoryPlan
from trainfit.algorithms.phases import Category, tag


def softmax_(logits_BC: torch.Tensor) -> torch.Tensor:
    """Softmax over classes, in place, with two row vectors as workspace."""
    logits_BC.sub_(tag(logits_BC.amax(1, keepdim=True), Category.WORKSPACE, "largest logit"))
    logits_BC.exp_()
    return logits_BC.div_(tag(logits_BC.sum(1, keepdim=True), Category.WORKSPACE, "sum of exp"))


def plan_softmax(plan: MemoryPlan, batch: int, classes: int) -> None:
    """The closed form of ``softmax_``."""
    plan.workspace("largest logit", (batch, 1))
    plan.workspace("sum of exp", (batch, 1))
    plan.each(Kind.COMPARE, batch * classes)
    plan.each(Kind.ADD, 2 * batch * classes)
    plan.each(Kind.TRANSCENDENTAL, batch * classes)
    plan.each(Kind.DIVIDE, batch * classes)


def cross_entropy_error_(logits_BC: torch.Tensor, y_B: torch.Tensor) -> torch.Tensor:
    """Turn logits into the gradient of the mean cross-entropy: ``(softmax(a) - onehot(y)) / B``.

    Args:
        logits_BC: float32, overwritten with the result.
        y_B: Labels, int64.
    """
    error_BC = softmax_(logits_BC)
    error_BC.scatter_(1, y_B[:, None], -1.0, reduce="add")
    return error_BC.mul_(1.0 / len(error_BC))


def plan_cross_entropy_error(plan: MemoryPlan, batch: int, classes: int) -> None:
    """The closed form of ``cross_entropy_error_``."""
    plan_softmax(plan, batch, classes)
    plan.scalar()
    plan.each(Kind.ADD, batch)
    plan.each(Kind.MULTIPLY, batch * classes)
