"""MeZO: Malladi et al. (NeurIPS 2023, arXiv 2305.17333), definition 1 and algorithm 1.

    g = (L(w + eps z) - L(w - eps z)) / (2 eps)        w <- w - lr g z

The n-SPSA of definition 1 averages n of them, at the same w. z is drawn from its seed, parameter by
parameter, as the docstring of ``zeroth_order.rule`` says: the net is so small that each of them
fits the tile.
"""

from __future__ import annotations

import numpy as np
import pytest
import torch

from tests.unit.transcriptions.arithmetic import Sgd, Transcription, cross_entropy
from tests.unit.transcriptions.comparison import (
    CLOSE,
    NOTICED,
    deviations,
    held,
    largest,
    same_draws,
    start,
)

MODEL = "mlp-12-10-6-4"
EPS = 0.05
"""So large that the difference of two float32 losses is not rounding."""


class ZerothOrder(Transcription):
    """A draw is one z: an array per parameter, by name."""

    def loss(self, x_BI, y_B, z, distance):
        h_BI = x_BI
        for number in range(1, self.layers + 1):
            w_OI, b_O = (self.p[k] + distance * z[k] for k in (f"w{number}", f"b{number}"))
            z_BO = h_BI @ w_OI.T + b_O
            h_BI = np.maximum(z_BO, 0.0)
        return cross_entropy(z_BO, y_B)

    def slope(self, x_BI, y_B, z):
        return (self.loss(x_BI, y_B, z, EPS) - self.loss(x_BI, y_B, z, -EPS)) / (2 * EPS)

    def step(self, x_BI, y_B, *draws):
        slopes = [self.slope(x_BI, y_B, z) for z in draws]
        for slope, z in zip(slopes, draws, strict=True):
            for name in self.p:
                self.update(name, slope * z[name] / len(draws))


def directions(samples, distribution):
    def draws(algorithm, x, y):
        seeds, shapes = same_draws(algorithm), {n: t.shape for n, t in held(algorithm).items()}
        return tuple(
            direction(int(torch.randint(2**32, (1,), generator=seeds)), shapes, distribution)
            for _ in range(samples)
        )

    return draws


def direction(seed, shapes, distribution):
    source, z = torch.Generator().manual_seed(seed), {}
    for name, shape in shapes.items():
        t = torch.empty(shape)
        if distribution == "gaussian":
            t.normal_(generator=source)
        else:
            t.random_(0, 2, generator=source).mul_(2).sub_(1)
        z[name] = t.numpy().astype(np.float64)
    return z


def compared(samples=1, distribution="gaussian", kind=ZerothOrder):
    options = {"lr": 0.05, "eps": EPS, "samples": samples, "distribution": distribution}
    algorithm = start("zeroth_order", MODEL, options)
    return deviations(
        algorithm, kind(held(algorithm), Sgd(0.05)), draws=directions(samples, distribution)
    )


@pytest.mark.parametrize("samples", [1, 3])
@pytest.mark.parametrize("distribution", ["gaussian", "rademacher"])
def test_zeroth_order(samples, distribution):
    assert largest(compared(samples, distribution)) < CLOSE


# ---- slips that have to be noticed --------------------------------------------------------------


class OneSided(ZerothOrder):
    def slope(self, x_BI, y_B, z):
        return (self.loss(x_BI, y_B, z, EPS) - self.loss(x_BI, y_B, z, 0.0)) / EPS


class OneAfterTheOther(ZerothOrder):
    """Every estimate where the one before has led, not all of them at the same point."""

    def step(self, x_BI, y_B, *draws):
        for z in draws:
            slope = self.slope(x_BI, y_B, z)
            for name in self.p:
                self.update(name, slope * z[name] / len(draws))


@pytest.mark.parametrize(("kind", "samples"), [(OneSided, 1), (OneAfterTheOther, 3)])
def test_a_slip_is_noticed(kind, samples):
    assert largest(compared(samples, kind=kind)) > NOTICED
