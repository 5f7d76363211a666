"""The closed form of a step of backpropagation through binary weights and activations.

Shape suffixes: B batch, O outputs and I inputs of a layer, J outputs and K inputs of a slice.
"""

from __future__ import annotations

from trainfit.algorithms.contract import hold_inputs
from trainfit.algorithms.memory.operations import Kind
from trainfit.algorithms.memory.plan import Item, MemoryPlan
from trainfit.algorithms.models import Mlp
from trainfit.algorithms.nets.binary_layer import BinaryLayer
from trainfit.algorithms.numerics.binary.activations import (
    plan_binarise,
    plan_through,
    plan_weight_gradient,
)
from trainfit.algorithms.numerics.binary.weights import plan_input_gradient, plan_linear
from trainfit.algorithms.numerics.losses import plan_logit_gradient
from trainfit.algorithms.numerics.optimisers import Optimiser
from trainfit.algorithms.options import Loss
from trainfit.algorithms.phases import Category


def plan_step(
    model: Mlp,
    layers: list[tuple[BinaryLayer, Optimiser]],
    batch_size: int,
    *,
    loss: Loss,
    bits: bool,
    clip: bool,
    fused: bool,
    blocks: int,
) -> MemoryPlan:
    """The closed form of one step.

    Args:
        model: The net.
        layers: Every layer, the classifier last, with its update rule.
        batch_size: Rows of the batch.
        loss: The loss of the logits.
        bits: Whether hidden activations are binary.
        clip: Whether parameters are clipped after an update.
        fused: Whether a layer's gradients are applied as soon as they exist.
        blocks: M if a diagonal block of an M x M grid is restored after the update, else 0.
    """
    plan = MemoryPlan()
    hold_inputs(plan, model, batch_size)
    for layer, optimiser in layers:
        layer.plan_static(plan, optimiser)
    _Step(plan, layers, batch_size, bits=bits, clip=clip, blocks=blocks).run(loss, fused=fused)
    return plan


class _Step:
    """The tensors of one step."""

    def __init__(
        self,
        plan: MemoryPlan,
        layers: list[tuple[BinaryLayer, Optimiser]],
        batch: int,
        *,
        bits: bool,
        clip: bool,
        blocks: int,
    ) -> None:
        self._plan = plan
        self._layers = layers
        self._batch = batch
        self._bits = bits
        self._clip = clip
        self._blocks = blocks
        self._gradients: list[tuple[Item, Item]] = []  # of weights and biases, the last layer first

    def run(self, loss: Loss, *, fused: bool) -> None:
        """Forward, backward and update."""
        plan, batch = self._plan, self._batch
        classes = self._layers[-1][0].weights.outputs
        kept: list[list[Item]] = []
        with plan.phase("forward"):
            scales = [self._layer(kept, number) for number in range(1, len(self._layers))]
            logits = self._linear(len(self._layers), "logits, then error")
        with plan.phase("gradient"):
            plan_logit_gradient(plan, batch, classes, loss)
        d_z = logits
        for number in range(len(self._layers), 0, -1):
            with plan.phase("gradient"):
                d_z = self._backward(number, d_z, kept)
            plan.free(*(scales.pop() if number < len(self._layers) else []))
            if fused:
                self._update(number)
        for number in range(1, 1 if fused else len(self._layers) + 1):
            self._update(number)

    def _reads_bits(self, number: int) -> bool:
        """Whether layer ``number`` reads bits; the first one reads the batch."""
        return self._bits and number > 1

    def _linear(self, number: int, name: str) -> Item:
        weights, bits = self._layers[number - 1][0].weights, self._reads_bits(number)
        return plan_linear(self._plan, name, weights, self._batch, bits=bits)

    def _layer(self, kept: list[list[Item]], number: int) -> list[Item]:
        """A hidden layer; adds its activations to ``kept``, returns the scale of its weights."""
        plan, weights = self._plan, self._layers[number - 1][0].weights
        scale = weights.plan_scale(plan)
        if not self._bits:
            h = self._linear(number, f"h{number}")
            plan.each(Kind.COMPARE, h.elements)
            kept.append([h])
            return scale
        z = self._linear(number, f"z{number}")
        groups = self._layers[number][0].weights.groups
        kept.append(plan_binarise(plan, f"h{number}", self._batch, weights.outputs, groups))
        plan.free(z)
        return scale

    def _backward(self, number: int, d_z: Item, kept: list[list[Item]]) -> Item:
        """From dz of a layer to the dz of the layer below and to its own gradients."""
        plan, batch, layer = self._plan, self._batch, self._layers[number - 1][0]
        weights, (height, width) = layer.weights, layer.weight_JK.shape
        below = d_z
        if number > 1:
            name = f"dh{number - 1}, then dz{number - 1}"
            below = plan_input_gradient(plan, name, weights, batch)
            plan_through(plan, batch, weights.inputs, bits=self._bits)
        d_b = plan.alloc(f"db{number}", (height,), Category.GRADIENTS)
        plan.each(Kind.ADD, batch * height)
        d_w = plan_weight_gradient(
            plan,
            f"dw{number}",
            (height, width),
            batch,
            bits=self._reads_bits(number),
            binary=weights.binary,
        )
        self._gradients.append((d_w, d_b))
        plan.free(d_z, *(kept.pop() if number > 1 else []))
        return below

    def _update(self, number: int) -> None:
        plan = self._plan
        layer, optimiser = self._layers[number - 1]
        with plan.phase("update"):
            d_w, d_b = self._gradients.pop()
            optimiser.plan_apply(plan, d_b.elements)
            if self._blocks and number < len(self._layers):
                height, width = (extent // self._blocks for extent in d_w.shape)
                block = plan.alloc(
                    "block put back", (height, width), Category.WORKSPACE, essential=False
                )
                optimiser.plan_apply(plan, d_w.elements)
                plan.free(block)
            else:
                optimiser.plan_apply(plan, d_w.elements)
            if self._clip:
                layer.plan_clip(plan)
            plan.free(d_w, d_b)
