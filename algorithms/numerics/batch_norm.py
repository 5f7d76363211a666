"""Batch normalisation (Ioffe & Szegedy, ICML 2015) in place, forward and backward.

    n = (z - mean) / sqrt(variance + eps)        u = gain n + shift

with one mean, variance, gain and shift per channel. In training mean and variance are those of
the batch (algorithm 1), and running averages of them are kept for prediction (algorithm 2), with
the constants of ``torch.nn.BatchNorm2d``. The gradient with respect to z, for R rows::

    dz = gain / sqrt(variance + eps) (du - sum(du) / R - n sum(du n) / R)

replaces n. Sums are over rows: samples and positions.

Shape suffixes: R rows, J channels.
"""

from __future__ import annotations

import torch

from trainfit.algorithms.errors import ConfigurationError
from trainfit.algorithms.numerics.sums import column_means, column_variances

MOMENTUM = 0.1
EPSILON = 1e-5


def check_rows(batch_size: int, positions: int | None = None) -> None:
    """Refuse a batch without variance.

    Args:
        batch_size: Samples.
        positions: Positions per map, of layers that have maps.

    Raises:
        ConfigurationError: There is only one value per channel.
    """
    if batch_size * (positions or 1) < 2:
        maps = f" with {positions} position per map" if positions else ""
        raise ConfigurationError(
            f"batch size {batch_size}{maps} gives batch normalisation one value per channel, which"
            " has no variance; use a batch size of at least 2"
        )


def normalise_by_batch_(
    z_RJ: torch.Tensor, mean_J: torch.Tensor, variance_J: torch.Tensor
) -> torch.Tensor:
    """Normalise by the statistics of the batch, and update the running statistics.

    Args:
        z_RJ: Values; become n.
        mean_J: Running mean.
        variance_J: Running variance, unbiased as in torch.

    Returns:
        ``1 / sqrt(variance + eps)`` of the batch, shape (J,).
    """
    rows = len(z_RJ)
    spread_J, center_J = torch.empty_like(mean_J), torch.empty_like(mean_J)
    column_means(z_RJ, center_J)
    column_variances(z_RJ, center_J, spread_J)
    mean_J.mul_(1 - MOMENTUM).add_(center_J, alpha=MOMENTUM)
    variance_J.mul_(1 - MOMENTUM).add_(spread_J, alpha=MOMENTUM * rows / (rows - 1))
    z_RJ.sub_(center_J)
    z_RJ.mul_(spread_J.add_(EPSILON).rsqrt_())
    return spread_J


def normalise_by_running_(
    z_RJ: torch.Tensor, mean_J: torch.Tensor, variance_J: torch.Tensor
) -> torch.Tensor:
    """Normalise by running statistics, which stay unchanged; returns as above."""
    z_RJ.sub_(mean_J)
    spread_J = variance_J + EPSILON
    z_RJ.mul_(spread_J.rsqrt_())
    return spread_J


def mean_gradients(
    dshift_J: torch.Tensor, dgain_J: torch.Tensor, rows: int
) -> tuple[torch.Tensor, torch.Tensor]:
    """``sum(du) / R`` and ``-sum(du n) / R`` from the gradients of shift and gain."""
    return dshift_J / rows, dgain_J / -rows


def backward_(
    n_RJ: torch.Tensor,
    du_RJ: torch.Tensor,
    means: tuple[torch.Tensor, torch.Tensor],
    factor_J: torch.Tensor,
) -> None:
    """``n`` becomes ``dz``, for some or all of the rows.

    Args:
        n_RJ: Normalised values.
        du_RJ: Gradient with respect to u.
        means: Result of ``mean_gradients``.
        factor_J: ``gain / sqrt(variance + eps)``.
    """
    mean_J, slope_J = means
    n_RJ.mul_(slope_J).add_(du_RJ).sub_(mean_J).mul_(factor_J)
