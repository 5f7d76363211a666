"""The Forward-Forward algorithm (Hinton 2022, arXiv 2212.13345).

Every hidden layer learns alone. Its goodness G = sum_o z_o^2 should exceed a threshold theta for
an image with its true label written into the first pixels, and stay below it with a wrong label::

    L_pos = log(1 + exp(theta - G))        L_neg = log(1 + exp(G - theta))
    dL/dz = 2 z dL/dG                      dL/dG = -/+ sigmoid(-/+ (G - theta))

``implementation=closed_form`` runs the positive pass through all layers, then the negative one,
each layer updated as soon as it is known. Two facts make it small. The factor dL/dG belongs to a
row, so it can scale the layer's input, which dies here, instead of z, which lives on: no gradient
of z exists but in the first layer, whose input belongs to the caller. And the product z^T h goes
straight into the momentum: no gradient of w exists (with ``optimizer=sgd``).

``implementation=autograd`` is the form usually written: both passes joined in one loss per layer,
one backward. It needs both passes' activations and each weight gradient twice.

The class labels of the model's last width are written into the input; the last width has no
weights. Shape suffixes: B batch, I inputs and O outputs of a layer, C classes.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from enum import StrEnum
from typing import ClassVar

import torch
from pydantic import Field
from torch.nn import functional

from .base import Algorithm, AlgorithmOptions, StaticTensor
from .errors import ConfigurationError
from .forward_forward_memory import plan_autograd, plan_closed_form
from .models import Mlp
from .models.mlp import linear_init
from .numerics.optimisers import OptimizerName, make_optimiser
from .phases import Category, phase, tag
from .plan import MemoryPlan

EPSILON = 1e-8
"""Keeps the length of a silent layer's output from dividing by zero."""


class Implementation(StrEnum):
    """How the local gradient is had."""

    CLOSED_FORM = "closed_form"
    AUTOGRAD = "autograd"


class Goodness(StrEnum):
    """What is compared with the threshold: the sum of squares, or their mean over the layer."""

    SUM = "sum"
    MEAN = "mean"


class ForwardForwardOptions(AlgorithmOptions):
    """Options of ``forward_forward``."""

    implementation: Implementation = Implementation.CLOSED_FORM
    optimizer: OptimizerName = OptimizerName.SGD
    lr: float = Field(default=3.0, gt=0)
    momentum: float = Field(default=0.9, ge=0, lt=1)
    goodness: Goodness = Goodness.MEAN
    threshold: float = Field(default=2.0, gt=0)
    """Theta, in units of the chosen goodness."""
    label_scale: float = Field(default=1.0, gt=0)
    """Value written into the pixel of the label."""


