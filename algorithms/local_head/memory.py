"""The closed form of a step with a head on every hidden layer.

Shape suffixes: B batch, I inputs and O outputs of a layer, C classes.
"""

from __future__ import annotations

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


def plan_parts(plan: MemoryPlan, optimiser: Optimiser, model: Mlp, parts: list[list[Part]]) -> None:
    """The optimiser's states of the hidden layers, one per part."""
    for (inputs, _), layer in zip(model.layers, parts, strict=False):
        for label, units in layer:
            optimiser.plan_static(plan, f"w{label}", (_width(units), inputs))
            optimiser.plan_static(plan, f"b{label}", (_width(units),))


class PlanLocalHead:
    """The closed form of a step: two layers' activations, one error and one part's gradient."""

    def __init__(
        self,
        plan: MemoryPlan,
        optimiser: Optimiser,
        dropout: Dropout,
        model: Mlp,
        *,
        trained: bool,
    ) -> None:
        self._plan = plan
        self._optimiser = optimiser
        self._dropout = dropout
        self._model = model
        self._trained = trained

    def step(self, batch: int, parts: list[list[Part]]) -> None:
        """All layers during the forward pass; ``parts`` per hidden layer."""
        plan = self._plan
        with plan.phase("forward"):
            self._dropout.plan_begin_step(plan)
        below: list[Item] = []
        for number, layer in enumerate(parts, start=1):
            h, error = self._forward(batch, number)
            for label, units in layer:
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
            if number < len(parts):
                with plan.phase("forward"):
                    self._dropout.plan_apply(plan, h.elements)
        plan.free(*below)

    def _forward(self, batch: int, number: int) -> tuple[Item, Item]:
        """A layer's output and its head's error."""
        plan, classes = self._plan, self._model.classes
        inputs, outputs = self._model.layers[number - 1]
        with plan.phase("forward"):
            h = plan.alloc(f"h{number}", (batch, outputs), Category.ACTIVATIONS)
            plan.product(batch, inputs, outputs)
            plan.each(Kind.ADD, h.elements)
            plan.each(Kind.COMPARE, h.elements)
            error = plan.alloc(f"error{number}", (batch, classes), Category.ACTIVATIONS)
            plan.product(batch, outputs, classes)
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
