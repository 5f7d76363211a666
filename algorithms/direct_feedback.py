"""Hidden layers taught by fixed random matrices: direct feedback alignment and DRTP.

The gradient of hidden layer l is replaced by a projection that needs no other layer's weights::

    DFA    dz_l = B_l^T e  . f'(z_l)        e = (softmax(a) - y*) / B
    sDFA   dz_l = B_l^T sign(e) / B . f'(z_l)
    DRTP   dz_l = -B_l^T y* / B . f'(z_l)   y* one-hot: the error's sign, known before the error is

The classifier follows the true gradient of its cross-entropy, ``dz = e``.

* DFA (Nokland, NIPS 2016) needs the error, hence all activations until the forward pass is over,
  as backpropagation does; what it saves is the transport of weights.
* DRTP (Frenkel, Lefebvre & Bol, Frontiers in Neuroscience 15:629892, 2021) needs the label only:
  each layer is updated as soon as it is known, and two layers' activations are all that lives.

Decisions: B_l is drawn Kaiming-uniform as in Frenkel's code, U(-b, b) with ``b = sqrt(6 / C)``
for a fan-in of C classes, and its sign is of no matter, being random; gradients are means over the
batch. Hidden units are ``tanh`` as in that code; DFA may have rectifiers instead. DRTP may not:
its target is the same in every step, and only saturation keeps it from shutting a rectifier for
good (on digits it leaves a net at chance).

Shape suffixes: B batch, I inputs and O outputs of a layer, C classes.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from enum import StrEnum
from typing import ClassVar

import torch

from .base import AlgorithmOptions, StaticTensor
from .fully_connected import FullyConnected, TrainingOptions, TrainingOptionsT
from .models import Mlp
from .numerics.losses import cross_entropy_error_, plan_cross_entropy_error
from .operations import Kind
from .phases import Category, phase
from .plan import Item, MemoryPlan


class Activation(StrEnum):
    """What follows a hidden layer's product."""

    TANH = "tanh"
    RELU = "relu"


class _DirectFeedback(FullyConnected[TrainingOptionsT]):
    """Fixed random matrices and the derivative of the hidden units."""

    _activation = Activation.TANH

    def __init__(self, model: Mlp, options: TrainingOptionsT, *, seed: int = 0) -> None:
        super().__init__(model, options, seed=seed)
        self._need_hidden_layers()
        bound = math.sqrt(6.0 / model.classes)
        self._feedback_CO = [
            torch.empty(model.classes, outputs).uniform_(-bound, bound, generator=self.generator)
            for outputs in model.hidden
        ]

    def _hidden(self, h_BI: torch.Tensor, number: int) -> torch.Tensor:
        z_BO = self._linear(h_BI, number)
        return z_BO.tanh_() if self._activation is Activation.TANH else z_BO.relu_()

    def _plan_hidden(self, plan: MemoryPlan, batch: int, number: int) -> Item:
        h = self._plan_linear(plan, batch, number, f"h{number}")
        tanh = self._activation is Activation.TANH
        plan.each(Kind.TRANSCENDENTAL if tanh else Kind.COMPARE, h.elements)
        return h

    def _through(self, dh_BO: torch.Tensor, h_BO: torch.Tensor) -> torch.Tensor:
        """``dh . f'(z)`` in place, from f(z): 1 - tanh^2, or 1 where the rectifier is open."""
        if self._activation is Activation.TANH:
            torch.ops.aten.tanh_backward.grad_input(dh_BO, h_BO, grad_input=dh_BO)
        else:
            torch.ops.aten.threshold_backward.grad_input(dh_BO, h_BO, 0, grad_input=dh_BO)
        return dh_BO

    def _plan_through(self, plan: MemoryPlan, elements: int) -> None:
        if self._activation is Activation.TANH:
            plan.each(Kind.MULTIPLY, 2 * elements)
            plan.each(Kind.ADD, elements)
        else:
            plan.each(Kind.COMPARE, elements)

    def _classify(self, h_BI: torch.Tensor, y_B: torch.Tensor) -> torch.Tensor:
        """Forward through the classifier and its error, shape (B, C)."""
        with phase("forward"):
            logits_BC = self._linear(h_BI, len(self.model.layers))
        with phase("gradient"):
            return cross_entropy_error_(logits_BC, y_B)

    def _plan_classify(self, plan: MemoryPlan, batch: int) -> Item:
        with plan.phase("forward"):
            error = self._plan_linear(plan, batch, len(self.model.layers), "logits, then error")
        with plan.phase("gradient"):
            plan_cross_entropy_error(plan, batch, self.model.classes)
        return error

    def predict(self, x: torch.Tensor) -> torch.Tensor:
        """Logits."""
        with torch.no_grad():
            h_BI = x
            for number in range(1, len(self.model.layers)):
                h_BI = self._hidden(h_BI, number)
            return self._linear(h_BI, len(self.model.layers))

    def static_tensors(self) -> Iterator[StaticTensor]:
        """Parameters, optimiser state and the fixed matrices."""
        yield from super().static_tensors()
        for number, feedback_CO in enumerate(self._feedback_CO, start=1):
            yield StaticTensor(f"feedback{number}", feedback_CO, Category.BUFFERS)

    def _plan_static(self, batch_size: int) -> MemoryPlan:
        plan = super()._plan_static(batch_size)
        for number, outputs in enumerate(self.model.hidden, start=1):
            plan.hold(f"feedback{number}", (self.model.classes, outputs), Category.BUFFERS)
        return plan


