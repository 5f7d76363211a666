"""Backpropagation through binary weights and activations, optionally one slice at a time.

The baselines "BP + BW + BA + V" that TinyFoA is compared with (Huang & Aminifar, AAAI 2025), in
closed form. For hidden layer l, with scales alpha_l = mean(abs(W_l)) and s_l = mean(abs(z_l))::

    z_l = alpha_l W^b_l h_{l-1} + b_l              W^b = sign(W)           h_l = s_l 1[z_l > 0]
    dz_l = dh_l 1[0 < z_l < 1]                     dW_l = dz_l h_{l-1}^T 1[abs(W_l) < 1]
    dh_{l-1} = alpha_l W^b_l^T dz_l                db_l = sum dz_l

``weights=float`` uses W instead of alpha W^b and no cut, ``activations=float`` the rectifier for h.
:mod:`trainfit.algorithms.numerics.binary.activations` defines how zeros are binarised. The batch
stays real-valued and the classifier float, as in the released code. With binary weights all
parameters are clipped to [-1, 1] after each update, as in that code; the gradient of a latent
weight at 1 or -1 is cut, so it changes only through its remaining momentum.

For the hidden activations the backward pass needs one bit of h and one of 0 < z < 1 per unit,
instead of the 32 of a float. Pre-activations exist in float32 one layer at a time, because the
scale is a mean over the batch.

``slices=M`` cuts every hidden layer's weights into M x M slices, one pattern per pass:

* ``slice_rule=described``: only slice (i, j) of every hidden layer, of outputs i and inputs j, and
  the biases of outputs i have a gradient and optimiser state. Slices take turns pass by pass in row
  order, and their moments start at zero, as in ``tinyfoa variant=described``. With binary weights
  all other latent weights are in storage and the forward pass reads packed signs.
* ``slice_rule=released``: gradient, state and weights are dense; in pass p (from 1) diagonal block
  p mod M of every hidden layer is restored after the update, while its moments change. TinyFoA's
  released code trains its backpropagation baseline so.

Shape suffixes: B batch, O outputs and I inputs of a layer, J outputs and K inputs of a slice,
C classes, M groups of columns.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch

from trainfit.algorithms.backprop.options import SliceRule
from trainfit.algorithms.contract import StaticTensor
from trainfit.algorithms.models import Mlp
from trainfit.algorithms.models.mlp import linear_init
from trainfit.algorithms.nets.binary_layer import BinaryLayer
from trainfit.algorithms.numerics.binary.activations import (
    Hidden,
    binarise,
    ste_backward_,
    ste_clip_,
    weight_gradient,
)
from trainfit.algorithms.numerics.binary.weights import input_gradient, linear
from trainfit.algorithms.numerics.losses import logit_gradient_
from trainfit.algorithms.numerics.optimisers import Optimiser
from trainfit.algorithms.options import Loss, Precision
from trainfit.algorithms.phases import Category, phase


class BinaryBackprop:
    """The rule of ``backprop`` with any of ``weights``, ``activations`` and ``slices``.

    Args:
        model: The net, with at least one hidden layer and widths that M divides.
        generator: Draws the weights.
        weights: Number format of the hidden layers' weights.
        activations: Number format of the hidden activations.
        slices: M.
        slice_rule: Slices that a pass trains, if M is more than 1.
        loss: The loss of the logits.
        new_optimiser: Makes the update rule; called again when slices change.
        fused: Whether a layer's gradients are applied as soon as they exist.
    """

    def __init__(
        self,
        model: Mlp,
        generator: torch.Generator,
        *,
        weights: Precision,
        activations: Precision,
        slices: int,
        slice_rule: SliceRule,
        loss: Loss,
        new_optimiser: Callable[[], Optimiser],
        fused: bool,
    ) -> None:
        self._model = model
        self._clip = weights is Precision.BINARY
        self._bits = activations is Precision.BINARY
        self._slices = slices
        self._released = slice_rule is SliceRule.RELEASED
        self._frozen = 0
        self._loss = loss
        self._fused = fused
        self._new_optimiser = new_optimiser
        *hidden, last = (
            (number, *linear_init(inputs, outputs, generator))
            for number, (inputs, outputs) in enumerate(model.layers, start=1)
        )
        groups = 1 if self._released else slices
        self._hidden = [BinaryLayer(*layer, groups=groups, binary=self._clip) for layer in hidden]
        self._classifier = BinaryLayer(*last, groups=1, binary=False)
        self._optimisers = [new_optimiser(), new_optimiser()]  # hidden layers', classifier's
        self._classifier.add_to(self._optimisers[1])
        for layer in self._hidden:
            layer.add_to(self._optimisers[0])

    def enter_pass(self, number: int, rate: float) -> None:
        """Choose the slices of pass ``number`` (from 0), and set its learning rate."""
        if self._released:
            self._frozen = (number + 1) % self._slices  # the released code counts passes from 1
        elif self._slices > 1:
            self._optimisers[0] = self._new_optimiser()
            for layer in self._hidden:
                layer.enter_slice(*divmod(number % self._slices**2, self._slices))
                layer.add_to(self._optimisers[0])
        for optimiser in self._optimisers:
            optimiser.lr = rate

    # ---- the step ---------------------------------------------------------------------------

    def step(self, x: torch.Tensor, y: torch.Tensor) -> None:
        """One update from the mean loss of the batch."""
        for optimiser in self._optimisers:
            optimiser.begin_step()
        with torch.no_grad():
            kept: list[Hidden] = [x]
            scales: list[torch.Tensor | None] = []
            with phase("forward"):
                for layer in self._hidden:
                    scales.append(layer.weights.scale())
                    kept.append(self._layer(kept[-1], layer, scales[-1]))
                scales.append(None)
                logits_BC = self._logits(kept[-1])
            with phase("gradient"):
                dz = [
                    logit_gradient_(logits_BC, y, self._loss)
                ]  # of a layer, and soon of the one below
                del logits_BC
            gradients: dict[int, tuple[torch.Tensor, torch.Tensor]] = {}
            for layer in reversed(self._layers):
                h, scale = kept.pop(), scales.pop()
                with phase("gradient"):
                    if kept:
                        dz.append(ste_backward_(input_gradient(dz[0], layer.weights, scale), h))
                    gradients[layer.number] = self._gradients(layer, dz.pop(0), h)
                del h, scale
                if self._fused:
                    self._update(layer, *gradients.pop(layer.number))
            for layer in [] if self._fused else self._layers:
                self._update(layer, *gradients.pop(layer.number))

    @property
    def _layers(self) -> list[BinaryLayer]:
        return [*self._hidden, self._classifier]

    def _layer(
        self, h: Hidden, layer: BinaryLayer, scale: torch.Tensor | None, *, mask: bool = True
    ) -> Hidden:
        """Activations of a hidden layer."""
        z_BO = linear(h, layer.weights, layer.bias_O, scale)
        if not self._bits:
            return z_BO.relu_()
        return binarise(z_BO, self._layers[layer.number].weights.groups, mask=mask)

    def _logits(self, h: Hidden) -> torch.Tensor:
        return linear(h, self._classifier.weights, self._classifier.bias_O, None)

    def _gradients(
        self, layer: BinaryLayer, dz_BO: torch.Tensor, h: Hidden
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Gradients of the active slice and its biases; ``dz_BO`` is overwritten."""
        dz_BJ = dz_BO[:, layer.rows]
        db_J = dz_BJ.sum(0)
        dw_JK = weight_gradient(dz_BJ, h, layer.group, layer.weights.width)
        if layer.weights.binary:
            ste_clip_(dw_JK, layer.weight_JK)
        return dw_JK, db_J

    def _update(self, layer: BinaryLayer, dw_JK: torch.Tensor, db_J: torch.Tensor) -> None:
        optimiser = self._optimiser_of(layer)
        with phase("update"):
            optimiser.apply(f"b{layer.number}", layer.bias, db_J)
            with self._block_kept(layer):
                optimiser.apply(f"w{layer.number}", layer.weight_JK, dw_JK)
            if self._clip:
                layer.clip()

    @contextmanager
    def _block_kept(self, layer: BinaryLayer) -> Iterator[None]:
        """Restore the pass's diagonal block after an update (``slice_rule=released``)."""
        if not self._released or layer is self._classifier:
            yield
            return
        block_JK = layer.block(self._frozen, self._slices)
        kept_JK = block_JK.clone()
        yield
        block_JK.copy_(kept_JK)

    def _optimiser_of(self, layer: BinaryLayer) -> Optimiser:
        return self._optimisers[layer is self._classifier]

    # ---- what is kept -----------------------------------------------------------------------

    def predict(self, x: torch.Tensor) -> torch.Tensor:
        """Logits."""
        h: Hidden = x
        for layer in self._hidden:
            h = self._layer(h, layer, layer.weights.scale(), mask=False)
        return self._logits(h)

    def static_tensors(self) -> Iterator[StaticTensor]:
        """Weights, biases and optimiser state; latent weights of idle slices are storage."""
        for layer in self._layers:
            yield from layer.static_tensors()
        for optimiser in self._optimisers:
            for name, state in optimiser.states():
                yield StaticTensor(name, state, Category.OPTIMIZER_STATE)
