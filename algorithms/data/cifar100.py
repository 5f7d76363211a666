"""CIFAR-100: CIFAR-10's form with a hundred classes, from ``cifar-100-python``.

The labels are the hundred fine ones; the twenty coarse ones in the same files are not used.
"""

from __future__ import annotations

from pathlib import Path

from trainfit.algorithms.data import cifar10
from trainfit.algorithms.data.base import Dataset, DatasetInfo

CLASSES = 100

INFO = DatasetInfo(
    name="cifar100",
    summary="photographs of 100 kinds of things, in the form of cifar10",
    features=cifar10.FEATURES,
    classes=CLASSES,
    train_samples=50_000,
    test_samples=10_000,
    needs_data_root=True,
    source="Krizhevsky 2009; the python version in cifar-100-python",
    licence="none stated",
)


def load(data_root: Path | None) -> Dataset:
    """Read CIFAR-100.

    Raises:
        ConfigurationError: A folder or file is missing, unreadable, damaged or hostile.
    """
    files = ("train", "test")
    inside = "cifar-100-python"
    return cifar10.load_pickles(
        INFO.name, data_root, inside, files, key="fine_labels", classes=CLASSES
    )
