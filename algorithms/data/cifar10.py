"""CIFAR-10: colour images in ten classes, from the six pickles in ``cifar-10-batches-py``.

They are the "python version" as published. Pickles are programs; these are read by a machine that
cannot run any (`inert_pickle`). A sample is 1,024 red, then 1,024 green, then 1,024 blue pixels,
each row by row, as in the files: channel-major, (3, 32, 32). Pixels are divided by 255 and nothing
else.

Shape suffixes: S samples, F features.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

from trainfit.algorithms.data.base import Dataset, DatasetInfo
from trainfit.algorithms.data.files import AGAIN, fail, read_whole, require_files
from trainfit.algorithms.data.inert_pickle import ArrayRecord, InertPickleError, read_pickle
from trainfit.algorithms.data.roots import data_folder

SHAPE = (3, 32, 32)
FEATURES = 3 * 32 * 32
CLASSES = 10
MOST_BYTES = 1 << 28
"""Most that a file may hold; the largest published one, of CIFAR-100, holds about 155 million."""

INFO = DatasetInfo(
    name="cifar10",
    summary="photographs of 10 kinds of things, 32x32 colour pixels in [0, 1]",
    features=FEATURES,
    classes=CLASSES,
    train_samples=50_000,
    test_samples=10_000,
    needs_data_root=True,
    source="Krizhevsky 2009; the python version in cifar-10-batches-py",
    licence="none stated",
)


def load(data_root: Path | None) -> Dataset:
    """Read CIFAR-10.

    Raises:
        ConfigurationError: A folder or file is missing, unreadable, damaged or hostile.
    """
    files = (*(f"data_batch_{number}" for number in range(1, 6)), "test_batch")
    inside = "cifar-10-batches-py"
    return load_pickles(INFO.name, data_root, inside, files, key="labels", classes=CLASSES)


def load_pickles(
    name: str, data_root: Path | None, inside: str, files: Sequence[str], *, key: str, classes: int
) -> Dataset:
    """Read CIFAR-10, or a data set published in its form.

    Args:
        name: Name of the data set.
        data_root: What the user named.
        inside: The folder of the files below the data root.
        files: Their names; the last one is the test half.
        key: What the labels are called in each file.
        classes: Number of classes.

    Raises:
        ConfigurationError: A folder or file is missing, unreadable, damaged or hostile.
    """
    folder = data_folder(name, data_root, inside)
    *train, test = require_files(name, folder, files)
    train_x, train_y = _load_half(train, key, classes)
    test_x, test_y = _load_half([test], key, classes)
    return Dataset(name, train_x, train_y, test_x, test_y, classes, SHAPE)


def _load_half(paths: list[Path], key: str, classes: int) -> tuple[torch.Tensor, torch.Tensor]:
    """One half from its files; float32 is four times as large as they are and made only once."""
    parts = [_read_file(path, key, classes) for path in paths]
    labels = [label for _, part in parts for label in part]
    x_SF = np.empty((len(labels), FEATURES), dtype=np.float32)
    start = 0
    for pixels_SF, part in parts:
        np.divide(pixels_SF, np.float32(255), out=x_SF[start : start + len(part)])
        start += len(part)
    return torch.from_numpy(x_SF), torch.tensor(labels, dtype=torch.int64)


def _read_file(path: Path, key: str, classes: int) -> tuple[np.ndarray, list[int]]:
    """Pixels as they are in a file, uint8, (samples, features), and their labels, in range."""
    try:
        content = read_pickle(read_whole(path, MOST_BYTES))
    except InertPickleError as error:
        fail(path, f"is not one of the published pickles: it {error}; {AGAIN}")
    if not isinstance(content, dict):
        fail(path, f"holds a {type(content).__name__}, expected a dictionary; {AGAIN}")
    for needed in ("data", key):
        if needed.encode() not in content:
            found = ", ".join(repr(name[:20])[1:] for name in sorted(content)[:8]) or "nothing"
            fail(path, f"holds no {needed!r} but {found}: it belongs to another data set")
    pixels_SF = _pixels(path, content[b"data"])
    return pixels_SF, _labels(path, content[key.encode()], len(pixels_SF), classes)


def _pixels(path: Path, array: object) -> np.ndarray:
    if not isinstance(array, ArrayRecord):
        fail(path, f"holds a {type(array).__name__} as 'data', expected an array; {AGAIN}")
    shape = array.shape
    if len(shape) != 2 or shape[0] < 0 or shape[1] != FEATURES or array.fortran:
        order = " by columns" if array.fortran else ""
        found = "x".join(map(str, shape[:4])) or "no dimensions"
        fail(path, f"holds pixels of {found}{order}, expected samples x {FEATURES:,}; {AGAIN}")
    if len(array.payload) != shape[0] * FEATURES:
        fail(
            path,
            f"holds {len(array.payload):,} pixels, its shape of {shape[0]:,} x {FEATURES:,} "
            f"promises {shape[0] * FEATURES:,}: it is damaged; {AGAIN}",
        )
    return np.frombuffer(array.payload, dtype=np.uint8).reshape(shape)


def _labels(path: Path, labels: object, samples: int, classes: int) -> list[int]:
    if not isinstance(labels, list):
        fail(path, f"holds a {type(labels).__name__} of labels, expected a list; {AGAIN}")
    if len(labels) != samples:
        fail(
            path,
            f"holds {samples:,} images but {len(labels):,} labels; every image needs one: {AGAIN}",
        )
    for position, label in enumerate(labels):
        if type(label) is not int:
            fail(path, f"holds a {type(label).__name__} as label at position {position}; {AGAIN}")
        if not 0 <= label < classes:
            fail(
                path,
                f"holds label {label} at position {position}; "
                f"labels go from 0 to {classes - 1}: {AGAIN}",
            )
    return labels
