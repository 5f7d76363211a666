"""The closed form of a TinyFoA step on a locally connected net, as the paper describes it.

Shape suffixes: B batch, P positions, J outputs of a group, K inputs of a slice at one position.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from trainfit.algorithms.memory.operations import Kind, NumberFormat
from trainfit.algorithms.memory.plan import Item, MemoryPlan
from trainfit.algorithms.models import LocallyConnected
from trainfit.algorithms.numerics.batch_norm import (
    count_backward,
    plan_mean_gradients,
    plan_normalise_by_batch,
    plan_normalise_by_running,
)
from trainfit.algorithms.numerics.binary.packing import plan_pack
from trainfit.algorithms.numerics.locally_connected import (
    plan_bit_patches,
    plan_real_patches,
    plan_signed_product,
)
from trainfit.algorithms.numerics.losses import plan_cross_entropy_error
from trainfit.algorithms.numerics.optimisers import Adam
from trainfit.algorithms.phases import Category
from trainfit.algorithms.tinyfoa.described.locally_connected.tiles import Tiles, choose_tiles
from trainfit.algorithms.tinyfoa.grid import Grid


class StepPlan:
    """The tensors of one step, and its arithmetic.

    Args:
        plan: The plan of the step, which has the batch and other static tensors already.
        model: The net.
        grids: Its hidden layers.
        active: The layer that is trained (from 0).
        adam: Its update rule.
        batch: Rows of the batch.
        fused: Whether the slice's gradient is applied some positions at a time.
        popcount: Whether packed operands are multiplied without unpacking.
        frozen_by_batch: Whether layers below are normalised by the batch's statistics.
        cached: Whether the active layer's input is read from storage.
    """

    def __init__(
        self,
        plan: MemoryPlan,
        model: LocallyConnected,
        grids: Sequence[Grid],
        active: int,
        adam: Adam,
        *,
        batch: int,
        fused: bool,
        popcount: bool,
        frozen_by_batch: bool,
        cached: bool,
    ) -> None:
        self._plan = plan
        self._model = model
        self._grids = grids
        self._active = active
        self._adam = adam
        self._batch = batch
        self._fused = fused
        self._popcount = popcount
        self._frozen_by_batch = frozen_by_batch
        self._cached = cached

    def run(self) -> None:
        """Forward, gradient and update of the active layer."""
        plan, batch, classes = self._plan, self._batch, self._model.classes
        grid = self._grids[self._active]
        with plan.phase("forward"):
            below = self._input()
            logits = plan.alloc("logits, then error", (batch, classes), Category.ACTIVATIONS)
            total = self._scalar("sum of outputs")
            for _ in range(grid.groups - 1):
                plan.free(*self._normalised())
            n, deviation = self._normalised()
            plan.scalar()
            plan.each(Kind.MULTIPLY, batch * classes)
            plan.each(Kind.ADD, batch * classes)
            plan.free(total)
        with plan.phase("gradient"):
            plan_cross_entropy_error(plan, batch, classes)
            d_gain, d_shift = self._through_normalisation(n)
            plan.free(logits, deviation)
            d_bias = plan.alloc("db of the slice", (grid.units,), Category.GRADIENTS)
            plan.each(Kind.ADD, n.elements)
            plan.each(Kind.MULTIPLY, n.elements if self._active else 0)
        with plan.phase("update"):
            for gradient in (d_bias, d_gain, d_shift):
                self._adam.plan_apply(plan, gradient.elements)
                plan.each(Kind.COMPARE, 2 * gradient.elements)
                if gradient is d_bias:
                    plan.free(gradient)
            plan.free(d_gain, d_shift)
        self._update_weights()
        with plan.phase("update"):
            plan.free(n, *below)
            self._write_signs()

    # ---- forward ----------------------------------------------------------------------------

    def _input(self) -> list[Item]:
        """Bits and scale of the layer below; nothing for a step's own input."""
        below: list[Item] = []
        for index in range(0 if self._cached else self._active):
            below = self._frozen_layer(index, below)
        return below

    def _frozen_layer(self, index: int, below: list[Item]) -> list[Item]:
        """A layer below the active one; returns its packed output and its scale."""
        plan, grid = self._plan, self._grids[index]
        rows = self._batch * grid.positions
        shape = (grid.groups, rows, grid.outputs)
        bits = plan.alloc(f"h{index + 1}", shape, Category.ACTIVATIONS, bits=1)
        total = self._scalar("sum of outputs")
        normalise = plan_normalise_by_batch if self._frozen_by_batch else plan_normalise_by_running
        for _ in range(grid.groups):
            u = self._preactivation(index, essential=self._frozen_by_batch)
            plan.free(normalise(plan, rows, grid.outputs))
            plan.free(self._scalar("sum of a group"))
            self._count_activation(u.elements)
            plan_pack(plan, rows, grid.outputs, self._tiles(index).pack_rows, comparisons=1)
            plan.free(u)
        plan.scalar()
        plan.free(*below)
        return [bits, total]

    def _normalised(self) -> tuple[Item, Item]:
        """A group of outputs of the active layer and its contribution to the logits."""
        plan, batch, grid = self._plan, self._batch, self._grids[self._active]
        n = self._preactivation(self._active, essential=True)
        deviation = plan_normalise_by_batch(plan, batch * grid.positions, grid.outputs)
        for rows in self._batch_tiles():
            u = self._work("u of some samples", (rows, grid.units))
            plan.free(self._scalar("sum of some samples"), u)
        self._count_activation(n.elements)
        plan.product(batch, grid.units, self._model.classes, NumberFormat.FP32_BINARY)
        return n, deviation

    def _count_activation(self, elements: int) -> None:
        """Gain and shift, rectifier and its sum, sign."""
        for kind in (Kind.MULTIPLY, Kind.ADD, Kind.COMPARE, Kind.ADD, Kind.COMPARE):
            self._plan.each(kind, elements)

    def _preactivation(self, index: int, *, essential: bool) -> Item:
        plan, batch, grid = self._plan, self._batch, self._grids[index]
        shape = (batch, grid.positions, grid.outputs)
        z = plan.alloc(f"z{index + 1}", shape, Category.ACTIVATIONS, essential=essential)
        rows = grid.positions * batch
        binary = NumberFormat.BINARY if index else NumberFormat.FP32_BINARY
        plan.product(rows, grid.fan_in * grid.columns, grid.outputs, binary)
        plan.each(Kind.MULTIPLY, z.elements)
        plan.each(Kind.ADD, z.elements)
        for _ in range(grid.columns):
            if index and self._popcount:
                padded = (grid.segments, grid.inputs)
                plan.free(self._work("patch", padded, bits=1))
                continue
            for some in plan.tiles(grid.positions, self._tiles(index).product_positions):
                patches = self._patches(index, some)
                plan_signed_product(plan, some, grid.outputs, grid.segments, grid.inputs)
                plan.free(patches)
        if index:
            plan.free(self._scalar("product of scales"))
        return z

    def _patches(self, index: int, positions: int) -> Item:
        if index == 0:
            return plan_real_patches(self._plan, positions, self._batch, self._model.shape[0])
        inputs = self._grids[index].inputs
        return plan_bit_patches(self._plan, positions, self._batch, inputs)

    # ---- gradient and update ----------------------------------------------------------------

    def _through_normalisation(self, n: Item) -> tuple[Item, Item]:
        plan, grid = self._plan, self._grids[self._active]
        channels = (grid.outputs,)
        d_gain = plan.alloc("dgain of the slice", channels, Category.GRADIENTS)
        d_shift = plan.alloc("dshift of the slice", channels, Category.GRADIENTS)
        for rows in self._batch_tiles():
            du = self._output_gradient(rows)
            plan.free(self._work("sum over rows", channels))
            plan.free(self._work("sum over rows", channels))
            plan.free(du)
        plan.each(Kind.ADD, 2 * n.elements)
        plan.each(Kind.MULTIPLY, n.elements)
        means = plan_mean_gradients(plan, grid.outputs)
        plan.each(Kind.MULTIPLY, grid.outputs)
        for rows in self._batch_tiles():
            plan.free(self._output_gradient(rows))
        count_backward(plan, n.elements)
        plan.free(*means)
        return d_gain, d_shift

    def _output_gradient(self, rows: int) -> Item:
        plan, grid = self._plan, self._grids[self._active]
        du = self._work("du of some samples", (rows, grid.units))
        plan.free(self._work("u of some samples", (rows, grid.units)))
        plan.product(rows, self._model.classes, grid.units)
        for kind in (Kind.MULTIPLY, Kind.ADD, Kind.COMPARE, Kind.COMPARE):
            plan.each(kind, du.elements)
        return du

    def _update_weights(self) -> None:
        plan, grid = self._plan, self._grids[self._active]
        tile = self._tiles(self._active).gradient_positions
        for positions in plan.tiles(grid.positions, tile if self._fused else grid.positions):
            with plan.phase("gradient"):
                shape = (positions, grid.outputs, grid.fan_in)
                essential = not self._fused
                d_w = plan.alloc("dw of the slice", shape, Category.GRADIENTS, essential=essential)
                hidden = NumberFormat.FP32_BINARY if self._active else NumberFormat.FP32
                plan.product(positions * grid.outputs, self._batch, grid.fan_in, hidden)
                for some in plan.tiles(positions, tile):
                    plan.free(self._patches(self._active, some))
            with plan.phase("update"):
                self._adam.plan_apply(plan, d_w.elements)
                plan.free(d_w)

    def _write_signs(self) -> None:
        """Clip the slice, pack its signs, find the layer's scale."""
        plan, grid = self._plan, self._grids[self._active]
        rows = grid.units * grid.segments
        plan_pack(plan, rows, grid.inputs, self._tiles(self._active).sign_rows, comparisons=1)
        norm = self._scalar("sum of abs")
        plan.scalar()
        plan.free(norm)
        plan.each(Kind.COMPARE, 3 * grid.slice_weights)
        plan.each(Kind.ADD, grid.slice_weights)

    # ---- helpers ----------------------------------------------------------------------------

    def _tiles(self, index: int) -> Tiles:
        return choose_tiles(self._grids, index, self._active, self._batch, fused=self._fused)

    def _batch_tiles(self) -> Iterator[int]:
        return self._plan.tiles(self._batch, self._tiles(self._active).batch_rows)

    def _work(self, name: str, shape: tuple[int, ...], *, bits: int = 32) -> Item:
        return self._plan.alloc(name, shape, Category.WORKSPACE, bits=bits, essential=False)

    def _scalar(self, name: str) -> Item:
        return self._work(name, ())
