"""MNIST and Fashion-MNIST: grey images in ten classes, each from four IDX files.

They lie in ``MNIST/raw`` and ``FashionMNIST/raw`` below the data root. Pixels are divided by 255
and nothing else; flattening makes 784 features of 28x28 pixels.
"""

from __future__ import annotations

from pathlib import Path

import torch

from trainfit.algorithms.data.base import Dataset, DatasetInfo
from trainfit.algorithms.data.files import data_folder
from trainfit.algorithms.data.idx import find_idx, read_idx
from trainfit.algorithms.errors import ConfigurationError

SIDE = 28
CLASSES = 10
_FOLDERS = {"mnist": "MNIST/raw", "fashion_mnist": "FashionMNIST/raw"}
_ABOUT = {
    "mnist": (
        "handwritten digits",
        "LeCun, Bottou, Bengio and Haffner 1998",
        "CC BY-SA 3.0",
    ),
    "fashion_mnist": (
        "articles of clothing",
        "Xiao, Rasul and Vollgraf 2017 (Zalando)",
        "MIT",
    ),
}
INFOS = tuple(
    DatasetInfo(
        name=name,
        summary=f"{what}, {SIDE}x{SIDE} grey pixels in [0, 1]",
        features=SIDE * SIDE,
        classes=CLASSES,
        train_samples=60_000,
        test_samples=10_000,
        needs_data_root=True,
        source=f"{authors}; IDX files in {_FOLDERS[name]}",
        licence=licence,
    )
    for name, (what, authors, licence) in _ABOUT.items()
)


def load(name: str, data_root: Path | None) -> Dataset:
    """Read MNIST or Fashion-MNIST.

    Args:
        name: ``mnist`` or ``fashion_mnist``.
        data_root: What the user named.

    Raises:
        ConfigurationError: A folder or file is missing, unreadable or damaged.
    """
    folder = data_folder(name, data_root, _FOLDERS[name])
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
