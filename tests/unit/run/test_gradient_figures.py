from __future__ import annotations

import math

import pytest
import torch

from trainfit.bench.probes.gradient_statistics import describe, excess_kurtosis, int8_error, octaves
from trainfit.bench.records.schema import Evidence
from trainfit.bench.records.schema.probes import HISTOGRAM_BINS


def test_a_bin_of_the_histogram_is_a_factor_of_two_with_its_upper_end() -> None:
    ratios = [1.0, 0.75, 0.5000001, 0.5, 0.3, 0.25, 2.0**-23, 2.0**-24, 2.0**-60]

    counts, below = octaves(torch.tensor(ratios, dtype=torch.float64))

    assert len(counts) == HISTOGRAM_BINS
    assert counts[:3] == [3, 2, 1]
    assert counts[23] == 1
    assert below == 2
    assert sum(counts) + below == len(ratios)


def test_the_shape_of_known_distributions() -> None:
    generator = torch.Generator().manual_seed(0)
    gaussian = torch.randn(200_000, generator=generator, dtype=torch.float64)

    assert excess_kurtosis(torch.tensor([1.0, -1.0, 1.0, -1.0]).double()) == -2.0
    assert excess_kurtosis(gaussian) == pytest.approx(0.0, abs=0.05)
    assert excess_kurtosis(torch.full((4,), 3.0).double()) is None


def test_what_int8_leaves_of_known_values() -> None:
    """The step is 1: 0.4 becomes 0, 0.6 becomes 1, and 63.5 goes to the even 64."""
    g = torch.tensor([127.0, 63.5, 0.6, 0.4, -0.4, 0.0], dtype=torch.float64)
    rounded = torch.tensor([127.0, 64.0, 1.0, 0.0, 0.0, 0.0], dtype=torch.float64)

    error = int8_error(g)

    assert error.rounded_to_zero == pytest.approx(2 / 5)
    assert error.relative_rms == pytest.approx(float((rounded - g).norm() / g.norm()))
    assert error.cosine == pytest.approx(float(torch.cosine_similarity(g, rounded, dim=0)))
    assert error.evidence is Evidence.ANALYTIC


def test_a_gradient_in_figures() -> None:
    gradient = torch.tensor([[4.0, -2.0], [0.0, 1.0]])

    found = describe("w1", "all", gradient)

    assert (found.tensor, found.stage, found.shape) == ("w1", "all", (2, 2))
    assert (found.count, found.zeros, found.max_abs) == (4, 1, 4.0)
    assert found.rms == pytest.approx(math.sqrt(21 / 4))
    assert found.mean_abs == pytest.approx(7 / 4)
    assert found.histogram[:3] == [1, 1, 1]
    assert found.excess_kurtosis == pytest.approx(-1.5)  # of three values, 0 not among them


def test_a_gradient_of_nothing_but_zeros_has_no_shape() -> None:
    found = describe("w1", "all", torch.zeros(3, 2))

    assert (found.count, found.zeros, found.max_abs) == (6, 6, 0.0)
    assert found.int8 is found.excess_kurtosis is None
    assert found.reason == "the gradient is 0 everywhere"
