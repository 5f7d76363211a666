"""The closed form of a Forward-Forward step on a fully connected net.

Shape suffixes: R rows of a pass, B batch, I inputs and O outputs of a layer, C classes.
"""

from __future__ import annotations

from dataclasses import dataclass

from trainfit.algorithms.contract import hold_inputs
from trainfit.algorithms.forward_forward.head import FeatureHead
from trainfit.algorithms.forward_forward.labels import (
    plan_hard_negatives,
    plan_labelled,
    plan_random_wrong_labels,
)
from trainfit.algorithms.forward_forward.objective import Objective, plan_normalise
from trainfit.algorithms.forward_forward.peers import plan_pull
from trainfit.algorithms.memory.operations import Kind
from trainfit.algorithms.memory.plan import Item, MemoryPlan
from trainfit.algorithms.models import Mlp
from trainfit.algorithms.numerics.optimisers import Optimiser
from trainfit.algorithms.phases import Category


@dataclass(frozen=True)
class Parts:
    """The parts of a step; see the options of ``forward_forward``."""

    objective: Objective
    joint: bool
    peer: bool
    head: FeatureHead | None
    hard: bool


def plan_with_static(model: Mlp, optimiser: Optimiser, batch_size: int) -> MemoryPlan:
    """A plan that holds the batch, the hidden layers' parameters and the optimiser's state."""
    plan = MemoryPlan()
    hold_inputs(plan, model, batch_size)
    for number, (inputs, outputs) in enumerate(model.layers[:-1], start=1):
        for name, shape in ((f"w{number}", (outputs, inputs)), (f"b{number}", (outputs,))):
            plan.hold(name, shape, Category.PARAMETERS)
            optimiser.plan_static(plan, name, shape)
    return plan


def plan_closed_form(model: Mlp, optimiser: Optimiser, batch_size: int, parts: Parts) -> MemoryPlan:
    """The passes of a step, one after the other or both at once, in place."""
    plan = plan_with_static(model, optimiser, batch_size)
    hold_parts(plan, model, parts)
    Step(plan, model, optimiser, batch_size, parts).run()
    return plan


def hold_parts(plan: MemoryPlan, model: Mlp, parts: Parts) -> None:
    """Tensors kept between steps besides the layers and their optimiser state."""
    if parts.peer:
        hold_peers(plan, model)
    if parts.head:
        parts.head.plan_static(plan)


def hold_peers(plan: MemoryPlan, model: Mlp) -> None:
    """Running mean activities."""
    for number, outputs in enumerate(model.hidden, start=1):
        plan.hold(f"mean activity {number}", (outputs,), Category.BUFFERS)


def plan_length(plan: MemoryPlan, rows: int) -> Item:
    """Row lengths turned into normalising factors; the caller frees the result."""
    length = plan.alloc("row lengths", (rows,), Category.ACTIVATIONS)
    plan_normalise(plan)
    return length


