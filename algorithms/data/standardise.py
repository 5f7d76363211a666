"""Standardising: every channel with mean 0 and standard deviation 1 over the training half.

The test half is shifted and scaled by the numbers of the training half, because nothing may be
learnt from test samples. The standard deviation is that of the given values (divided by their
number, not by one less), with which MNIST has the customary 0.1307 and 0.3081.

Shape suffixes: S samples, C channels, P pixels per channel, F features (C times P).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import torch

from trainfit.algorithms.data.base import Dataset
from trainfit.algorithms.errors import ConfigurationError

_CHUNK_VALUES = 1 << 20
"""Values that are processed in double precision at a time, 8 MiB."""


def standardise(dataset: Dataset) -> Dataset:
    """A copy of the data set with its channels standardised.

    Both halves are written once, into new memory; nothing else of their size is made.

    Args:
        dataset: One that `check_dataset` accepts.

    Raises:
        ConfigurationError: A channel has only one value, so it cannot be scaled.
    """
    mean_C, deviation_C = channel_statistics(dataset)
    train_x, test_x = (
        _shift_and_scale(x_SF, mean_C, deviation_C) for x_SF in (dataset.train_x, dataset.test_x)
    )
    return replace(dataset, train_x=train_x, test_x=test_x)


def channel_statistics(dataset: Dataset) -> tuple[torch.Tensor, torch.Tensor]:
    """Mean and standard deviation of every channel over the training half.

    Returns:
        Both float64, (channels,).

    Raises:
        ConfigurationError: A channel has the same value in all training samples.
    """
    channels = dataset.shape[0]
    x_SCP = dataset.train_x.view(len(dataset.train_x), channels, -1)
    values = x_SCP.numel() // channels
    mean_C = torch.zeros(channels, dtype=torch.float64)
    for x_C in _chunks(x_SCP):
        mean_C += x_C.sum(dim=(0, 2))
    mean_C /= values
    # A second pass: the difference of two large sums would lose significant digits.
    square_C = torch.zeros_like(mean_C)
    constant_C = torch.ones(channels, dtype=torch.bool)
    for x_C in _chunks(x_SCP):
        # Exact where the deviation is not: rounding of the mean alone makes it larger than 0.
        constant_C &= (x_C == x_SCP[0, :, :1]).all(dim=2).all(dim=0)
        square_C += (x_C - mean_C[:, None]).square_().sum(dim=(0, 2))
    if constant_C.any():
        channel = int(constant_C.nonzero()[0])
        raise ConfigurationError(
            f"dataset {dataset.name!r}: channel {channel} of {channels} has the value "
            f"{float(x_SCP[0, channel, 0]):g} in all {len(x_SCP):,} training samples, so its "
            "standard deviation is 0; use the data as it is, or without that channel"
        )
    return mean_C, (square_C / values).sqrt_()


def _chunks(x_SCP: torch.Tensor) -> Iterator[torch.Tensor]:
    rows = max(1, _CHUNK_VALUES // x_SCP[0].numel())
    return (part.double() for part in x_SCP.split(rows))


def _shift_and_scale(
    x_SF: torch.Tensor, mean_C: torch.Tensor, deviation_C: torch.Tensor
) -> torch.Tensor:
    out_SCP = torch.empty_like(x_SF).view(len(x_SF), len(mean_C), -1)
    torch.sub(x_SF.view(out_SCP.shape), mean_C.float()[:, None], out=out_SCP)
    return out_SCP.div_(deviation_C.float()[:, None]).view(x_SF.shape)
