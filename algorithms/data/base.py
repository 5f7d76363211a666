"""The class of data sets, and the check that each has to pass, including those of others."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch

from trainfit.algorithms.errors import ConfigurationError


@dataclass(frozen=True)
class Dataset:
    """A labelled data set in memory, split into a training and a test half.

    Attributes:
        name: The name it was loaded by.
        train_x: Samples to learn from; float32, contiguous, (samples, features).
        train_y: Their classes; int64, (samples,), from 0 to ``classes`` - 1.
        test_x: Samples to judge by, as ``train_x``.
        test_y: Their classes, as ``train_y``.
        classes: Number of classes.
        shape: Channels, height and width of one sample, whose features are these flattened in
            this order; a series of F values is (1, 1, F).
        note: Remark for all figures from this data, for instance that some of its files were
            missing; empty if the name says enough.
    """

    name: str
    train_x: torch.Tensor
    train_y: torch.Tensor
    test_x: torch.Tensor
    test_y: torch.Tensor
    classes: int
    shape: tuple[int, int, int]
    note: str = ""

    @property
    def features(self) -> int:
        """Features per sample."""
        return self.train_x.shape[1]


@dataclass(frozen=True)
class DatasetInfo:
    """Description of a data set before it is loaded.

    Attributes:
        name: Its name, or the form of its names.
        summary: One line for people.
        features: Features per sample; None if given by the name.
        classes: Number of classes; None if given by the name.
        train_samples: Size of the training half as published; None if it depends on the files that
            are present.
        test_samples: Size of the test half, likewise.
        needs_data_root: Whether it is read from files that the user has to provide.
        source: Its origin, and whom to cite.
        licence: The terms of its publication.
    """

    name: str
    summary: str
    features: int | None
    classes: int | None
    train_samples: int | None
    test_samples: int | None
    needs_data_root: bool
    source: str
    licence: str


def absent_classes(y_S: torch.Tensor, classes: int) -> list[int]:
    """The classes that none of these labels names, in their order."""
    counts_C = torch.bincount(y_S, minlength=classes)
    return [label for label, count in enumerate(counts_C.tolist()) if not count]


def check_dataset(dataset: Dataset) -> None:
    """Reject a data set that no algorithm could be trained on, or only with wrong figures.

    Raises:
        ConfigurationError: Names the data set, the tensor, what is wrong and what would be right.
    """
    if dataset.classes < 2:
        raise ConfigurationError(
            f"dataset {dataset.name!r}: needs at least 2 classes, has {dataset.classes}"
        )
    _check_half(dataset, "train", dataset.train_x, dataset.train_y)
    _check_half(dataset, "test", dataset.test_x, dataset.test_y)
    if dataset.test_x.shape[1] != dataset.features:
        raise ConfigurationError(
            f"dataset {dataset.name!r}: train_x has {dataset.features:,} features but test_x has "
            f"{dataset.test_x.shape[1]:,}; both halves need the same"
        )
    shape = dataset.shape
    if len(shape) != 3 or min(shape) < 1 or math.prod(shape) != dataset.features:
        raise ConfigurationError(
            f"dataset {dataset.name!r}: shape {shape} does not flatten to its "
            f"{dataset.features:,} features; expected (channels, height, width), "
            f"for instance (1, 1, {dataset.features})"
        )


def _check_half(dataset: Dataset, half: str, x: torch.Tensor, y: torch.Tensor) -> None:
    where = f"dataset {dataset.name!r}: {half}"
    for suffix, tensor, dtype, form in (
        ("x", x, torch.float32, "(samples, features)"),
        ("y", y, torch.int64, "(samples,)"),
    ):
        if tensor.dtype != dtype or tensor.dim() != form.count(",") + (suffix == "x"):
            raise ConfigurationError(
                f"{where}_{suffix} is {tensor.dtype} of shape {tuple(tensor.shape)}; "
                f"expected {dtype} of shape {form}"
            )
        if len(tensor) < 1:
            raise ConfigurationError(f"{where}_{suffix} has no samples; at least 1 is needed")
        # A strided view would be copied inside the measured step, and the copy counted there.
        if not tensor.is_contiguous():
            raise ConfigurationError(f"{where}_{suffix} is not contiguous; call .contiguous()")
    if x.shape[1] < 1:
        raise ConfigurationError(f"{where}_x has no features; at least 1 is needed")
    if len(x) != len(y):
        raise ConfigurationError(
            f"{where}_x has {len(x):,} samples but {half}_y has {len(y):,} labels; "
            "every sample needs one"
        )
    # The extremes show, without a copy of the data, whether the place has to be searched for.
    if not torch.stack(torch.aminmax(x)).isfinite().all():
        finite = torch.isfinite(x)
        sample, feature = (~finite).nonzero()[0].tolist()
        raise ConfigurationError(
            f"{where}_x holds {int((~finite).sum()):,} values that are NaN or infinite, the first "
            f"in sample {sample}, feature {feature}; all must be finite"
        )
    outside = (y < 0) | (y >= dataset.classes)
    if outside.any():
        sample = int(outside.nonzero()[0])
        raise ConfigurationError(
            f"{where}_y holds label {int(y[sample])} at sample {sample}; "
            f"{dataset.classes} classes have labels from 0 to {dataset.classes - 1}"
        )
