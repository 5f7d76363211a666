"""Batches of a data set, and the check that model, data set and batch size fit together.

Shape suffixes: S samples, B batch, F features.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch

from trainfit.algorithms.data.base import Dataset
from trainfit.algorithms.errors import ConfigurationError


def batches(
    x_SF: torch.Tensor,
    y_S: torch.Tensor,
    batch_size: int,
    generator: torch.Generator,
    *,
    shuffle: bool = True,
) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    """One epoch of shuffled batches, ``x_BF`` and ``y_B``, each contiguous and of the same size.

    The order is drawn when this is called, not when the first batch is taken. The last, incomplete
    batch is dropped: a step on fewer samples would need a different amount of memory.

    Args:
        x_SF: Samples.
        y_S: Their classes.
        batch_size: Samples per batch.
        generator: Source of the order; the same state gives the same batches.
        shuffle: Whether to draw an order; otherwise samples come in their own order.

    Raises:
        ConfigurationError: The batch size is below 1 or above the number of samples.
    """
    if batch_size < 1:
        raise ConfigurationError(f"batch size must be at least 1, is {batch_size:,}")
    if batch_size > len(x_SF):
        raise ConfigurationError(
            f"batch size {batch_size:,} is larger than the {len(x_SF):,} samples; "
            f"use at most {len(x_SF)}"
        )
    order_S = (
        torch.randperm(len(x_SF), generator=generator, device=generator.device)
        if shuffle
        else torch.arange(len(x_SF))
    )
    return _gather(x_SF, y_S, order_S.to(x_SF.device), batch_size)


def _gather(
    x_SF: torch.Tensor, y_S: torch.Tensor, order_S: torch.Tensor, batch_size: int
) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    for start in range(0, len(order_S) - batch_size + 1, batch_size):
        chosen_B = order_S[start : start + batch_size]
        yield x_SF[chosen_B], y_S[chosen_B]


def check_fits(
    dataset: Dataset,
    model_inputs: int,
    model_classes: int,
    batch_size: int,
    model_name: str,
    *,
    model_shape: tuple[int, int, int] | None = None,
) -> None:
    """Make sure that a model can be trained on a data set in batches of this size.

    A model with channels, height and width (``model_shape``) fits data of the same shape, and a
    series of the same number of values, which is read row by row.

    Raises:
        ConfigurationError: Sizes differ; the message gives both and a model that would fit.
    """
    problems = []
    own = str(model_inputs) if model_shape is None else _times(model_shape)
    fits = model_shape in (None, dataset.shape) or dataset.shape[:2] == (1, 1)
    if model_inputs != dataset.features or not fits:
        has = f"{dataset.features} features" if model_shape is None else _times(dataset.shape)
        problems.append(f"takes {own} inputs but dataset {dataset.name!r} has {has}")
    if model_classes != dataset.classes:
        problems.append(
            f"has {model_classes} classes but dataset {dataset.name!r} has {dataset.classes}"
        )
    if problems:
        theirs = str(dataset.features) if model_shape is None else _times(dataset.shape)
        fitting = _fitting_model(dataset, own, theirs, model_classes, model_name)
        raise ConfigurationError(
            f"model {model_name!r} {' and '.join(problems)}; use for instance {fitting}"
        )
    samples = len(dataset.train_x)
    if not 1 <= batch_size <= samples:
        raise ConfigurationError(
            f"batch size {batch_size:,} does not fit dataset {dataset.name!r} with its {samples:,} "
            f"training samples; use 1 to {samples}"
        )


def _times(shape: tuple[int, int, int]) -> str:
    return "x".join(str(extent) for extent in shape)


def _fitting_model(dataset: Dataset, own: str, theirs: str, classes: int, name: str) -> str:
    """The same model with fitting input and output; a plain one if its name does not show them."""
    first, *middle = name.split("-")
    if len(middle) >= 2 and middle[0] == own and middle[-1] == str(classes):
        return "-".join([first, theirs, *middle[1:-1], str(dataset.classes)])
    return f"mlp-{dataset.features}-128-{dataset.classes}"
