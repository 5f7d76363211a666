"""Optimisers that work in place, with no temporary larger than one tile.

The update rules are those of ``torch.optim.SGD`` (momentum) and ``torch.optim.Adam`` (no weight
decay). State is allocated when a parameter is added, so it is static from the first step on.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Iterator

import torch

from trainfit.algorithms.memory.operations import Kind
from trainfit.algorithms.memory.plan import MemoryPlan
from trainfit.algorithms.numerics.lazy_kernels import adam_kernel
from trainfit.algorithms.options import OptimizerName
from trainfit.algorithms.phases import Category, tag

_TILE_MOST = 16384  # elements; 64 KiB of float32 stays in a first- or second-level cache
_TILE_LEAST = 64
_TILES = 16  # a tile is at most this fraction of the parameter, so that it never sets the peak


class Optimiser(ABC):
    """Keeps state per parameter and applies gradients in place.

    Attributes:
        lr: Learning rate; a schedule may change it between steps.
    """

    def __init__(self, lr: float) -> None:
        self.lr = lr
        self._states: dict[str, dict[str, torch.Tensor]] = {}

    @abstractmethod
    def add(self, name: str, parameter: torch.Tensor) -> None:
        """Allocate the state of a parameter; adding it again resets the state."""

    @abstractmethod
    def begin_step(self) -> None:
        """Count a step; call once before the first ``apply`` of a step."""

    @abstractmethod
    def apply(self, name: str, parameter: torch.Tensor, gradient: torch.Tensor) -> None:
        """Update a parameter, contiguous and of the gradient's shape, in place."""

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
    """m <- momentum m + g;  p <- p - lr m (no m without momentum)."""

    def __init__(self, lr: float, momentum: float) -> None:
        super().__init__(lr)
        self.momentum = momentum

    def add(self, name: str, parameter: torch.Tensor) -> None:
        """Allocate the momentum buffer, if there is momentum."""
        if self.momentum:
            self._states[name] = {"momentum": parameter.new_zeros(parameter.shape)}

    def begin_step(self) -> None:
        """Nothing to count."""

    def apply(self, name: str, parameter: torch.Tensor, gradient: torch.Tensor) -> None:
        """One update without any temporary."""
        direction = gradient
        if self.momentum:
            direction = self._states[name]["momentum"]
            torch.add(gradient, direction, alpha=self.momentum, out=direction)
        parameter.add_(direction, alpha=-self.lr)

    def apply_rows(
        self, name: str, parameter: torch.Tensor, gradient: torch.Tensor, rows: slice
    ) -> None:
        """The update of some rows of a matrix, without any temporary."""
        direction = gradient
        if self.momentum:
            direction = self._states[name]["momentum"][rows]
            torch.add(gradient, direction, alpha=self.momentum, out=direction)
        parameter[rows].add_(direction, alpha=-self.lr)

    def apply_product(
        self, name: str, parameter: torch.Tensor, left: torch.Tensor, right: torch.Tensor
    ) -> None:
        """The product goes into the momentum, or into the parameter: no gradient exists."""
        vector = right.dim() == 1
        if not self.momentum:
            add = parameter.addmv_ if vector else parameter.addmm_
            add(left, right, alpha=-self.lr)
            return
        direction = self._states[name]["momentum"]
        accumulate = direction.addmv_ if vector else direction.addmm_
        accumulate(left, right, beta=self.momentum)
        parameter.add_(direction, alpha=-self.lr)

    def plan_static(self, plan: MemoryPlan, name: str, shape: tuple[int, ...]) -> None:
        """One buffer of the parameter's shape, if there is momentum."""
        if self.momentum:
            plan.hold(f"{name}.momentum", shape, Category.OPTIMIZER_STATE)

    def plan_apply(self, plan: MemoryPlan, elements: int) -> None:
        """No temporary."""
        each = 2 * elements if self.momentum else elements
        plan.each(Kind.MULTIPLY, each)
        plan.each(Kind.ADD, each)

    def plan_apply_product(
        self, plan: MemoryPlan, name: str, shape: tuple[int, ...], inner: int
    ) -> None:
        """No gradient and no temporary."""
        _count_product(plan, shape, inner)
        self.plan_apply(plan, math.prod(shape))


class Adam(Optimiser):
    """Adam (Kingma & Ba 2015, algorithm 1): a tile at a time, or compiled without workspace.

    Both give the same bits if torch's operators use fused multiply-adds (AVX2 or later).
    """

    def __init__(
        self, lr: float, betas: tuple[float, float] = (0.9, 0.999), *, compiled: bool = False
    ) -> None:
        super().__init__(lr)
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
            )
            return
        size = adam_tile(parameter.numel())
        scratch = parameter.new_empty(size)
        for start in range(0, parameter.numel(), size):
            part = slice(start, min(start + size, parameter.numel()))
            g, m, v = gradient[part], mean[part], square[part]
            tile = scratch[: part.stop - part.start]
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
        # two moving averages, g^2, root, epsilon, quotient, step
        plan.each(Kind.MULTIPLY, 4 * elements)
        plan.each(Kind.ADD, 6 * elements)
        plan.each(Kind.DIVIDE, 2 * elements)


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


def make_optimiser(name: OptimizerName, lr: float, momentum: float) -> Optimiser:
    """An optimiser by name; ``momentum`` is for SGD only."""
    return Adam(lr) if name is OptimizerName.ADAM else Sgd(lr, momentum)