class ForwardForward(Algorithm[ForwardForwardOptions]):
    """Layer-local logistic loss on goodness; hidden layers only."""

    name: ClassVar[str] = "forward_forward"
    summary: ClassVar[str] = "Forward-Forward: two forward passes, one local loss per layer"
    paper: ClassVar[str] = "Hinton, arXiv 2212.13345, 2022"
    options_type: ClassVar[type[AlgorithmOptions]] = ForwardForwardOptions
    phases: ClassVar[tuple[str, ...]] = (
        "forward",
        "gradient",
        "update",
        "forward.positive",
        "forward.negative",
        "gradient.positive",
        "gradient.negative",
        "update.positive",
        "update.negative",
    )

    def __init__(self, model: Mlp, options: ForwardForwardOptions, *, seed: int = 0) -> None:
        super().__init__(model, options, seed=seed)
        if not model.hidden:
            raise ConfigurationError(
                f"forward_forward trains hidden layers, {model.name!r} has none;"
                f" use for instance mlp-{model.inputs}-128-{model.classes}"
            )
        if model.inputs < model.classes:
            raise ConfigurationError(
                f"forward_forward writes the label into the first {model.classes} inputs, but"
                f" {model.name!r} has {model.inputs}"
            )
        self._optimiser = make_optimiser(options.optimizer, options.lr, options.momentum)
        self._parameters: dict[str, torch.Tensor] = {}
        for number, (inputs, outputs) in enumerate(model.layers[:-1], start=1):
            w_OI, b_O = linear_init(inputs, outputs, self.generator)
            naive = options.implementation is Implementation.AUTOGRAD
            self._parameters[f"w{number}"] = w_OI.requires_grad_(naive)
            self._parameters[f"b{number}"] = b_O.requires_grad_(naive)
        for name, parameter in self._parameters.items():
            self._optimiser.add(name, parameter.detach())

    # ---- the step ---------------------------------------------------------------------------

    def step(self, x: torch.Tensor, y: torch.Tensor) -> None:
        """One update of every hidden layer from true and from wrong labels."""
        self._optimiser.begin_step()
        if self.options.implementation is Implementation.AUTOGRAD:
            self._joint_step(x, y)
            return
        with torch.no_grad():
            self._pass(x, y, positive=True)
            with phase("forward.negative"):
                wrong_B = self._wrong_labels(y)
            self._pass(x, wrong_B, positive=False)

    def _pass(self, x_BI: torch.Tensor, y_B: torch.Tensor, *, positive: bool) -> None:
        """One pass through all layers, each updated on the way."""
        suffix = "positive" if positive else "negative"
        with self._labelled(x_BI, y_B, f"forward.{suffix}"):
            h_BI = x_BI
            for number in range(1, len(self.model.hidden) + 1):
                w_OI, b_O = self._parameters[f"w{number}"], self._parameters[f"b{number}"]
                with phase(f"forward.{suffix}"):
                    z_BO = functional.linear(h_BI, w_OI, b_O).relu_()
                    length_B = torch.linalg.vector_norm(z_BO, dim=1)
                with phase(f"gradient.{suffix}"):
                    factor_B = self._factor(length_B, z_BO.shape[1], positive=positive)
                    if number == 1:  # the input is the caller's: scale z into a gradient of its own
                        left_BO, right_BI = z_BO * factor_B[:, None], h_BI
                    else:
                        left_BO, right_BI = z_BO, h_BI.mul_(factor_B[:, None])
                with phase(f"update.{suffix}"):
                    self._optimiser.apply_product(f"b{number}", b_O, z_BO.T, factor_B)
                    self._optimiser.apply_product(f"w{number}", w_OI, left_BO.T, right_BI)
                    del left_BO, right_BI, factor_B
                with phase(f"forward.{suffix}"):
                    h_BI = _normalise(z_BO, length_B)
                    del z_BO, length_B

    def _factor(self, length_B: torch.Tensor, width: int, *, positive: bool) -> torch.Tensor:
        """2/B dL/dG dG/d(sum of squares) per row, which turns z into dL/dz."""
        sign = -1.0 if positive else 1.0
        share = 1.0 / width if self.options.goodness is Goodness.MEAN else 1.0
        factor_B = length_B * length_B
        factor_B.mul_(sign * share).sub_(sign * self.options.threshold)
        return factor_B.sigmoid_().mul_(sign * share * 2.0 / len(length_B))

    # ---- the usual way, for comparison ------------------------------------------------------

    def _joint_step(self, x: torch.Tensor, y: torch.Tensor) -> None:
        """One loss per layer over both passes, differentiated by autograd."""
        with phase("forward"):
            classes = self.model.classes
            wrong_B = self._wrong_labels(y)
            positive_BI = tag(x.clone(), Category.INPUTS, "labelled inputs")
            negative_BI = tag(x.clone(), Category.INPUTS, "wrongly labelled inputs")
            for h_BI, y_B in ((positive_BI, y), (negative_BI, wrong_B)):
                h_BI[:, :classes].zero_()
                h_BI.scatter_(1, y_B[:, None], self.options.label_scale)
            del h_BI
        for number in range(1, len(self.model.hidden) + 1):
            w_OI, b_O = self._parameters[f"w{number}"], self._parameters[f"b{number}"]
            with phase("forward"):
                z_positive_BO = functional.linear(positive_BI, w_OI, b_O).relu()
                z_negative_BO = functional.linear(negative_BI, w_OI, b_O).relu()
                loss = self._joint_loss(z_positive_BO, z_negative_BO)
            with phase("gradient"):
                loss.backward()
                del loss
            with phase("update"), torch.no_grad():
                for name, parameter in ((f"w{number}", w_OI), (f"b{number}", b_O)):
                    assert parameter.grad is not None
                    self._optimiser.apply(name, parameter, parameter.grad)
                    parameter.grad = None
            with phase("forward"), torch.no_grad():
                positive_BI = functional.normalize(z_positive_BO.detach(), dim=1)
                positive_BI *= z_positive_BO.shape[1] ** 0.5
                negative_BI = functional.normalize(z_negative_BO.detach(), dim=1)
                negative_BI *= z_negative_BO.shape[1] ** 0.5
                del z_positive_BO, z_negative_BO

    def _joint_loss(self, z_positive_BO: torch.Tensor, z_negative_BO: torch.Tensor) -> torch.Tensor:
        theta = self.options.threshold
        mean = self.options.goodness is Goodness.MEAN
        squares = (z_positive_BO.pow(2), z_negative_BO.pow(2))
        good_B, bad_B = (s.mean(1) if mean else s.sum(1) for s in squares)
        return (functional.softplus(theta - good_B) + functional.softplus(bad_B - theta)).mean()

    # ---- labels and goodness ----------------------------------------------------------------

    @contextmanager
    def _labelled(self, x_BI: torch.Tensor, y_B: torch.Tensor, name: str) -> Iterator[None]:
        """Write labels into the first inputs, in place, and put the pixels back afterwards."""
        place_BC = x_BI[:, : self.model.classes]
        with phase(name):
            saved_BC = tag(place_BC.clone(), Category.INPUTS, "pixels under the label")
            place_BC.zero_()
            place_BC.scatter_(1, y_B[:, None], self.options.label_scale)
        try:
            yield
        finally:
            place_BC.copy_(saved_BC)

    def _wrong_labels(self, y_B: torch.Tensor) -> torch.Tensor:
        """For every label another one, drawn evenly."""
        wrong_B = torch.empty_like(y_B).random_(1, self.model.classes, generator=self.generator)
        wrong_B += y_B
        return tag(wrong_B.remainder_(self.model.classes), Category.INPUTS, "wrong labels")

    def predict(self, x: torch.Tensor) -> torch.Tensor:
        """Goodness summed over all layers, with each label written into the input in turn."""
        scores_BC = torch.empty(len(x), self.model.classes)
        with torch.no_grad():
            for label in range(self.model.classes):
                h_BI = x.clone()
                h_BI[:, : self.model.classes] = 0.0
                h_BI[:, label] = self.options.label_scale
                scores_BC[:, label] = self._total_goodness(h_BI)
        return scores_BC

    def _total_goodness(self, h_BI: torch.Tensor) -> torch.Tensor:
        total_B = torch.zeros(len(h_BI))
        for number in range(1, len(self.model.hidden) + 1):
            w_OI, b_O = self._parameters[f"w{number}"], self._parameters[f"b{number}"]
            z_BO = functional.linear(h_BI, w_OI, b_O).relu_()
            length_B = torch.linalg.vector_norm(z_BO, dim=1)
            mean = self.options.goodness is Goodness.MEAN
            total_B += length_B.square() / (z_BO.shape[1] if mean else 1)
            h_BI = _normalise(z_BO, length_B)
        return total_B

    def static_tensors(self) -> Iterator[StaticTensor]:
        """Parameters of the hidden layers and optimiser state."""
        for name, parameter in self._parameters.items():
            yield StaticTensor(name, parameter, Category.PARAMETERS)
        for name, state in self._optimiser.states():
            yield StaticTensor(name, state, Category.OPTIMIZER_STATE)

    def memory_model(self, batch_size: int) -> MemoryPlan:
        """See :mod:`algorithms.forward_forward_memory`."""
        naive = self.options.implementation is Implementation.AUTOGRAD
        plan_step = plan_autograd if naive else plan_closed_form
        mean = self.options.goodness is Goodness.MEAN
        return plan_step(self.model, self._optimiser, batch_size, mean=mean)


def _normalise(z_BO: torch.Tensor, length_B: torch.Tensor) -> torch.Tensor:
    """Scale rows to a mean square of 1, in place, so that length tells the next layer nothing.

    ``length_B`` is used up.
    """
    length_B.add_(EPSILON).reciprocal_().mul_(z_BO.shape[1] ** 0.5)
    return z_BO.mul_(length_B[:, None])
