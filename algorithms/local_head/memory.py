"""The closed form of a step with a head on every hidden layer.

Shape suffixes: B batch, I inputs and O outputs of a layer, C classes.
"""

from __future__ import annotations

from trainfit.algorithms.local_head.options import Head, LocalHeadOptions
from trainfit.algorithms.memory.operations import Kind
from trainfit.algorithms.memory.plan import Item, MemoryPlan
from trainfit.algorithms.models import Mlp
from trainfit.algorithms.numerics.dropout import Dropout
from trainfit.algorithms.numerics.losses import plan_cross_entropy_error
from trainfit.algorithms.numerics.optimisers import Optimiser
from trainfit.algorithms.phases import Category

Part = tuple[str, slice]
"""Units of a layer that are trained together: the name of their optimiser states, and the units."""


def _width(units: slice) -> int:
    return int(units.stop - units.start)


class PlanLocalHead:
    """The closed form of a step: two layers' activations, one error and one part's gradient."""

    def __init__(
        self,
        plan: MemoryPlan,
        optimiser: Optimiser,
        dropout: Dropout,
        model: Mlp,
        options: LocalHeadOptions,
    ) -> None:
        self._plan = plan
        self._optimiser = optimiser
        self._dropout = dropout
        self._model = model
        self._trained = options.head is Head.TRAINED

    def step(self, batch: int, trained: dict[int, list[Part]]) -> None:
        """The layers below, then the trained ones; their parts by number of the layer."""
        plan = self._plan
        below = self._input(batch, min(trained))
        for number, parts in trained.items():
            h, error = self._forward(batch, number)
            for label, units in parts:
                with plan.phase("gradient"):
                    dz = plan.alloc(f"dz{label}", (batch, _width(units)), Category.GRADIENTS)
                    plan.product(batch, self._model.classes, _width(units))
                    plan.each(Kind.COMPARE, dz.elements)
                self._follow(f"w{label}", dz, self._model.sizes[number - 1])
                plan.free(dz)
            if self._trained:
                self._follow(f"v{number}", error, self._model.sizes[number])
            plan.free(error, *below)
            below = [h]
            if number < max(trained):
                with plan.phase("forward"):
                    self._dropout.plan_apply(plan, h.elements)
        plan.free(*below)

    def _input(self, batch: int, first: int) -> list[Item]:
        """The output of the layers below the first trained one; nothing for the batch itself."""
        plan, below = self._plan, list[Item]()
        with plan.phase("forward"):
            self._dropout.plan_begin_step(plan)
            for number in range(1, first):
                h = self._output(batch, number)
                plan.free(*below)
                below = [h]
            for h in below:
                self._dropout.plan_apply(plan, h.elements)
        return below

    def _output(self, batch: int, number: int) -> Item:
        """A layer's output."""
        plan = self._plan
        inputs, outputs = self._model.layers[number - 1]
        h = plan.alloc(f"h{number}", (batch, outputs), Category.ACTIVATIONS)
        plan.product(batch, inputs, outputs)
        plan.each(Kind.ADD, h.elements)
        plan.each(Kind.COMPARE, h.elements)
        return h

    def _forward(self, batch: int, number: int) -> tuple[Item, Item]:
        """A trained layer's output and its head's error."""
        plan, classes = self._plan, self._model.classes
        with plan.phase("forward"):
            h = self._output(batch, number)
            error = plan.alloc(f"error{number}", (batch, classes), Category.ACTIVATIONS)
            plan.product(batch, self._model.sizes[number], classes)
            if self._trained:  # a fixed head has no bias
                plan.each(Kind.ADD, error.elements)
        with plan.phase("gradient"):
            plan_cross_entropy_error(plan, batch, classes)
        return h, error

    def _follow(self, weight: str, dz: Item, inputs: int) -> None:
        """Update of a bias, then of the weights ``weight``, from the gradient dz."""
        plan, (batch, width) = self._plan, dz.shape
        with plan.phase("update"):
            db = plan.alloc(f"db of {weight}", (width,), Category.GRADIENTS)
            plan.each(Kind.ADD, dz.elements)
            self._optimiser.plan_apply(plan, width)
            plan.free(db)
            self._optimiser.plan_apply_product(plan, weight, (width, inputs), batch)
