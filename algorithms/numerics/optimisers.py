"""Optimisers that work in place, with no temporary larger than one tile.

The update rules are those of ``torch.optim.SGD`` (momentum, weight decay, Nesterov) and
``torch.optim.Adam`` (weight decay). Weight decay is the gradient of an L2 penalty, as there: ``g <-
g + weight_decay p`` before anything else is done with g (Adam's second moment sees it, too; that is
not AdamW). It applies to every parameter that the optimiser is given, biases too. State is
allocated when a parameter is added, so it is static from the first step on.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Iterator

import torch

from trainfit.algorithms.memory.operations import Kind
from trainfit.algorithms.memory.plan import MemoryPlan
from trainfit.algorithms.numerics.lazy_kernels import adam_kernel
from trainfit.algorithms.numerics.shrinking import Shrinking
from trainfit.algorithms.options import OptimizerName
from trainfit.algorithms.phases import Category, tag

_TILE_MOST = 16384  # elements; 64 KiB of float32 stays in a first- or second-level cache
_TILE_LEAST = 64
_TILES = 16  # a tile is at most this fraction of the parameter, so that it never sets the peak


class Optimiser(ABC):
    """Keeps state per parameter and applies gradients in place.

    Attributes:
        lr: Learning rate; a schedule may change it between steps.
        weight_decay: Factor of a parameter that is added to its gradient.
    """

    def __init__(self, lr: float, weight_decay: float = 0.0) -> None:
        self.lr = lr
        self.weight_decay = weight_decay
        self._states: dict[str, dict[str, torch.Tensor]] = {}

    @abstractmethod
    def add(self, name: str, parameter: torch.Tensor) -> None:
        """Allocate the state of a parameter; adding it again resets the state."""

    @abstractmethod
    def begin_step(self) -> None:
        """Count a step; call once before the first ``apply`` of a step."""

    @abstractmethod
    def apply(self, name: str, parameter: torch.Tensor, gradient: torch.Tensor) -> None:
        """Update a parameter, contiguous and of the gradient's shape, in place.

        The gradient may be overwritten.
        """

    @abstractmethod
    def apply_rows(
        self, name: str, parameter: torch.Tensor, gradient: torch.Tensor, rows: slice
    ) -> None:
        """The update of some rows of a matrix; ``gradient`` holds those rows only."""

    def apply_product(
        self, name: str, parameter: torch.Tensor, left: torch.Tensor, right: torch.Tensor
    ) -> None:
        """Apply the gradient ``left @ right`` given by its factors; here by computing it."""
        self.apply(name, parameter, tag(left @ right, Category.GRADIENTS, f"d{name}"))

    def states(self) -> Iterator[tuple[str, torch.Tensor]]:
        """(name, tensor) of every piece of state."""
        for parameter, state in self._states.items():
            for kind, tensor in state.items():
                yield f"{parameter}.{kind}", tensor

    @abstractmethod
    def plan_static(self, plan: MemoryPlan, name: str, shape: tuple[int, ...]) -> None:
        """The closed form of ``add``."""

    @abstractmethod
    def plan_apply(self, plan: MemoryPlan, elements: int) -> None:
        """The closed form of ``apply``."""

    def plan_apply_product(
        self, plan: MemoryPlan, name: str, shape: tuple[int, ...], inner: int
    ) -> None:
        """The closed form of ``apply_product`` for a sum over ``inner`` rows."""
        _count_product(plan, shape, inner)
        gradient = plan.alloc(f"d{name}", shape, Category.GRADIENTS)
        self.plan_apply(plan, gradient.elements)
        plan.free(gradient)


class Sgd(Optimiser):
    """g <- g + weight_decay p;  m <- momentum m + g;  p <- p - lr m.

    Without momentum there is no m and ``p <- p - lr g``. With ``nesterov``, ``p <- p - lr (g +
    momentum m)`` (Sutskever et al., ICML 2013, in the form of ``torch.optim.SGD``).
    """

    def __init__(
        self, lr: float, momentum: float, *, weight_decay: float = 0.0, nesterov: bool = False
    ) -> None:
        super().__init__(lr, weight_decay)
        self.momentum = momentum
        self.nesterov = nesterov
        self._shrinking: dict[str, Shrinking] = {}

    def add(self, name: str, parameter: torch.Tensor) -> None:
        """Allocate the momentum buffer, if there is momentum."""
        self._shrinking[name] = Shrinking()
        if self.momentum:
            self._states[name] = {"momentum": parameter.new_zeros(parameter.shape)}

    def begin_step(self) -> None:
        """Nothing to count."""

    def apply(self, name: str, parameter: torch.Tensor, gradient: torch.Tensor) -> None:
        """One update without any temporary."""
        self._descend(parameter, gradient, self._momentum_of(name))

    def apply_rows(
        self, name: str, parameter: torch.Tensor, gradient: torch.Tensor, rows: slice
    ) -> None:
        """The update of some rows of a matrix, without any temporary."""
        momentum = self._momentum_of(name)
        self._descend(parameter[rows], gradient, None if momentum is None else momentum[rows])

    def _momentum_of(self, name: str) -> torch.Tensor | None:
        return self._states[name]["momentum"] if self.momentum else None

    def _descend(
        self, parameter: torch.Tensor, gradient: torch.Tensor, momentum: torch.Tensor | None
    ) -> None:
        direction = gradient
        if self.weight_decay:
            gradient.add_(parameter, alpha=self.weight_decay)
        if momentum is not None:
            direction = torch.add(gradient, momentum, alpha=self.momentum, out=momentum)
            if self.nesterov:
                direction = gradient.add_(momentum, alpha=self.momentum)
        parameter.add_(direction, alpha=-self.lr)

    def apply_product(
        self, name: str, parameter: torch.Tensor, left: torch.Tensor, right: torch.Tensor
    ) -> None:
        """The product goes into the momentum, or into the parameter: no gradient exists.

        Nesterov's step needs g beside m, but ``g = m - momentum m_before``: the parameter takes
        ``lr momentum m_before`` before the product and ``- lr (1 + momentum) m`` after it, which
        costs a pass over the parameter, where a second product would cost one per row. With p' the
        parameter in between, the decay is ``weight_decay (p' - lr momentum m_before)``.
        """
        momentum, taken = self._momentum_of(name), self.lr * self.weight_decay
        if momentum is None:
            shrink = self._shrinking[name].factor(taken) if taken else 1.0
            _accumulate(parameter, left, right, beta=shrink, alpha=-self.lr)
            return
        if not self.nesterov:
            _accumulate(momentum, left, right, beta=self.momentum)
            if self.weight_decay:
                momentum.add_(parameter, alpha=self.weight_decay)
            parameter.add_(momentum, alpha=-self.lr)
            return
        parameter.add_(momentum, alpha=self.lr * self.momentum)
        _accumulate(momentum, left, right, beta=self.momentum * (1.0 - taken))
        if self.weight_decay:
            momentum.add_(parameter, alpha=self.weight_decay)
        parameter.add_(momentum, alpha=-self.lr * (1.0 + self.momentum))

    def plan_static(self, plan: MemoryPlan, name: str, shape: tuple[int, ...]) -> None:
        """One buffer of the parameter's shape, if there is momentum."""
        if self.momentum:
            plan.hold(f"{name}.momentum", shape, Category.OPTIMIZER_STATE)

    def plan_apply(self, plan: MemoryPlan, elements: int) -> None:
        """No temporary; momentum, weight decay and Nesterov are a multiply-add each."""
        extra = (self.momentum > 0) + (self.weight_decay > 0) + self.nesterov
        plan.each(Kind.MULTIPLY, (1 + extra) * elements)
        plan.each(Kind.ADD, (1 + extra) * elements)

    def plan_apply_product(
        self, plan: MemoryPlan, name: str, shape: tuple[int, ...], inner: int
    ) -> None:
        """No gradient and no temporary."""
        _count_product(plan, shape, inner)
        elements = math.prod(shape)
        if self.momentum:
            self.plan_apply(plan, elements)
        else:  # decay is a factor on the parameter
            plan.each(Kind.MULTIPLY, (2 if self.weight_decay else 1) * elements)
            plan.each(Kind.ADD, elements)


class Adam(Optimiser):
    """Adam (Kingma & Ba 2015, algorithm 1): a tile at a time, or compiled without workspace.

    Both give the same bits if torch's operators use fused multiply-adds (AVX2 or later).
    """

    def __init__(
        self,
        lr: float,
        betas: tuple[float, float] = (0.9, 0.999),
        *,
        weight_decay: float = 0.0,
        compiled: bool = False,
    ) -> None:
        super().__init__(lr, weight_decay)
        self.compiled = compiled
        self.betas = betas
        self.epsilon = 1e-8
        self.steps = 0

    def add(self, name: str, parameter: torch.Tensor) -> None:
        """Allocate both moments."""
        self._states[name] = {
            "mean": parameter.new_zeros(parameter.shape),
            "square": parameter.new_zeros(parameter.shape),
        }

    def begin_step(self) -> None:
        """Count the step, for the bias correction."""
        self.steps += 1

    def apply(self, name: str, parameter: torch.Tensor, gradient: torch.Tensor) -> None:
        """One update with one tile as workspace.

        ``p -= lr / c1 * m / (sqrt(v) / sqrt(c2) + eps)`` is computed with ``sqrt(c2)`` taken out
        of the denominator: ``p -= lr sqrt(c2) / c1 * m / (sqrt(v) + eps sqrt(c2))``.
        """
        state = self._states[name]
        self.apply_tiled(
            parameter.view(-1), gradient.view(-1), state["mean"].view(-1), state["square"].view(-1)
        )

    def apply_rows(
        self, name: str, parameter: torch.Tensor, gradient: torch.Tensor, rows: slice
    ) -> None:
        """The update of some rows of a matrix; ``gradient`` holds those rows only."""
        state = self._states[name]
        self.apply_tiled(
            parameter[rows].view(-1),
            gradient.view(-1),
            state["mean"][rows].view(-1),
            state["square"][rows].view(-1),
        )

    def apply_tiled(
        self,
        parameter: torch.Tensor,
        gradient: torch.Tensor,
        mean: torch.Tensor,
        square: torch.Tensor,
    ) -> None:
        """The update on flat tensors; the moments may be part of a larger state."""
        first, second = self.betas
        root = (1.0 - second**self.steps) ** 0.5
        rate = self.lr * root / (1.0 - first**self.steps)
        if self.compiled:
            adam_kernel.adam_step(
                parameter,
                gradient,
                mean,
                square,
                first=1.0 - first,
                second=1.0 - second,
                epsilon=self.epsilon * root,
                rate=-rate,
                decay=self.weight_decay,
            )
            return
        size = adam_tile(parameter.numel())
        scratch = parameter.new_empty(size)
        for start in range(0, parameter.numel(), size):
            part = slice(start, min(start + size, parameter.numel()))
            g, m, v = gradient[part], mean[part], square[part]
            tile = scratch[: part.stop - part.start]
            if self.weight_decay:
                g.add_(parameter[part], alpha=self.weight_decay)
            m.lerp_(g, 1.0 - first)
            torch.mul(g, g, out=tile)
            v.lerp_(tile, 1.0 - second)
            torch.rsqrt(v, out=tile)  # rounded like the processor's root, unlike torch.sqrt
            tile.reciprocal_()
            tile.add_(self.epsilon * root)
            parameter[part].addcdiv_(m, tile, value=-rate)

    def plan_static(self, plan: MemoryPlan, name: str, shape: tuple[int, ...]) -> None:
        """Two moments of the parameter's shape."""
        plan.hold(f"{name}.mean", shape, Category.OPTIMIZER_STATE)
        plan.hold(f"{name}.square", shape, Category.OPTIMIZER_STATE)

    def plan_apply(self, plan: MemoryPlan, elements: int) -> None:
        """One tile, and a scalar that is added to it; nothing if compiled."""
        if not self.compiled:
            size = adam_tile(elements)
            tile = plan.alloc("adam tile", (size,), Category.WORKSPACE, essential=False)
            plan.scalar()
            plan.free(tile)
        # two moving averages, g^2, root, epsilon, quotient, step; the decay
        decay = int(self.weight_decay > 0)
        plan.each(Kind.MULTIPLY, (4 + decay) * elements)
        plan.each(Kind.ADD, (6 + decay) * elements)
        plan.each(Kind.DIVIDE, 2 * elements)


def _accumulate(
    into: torch.Tensor,
    left: torch.Tensor,
    right: torch.Tensor,
    *,
    beta: float = 1.0,
    alpha: float = 1.0,
) -> None:
    """``into <- beta into + alpha left right``, in place."""
    add = into.addmv_ if right.dim() == 1 else into.addmm_
    add(left, right, beta=beta, alpha=alpha)


def _count_product(plan: MemoryPlan, shape: tuple[int, ...], inner: int) -> None:
    """The arithmetic of ``left @ right``; with a vector it is no matrix product."""
    if len(shape) > 1:
        plan.product(shape[0], inner, shape[1])
    else:
        plan.each(Kind.MULTIPLY, shape[0] * inner)
        plan.each(Kind.ADD, shape[0] * inner)


def adam_tile(elements: int) -> int:
    """Elements of the workspace for updating ``elements`` parameters."""
    return min(elements, max(_TILE_LEAST, min(_TILE_MOST, -(-elements // _TILES))))


def make_optimiser(
    name: OptimizerName,
    lr: float,
    momentum: float,
    *,
    weight_decay: float = 0.0,
    nesterov: bool = False,
) -> Optimiser:
    """An optimiser by name; ``momentum`` and ``nesterov`` are for SGD only."""
    if name is OptimizerName.ADAM:
        return Adam(lr, weight_decay=weight_decay)
    return Sgd(lr, momentum, weight_decay=weight_decay, nesterov=nesterov)
