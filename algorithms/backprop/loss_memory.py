"""The closed form of a loss as autograd runs it: torch's operators, and what each keeps.

* ``cross_entropy``: the logarithm of the softmax is kept, the logits are not.
* ``binary_cross_entropy_with_logits``: the logits and the one-hot label are kept; the logarithm of
  the sigmoid, its buffer and the B C terms of the loss come and go.

Shape suffixes: B batch (rows of a micro-batch), C classes.
"""

from __future__ import annotations

from trainfit.algorithms.memory.operations import Kind
from trainfit.algorithms.memory.plan import Item, MemoryPlan
from trainfit.algorithms.options import Loss
from trainfit.algorithms.phases import Category


class PlannedLoss:
    """The tensors of one loss and of the gradient of its logits.

    Args:
        plan: The plan so far.
        loss: Which loss.
        logits: The logits; the loss frees them.
        held: Whether the caller holds the logits until it has their gradient.
    """

    def __init__(self, plan: MemoryPlan, loss: Loss, logits: Item, *, held: bool = False) -> None:
        self._plan = plan
        self._logits = logits
        self._held = held
        self._softmax = loss is Loss.CROSS_ENTROPY
        self._scalars: list[Item] = []  # the loss and, later, its gradient
        self._weight: list[Item] = []
        self._kept: list[Item] = []  # for the gradient; the first may become it
        if self._softmax:
            self._cross_entropy()
        else:
            self._binary_cross_entropy()

    def backward(self, name: str) -> Item:
        """From the loss to the gradient of the logits, called ``name``."""
        plan, output, each = self._plan, self._logits.shape, self._logits.elements
        self._scalars.append(self._scalar("gradient of the loss"))
        steps = []
        if self._softmax:
            steps.append(plan.alloc("d log softmax", output, Category.GRADIENTS, essential=False))
            plan.free(*self._weight)
        d_z = plan.alloc(name, output, Category.GRADIENTS, essential=False)
        if not self._softmax:
            plan.scalar()
            plan.each(Kind.DIVIDE, each)
        plan.free(*steps)
        plan.hand_over(self._kept[0], d_z)
        plan.free(*self._kept[1:])
        if self._held and self._softmax:
            plan.free(self._logits)
        plan.each(Kind.TRANSCENDENTAL, each)
        plan.each(Kind.MULTIPLY, each)
        plan.each(Kind.ADD, each)
        return d_z

    def free(self) -> None:
        """The loss and its gradient die."""
        self._plan.free(*reversed(self._scalars))

    def _cross_entropy(self) -> None:
        plan, each = self._plan, self._logits.elements
        plan.each(Kind.COMPARE, each)
        plan.each(Kind.ADD, 3 * each)
        plan.each(Kind.TRANSCENDENTAL, each)
        self._kept = [plan.alloc("log softmax", self._logits.shape, Category.ACTIVATIONS)]
        self._scalars = [self._scalar("loss")]
        self._weight = [self._scalar("loss weight")]
        if not self._held:
            plan.free(self._logits)

    def _binary_cross_entropy(self) -> None:
        plan, each = self._plan, self._logits.elements
        target = self._tensor("one-hot label", Category.ACTIVATIONS)
        self._kept = [self._logits, target]
        log_p = self._tensor("log sigmoid", Category.WORKSPACE)
        plan.free(self._tensor("buffer of log sigmoid", Category.WORKSPACE))
        plan.each(Kind.COMPARE, each)
        plan.each(Kind.TRANSCENDENTAL, 2 * each)
        plan.each(Kind.ADD, 2 * each)
        terms = self._tensor("terms of the loss", Category.WORKSPACE)
        plan.each(Kind.ADD, 3 * each)  # (1 - y) a - log sigmoid(a), and their sum
        plan.each(Kind.MULTIPLY, each)
        self._scalars = [self._scalar("loss")]
        plan.scalar()
        plan.each(Kind.DIVIDE, 1)
        plan.free(terms, log_p)

    def _tensor(self, name: str, category: Category) -> Item:
        return self._plan.alloc(name, self._logits.shape, category, essential=False)

    def _scalar(self, name: str) -> Item:
        return self._plan.alloc(name, (), Category.WORKSPACE, essential=False)