class Drtp(_DirectFeedback[TrainingOptions]):
    """Each layer updated on the way forward, from the label alone."""

    name: ClassVar[str] = "drtp"
    summary: ClassVar[str] = "direct random target projection: labels teach, on the way forward"
    paper: ClassVar[str] = "Frenkel, Lefebvre & Bol, Front. Neurosci. 15:629892, 2021"
    options_type: ClassVar[type[AlgorithmOptions]] = TrainingOptions

    def step(self, x: torch.Tensor, y: torch.Tensor) -> None:
        """One update of every layer."""
        self._optimiser.begin_step()
        with torch.no_grad():
            h_BI = x
            for number, feedback_CO in enumerate(self._feedback_CO, start=1):
                with phase("forward"):
                    h_BO = self._hidden(h_BI, number)
                with phase("gradient"):
                    dz_BO = feedback_CO.index_select(0, y).mul_(-1.0 / len(x))
                    self._through(dz_BO, h_BO)
                self._apply(number, dz_BO, h_BI)
                del dz_BO
                h_BI = h_BO
                del h_BO
            error_BC = self._classify(h_BI, y)
            self._apply(len(self.model.layers), error_BC, h_BI)

    def memory_model(self, batch_size: int) -> MemoryPlan:
        """Two layers' activations and one gradient."""
        plan = self._plan_static(batch_size)
        below: list[Item] = []
        for number, outputs in enumerate(self.model.hidden, start=1):
            with plan.phase("forward"):
                h = self._plan_hidden(plan, batch_size, number)
            with plan.phase("gradient"):
                dz = plan.alloc(f"dz{number}", (batch_size, outputs), Category.GRADIENTS)
                plan.scalar()
                plan.each(Kind.MULTIPLY, dz.elements)
                self._plan_through(plan, dz.elements)
            self._plan_apply(plan, batch_size, number)
            plan.free(dz, *below)
            below = [h]
        error = self._plan_classify(plan, batch_size)
        self._plan_apply(plan, batch_size, len(self.model.layers))
        plan.free(error, *below)
        return plan


class ErrorSignal(StrEnum):
    """What is projected to the hidden layers."""

    ERROR = "error"
    SIGN = "sign"  # sDFA


class DfaOptions(TrainingOptions):
    """Options of ``dfa``."""

    signal: ErrorSignal = ErrorSignal.ERROR
    activation: Activation = Activation.TANH


class Dfa(_DirectFeedback[DfaOptions]):
    """All layers updated after the forward pass, each from the error at the output."""

    name: ClassVar[str] = "dfa"
    summary: ClassVar[str] = "direct feedback alignment: the error teaches through fixed matrices"
    paper: ClassVar[str] = "Nokland, NIPS 29, 2016"
    options_type: ClassVar[type[AlgorithmOptions]] = DfaOptions

    def __init__(self, model: Mlp, options: DfaOptions, *, seed: int = 0) -> None:
        super().__init__(model, options, seed=seed)
        self._activation = options.activation

    def step(self, x: torch.Tensor, y: torch.Tensor) -> None:
        """One update of every layer; the last ones first, so that their inputs can go."""
        self._optimiser.begin_step()
        with torch.no_grad():
            kept = [x]
            with phase("forward"):
                for number in range(1, len(self.model.layers)):
                    kept.append(self._hidden(kept[-1], number))
            error_BC = self._classify(kept[-1], y)
            self._apply(len(self.model.layers), error_BC, kept[-1])
            with phase("gradient"):
                if self.options.signal is ErrorSignal.SIGN:
                    error_BC.sign_().mul_(1.0 / len(x))
            for number in range(len(self.model.hidden), 0, -1):
                h_BO = kept.pop()
                with phase("gradient"):
                    dz_BO = self._through(error_BC @ self._feedback_CO[number - 1], h_BO)
                del h_BO
                self._apply(number, dz_BO, kept[-1])
                del dz_BO

    def memory_model(self, batch_size: int) -> MemoryPlan:
        """All activations, the error and one gradient."""
        plan = self._plan_static(batch_size)
        classes = self.model.classes
        with plan.phase("forward"):
            kept = [
                self._plan_hidden(plan, batch_size, number)
                for number in range(1, len(self.model.layers))
            ]
        error = self._plan_classify(plan, batch_size)
        self._plan_apply(plan, batch_size, len(self.model.layers))
        with plan.phase("gradient"):
            if self.options.signal is ErrorSignal.SIGN:
                plan.scalar()
                plan.each(Kind.COMPARE, error.elements)
                plan.each(Kind.MULTIPLY, error.elements)
        for number in range(len(self.model.hidden), 0, -1):
            outputs = self.model.hidden[number - 1]
            with plan.phase("gradient"):
                dz = plan.alloc(f"dz{number}", (batch_size, outputs), Category.GRADIENTS)
                plan.product(batch_size, classes, outputs)
                self._plan_through(plan, dz.elements)
                plan.free(kept.pop())
            self._plan_apply(plan, batch_size, number)
            plan.free(dz)
        plan.free(error)
        return plan
