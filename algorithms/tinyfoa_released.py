"""TinyFoA as its authors' released code trains it, read off that code's behaviour.

Per batch: run the layers below again with dense binarised weights, then one step of the active
layer by autograd, with dense latent weights, dense gradient and ``torch.optim.Adam``. In pass p
(counted from 1) diagonal block p mod M is put back after the update, so all weights but one
diagonal block move (75 % at M = 2), and that block's moments move too. All parameters are clipped
to [-1, 1]. The straight-through gradient is cut where abs >= 1; sign(0) is 0.

Shape suffixes: B batch, I inputs and O outputs of a layer, C classes.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch.nn import functional

from .base import StaticTensor
from .models import Mlp
from .models.mlp import linear_init
from .phases import Category, phase
from .plan import MemoryPlan
from .tinyfoa_released_memory import plan_step
from .tinyfoa_rule import Rule, fixed_head


class Binarise(torch.autograd.Function):
    """mean(abs(t)) sign(t), with the straight-through gradient cut at 1."""

    @staticmethod
    def forward(ctx: Any, t: torch.Tensor) -> torch.Tensor:
        """Binarise with one scale for the whole tensor."""
        ctx.save_for_backward(t)
        return t.sign().mul_(t.abs().mean())

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> torch.Tensor:
        """Pass the gradient where abs(t) < 1."""
        (t,) = ctx.saved_tensors
        (gradient,) = gradients
        cut: torch.Tensor = gradient * (t.abs() < 1)
        return cut


def binarise(t: torch.Tensor) -> torch.Tensor:
    """Apply :class:`Binarise`."""
    result: torch.Tensor = Binarise.apply(t)  # type: ignore[no-untyped-call]
    return result


class Released(Rule):
    """Dense training of one binarised layer, all but one diagonal block updated."""

    def __init__(self, model: Mlp, slices: int, lr: float, generator: torch.Generator) -> None:
        self._model = model
        self._slices = slices
        self._lr = lr
        self._layers = []
        self._heads = []
        for inputs, outputs in model.layers[:-1]:
            w_OI, b_O = linear_init(inputs, outputs, generator)
            self._layers.append((w_OI.requires_grad_(), b_O.requires_grad_()))
            self._heads.append(fixed_head(outputs, model.classes, generator))

    def enter_layer(self, index: int) -> None:
        """A new optimiser for the layer, with its state in place."""
        self._active = index
        self._block = 0
        self._optimiser = torch.optim.Adam(self._layers[index], lr=self._lr, foreach=False)
        for parameter in self._layers[index]:
            self._optimiser.state[parameter] = {
                "step": torch.tensor(0.0),
                "exp_avg": torch.zeros_like(parameter),
                "exp_avg_sq": torch.zeros_like(parameter),
            }

    def enter_slice(self, epoch: int) -> None:
        """The diagonal block that stays as it is; the code counts passes from 1."""
        self._block = (epoch + 1) % self._slices

    def _frozen(self, w_OI: torch.Tensor) -> torch.Tensor:
        """View of the diagonal block that this pass leaves alone."""
        height, width = w_OI.shape[0] // self._slices, w_OI.shape[1] // self._slices
        row, column = self._block * height, self._block * width
        return w_OI.detach()[row : row + height, column : column + width]

    def step(self, x: torch.Tensor, y: torch.Tensor) -> None:
        """One Adam step of the active layer."""
        w_OI, b_O = self._layers[self._active]
        with phase("forward"):
            with torch.no_grad():
                h_BI = self._features(x, self._active)
            logits_BC = self._head(self._layer(h_BI, self._active))
            loss = functional.cross_entropy(logits_BC, y)
            del h_BI, logits_BC
        with phase("gradient"):
            loss.backward()
            del loss
        with phase("update"):
            kept = self._frozen(w_OI).clone()
            self._optimiser.step()
            self._frozen(w_OI).copy_(kept)
            del kept
            self._optimiser.zero_grad(set_to_none=True)
            with torch.no_grad():
                w_OI.clamp_(-1, 1)
                b_O.clamp_(-1, 1)

    def _layer(self, h_BI: torch.Tensor, index: int) -> torch.Tensor:
        w_OI, b_O = self._layers[index]
        return torch.relu(binarise(functional.linear(h_BI, binarise(w_OI), b_O)))

    def _features(self, x: torch.Tensor, depth: int) -> torch.Tensor:
        for index in range(depth):
            x = self._layer(x, index)
        return x

    def _head(self, h_BO: torch.Tensor) -> torch.Tensor:
        return functional.linear(h_BO, self._heads[self._active])

    def predict(self, x: torch.Tensor) -> torch.Tensor:
        """Scores of the active layer's head."""
        return self._head(self._features(x, self._active + 1))

    def static_tensors(self) -> Iterator[StaticTensor]:
        """Dense latent weights of all layers in use; what is above the active one is storage."""
        for index, (w_OI, b_O) in enumerate(self._layers):
            above = index > self._active
            number = index + 1
            yield StaticTensor(f"w{number}", w_OI, Category.PARAMETERS, storage=above)
            yield StaticTensor(f"b{number}", b_O, Category.PARAMETERS, storage=above)
            head = self._heads[index]
            idle = index != self._active
            yield StaticTensor(f"head{number}", head, Category.BUFFERS, storage=idle)
        for name, parameter in zip("wb", self._layers[self._active], strict=True):
            for kind, tensor in self._optimiser.state[parameter].items():
                yield StaticTensor(f"{name}.{kind}", tensor, Category.OPTIMIZER_STATE)

    def memory_model(self, batch_size: int) -> MemoryPlan:
        """See :mod:`algorithms.tinyfoa_released_memory`."""
        return plan_step(self._model, self._active, self._slices, batch_size)
