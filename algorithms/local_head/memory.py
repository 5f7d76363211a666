"""The closed form of a step with a loss on every hidden layer.

Shape suffixes: B batch, I inputs and O outputs of a layer, C classes.
"""

from __future__ import annotations

from dataclasses import dataclass

from trainfit.algorithms.local_head.normalisation import (
    plan_backward,
    plan_predict_forward,
    plan_train_forward,
)
from trainfit.algorithms.local_head.options import Head, LocalHeadOptions, LocalLoss
from trainfit.algorithms.local_head.similarity import (
    plan_directions,
    plan_gradient_matrix,
    plan_row_means,
)
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


@dataclass
class _Outputs:
    """What a layer in training has alive: its output, what normalisation keeps, the head's error.

    Of the similarity loss first the directions and lengths, then what its gradient is made of.
    """

    h: Item
    normalised: list[Item]
    error: list[Item]
    similarity: list[Item]


class PlanLocalHead:
    """The closed form of a step: two layers' activations, one layer's errors, a part's gradient."""

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
        self._options = options

    def step(self, batch: int, trained: dict[int, list[Part]]) -> None:
        """The layers below, then the trained ones; their parts by number of the layer."""
        plan = self._plan
        below = self._input(batch, min(trained))
        for number, parts in trained.items():
            h = self._train(batch, number, parts)
            plan.free(*below)
            below = [h]
            if number < max(trained):
                with plan.phase("forward"):
                    self._dropout.plan_apply(plan, h.elements)
        plan.free(*below)

    def _train(self, batch: int, number: int, parts: list[Part]) -> Item:
        """A layer and what its loss needs; its output stays."""
        plan, (inputs, width) = self._plan, self._model.layers[number - 1]
        layer = self._forward(batch, number)
        self._losses(layer)
        for label, units in parts:
            dh = self._gradient(layer, batch, label, _width(units))
            if layer.normalised:
                self._follow_normalised(f"w{label}", dh, inputs)
            else:
                self._follow(f"w{label}", dh, inputs)
            plan.free(dh)
        if layer.error and self._options.head is Head.TRAINED:
            self._follow(f"v{number}", layer.error[0], width)
        for label, units in parts if self._options.projects else []:
            with plan.phase("update"):
                shape = (_width(units), width)
                self._optimiser.plan_apply_product(plan, f"u{label}", shape, batch)
        plan.free(*layer.normalised, *layer.error, *layer.similarity)
        return layer.h

    # ---- forward ----------------------------------------------------------------------------

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
        """The output of a layer that is not trained."""
        h = self._product(batch, number, f"h{number}")
        if self._options.batch_norm:
            plan_predict_forward(self._plan, h)
        else:
            self._count_activation(h)
        return h

    def _product(self, batch: int, number: int, name: str) -> Item:
        """A layer's output before normalisation and rectifier."""
        inputs, outputs = self._model.layers[number - 1]
        self._plan.product(batch, inputs, outputs)
        return self._plan.alloc(name, (batch, outputs), Category.ACTIVATIONS)

    def _count_activation(self, h: Item) -> None:
        """Bias and rectifier, in place."""
        self._plan.each(Kind.ADD, h.elements)
        self._plan.each(Kind.COMPARE, h.elements)

    def _forward(self, batch: int, number: int) -> _Outputs:
        """A layer in training, the scores of its head, the features that are compared."""
        plan, options = self._plan, self._options
        last = number == len(self._model.hidden)
        with plan.phase("forward"):
            if options.batch_norm:
                n = self._product(batch, number, f"n{number}, then dz")
                h, factor = plan_train_forward(plan, n, f"h{number}")
                layer = _Outputs(h, [n, factor], [], [])
            else:
                layer = _Outputs(self._product(batch, number, f"h{number}"), [], [], [])
                self._count_activation(layer.h)
            if last or options.loss is not LocalLoss.SIM:
                layer.error = [self._scores(layer.h, number)]
            if options.similarity:
                layer.similarity = self._features(layer.h, number)
        return layer

    def _scores(self, h: Item, number: int) -> Item:
        plan, (batch, width), classes = self._plan, h.shape, self._model.classes
        scores = plan.alloc(f"error{number}", (batch, classes), Category.ACTIVATIONS)
        plan.product(batch, width, classes)
        if self._options.head is Head.TRAINED:  # a fixed head has no bias
            plan.each(Kind.ADD, scores.elements)
        return scores

    def _features(self, h: Item, number: int) -> list[Item]:
        """Directions of what is compared, and the reciprocals of their lengths."""
        plan, (batch, width) = self._plan, h.shape
        name = f"directions{number}"
        if self._options.projects:
            plan.product(batch, width, width)
            n = plan.alloc(name, h.shape, Category.ACTIVATIONS)
            plan.free(plan_row_means(plan, batch, width))
        else:
            means = plan_row_means(plan, batch, width)
            n = plan.alloc(name, h.shape, Category.ACTIVATIONS)
            plan.free(means)
        return [n, plan_directions(plan, n)]

    # ---- gradient ---------------------------------------------------------------------------

    def _losses(self, layer: _Outputs) -> None:
        """The gradients with respect to the compared features and to the head's scores."""
        plan, classes = self._plan, self._model.classes
        with plan.phase("gradient"):
            if layer.similarity:
                layer.similarity = self._similarity(*layer.similarity)
            for error in layer.error:
                plan_cross_entropy_error(plan, error.shape[0], classes)

    def _similarity(self, n: Item, inverse: Item) -> list[Item]:
        """The factors of the similarity loss's gradient that are not parameters."""
        plan, (batch, width) = self._plan, n.shape
        m = plan_gradient_matrix(plan, n, self._model.classes)
        if not self._options.projects:
            plan.free(inverse)
            return [m, n]
        dg = plan.alloc("gradient of the features", (batch, width), Category.GRADIENTS)
        plan.product(batch, batch, width)
        plan.free(m, n, inverse)
        return [dg]

    def _gradient(self, layer: _Outputs, batch: int, label: str, width: int) -> Item:
        """The gradient of some units before the rectifier."""
        plan, options = self._plan, self._options
        with plan.phase("gradient"):
            dh = plan.alloc(f"dz{label}", (batch, width), Category.GRADIENTS)
            if layer.similarity:
                plan.product(batch, layer.h.shape[1] if options.projects else batch, width)
            if options.loss is not LocalLoss.SIM:
                plan.product(batch, self._model.classes, width)
            if options.loss is LocalLoss.PREDSIM:
                plan.each(Kind.MULTIPLY, dh.elements)
                plan.each(Kind.ADD, dh.elements)
            plan.each(Kind.COMPARE, dh.elements)
        return dh

    # ---- update -----------------------------------------------------------------------------

    def _follow(self, weight: str, dz: Item, inputs: int) -> None:
        """Update of a bias, then of the weights ``weight``, from the gradient dz."""
        plan, (batch, width) = self._plan, dz.shape
        with plan.phase("update"):
            db = plan.alloc(f"db of {weight}", (width,), Category.GRADIENTS)
            plan.each(Kind.ADD, dz.elements)
            self._optimiser.plan_apply(plan, width)
            plan.free(db)
            self._optimiser.plan_apply_product(plan, weight, (width, inputs), batch)

    def _follow_normalised(self, weight: str, du: Item, inputs: int) -> None:
        """The gradient through the normalisation, then gain, shift and weights."""
        plan, (batch, width) = self._plan, du.shape
        with plan.phase("gradient"):
            gradients = plan_backward(plan, batch, width)
        with plan.phase("update"):
            for gradient in gradients:
                self._optimiser.plan_apply(plan, gradient.elements)
            plan.free(*gradients)
            self._optimiser.plan_apply_product(plan, weight, (width, inputs), batch)
