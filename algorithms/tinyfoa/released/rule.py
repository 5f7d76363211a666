"""The step of TinyFoA's released code, for any architecture.

Per batch: run the layers below again with dense binarised weights, then one step of the active
layer by autograd, with dense latent weights, dense gradient and ``torch.optim.Adam``. In pass p
(counted from 1) diagonal block p mod M is restored after the update, so all weights except one
diagonal block change (75 % at M = 2), and that block's moments change, too. All parameters are
clipped to [-1, 1]. The straight-through gradient is cut where abs >= 1; sign(0) is 0.

The arithmetic is that of the released code, the lifetimes are not, so the bytes are ours. Here a
gradient ends with the step that made it, and binarising makes one tensor beside its temporaries.
There gradients live until the next ``zero_grad``, which comes after the next forward pass, and
``Binarize`` makes a clone, a quotient, a sign and a product. Peak dynamic bytes of a step on MNIST,
measured on their code (whubaichuan/TinyFoA at 7ecedf3) with ``profile_step`` and by the allocator's
events, torch 2.13 on a CPU, float32: 69,632,008 B at layer 2 and 69,648,008 B at layer 4 of
4 x 2000 in batches of 100, where this rule needs 52,008,012 B at its worst stage.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator
from typing import Any

import torch
from torch.nn import functional

from trainfit.algorithms.contract import StaticTensor
from trainfit.algorithms.phases import Category, phase
from trainfit.algorithms.tinyfoa.variant import AdamSettings, VariantRule


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


class ReleasedRule(VariantRule):
    """Dense training of one binarised layer, all but one diagonal block updated.

    A subclass fills ``self._layers``, trained parameters by name per layer, of which ``w`` is cut
    into blocks, and ``self._fixed``, buffers by name per layer: those named ``head...`` are the
    head's.
    """

    def __init__(self, slices: int, adam: AdamSettings) -> None:
        self._slices = slices
        self._adam_settings = adam
        self._layers: list[dict[str, torch.Tensor]] = []
        self._fixed: list[dict[str, torch.Tensor]] = []

    @abstractmethod
    def _layer(self, h: torch.Tensor, index: int, *, training: bool) -> torch.Tensor:
        """Binary output of a layer."""

    @abstractmethod
    def _head(self, h: torch.Tensor) -> torch.Tensor:
        """Scores of the active layer's head."""

    @abstractmethod
    def _block_view(self, w: torch.Tensor) -> torch.Tensor:
        """View of diagonal block ``self._block`` of the active layer's weights."""

    def enter_layer(self, index: int) -> None:
        """A new optimiser for the layer, with its state in place."""
        self._active = index
        self._block = 0
        parameters = self._layers[index].values()
        lr, weight_decay = self._adam_settings
        self._optimiser = torch.optim.Adam(
            parameters, lr=lr, weight_decay=weight_decay, foreach=False
        )
        for parameter in parameters:
            self._optimiser.state[parameter] = {
                "step": torch.tensor(0.0),
                "exp_avg": parameter.new_zeros(parameter.shape),
                "exp_avg_sq": parameter.new_zeros(parameter.shape),
            }

    def enter_slice(self, epoch: int) -> None:
        """Choose the diagonal block that is not updated; the code counts passes from 1."""
        self._block = (epoch + 1) % self._slices

    def _frozen(self) -> torch.Tensor:
        """View of the diagonal block that this pass does not update."""
        return self._block_view(self._layers[self._active]["w"].detach())

    def step(self, x: torch.Tensor, y: torch.Tensor) -> None:
        """One Adam step of the active layer."""
        self.check_batch(len(x))
        with phase("forward"):
            with torch.no_grad():
                h = self._features(x, self._active, training=True)
            logits_BC = self._head(self._layer(h, self._active, training=True))
            loss = functional.cross_entropy(logits_BC, y)
            del h, logits_BC
        with phase("gradient"):
            loss.backward()
            del loss
        with phase("update"):
            kept = self._frozen().clone()
            self._optimiser.step()
            self._frozen().copy_(kept)
            del kept
            self._optimiser.zero_grad(set_to_none=True)
            with torch.no_grad():
                for parameter in self._layers[self._active].values():
                    parameter.clamp_(-1, 1)

    def _features(self, x: torch.Tensor, depth: int, *, training: bool) -> torch.Tensor:
        for index in range(depth):
            x = self._layer(x, index, training=training)
        return x

    def predict(self, x: torch.Tensor) -> torch.Tensor:
        """Scores of the active layer's head."""
        return self._head(self._features(x, self._active + 1, training=False))

    def static_tensors(self) -> Iterator[StaticTensor]:
        """Dense latent weights of all layers in use; layers above the active one are storage."""
        for index, (trained, fixed) in enumerate(zip(self._layers, self._fixed, strict=True)):
            number, above, idle = index + 1, index > self._active, index != self._active
            for name, tensor in trained.items():
                yield StaticTensor(f"{name}{number}", tensor, Category.PARAMETERS, storage=above)
            for name, tensor in fixed.items():
                storage = idle if name.startswith("head") else above
                yield StaticTensor(f"{name}{number}", tensor, Category.BUFFERS, storage=storage)
        for name, parameter in self._layers[self._active].items():
            for kind, tensor in self._optimiser.state[parameter].items():
                yield StaticTensor(f"{name}.{kind}", tensor, Category.OPTIMIZER_STATE)
