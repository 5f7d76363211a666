"""Fashion-MNIST: articles of clothing in MNIST's form, from ``FashionMNIST/raw``."""

from __future__ import annotations

from pathlib import Path

from trainfit.algorithms.data import mnist
from trainfit.algorithms.data.base import Dataset, DatasetInfo

INFO = DatasetInfo(
    name="fashion_mnist",
    summary="articles of clothing, 28x28 grey pixels in [0, 1]",
    features=mnist.SIDE * mnist.SIDE,
    classes=mnist.CLASSES,
    train_samples=60_000,
    test_samples=10_000,
    needs_data_root=True,
    source="Xiao, Rasul and Vollgraf 2017 (Zalando); IDX files in FashionMNIST/raw",
    licence="MIT",
)


def load(data_root: Path | None) -> Dataset:
    """Read Fashion-MNIST.

    Raises:
        ConfigurationError: A folder or file is missing, unreadable or damaged.
    """
    return mnist.load_idx_folder(INFO.name, data_root, "FashionMNIST/raw")
