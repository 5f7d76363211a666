"""Parts of the closed form of TinyFoA's released code that do not depend on the architecture.

Binarised weights are float32 tensors besides the latent ones, the straight-through cut makes masks
and their float32 copies, and Adam makes two temporaries of the weight's size.
"""

from __future__ import annotations

from trainfit.algorithms.memory.operations import Kind, NumberFormat
from trainfit.algorithms.memory.plan import Item, MemoryPlan
from trainfit.algorithms.phases import Category


def count_head_error(plan: MemoryPlan, batch: int, classes: int) -> None:
    """The arithmetic of softmax and its error."""
    plan.each(Kind.COMPARE, batch * classes)
    plan.each(Kind.ADD, 2 * batch * classes + batch)
    plan.each(Kind.TRANSCENDENTAL, batch * classes)
    plan.each(Kind.DIVIDE, batch * classes)
    plan.each(Kind.MULTIPLY, batch * classes)


class ReleasedPlan:
    """A plan, with the tensors of autograd's and Adam's operations."""

    def __init__(self, plan: MemoryPlan, batch: int, classes: int, *, decays: bool) -> None:
        self._plan = plan
        self._batch = batch
        self._classes = classes
        self._decays = decays

    def _scalar(self, name: str) -> Item:
        return self._plan.alloc(name, (), Category.WORKSPACE, essential=False)

    def _activation(self, name: str, shape: tuple[int, ...], *, essential: bool = False) -> Item:
        return self._plan.alloc(name, shape, Category.ACTIVATIONS, essential=essential)

    def _gradient(self, name: str, shape: tuple[int, ...], *, essential: bool = True) -> Item:
        return self._plan.alloc(name, shape, Category.GRADIENTS, essential=essential)

    def _hold_adam(self, parameters: dict[str, tuple[int, ...]]) -> None:
        """``torch.optim.Adam``'s state."""
        for name, shape in parameters.items():
            self._plan.hold(f"{name}.step", (), Category.OPTIMIZER_STATE)
            self._plan.hold(f"{name}.exp_avg", shape, Category.OPTIMIZER_STATE)
            self._plan.hold(f"{name}.exp_avg_sq", shape, Category.OPTIMIZER_STATE)

    def _binarise(self, name: str, shape: tuple[int, ...], bits: int) -> Item:
        """mean(abs(t)) sign(t), which needs one bit per element and takes thirty-two."""
        plan = self._plan
        binary = plan.alloc(f"sign({name})", shape, Category.ACTIVATIONS, bits=bits, stored_bits=32)
        absolute = self._activation(f"abs({name})", shape)
        mean = self._scalar("mean(abs)")
        plan.scalar()
        plan.free(absolute, mean)
        elements = binary.elements
        plan.each(Kind.COMPARE, elements)
        plan.each(Kind.ADD, elements)
        plan.each(Kind.MULTIPLY, elements)
        return binary

    def _loss(self, inner: int) -> tuple[Item, Item, Item]:
        """The head's product and the cross-entropy; returns loss, its weight and log softmax."""
        output = (self._batch, self._classes)
        logits = self._activation("logits", output)
        self._plan.product(self._batch, inner, self._classes, NumberFormat.FP32_BINARY)
        log_p = self._activation("log softmax", output, essential=True)
        loss, weight = self._scalar("loss"), self._scalar("loss weight")
        self._plan.free(logits)
        return loss, weight, log_p

    def _head_backward(self, outputs: int, loss_weight: Item, log_p: Item) -> Item:
        """From the loss through the fixed head to the gradient of its input."""
        plan = self._plan
        d_log = self._gradient("d log softmax", log_p.shape, essential=False)
        plan.free(loss_weight)
        d_logits = self._gradient("d logits", log_p.shape, essential=False)
        plan.free(d_log)
        plan.hand_over(log_p, d_logits)
        count_head_error(plan, self._batch, self._classes)
        plan.product(self._batch, self._classes, outputs)
        d_h = self._gradient("dh", (self._batch, outputs))
        plan.free(d_logits)
        return d_h

    def _cut(self, name: str, gradient: Item, saved: Item | None) -> Item:
        """The straight-through cut: ``gradient`` and the saved tensor die."""
        plan = self._plan
        absolute = self._gradient(f"abs({name})", gradient.shape, essential=False)
        plan.each(Kind.COMPARE, gradient.elements)
        plan.each(Kind.MULTIPLY, gradient.elements)
        with plan.number():
            mask = plan.alloc(
                f"abs({name}) < 1",
                gradient.shape,
                Category.GRADIENTS,
                bits=1,
                stored_bits=8,
                essential=False,
            )
        plan.free(absolute)
        copy = plan.alloc("mask as float32", gradient.shape, Category.WORKSPACE, essential=False)
        cut = self._gradient(f"d{name}", gradient.shape, essential=False)
        plan.free(copy, mask)
        if gradient.essential:
            plan.hand_over(gradient, cut)
        else:
            plan.free(gradient)
        plan.free(*([saved] if saved else []))
        return cut

    def _update(self, block: tuple[int, ...], gradients: list[Item]) -> None:
        """Adam's step with a block of the weights restored, and the clip."""
        plan = self._plan
        kept = plan.alloc("block put back", block, Category.WORKSPACE, essential=False)
        self._adam([gradient.shape for gradient in gradients])
        plan.each(Kind.COMPARE, 2 * sum(gradient.elements for gradient in gradients))  # the clip
        plan.free(kept, *gradients)

    def _adam(self, shapes: list[tuple[int, ...]]) -> None:
        """``torch.optim.Adam``, one tensor after the other; a denominator lives until the next.

        With weight decay it makes another gradient, which lives until the next tensor's turn.
        """
        plan = self._plan
        previous: Item | None = None
        decayed: Item | None = None
        for shape in shapes:
            plan.free(*([decayed] if decayed else []))
            plan.scalar()
            if self._decays:
                decayed = plan.alloc("decayed gradient", shape, Category.WORKSPACE, essential=False)
                plan.each(Kind.MULTIPLY, decayed.elements)
                plan.each(Kind.ADD, decayed.elements)
            plan.scalar()
            root = plan.alloc("sqrt(v)", shape, Category.WORKSPACE, essential=False)
            with plan.number():
                divided = plan.alloc("denominator", shape, Category.WORKSPACE, essential=False)
            elements = divided.elements
            plan.each(Kind.MULTIPLY, 4 * elements)
            plan.each(Kind.ADD, 5 * elements)
            plan.each(Kind.DIVIDE, 3 * elements)
            plan.free(root)
            plan.scalar()
            plan.free(*([previous] if previous else []))
            previous = divided
        plan.free(*([previous] if previous else []), *([decayed] if decayed else []))
