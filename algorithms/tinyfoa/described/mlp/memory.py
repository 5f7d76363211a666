"""The closed form of a TinyFoA step as the paper describes it.

Shape suffixes: B batch, I inputs and O outputs of a layer, J outputs and K inputs of a slice,
C classes, M slices per side.
"""

from __future__ import annotations

from trainfit.algorithms.memory.operations import Kind, NumberFormat
from trainfit.algorithms.memory.plan import Item, MemoryPlan
from trainfit.algorithms.models import Mlp
from trainfit.algorithms.numerics.binary.activations import plan_mean_abs
from trainfit.algorithms.numerics.binary.lookups import plan_workspace
from trainfit.algorithms.numerics.binary.packing import plan_pack, plan_unpack
from trainfit.algorithms.numerics.losses import plan_cross_entropy_error
from trainfit.algorithms.numerics.optimisers import Adam
from trainfit.algorithms.phases import Category
from trainfit.algorithms.tinyfoa.described.mlp.tiles import Tiles, choose_tiles
from trainfit.algorithms.tinyfoa.features import plan_read


class StepPlan:
    """The tensors of one step, and its arithmetic.

    Args:
        plan: The plan of the step, which has the batch and other static tensors already.
        model: The net.
        active: The layer that is trained (from 0).
        slices: M.
        adam: Its update rule.
        batch: Rows of the batch.
        fused: Whether the slice's gradient is applied some rows at a time.
        popcount: Whether packed operands are multiplied without unpacking.
        cached: Whether the active layer's input is read from storage.
    """

    def __init__(
        self,
        plan: MemoryPlan,
        model: Mlp,
        active: int,
        slices: int,
        adam: Adam,
        *,
        batch: int,
        fused: bool,
        popcount: bool,
        cached: bool,
    ) -> None:
        self._plan = plan
        self._model = model
        self._active = active
        self._slices = slices
        self._adam = adam
        self._batch = batch
        self._fused = fused
        self._popcount = popcount
        self._cached = cached

    def _tiles(self, index: int) -> Tiles:
        return choose_tiles(
            self._model,
            index,
            self._active,
            self._batch,
            self._slices,
            fused=self._fused,
            compiled=self._popcount,
        )

    def _pack(self, height: int, columns: int, rows: int, *, comparisons: int = 1) -> None:
        """Nothing if compiled; otherwise bools, ``rows`` rows at a time."""
        if not self._popcount:
            plan_pack(self._plan, height, columns, rows, comparisons)

    def run(self) -> None:
        """Forward, gradient and update of the active layer."""
        plan, batch, classes, active = self._plan, self._batch, self._model.classes, self._active
        inputs, outputs = self._model.layers[active]
        height, width = outputs // self._slices, inputs // self._slices
        tiles = self._tiles(active)
        with plan.phase("forward"):
            below = self._input()
            z = self._preactivation(active, hidden=active > 0)
            scale = plan_mean_abs(plan, batch * outputs)
            inside = self._activation("0 < z < 1 of the slice", (batch, height), bits=1)
            self._pack(batch, height, tiles.pack_rows, comparisons=2)
            plan.each(Kind.COMPARE, batch * (2 * height + outputs))
            plan.product(batch, outputs, classes, NumberFormat.FP32_BINARY)
            plan.each(Kind.MULTIPLY, batch * classes)
            error = self._activation("logits, then error", (batch, classes))
            plan.free(z, scale)
        with plan.phase("gradient"):
            plan_cross_entropy_error(plan, batch, classes)
            plan.product(batch, classes, height)
            plan.each(Kind.MULTIPLY, batch * height)
            d_z = plan.alloc("dz of the slice", (batch, height), Category.GRADIENTS)
            plan.free(error)
            for rows in plan.tiles(batch, tiles.mask_rows):
                plan.free(plan_unpack(plan, rows, height))
            plan.free(inside)
            d_b = plan.alloc("db of the slice", (height,), Category.GRADIENTS)
            plan.each(Kind.ADD, batch * height)
            plan.each(Kind.MULTIPLY, batch * height if active else 0)
        with plan.phase("update"):
            self._adam.plan_apply(plan, height)
            plan.each(Kind.COMPARE, 2 * height)
            plan.free(d_b)
        for rows in plan.tiles(height, tiles.gradient_rows):
            with plan.phase("gradient"):
                d_w = plan.alloc(
                    "dw of the slice", (rows, width), Category.GRADIENTS, essential=not self._fused
                )
                binary = NumberFormat.FP32_BINARY if active else NumberFormat.FP32
                plan.product(rows, batch, width, binary)
                if active:
                    self._read_bits(batch, width, tiles)
            with plan.phase("update"):
                self._adam.plan_apply(plan, rows * width)
                plan.free(d_w)
        with plan.phase("update"):
            plan.free(d_z, *below)
            self._write_signs(height, width, tiles)

    def _input(self) -> list[Item]:
        """Items of the active layer's input: bits and scale, nothing for the batch itself."""
        if self._cached and self._active:
            width = self._model.layers[self._active][0] // self._slices
            return plan_read(self._plan, self._batch, self._slices, width)
        below: list[Item] = []
        for index in range(self._active):
            below = self._frozen_layer(index, below)
        return below

    def _write_signs(self, height: int, width: int, tiles: Tiles) -> None:
        """Clip the slice, pack its signs, find the layer's scale."""
        plan = self._plan
        self._pack(height, width, tiles.sign_rows)
        plan.free(plan_mean_abs(plan, height * width))
        plan.each(Kind.COMPARE, 3 * height * width)

    def _activation(self, name: str, shape: tuple[int, ...], *, bits: int = 32) -> Item:
        return self._plan.alloc(name, shape, Category.ACTIVATIONS, bits=bits)

    def _frozen_layer(self, index: int, below: list[Item]) -> list[Item]:
        """A layer below the active one; returns its packed output and its scale."""
        plan, batch = self._plan, self._batch
        outputs = self._model.layers[index][1]
        tiles = self._tiles(index)
        width = outputs // self._slices
        z = self._preactivation(index, hidden=bool(below))
        scale = plan_mean_abs(plan, batch * outputs)
        plan.free(*below[1:])
        bits = self._activation(f"h{index + 1}", (self._slices, batch, width), bits=1)
        plan.free(*below[:1])
        for _ in range(self._slices):
            self._pack(batch, width, tiles.pack_rows)
            plan.each(Kind.COMPARE, batch * width)
        plan.free(z)
        return [bits, scale]

    def _preactivation(self, index: int, *, hidden: bool) -> Item:
        plan, batch = self._plan, self._batch
        inputs, outputs = self._model.layers[index]
        tiles = self._tiles(index)
        width = inputs // self._slices
        z = self._activation(f"z{index + 1}", (batch, outputs))
        binary = NumberFormat.BINARY if hidden else NumberFormat.FP32_BINARY
        plan.product(batch, inputs, outputs, binary)
        plan.each(Kind.MULTIPLY, batch * outputs)
        plan.each(Kind.ADD, batch * outputs)
        if not hidden and tiles.weight_groups:
            plan.free(*plan_workspace(plan, tiles.weight_groups, outputs))
            return z
        if not hidden:
            plan.free(plan.alloc("row sums", (batch,), Category.ACTIVATIONS, essential=False))
            for _ in range(self._slices):
                self._unpack_rows(outputs, tiles.weight_rows, width)
            return z
        if not self._popcount:
            for _ in range(self._slices):
                for columns in plan.tiles(width, tiles.columns):
                    h = plan_unpack(plan, batch, columns)
                    self._unpack_rows(outputs, tiles.tile_rows, columns)
                    plan.workspace("row sums", (batch,))
                    plan.free(h)
        plan.workspace("product of scales", ())
        return z

    def _unpack_rows(self, outputs: int, rows: int, columns: int) -> None:
        for some in self._plan.tiles(outputs, rows):
            self._plan.free(plan_unpack(self._plan, some, columns))

    def _read_bits(self, batch: int, width: int, tiles: Tiles) -> None:
        """The workspace of the gradient's product with bits."""
        plan = self._plan
        if tiles.gradient_groups:
            plan.free(*plan_workspace(plan, tiles.gradient_groups, width))
            return
        for columns in plan.tiles(width, tiles.gradient_columns):
            plan.free(plan_unpack(plan, batch, columns))
