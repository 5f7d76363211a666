"""The options of MeZO; see :mod:`trainfit.algorithms.zeroth_order.rule`."""

from __future__ import annotations

from enum import StrEnum

from pydantic import Field

from trainfit.algorithms.options import Description, LossOptions, RateOptions


class Distribution(StrEnum):
    """Distribution of a direction's elements; both have mean 0 and variance 1."""

    GAUSSIAN = "gaussian"
    RADEMACHER = "rademacher"  # +1 or -1


class ZerothOrderOptions(LossOptions, RateOptions):
    """Options of ``zeroth_order``."""

    lr: float = Field(default=0.002, gt=0)
    """Learning rate."""
    eps: float = Field(default=1e-3, gt=0)
    """Epsilon of MeZO: distance from the weights at which the loss is evaluated, in units of z."""
    samples: int = Field(default=1, ge=1)
    """Directions whose estimates are averaged in one step (n of MeZO's n-SPSA)."""
    distribution: Distribution = Distribution.GAUSSIAN
    """Distribution of z: normal, as in MeZO, or random signs, which are more usual in SPSA."""


ZEROTH_ORDER = Description(
    "zeroth_order",
    "MeZO: two forward passes give the slope along a random direction",
    "Malladi et al., NeurIPS 36, 2023 (arXiv 2305.17333)",
    ZerothOrderOptions,
)
