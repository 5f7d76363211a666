"""Common parts of direct feedback alignment and DRTP: fixed matrices, hidden units, classifier.

With ``activations=binary`` a tanh becomes the sign of z times ``tanh(mean(abs(z)))``, as in the
DRTP code that TinyFoA (Huang & Aminifar, AAAI 2025) is compared with (see
:mod:`trainfit.algorithms.numerics.binary.signed_activations`), and a rectifier becomes {0, s}. That
code binarises the logits too, so that each has two values and most of them tie; here they are
float. With ``weights=binary`` parameters are clipped, as for the other rules of that comparison;
its DRTP code clips none.

Shape suffixes: B batch, I inputs and O outputs of a layer, C classes.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import TypeVar

import torch

from trainfit.algorithms.contract import StaticTensor
from trainfit.algorithms.feedback.options import Activation, FanIn, FeedbackOptions, HiddenGradient
from trainfit.algorithms.models import Mlp
from trainfit.algorithms.nets.binarised import BinarisedNet
from trainfit.algorithms.numerics.binary.activations import (
    Bits,
    Hidden,
    binarise,
    ste_backward_,
)
from trainfit.algorithms.numerics.binary.signed_activations import (
    binarise_signs,
)
from trainfit.algorithms.numerics.losses import logit_gradient_
from trainfit.algorithms.phases import Category, phase

FeedbackOptionsT = TypeVar("FeedbackOptionsT", bound=FeedbackOptions)


class FeedbackNet(BinarisedNet[FeedbackOptionsT]):
    """Fixed random matrices and the derivative of the hidden units."""

    _activation = Activation.TANH

    def __init__(self, model: Mlp, options: FeedbackOptionsT, *, seed: int = 0) -> None:
        super().__init__(model, options, seed=seed)
        self._need_hidden_layers()
        self._feedback_CO = [self._draw_feedback(outputs) for outputs in model.hidden]

    def _draw_feedback(self, outputs: int) -> torch.Tensor:
        """A fixed matrix, Kaiming-uniform."""
        classes, by_units = self.model.classes, self.options.feedback_fan_in is FanIn.UNITS
        bound = math.sqrt(6.0 / (outputs if by_units else classes))
        return torch.empty(classes, outputs).uniform_(-bound, bound, generator=self.generator)

    def _hidden_weight(self, batch: int) -> float:
        """Weight of a row in the gradients of the hidden layers: 1/B, or 1 for their sum."""
        return 1.0 if self.options.hidden_gradient is HiddenGradient.SUM else 1.0 / batch

    def _hidden(self, h: Hidden, number: int, *, training: bool = True) -> Hidden:
        z_BO, tanh = self._linear(h, number), self._activation is Activation.TANH
        if self._bits:
            return binarise_signs(z_BO, mask=training) if tanh else binarise(z_BO, mask=training)
        return z_BO.tanh_() if tanh else z_BO.relu_()

    def _through(self, dh_BO: torch.Tensor, h: Hidden) -> torch.Tensor:
        """``dh . f'(z)`` in place, from f(z): 1 - tanh^2, or 1 where the rectifier is open."""
        if self._activation is Activation.TANH:
            t = h.scale if isinstance(h, Bits) else h  # the slope is the same at t and at -t
            torch.ops.aten.tanh_backward.grad_input(dh_BO, t, grad_input=dh_BO)
        if self._bits or self._activation is Activation.RELU:
            ste_backward_(dh_BO, h)
        return dh_BO

    def _classify(self, h: Hidden, y_B: torch.Tensor) -> torch.Tensor:
        """Forward through the classifier and its error, shape (B, C)."""
        with phase("forward"):
            logits_BC = self._linear(h, len(self.model.layers))
        with phase("gradient"):
            return logit_gradient_(logits_BC, y_B, self.options.loss)

    def static_tensors(self) -> Iterator[StaticTensor]:
        """Parameters, optimiser state and the fixed matrices."""
        yield from super().static_tensors()
        for number, feedback_CO in enumerate(self._feedback_CO, start=1):
            yield StaticTensor(f"feedback{number}", feedback_CO, Category.BUFFERS)
