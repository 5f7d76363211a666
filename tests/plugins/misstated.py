"""A third party's algorithms whose traces do not show all that their steps do.

They learn in an operator of their own, whose implementation allocates for itself what the shapes of
its arguments do not say, and of whose arithmetic nobody was told.

Shape suffixes: B batch, I inputs, C classes.
"""

from __future__ import annotations

from typing import ClassVar

import torch

from tests.plugins.plain import Delta
from trainfit.algorithms import phase

_LIBRARY = torch.library.Library("misstated", "DEF")
_LIBRARY.define("descend(Tensor x, Tensor y, Tensor(a!) w, float lr) -> ()")


def _descend(x: torch.Tensor, y: torch.Tensor, w_IC: torch.Tensor, lr: float) -> None:
    kept_BI = x.clone()
    error_BC = kept_BI @ w_IC
    error_BC[torch.arange(len(y)), y] -= 1
    grad_IC = kept_BI.t() @ error_BC
    w_IC.sub_(grad_IC, alpha=lr / len(x))


_LIBRARY.impl("descend", _descend, "CPU")
_LIBRARY.impl("descend", lambda *_: None, "Meta")


class Overlooked(Delta):
    """Its trace leaves out the gradient, of four bytes per input and class, and a copy of x."""

    name: ClassVar[str] = "overlooked"

    def step(self, x: torch.Tensor, y: torch.Tensor) -> None:
        with phase("gradient"):
            torch.ops.misstated.descend(x, y, self.w_IC, self.options.lr)


class Uncounted(Overlooked):
    """The same: nobody knows what it computes."""

    name: ClassVar[str] = "uncounted"
