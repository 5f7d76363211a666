"""Descent, with momentum or without, on gradients or on their factors."""

from __future__ import annotations

import torch

from trainfit.algorithms.numerics.optimisers.base import Optimiser
from trainfit.algorithms.numerics.shrinking import Shrinking


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
