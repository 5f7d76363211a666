"""Batch normalisation of a hidden layer, between its product and the rectifier.

    n = (z - mean) / sqrt(variance + eps)        h = max(0, gain n + shift)

A layer in training normalises by its batch and keeps running averages, by which prediction and
layers that are no longer trained normalise; see :mod:`trainfit.algorithms.numerics.batch_norm`.
Subtracting the mean would cancel a bias before it (Ioffe & Szegedy, ICML 2015, section 3.2): the
layer has none, and its shift takes its place. ``torch.nn.BatchNorm1d`` begins like this, too: gain
1, shift 0, mean 0, variance 1.

n lives next to h until dz replaces it, since n of a unit that the rectifier has cut cannot be told
from h: a layer in training needs one more tensor of its output's size.

Shape suffixes: B batch, O outputs of a layer, J some of them, R some samples.
"""

from __future__ import annotations

from typing import NamedTuple

import torch

from trainfit.algorithms.numerics.batch_norm import (
    backward_,
    mean_gradients,
    normalise_by_batch_,
    normalise_by_running_,
)
from trainfit.algorithms.phases import Category, tag
from trainfit.algorithms.tiling import in_tiles

_TILES = 8
"""A product that is summed over the batch exists for so many parts of the batch in turn."""


class Statistics(NamedTuple):
    """What a layer keeps for its normalisation, each of shape (O,)."""

    gain_O: torch.Tensor
    shift_O: torch.Tensor
    mean_O: torch.Tensor
    variance_O: torch.Tensor


class Normalised(NamedTuple):
    """What the gradient of a layer in training needs: n, and ``gain / deviation``."""

    n_BO: torch.Tensor
    factor_O: torch.Tensor


def train_forward(z_BO: torch.Tensor, kept: Statistics) -> tuple[torch.Tensor, Normalised]:
    """Normalise by the batch.

    Args:
        z_BO: Output of the product; becomes n.
        kept: The layer's; its running statistics move.

    Returns:
        h of shape (B, O), and n with its factors.
    """
    spread_O = normalise_by_batch_(z_BO, kept.mean_O, kept.variance_O)
    factor_O = spread_O.mul_(kept.gain_O)
    h_BO = torch.addcmul(kept.shift_O, z_BO, kept.gain_O).relu_()
    return h_BO, Normalised(z_BO, factor_O)


def predict_forward_(z_BO: torch.Tensor, kept: Statistics) -> torch.Tensor:
    """Normalise by the running statistics; ``z_BO`` becomes h."""
    normalise_by_running_(z_BO, kept.mean_O, kept.variance_O)
    return z_BO.mul_(kept.gain_O).add_(kept.shift_O).relu_()


def backward(
    normalised: Normalised, units: slice, du_BJ: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """The gradient of some units through the normalisation.

    Args:
        normalised: The layer's.
        units: Which units.
        du_BJ: Gradient with respect to what the rectifier is applied to.

    Returns:
        dz, which replaces n, and the gradients of gain and shift.
    """
    n_BJ, factor_J = normalised.n_BO[:, units], normalised.factor_O[units]
    dgain_J = n_BJ.new_zeros(n_BJ.shape[1])
    for rows in in_tiles(len(n_BJ), _tile_rows(len(n_BJ))):
        work_RJ = tag(du_BJ[rows] * n_BJ[rows], Category.WORKSPACE, "du n of some samples")
        dgain_J.add_(tag(work_RJ.sum(0), Category.WORKSPACE, "sum over some samples"))
        del work_RJ
    dshift_J = du_BJ.sum(0)
    backward_(n_BJ, du_BJ, mean_gradients(dshift_J, dgain_J, len(n_BJ)), factor_J)
    return n_BJ, dgain_J, dshift_J


def _tile_rows(batch: int) -> int:
    return -(-batch // _TILES)