class Step:
    """The tensors of one step."""

    def __init__(
        self, plan: MemoryPlan, model: Mlp, optimiser: Optimiser, batch: int, parts: Parts
    ) -> None:
        self._plan = plan
        self._model = model
        self._optimiser = optimiser
        self._batch = batch
        self._parts = parts

    def run(self) -> None:
        """Neutral pass if there is a classifier, then the positive and the negative pass."""
        plan, batch = self._plan, self._batch
        wrong = self._neutral_pass() if self._parts.head else None
        if self._parts.joint:
            with plan.phase("forward"):
                wrong = wrong or plan_random_wrong_labels(plan, batch)
                shape = (2 * batch + self._spare_rows(), self._model.inputs)
                pair = plan.alloc("inputs of both passes", shape, Category.INPUTS)
                plan.free(plan_length(plan, 2 * batch))
                count_normalise(plan, 2 * batch, self._model.inputs)
            self._train_layers("", owned=pair, scale=None, peer=self._parts.peer)
        else:
            self._pass(".positive", peer=self._parts.peer)
            if wrong is None:
                with plan.phase("forward.negative"):
                    wrong = plan_random_wrong_labels(plan, batch)
            self._pass(".negative", peer=False)
        plan.free(wrong)

    def _spare_rows(self) -> int:
        """Rows behind those of a pass with positive rows, for the peers."""
        return 1 if self._parts.peer else 0

    def _pass(self, suffix: str, *, peer: bool) -> None:
        plan, batch = self._plan, self._batch
        name = f"forward{suffix}"
        saved = plan_labelled(plan, batch, self._model.classes, name)
        with plan.phase(name):
            scale = plan_length(plan, batch)
            count_normalise(plan, batch, self._model.inputs)
        self._train_layers(suffix, owned=None, scale=scale, peer=peer)
        plan.free(saved)

    def _train_layers(
        self, suffix: str, *, owned: Item | None, scale: Item | None, peer: bool
    ) -> None:
        """Every layer's output, gradient and update; at most two outputs are alive."""
        plan = self._plan
        rows = self._batch if owned is None else 2 * self._batch
        spare = self._spare_rows() if peer else 0
        below = owned
        for number, (inputs, outputs) in enumerate(self._model.layers[:-1], start=1):
            with plan.phase(f"forward{suffix}"):
                z = plan.alloc(f"z{number}", (rows + spare, outputs), Category.ACTIVATIONS)
                length = plan.alloc(f"length{number}", (rows,), Category.ACTIVATIONS)
                count_forward(plan, rows, inputs, outputs)
            with plan.phase(f"gradient{suffix}"):
                factor = plan.alloc(f"factor{number}", (rows + spare,), Category.GRADIENTS)
                plan.each(Kind.MULTIPLY, rows)
                self._parts.objective.plan_factors(plan, self._batch, joint=owned is not None)
                if peer:
                    plan_pull(plan, self._batch, outputs)
                    plan.each(Kind.ADD, self._batch * inputs if below else 0)
            self._update(number, rows, suffix, spare=spare, scaled=below is None)
            plan.free(factor, *([scale] if scale else []))
            scale = None
            with plan.phase(f"forward{suffix}"):
                plan_normalise(plan)
                count_normalise(plan, rows, outputs)
                plan.free(*([below] if below else []), length)
                below = z
        plan.free(*([below] if below else []))

    def _update(self, number: int, rows: int, suffix: str, *, spare: int, scaled: bool) -> None:
        plan = self._plan
        inputs, outputs = self._model.layers[number - 1]
        with plan.phase(f"gradient{suffix}"):
            plan.each(Kind.MULTIPLY, rows * (outputs + 1 if scaled else inputs))
            if scaled:
                row = plan.alloc("factor and scale", (rows,), Category.GRADIENTS, essential=False)
                left = plan.alloc("dz1", (rows, outputs), Category.GRADIENTS)
                plan.free(row)
                for kind in (Kind.MULTIPLY, Kind.ADD):
                    plan.each(kind, spare * rows * outputs)
        with plan.phase(f"update{suffix}"):
            self._optimiser.plan_apply_product(plan, f"b{number}", (outputs,), rows + spare)
            inner = rows if scaled else rows + spare
            self._optimiser.plan_apply_product(plan, f"w{number}", (outputs, inputs), inner)
            if scaled:
                plan.free(left)

    def _neutral_pass(self) -> Item | None:
        """Forward with the neutral label, then one step of the classifier."""
        plan, batch, head = self._plan, self._batch, self._parts.head
        assert head is not None
        name = "forward.neutral"
        wrong = None
        saved = plan_labelled(plan, batch, self._model.classes, name)
        with plan.phase(name):
            activities = self._activities()
        plan.free(saved)
        with plan.phase(name):
            error = head.plan_probabilities(plan, batch)
            if self._parts.hard:
                wrong = plan_hard_negatives(plan, batch, self._model.classes)
        with plan.phase("gradient.neutral"):
            head.plan_error(plan, batch)
        with plan.phase("update.neutral"):
            head.plan_learn(plan, batch, activities)
        plan.free(error)
        return wrong

    def _activities(self) -> dict[int, list[Item]]:
        """Normalised outputs of the judging layers, of which the last layer is one."""
        plan, batch, head = self._plan, self._batch, self._parts.head
        assert head is not None
        activities: dict[int, list[Item]] = {}
        scale: Item | None = plan_length(plan, batch)
        count_normalise(plan, batch, self._model.inputs)
        below: Item | None = None
        for number, (inputs, outputs) in enumerate(self._model.layers[:-1], start=1):
            h = plan.alloc(f"h{number}", (batch, outputs), Category.ACTIVATIONS)
            count_forward(plan, batch, inputs, outputs)
            plan.free(*([scale] if scale else []))
            scale = None
            length = plan_length(plan, batch)
            count_normalise(plan, batch, outputs)
            plan.free(*([below] if below else []), length)
            below = None if number in head else h
            if number in head:
                activities[number] = [h]
        return activities


def count_forward(plan: MemoryPlan, rows: int, inputs: int, outputs: int) -> None:
    """The arithmetic of product, bias, rectifier and goodness of one layer."""
    plan.product(rows, inputs, outputs)
    plan.each(Kind.ADD, 2 * rows * outputs)
    plan.each(Kind.COMPARE, rows * outputs)
    plan.each(Kind.MULTIPLY, rows * outputs)
    plan.each(Kind.DIVIDE, rows)


def count_normalise(plan: MemoryPlan, rows: int, width: int) -> None:
    """The arithmetic of rows scaled to a mean square of 1."""
    plan.each(Kind.ADD, rows)
    plan.each(Kind.DIVIDE, rows)
    plan.each(Kind.MULTIPLY, rows + rows * width)
