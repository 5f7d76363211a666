"""The closed form of a backpropagation step on a fully connected net.

Lifetimes follow from the chain rule as autograd runs it: the output of every rectifier is kept (it
is the input of the next product and the rectifier's own mask); a layer's input gradient is made
before its weight gradient; the gradient through a rectifier is a separate tensor.

Shape suffixes: B batch (rows of a micro-batch), I inputs and O outputs of a layer, C classes.
"""

from __future__ import annotations

from trainfit.algorithms.backprop.loss_memory import PlannedLoss
from trainfit.algorithms.contract import hold_inputs
from trainfit.algorithms.memory.operations import Kind
from trainfit.algorithms.memory.plan import Item, MemoryPlan
from trainfit.algorithms.models import Mlp
from trainfit.algorithms.numerics.optimisers import Optimiser
from trainfit.algorithms.options import Loss
from trainfit.algorithms.phases import Category


def plan_held(model: Mlp, optimiser: Optimiser, batch_size: int) -> MemoryPlan:
    """The batch, the parameters and their state: what is there all the time."""
    plan = MemoryPlan()
    hold_inputs(plan, model, batch_size)
    for number, (inputs, outputs) in enumerate(model.layers, start=1):
        for name, shape in ((f"w{number}", (outputs, inputs)), (f"b{number}", (outputs,))):
            plan.hold(name, shape, Category.PARAMETERS)
            optimiser.plan_static(plan, name, shape)
    return plan


def plan_step(
    plan: MemoryPlan,
    model: Mlp,
    optimiser: Optimiser,
    batch_size: int,
    *,
    rows: int,
    loss: Loss,
    segment: int,
    fused: bool,
) -> None:
    """The closed form of one step.

    Args:
        plan: What is there all the time; the step is added.
        model: The net.
        optimiser: Its update rule.
        batch_size: Rows of the batch.
        rows: Rows of a micro-batch.
        loss: The loss of the logits.
        segment: Hidden layers per recomputed segment, 0 for no recomputation.
        fused: Whether a gradient is applied as soon as it exists.
    """
    step = _Step(plan, model, optimiser, loss=loss, segment=segment, fused=fused)
    first = min(rows, batch_size)
    step.micro_batch(first)  # its gradients stay; those of the others are added to them
    for others in plan.tiles(batch_size - first, rows):
        step.micro_batch(others)
    if not fused:
        with plan.phase("update"):
            for number in range(1, len(model.layers) + 1):
                for name in (f"w{number}", f"b{number}"):
                    step.update(name)


class _Step:
    """One step's tensors; gradients stay from micro-batch to micro-batch."""

    def __init__(
        self,
        plan: MemoryPlan,
        model: Mlp,
        optimiser: Optimiser,
        *,
        loss: Loss,
        segment: int,
        fused: bool,
    ) -> None:
        self._plan = plan
        self._model = model
        self._optimiser = optimiser
        self._loss = loss
        self._segment = segment
        self._fused = fused
        self._gradients: dict[str, Item] = {}

    def _segment_of(self, number: int) -> range:
        """The hidden layers recomputed together with layer ``number``; itself alone if none."""
        hidden = len(self._model.hidden)
        if not self._segment:
            return range(number, number + 1)
        first = number - (number - 1) % self._segment
        return range(first, min(first + self._segment - 1, hidden) + 1)

    def _activation(self, number: int, rows: int) -> Item:
        shape = (rows, self._model.sizes[number])
        self._count_linear(number, rows)
        self._plan.each(Kind.COMPARE, rows * shape[1])
        return self._plan.alloc(f"h{number}", shape, Category.ACTIVATIONS)

    def _count_linear(self, number: int, rows: int) -> None:
        inputs, outputs = self._model.layers[number - 1]
        self._plan.product(rows, inputs, outputs)
        self._plan.each(Kind.ADD, rows * outputs)

    def micro_batch(self, rows: int) -> None:
        """Forward and backward over some rows."""
        plan, model = self._plan, self._model
        layers = len(model.layers)
        output = (rows, model.classes)
        kept: dict[int, Item] = {}
        with plan.phase("forward"):
            for number in range(1, layers):
                kept[number] = self._activation(number, rows)
                if number > self._segment_of(number)[0]:
                    plan.free(kept.pop(number - 1))  # inside a segment: recomputed later
            softmax = self._loss is Loss.CROSS_ENTROPY  # which keeps its logarithm instead
            logits = plan.alloc("logits", output, Category.ACTIVATIONS, essential=not softmax)
            self._count_linear(layers, rows)
            loss = PlannedLoss(plan, self._loss, logits)
        with plan.phase("gradient"):
            d_z = loss.backward(f"dz{layers}")
            for number in range(layers, 0, -1):
                d_z = self._linear_backward(number, rows, d_z, kept)
            loss.free()

    def _linear_backward(self, number: int, rows: int, d_z: Item, kept: dict[int, Item]) -> Item:
        """From dz of a layer to its gradients and the dz of the layer below."""
        plan, sizes = self._plan, self._model.sizes
        below = number - 1
        plan.product(sizes[number], rows, sizes[below])
        plan.each(Kind.ADD, rows * sizes[number])
        if below:
            plan.product(rows, sizes[number], sizes[below])
            d_h = plan.alloc(f"dh{below}", (rows, sizes[below]), Category.GRADIENTS)
        made = {
            name: plan.alloc(f"d{name}", shape, Category.GRADIENTS)
            for name, shape in (
                (f"w{number}", (sizes[number], sizes[below])),
                (f"b{number}", (sizes[number],)),
            )
        }
        plan.free(d_z)
        segment = self._segment_of(below)
        recompute = below > 0 and len(segment) > 1 and below == segment[-1]
        if recompute:
            plan.free(kept.pop(below))  # this product was its last use
        for name, gradient in reversed(made.items()):
            if name in self._gradients:
                plan.each(Kind.ADD, gradient.elements)
                plan.free(gradient)  # added to the gradient of earlier rows
            else:
                self._gradients[name] = gradient
            if self._fused:
                with plan.phase("update"):
                    self.update(name)
        if not below:
            return d_z
        if recompute:
            for inner in segment:
                kept[inner] = self._activation(inner, rows)
        d_z = plan.alloc(f"dz{below}", (rows, sizes[below]), Category.GRADIENTS, essential=False)
        plan.each(Kind.COMPARE, d_z.elements)
        plan.hand_over(d_h, d_z)
        plan.free(kept.pop(below))
        return d_z

    def update(self, name: str) -> None:
        """Apply a gradient and free it."""
        gradient = self._gradients.pop(name)
        self._optimiser.plan_apply(self._plan, gradient.elements)
        self._plan.free(gradient)
