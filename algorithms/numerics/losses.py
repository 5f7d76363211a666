"""The losses of a classifier and their gradients with respect to its logits a, in place.

``loss=cross_entropy`` is that of the softmax, ``binary_cross_entropy`` the sum of C logistic
regressions, one per class, against the one-hot label y*::

    cross_entropy           L = -mean_b log softmax(a)_y           dL/da = (softmax(a) - y*) / B
    binary_cross_entropy    L = mean_bc softplus(a_c) - y*_c a_c   dL/da = (sigmoid(a) - y*) / (B C)

The second is a mean over the batch *and* the classes, as ``torch.nn.BCELoss`` takes it by default
and as the released code of DRTP calls it, so at one rate its gradients are about C times smaller.
``softplus(a) - a`` is ``softplus(-a)``, and ``sigmoid(a) - 1`` is ``-sigmoid(-a)``: so the label's
logit changes its sign first, and nothing cancels or overflows however large the logits are.

Shape suffixes: B batch, C classes.
"""

from __future__ import annotations

import torch

from trainfit.algorithms.options import Loss
from trainfit.algorithms.phases import Category, tag


def softmax_(logits_BC: torch.Tensor) -> torch.Tensor:
    """Softmax over classes, in place, with two row vectors as workspace."""
    logits_BC.sub_(tag(logits_BC.amax(1, keepdim=True), Category.WORKSPACE, "largest logit"))
    logits_BC.exp_()
    return logits_BC.div_(tag(logits_BC.sum(1, keepdim=True), Category.WORKSPACE, "sum of exp"))


# ---- the gradient ---------------------------------------------------------------------------


def terms(loss: Loss, batch: int, classes: int) -> int:
    """Terms that the loss is the mean of: B, or B C."""
    return batch if loss is Loss.CROSS_ENTROPY else batch * classes


def logit_gradient_(logits_BC: torch.Tensor, y_B: torch.Tensor, loss: Loss) -> torch.Tensor:
    """Turn logits into the gradient of the mean loss.

    Args:
        logits_BC: float32, overwritten with the result.
        y_B: Labels, int64.
        loss: Which loss.
    """
    if loss is Loss.CROSS_ENTROPY:
        return cross_entropy_error_(logits_BC, y_B)
    return binary_cross_entropy_error_(logits_BC, y_B)


def cross_entropy_error_(logits_BC: torch.Tensor, y_B: torch.Tensor) -> torch.Tensor:
    """Turn logits into the gradient of the mean cross-entropy: ``(softmax(a) - onehot(y)) / B``.

    Args:
        logits_BC: float32, overwritten with the result.
        y_B: Labels, int64.
    """
    error_BC = softmax_(logits_BC)
    error_BC.scatter_(1, y_B[:, None], -1.0, reduce="add")
    return error_BC.mul_(1.0 / len(error_BC))


def binary_cross_entropy_error_(logits_BC: torch.Tensor, y_B: torch.Tensor) -> torch.Tensor:
    """Turn logits into ``(sigmoid(a) - onehot(y)) / (B C)``, without workspace.

    Args:
        logits_BC: float32, overwritten with the result.
        y_B: Labels, int64.
    """
    error_BC = _negate_label_(_negate_label_(logits_BC, y_B).sigmoid_(), y_B)
    return error_BC.mul_(1.0 / error_BC.numel())


def _negate_label_(values_BC: torch.Tensor, y_B: torch.Tensor) -> torch.Tensor:
    return values_BC.scatter_(1, y_B[:, None], -1.0, reduce="multiply")


# ---- the value ------------------------------------------------------------------------------


def mean_loss_(logits_BC: torch.Tensor, y_B: torch.Tensor, loss: Loss) -> float:
    """The mean loss; ``logits_BC`` is overwritten."""
    if loss is Loss.BINARY_CROSS_ENTROPY:
        _negate_label_(logits_BC, y_B)
        torch.ops.aten.softplus.out(logits_BC, out=logits_BC)
        return float(logits_BC.mean())
    largest_B = tag(logits_BC.amax(1, keepdim=True), Category.WORKSPACE, "largest logit")
    logits_BC.sub_(largest_B)
    del largest_B
    right_B = tag(logits_BC.gather(1, y_B[:, None]), Category.WORKSPACE, "logit of the label")
    loss_B = tag(logits_BC.exp_().sum(1, keepdim=True), Category.WORKSPACE, "loss per sample")
    return float(loss_B.log_().sub_(right_B).mean())
