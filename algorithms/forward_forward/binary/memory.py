"""The closed form of a step of binarised Forward-Forward.

Passes, labels and classifier are those of the float form; only the layers differ.

Shape suffixes: R rows of a pass, B batch, I inputs and O outputs of a layer, J units of a tile,
b bytes of packed bits.
"""

from __future__ import annotations

from dataclasses import dataclass

from trainfit.algorithms.contract import hold_inputs
from trainfit.algorithms.forward_forward.binary.layers import BinaryLayers
from trainfit.algorithms.forward_forward.binary.output import unit_tile
from trainfit.algorithms.forward_forward.memory import (
    Parts,
    Step,
    count_normalise,
    hold_parts,
    plan_length,
)
from trainfit.algorithms.forward_forward.objective import plan_normalise
from trainfit.algorithms.forward_forward.peers import plan_pull
from trainfit.algorithms.memory.operations import Kind
from trainfit.algorithms.memory.plan import Item, MemoryPlan
from trainfit.algorithms.models import Mlp
from trainfit.algorithms.nets.binary_layer import BinaryLayer
from trainfit.algorithms.numerics.binary.activations import (
    plan_binarise,
    plan_unpack_tiles,
    plan_weight_gradient,
)
from trainfit.algorithms.numerics.binary.packing import plan_unpack
from trainfit.algorithms.numerics.binary.weights import plan_linear
from trainfit.algorithms.numerics.optimisers import Optimiser
from trainfit.algorithms.phases import Category


def plan_binarised(
    model: Mlp, optimiser: Optimiser, batch_size: int, parts: Parts, layers: BinaryLayers
) -> MemoryPlan:
    """The passes of a step, one after the other or both at once."""
    plan = MemoryPlan()
    hold_inputs(plan, model, batch_size)
    for layer in layers.layers:
        layer.plan_static(plan, optimiser)
    hold_parts(plan, model, parts)
    _BinaryStep(plan, model, optimiser, batch_size, parts=parts, layers=layers).run()
    return plan


@dataclass
class _Output:
    """A layer's output: tensors that become the next layer's input, and those that do not."""

    kept: list[Item]
    dropped: list[Item]
    rows: int
    outputs: int

    @property
    def elements(self) -> int:
        return self.rows * self.outputs


