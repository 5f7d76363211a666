"""Digits: the handwritten digits in scikit-learn, real data without files or a network.

They are the test part of UCI's "Optical Recognition of Handwritten Digits". scikit-learn's copy
has no writer ids, so the split here is stratified by class only and **the same writers appear in
both halves**: test accuracy measures new samples of known writers, not new writers.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from trainfit.algorithms.data.base import Dataset, DatasetInfo

SIDE = 8
CLASSES = 10
TEST_SAMPLES = 360

INFO = DatasetInfo(
    name="digits",
    summary="handwritten digits, 8x8 grey pixels in [0, 1]; writers overlap between the halves",
    features=SIDE * SIDE,
    classes=CLASSES,
    train_samples=1_797 - TEST_SAMPLES,
    test_samples=TEST_SAMPLES,
    needs_data_root=False,
    source="Alpaydin and Kaynak 1998 (UCI), as embedded in scikit-learn",
    licence="CC BY 4.0",
)


def load(data_root: Path | None = None) -> Dataset:
    """Load the digits and split them, the same way every time; ``data_root`` is not used."""
    # Imported here because scikit-learn takes a second, and most data sets do not need it.
    from sklearn.datasets import load_digits  # noqa: PLC0415
    from sklearn.model_selection import train_test_split  # noqa: PLC0415

    pixels, labels = load_digits(return_X_y=True)
    train, test = train_test_split(
        np.arange(len(labels)), test_size=TEST_SAMPLES, stratify=labels, random_state=0
    )
    x = torch.from_numpy(pixels / 16.0).to(torch.float32)
    y = torch.from_numpy(labels).to(torch.int64)
    train, test = torch.from_numpy(train), torch.from_numpy(test)
    return Dataset(INFO.name, x[train], y[train], x[test], y[test], CLASSES, (1, SIDE, SIDE))
