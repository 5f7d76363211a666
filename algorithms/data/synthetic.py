"""Synthetic data of any shape: ``synthetic-FEATURES-CLASSES``, one Gaussian blob per class.

Or, shaped as images or as a spectrum over time, ``synthetic-CHANNELSxHEIGHTxWIDTH-CLASSES``: for
instance ``synthetic-3x224x224-10``, ``synthetic-1x49x10-12``. Where 2,500 samples are too large,
there are fewer.

It serves to measure memory and latency on shapes for which no data is available, and to see a loss
fall. Blobs are separated by construction, so an accuracy on them says nothing about real data.

Shape suffixes: S samples, C classes, F features.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass

import numpy as np
import torch

from trainfit._limits import MOST_GENERATED
from trainfit._text import format_bytes, shown
from trainfit.algorithms.data.base import Dataset, DatasetInfo
from trainfit.algorithms.errors import ConfigurationError

FAMILY = "synthetic"
FORM = "synthetic-FEATURES-CLASSES"
TRAIN_SAMPLES = 2_000
TEST_SAMPLES = 500
_FEWEST = 200
MAX_FEATURES = 200_000
"""Of any number of classes; see ``MOST_GENERATED`` for the bytes of all samples together."""
_SEED = 0
_RESOLUTION = 2.0**-20  # centres may fall together where 2,000 of them share one feature
_SIZE = r"[1-9][0-9]{0,11}"
_NAME = re.compile(rf"synthetic-({_SIZE})(?:x({_SIZE})x({_SIZE}))?-({_SIZE})")

INFO = DatasetInfo(
    name=FORM,
    summary="generated Gaussian blobs squashed into [0, 1], for instance synthetic-784-10",
    features=None,
    classes=None,
    train_samples=TRAIN_SAMPLES,
    test_samples=TEST_SAMPLES,
    needs_data_root=False,
    source="generated from a fixed seed",
    licence="none needed",
)


@dataclass(frozen=True)
class _Sizes:
    """What a name says, and how many samples there are."""

    shape: tuple[int, int, int]
    classes: int
    train_samples: int
    test_samples: int

    @property
    def features(self) -> int:
        return math.prod(self.shape)


def parse(name: str) -> tuple[int, int]:
    """Features and classes from a name such as ``synthetic-784-10``.

    Raises:
        ConfigurationError: The name is not of that form, or such sizes cannot be generated.
    """
    sizes = _sizes(name)
    return sizes.features, sizes.classes


def _sizes(name: str) -> _Sizes:
    match = _NAME.fullmatch(name)
    if match is None:
        raise ConfigurationError(
            f"dataset {shown(name)} is not of the form {FORM}, or synthetic-CHANNELSxHEIGHTxWIDTH"
            "-CLASSES, with whole numbers from 1 up; for instance synthetic-784-10"
        )
    is_shaped, classes = match[2] is not None, int(match[4])
    shape = (int(match[1]), int(match[2]), int(match[3])) if is_shaped else (1, 1, int(match[1]))
    features = math.prod(shape)
    if features > MAX_FEATURES:
        raise ConfigurationError(
            f"dataset {shown(name)}: {features:,} features are too many to generate; "
            f"at most {MAX_FEATURES:,}"
        )
    if not 2 <= classes <= TRAIN_SAMPLES:
        raise ConfigurationError(
            f"dataset {shown(name)}: {classes:,} classes; needs 2 to {TRAIN_SAMPLES:,}, "
            "one training sample each at least"
        )
    train = _samples_of(features, classes) if is_shaped else TRAIN_SAMPLES
    test = train * TEST_SAMPLES // TRAIN_SAMPLES
    needed = 4 * features * (train + test + classes)
    if needed > MOST_GENERATED:
        most = MOST_GENERATED // (4 * (train + test + classes))
        raise ConfigurationError(
            f"dataset {shown(name)}: takes {format_bytes(needed)}, at most"
            f" {format_bytes(MOST_GENERATED)} are generated;"
            f" use at most {most:,} features for {classes:,} classes"
        )
    return _Sizes(shape, classes, train, test)


def _samples_of(features: int, classes: int) -> int:
    """Training samples for which there is room beside the centres; one per class at least."""
    room = MOST_GENERATED // (4 * features) - classes
    fitting = room * TRAIN_SAMPLES // (TRAIN_SAMPLES + TEST_SAMPLES)
    return max(classes, _FEWEST, min(TRAIN_SAMPLES, fitting // 100 * 100))


def load(name: str) -> Dataset:
    """Generate a data set, the same bits every time.

    NumPy's generator and a squashing function of plain arithmetic are used because the last bit of
    torch's normal numbers and sigmoid depends on the processor's vector instructions.

    Raises:
        ConfigurationError: See `parse`.
    """
    sizes = _sizes(name)
    features, classes = sizes.features, sizes.classes
    rng = np.random.Generator(np.random.PCG64([_SEED, features, classes]))
    centres_CF = rng.standard_normal((classes, features), dtype=np.float32)
    spread = _spread(centres_CF)
    train_x, train_y = _draw(rng, centres_CF, spread, sizes.train_samples)
    test_x, test_y = _draw(rng, centres_CF, spread, sizes.test_samples)
    return Dataset(name, train_x, train_y, test_x, test_y, classes, sizes.shape)


def _spread(centres_CF: np.ndarray) -> float:
    """Standard deviation of a blob: 1, or less where centres lie closer than twelve of them.

    A power of two, so that the order in which a sum is taken cannot change a bit of the data.
    Distances over the first 64 features are enough: all features can only lie further apart.
    """
    nearest = math.inf
    points = centres_CF[:, :64].astype(np.float64)
    for label in range(len(points) - 1):
        squares = ((points[label + 1 :] - points[label]) ** 2).sum(axis=1)
        nearest = min(nearest, math.sqrt(float(squares.min())))
    nearest = max(nearest, _RESOLUTION)
    return min(1.0, 2.0 ** (math.frexp(nearest / 12.0)[1] - 1))


def _draw(
    rng: np.random.Generator, centres_CF: np.ndarray, spread: float, samples: int
) -> tuple[torch.Tensor, torch.Tensor]:
    """Samples in [0, 1] and their classes, all classes equally often, in random order."""
    classes, features = centres_CF.shape
    y_S = rng.permutation(np.arange(samples, dtype=np.int64) % classes)
    x_SF = rng.standard_normal((samples, features), dtype=np.float32)
    x_SF *= np.float32(spread)
    for sample, label in enumerate(y_S):
        x_SF[sample] += centres_CF[label]
    # z / (1 + |z|) maps all numbers into (-1, 1); then into [0, 1].
    x_SF /= 1.0 + np.abs(x_SF)
    x_SF *= np.float32(0.5)
    x_SF += np.float32(0.5)
    return torch.from_numpy(x_SF), torch.from_numpy(y_S)