class _BinaryStep(Step):
    """The tensors of one step."""

    def __init__(
        self,
        plan: MemoryPlan,
        model: Mlp,
        optimiser: Optimiser,
        batch: int,
        *,
        parts: Parts,
        layers: BinaryLayers,
    ) -> None:
        super().__init__(plan, model, optimiser, batch, parts)
        self._layers = layers.layers
        self._bits = layers.bits
        self._clip = layers.clip

    def _train_layers(
        self, suffix: str, *, owned: Item | None, scale: Item | None, peer: bool
    ) -> None:
        """Every layer's output, gradient and update."""
        plan = self._plan
        rows = self._batch if owned is None else 2 * self._batch
        below = [owned] if owned else []
        for layer in self._layers:
            with plan.phase(f"forward{suffix}"):
                output = self._output(layer, rows, scale)
            with plan.phase(f"gradient{suffix}"):
                factor = self._factors(output, joint=owned is not None)
                pull = self._pull(output) if peer else None
            self._train_layer(layer, output, suffix, scaled=scale is not None, peer=peer)
            plan.free(factor, *([pull] if pull else []), *([scale] if scale else []))
            scale = None
            with plan.phase(f"update{suffix}"):
                if self._clip:
                    layer.plan_clip(plan)
            with plan.phase(f"forward{suffix}"):
                self._normalise(output)
                plan.free(*below, *output.dropped)
                below = output.kept
        plan.free(*below)

    def _output(
        self, layer: BinaryLayer, rows: int, scale: Item | None, *, mask: bool = True
    ) -> _Output:
        """Product, and the activations made from it."""
        plan, weights, number = self._plan, layer.weights, layer.number
        outputs = weights.outputs
        scales = weights.plan_scale(plan)
        if scale and weights.binary:
            product = plan.alloc("scales", (rows, 1), Category.ACTIVATIONS, essential=False)
            plan.each(Kind.MULTIPLY, rows)
            plan.free(*scales)
            scales = [product]
        elif scale:
            plan.each(Kind.MULTIPLY, rows * outputs)
        bits = self._bits and number > 1
        z = plan_linear(plan, f"z{number}", weights, rows, bits=bits, scale_shape=(rows, 1))
        plan.each(Kind.COMPARE, 0 if self._bits else rows * outputs)
        plan.each(Kind.ADD, rows * outputs)  # the sum of squares, or of bits
        if not self._bits:
            plan.each(Kind.MULTIPLY, rows * outputs)
            plan.each(Kind.DIVIDE, rows)
            length = plan.alloc(f"length{number}", (rows,), Category.ACTIVATIONS)
            plan.free(*scales)
            return _Output([z], [length], rows, outputs)
        s, packed, *inside = plan_binarise(plan, f"h{number}", rows, outputs, mask=mask)
        count = plan.alloc(f"bits set in {number}", (rows, 1), Category.ACTIVATIONS)
        plan.workspace("all bits", (1, outputs), bits=1)
        plan.free(z, *scales)
        return _Output([packed, count], [s, *inside], rows, outputs)

    def _factors(self, output: _Output, *, joint: bool) -> Item:
        plan = self._plan
        factor = plan.alloc("factors", (output.rows,), Category.GRADIENTS)
        plan.each(Kind.MULTIPLY, output.rows * (3 if self._bits else 1))
        self._parts.objective.plan_factors(plan, self._batch, joint=joint)
        return factor

    def _spare_rows(self) -> int:
        """None: the peers' pull is added to dz, which exists in tiles."""
        return 0

    def _pull(self, output: _Output) -> Item:
        plan, outputs = self._plan, output.outputs
        pull = plan.alloc("pull", (outputs,), Category.GRADIENTS)
        if self._bits:
            plan.each(Kind.MULTIPLY, outputs)
            plan_unpack_tiles(plan, outputs, output.rows)
        plan_pull(plan, self._batch, outputs)
        return pull

    def _train_layer(
        self, layer: BinaryLayer, output: _Output, suffix: str, *, scaled: bool, peer: bool
    ) -> None:
        """Gradients of some units at a time, applied at once."""
        plan, rows, weights = self._plan, output.rows, layer.weights
        most = unit_tile(rows, weights.inputs, weights.outputs, bits=self._bits)
        for width in plan.tiles(weights.outputs, most):
            with plan.phase(f"gradient{suffix}"):
                d_z = self._dz(rows, width)
                if peer:
                    plan.each(Kind.ADD, self._batch * width)
                d_b = plan.alloc(f"db{layer.number}", (width,), Category.GRADIENTS)
                plan.each(Kind.ADD, rows * width)
                plan.each(Kind.MULTIPLY, rows * width if scaled else 0)
                d_w = plan_weight_gradient(
                    plan,
                    f"dw{layer.number}",
                    (width, weights.inputs),
                    rows,
                    bits=self._bits and layer.number > 1,
                    binary=weights.binary,
                )
                plan.free(d_z)
            with plan.phase(f"update{suffix}"):
                self._optimiser.plan_apply(plan, width)
                self._optimiser.plan_apply(plan, d_w.elements)
                plan.free(d_w, d_b)

    def _dz(self, rows: int, width: int) -> Item:
        """Zeros and ones times a factor per row, or z times it."""
        plan = self._plan
        plan.each(Kind.MULTIPLY, rows * width)
        if self._bits:
            return plan_unpack(plan, rows, width)
        return plan.alloc("dz", (rows, width), Category.GRADIENTS)

    def _normalise(self, output: _Output) -> None:
        plan = self._plan
        if self._bits:
            plan.scalar()
            plan.each(Kind.COMPARE, output.rows)
            plan.each(Kind.DIVIDE, 2 * output.rows)
            plan.each(Kind.MULTIPLY, output.rows)
            return
        plan_normalise(plan)
        count_normalise(plan, output.rows, output.outputs)

    def _activities(self) -> dict[int, list[Item]]:
        plan, batch, head = self._plan, self._batch, self._parts.head
        assert head is not None
        activities: dict[int, list[Item]] = {}
        scale: Item | None = plan_length(plan, batch)
        count_normalise(plan, batch, self._model.inputs)
        below: list[Item] = []
        for layer in self._layers:
            output = self._output(layer, batch, scale, mask=False)
            self._normalise(output)
            plan.free(*below, *output.dropped)
            plan.free(*([scale] if scale else []))
            scale = None
            below = [] if layer.number in head else output.kept
            if layer.number in head:
                activities[layer.number] = output.kept
        return activities
