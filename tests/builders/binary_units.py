"""Binary layers as autograd has them: the activation, and weights as products see them."""

from __future__ import annotations

from typing import Any

import torch

from trainfit.algorithms import Algorithm


class Binary(torch.autograd.Function):
    """``s 1[u > 0]`` with the straight-through gradient ``1[0 < u < 1]``."""

    @staticmethod
    def forward(ctx: Any, u: torch.Tensor) -> torch.Tensor:
        ctx.save_for_backward(u)
        return (u > 0) * u.clamp(min=0).mean()

    @staticmethod
    def backward(ctx: Any, dy: torch.Tensor) -> torch.Tensor:
        (u,) = ctx.saved_tensors
        return dy * ((u > 0) & (u < 1))


def without_ties(algorithm: Algorithm[Any]) -> None:
    """Move shifts and biases from 0.

    Sums of signs with one scale may be exactly as large as their mean; at a shift of 0 the last bit
    of a float32 then decides whether such a unit is on, and so the processor.
    """
    draws = torch.Generator().manual_seed(5)
    for each in algorithm.static_tensors():
        if each.name.endswith((".shift", ".bias")):
            each.tensor.copy_(torch.rand(each.tensor.shape, generator=draws) * 0.4 - 0.2)


def as_products_see_it(algorithm: Algorithm[Any]) -> dict[str, torch.Tensor]:
    """Parameters and statistics in float64, binary weights as signs times their scale."""
    found = {}
    for each in algorithm.static_tensors():
        name, values = each.name, each.tensor.detach().double()
        if name.endswith(".latent"):
            signs = torch.where(values >= 0, 1.0, -1.0).double()
            found[name.replace(".latent", ".weight")] = signs * values.abs().mean()
        else:
            found[name] = values
    for name, values in found.items():
        values.requires_grad_(name.endswith((".weight", ".bias", ".gain", ".shift")))
    return found
