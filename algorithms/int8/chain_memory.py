"""The closed form of a backward pass with INT8 operands; see :mod:`trainfit.algorithms.int8.chain`.

Shape suffixes: B batch, I inputs and O outputs of a layer, T outputs of a tile.
"""

from __future__ import annotations

from trainfit.algorithms.int8.gradients import GradientQuantiser
from trainfit.algorithms.int8.net import (
    PlannedQuantised,
    plan_add_dequantised,
    plan_requantise,
    plan_rescale,
    plan_shut,
    tile_height,
)
from trainfit.algorithms.memory.operations import Kind
from trainfit.algorithms.memory.plan import Item, MemoryPlan
from trainfit.algorithms.models import Mlp
from trainfit.algorithms.numerics.int8.layer import QuantConfig
from trainfit.algorithms.numerics.int8.products import plan_int8_product
from trainfit.algorithms.numerics.int8.quantise import (
    plan_draw_seed,
    plan_quantise_into,
    plan_scale_of,
)
from trainfit.algorithms.numerics.int8.update import plan_move_int8
from trainfit.algorithms.numerics.losses import plan_cross_entropy_error
from trainfit.algorithms.numerics.optimisers import Optimiser
from trainfit.algorithms.options import Rounding
from trainfit.algorithms.phases import Category


class ChainPlan:
    """One step's tensors after the forward pass.

    Args:
        plan: The plan so far.
        model: The net.
        optimiser: Updates biases, and weights if they are latent.
        quantiser: Quantises gradients to INT8.
        batch: Rows of the batch.
        latent: Whether float32 weights are kept besides their INT8 copies.
        whole: Whether a layer's weight gradient exists at once.
    """

    def __init__(
        self,
        plan: MemoryPlan,
        model: Mlp,
        optimiser: Optimiser,
        quantiser: GradientQuantiser,
        batch: int,
        *,
        latent: bool,
        whole: bool,
    ) -> None:
        self._plan = plan
        self._model = model
        self._optimiser = optimiser
        self._quantiser = quantiser
        self._batch = batch
        self._latent = latent
        self._whole = whole

    def backward(self, kept: list[PlannedQuantised], error: Item) -> None:
        """From the logits' error to the last update.

        Args:
            kept: The inputs of all layers, that of the net first.
            error: The logits, which become the error.
        """
        plan, layers = self._plan, len(self._model.layers)
        with plan.phase("gradient"):
            plan_cross_entropy_error(plan, self._batch, self._model.classes)
            if self._quantiser.rounding is Rounding.STOCHASTIC:
                plan_draw_seed(plan)
            above = self._round(layers)
            plan.free(error)
        for number in range(layers, 0, -1):
            d, h = above, kept.pop()
            if number > 1:
                with plan.phase("gradient"):
                    dz = self._pass_down(number)
                    above = self._round(number - 1)
                    plan.free(dz)
            self._update(number)
            plan.free(*d, *h)

    def _round(self, number: int) -> list[Item]:
        outputs = self._model.sizes[number]
        db = self._plan.alloc(f"db{number}", (outputs,), Category.GRADIENTS)
        self._plan.each(Kind.ADD, self._batch * outputs)
        return [db, *self._quantiser.plan_quantise(self._plan, self._batch, number)]

    def _pass_down(self, number: int) -> Item:
        inputs, outputs = self._model.layers[number - 1]
        dz = self._plan.alloc(f"dz{number - 1}", (self._batch, inputs), Category.GRADIENTS)
        plan_int8_product(
            self._plan, self._batch, outputs, inputs, pairs=True, kernel=self._quantiser.kernel
        )
        plan_rescale(self._plan, self._batch, inputs)
        plan_shut(self._plan, self._batch, inputs)
        return dz

    def _update(self, number: int) -> None:
        plan = self._plan
        with plan.phase("update"):
            self._optimiser.plan_apply(plan, self._model.sizes[number])
        if self._latent:
            self._move_latent(number)
        else:
            self._move_integers(number)

    def _move_latent(self, number: int) -> None:
        plan, (inputs, outputs) = self._plan, self._model.layers[number - 1]
        for rows in plan.tiles(outputs, self._tile_rows(number)):
            dw = self._weight_gradient(number, rows)
            with plan.phase("update"):
                self._optimiser.plan_apply(plan, dw.elements)
            plan.free(dw)
        with plan.phase("update"):
            plan_requantise(plan, outputs, inputs, self._quantiser.kernel)

    def _move_integers(self, number: int) -> None:
        plan, (inputs, outputs) = self._plan, self._model.layers[number - 1]
        rounding, kernel = self._quantiser.rounding, self._quantiser.kernel
        if not self._whole:
            with plan.phase("update"):
                plan.workspace("product of scales", (1,))
                way = QuantConfig(rounding, kernel)
                plan_move_int8(plan, self._batch, (outputs, inputs), way)
            return
        w = self._weight_gradient(number, outputs)
        with plan.phase("update"):
            plan.scalar()
            plan.each(Kind.MULTIPLY, w.elements)
            plan_add_dequantised(plan, outputs, inputs, -(-tile_height(outputs, inputs) // 4))
            plan.free(plan_scale_of(plan, outputs, inputs, Category.WORKSPACE))
            plan_quantise_into(plan, *w.shape, rounding=rounding, kernel=kernel)
        plan.free(w)

    def _tile_rows(self, number: int) -> int:
        """Rows of the weights that are updated at a time."""
        inputs, outputs = self._model.layers[number - 1]
        return outputs if self._whole else tile_height(outputs, inputs)

    def _weight_gradient(self, number: int, rows: int) -> Item:
        plan, (inputs, outputs) = self._plan, self._model.layers[number - 1]
        with plan.phase("gradient"):
            copy = []
            if rows < outputs and self._batch > 1:  # otherwise it is contiguous already
                shape = (self._batch, rows)
                copy = [plan.alloc("columns", shape, Category.WORKSPACE, bits=8, essential=False)]
            # Not essential: an element could be applied as soon as it is summed up.
            shape = (rows, inputs)
            dw = plan.alloc(f"dw{number}", shape, Category.GRADIENTS, essential=False)
            plan_int8_product(
                plan, rows, self._batch, inputs, pairs=True, kernel=self._quantiser.kernel
            )
            plan_rescale(plan, rows, inputs, scales=rows if self._quantiser.channels else 1)
            plan.free(*copy)
        return dw
