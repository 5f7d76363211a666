"""MNIST: handwritten digits, read from the four IDX files in ``MNIST/raw`` below the data root.

Pixels are divided by 255 and nothing else; flattening makes 784 features of 28x28 pixels.
"""

from __future__ import annotations

from pathlib import Path

import torch

from trainfit.algorithms.data.base import Dataset, DatasetInfo
from trainfit.algorithms.data.idx import find_idx, read_idx
from trainfit.algorithms.data.roots import data_folder
from trainfit.algorithms.errors import ConfigurationError

SIDE = 28
CLASSES = 10

INFO = DatasetInfo(
    name="mnist",
    summary="handwritten digits, 28x28 grey pixels in [0, 1]",
    features=SIDE * SIDE,
    classes=CLASSES,
    train_samples=60_000,
    test_samples=10_000,
    needs_data_root=True,
    source="LeCun, Bottou, Bengio and Haffner 1998; IDX files in MNIST/raw",
    licence="CC BY-SA 3.0",
)


def load(data_root: Path | None) -> Dataset:
    """Read MNIST.

    Raises:
        ConfigurationError: A folder or file is missing, unreadable or damaged.
    """
    return load_idx_folder(INFO.name, data_root, "MNIST/raw")


def load_idx_folder(name: str, data_root: Path | None, inside: str) -> Dataset:
    """Read the four IDX files of MNIST, or of a data set published in its form.

    Args:
        name: Name of the data set.
        data_root: What the user named.
        inside: The folder of the files below the data root.

    Raises:
        ConfigurationError: A folder or file is missing, unreadable or damaged.
    """
    folder = data_folder(name, data_root, inside)
    train_x, train_y = _load_half(name, folder, "train")
    test_x, test_y = _load_half(name, folder, "t10k")
    return Dataset(name, train_x, train_y, test_x, test_y, CLASSES, (1, SIDE, SIDE))


def _load_half(name: str, folder: Path, half: str) -> tuple[torch.Tensor, torch.Tensor]:
    image_path = find_idx(name, folder, f"{half}-images-idx3-ubyte")
    label_path = find_idx(name, folder, f"{half}-labels-idx1-ubyte")
    labels = read_idx(label_path, ())
    images = read_idx(image_path, (SIDE, SIDE))
    if len(images) != len(labels):
        raise ConfigurationError(
            f"{image_path} holds {len(images):,} images but {label_path} holds {len(labels):,} "
            "labels; every image needs one: fetch both again"
        )
    wrong = (labels >= CLASSES).nonzero()
    if len(wrong):
        first = int(wrong[0])
        raise ConfigurationError(
            f"{label_path} holds label {int(labels[first])} at position {first}; "
            f"labels go from 0 to {CLASSES - 1}: fetch it again"
        )
    x = images.reshape(len(images), SIDE * SIDE).to(torch.float32).div_(255.0)
    return x, labels.to(torch.int64)
