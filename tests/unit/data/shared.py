"""What the tests of data sets share: refusals in words, and real data where it is at hand."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from trainfit.algorithms.data import DATA_ROOT_VARIABLE, load_dataset
from trainfit.algorithms.errors import ConfigurationError

REAL_ROOT = Path(os.environ.get(DATA_ROOT_VARIABLE) or "/nowhere")


def needs_real(folder: str) -> pytest.MarkDecorator:
    """Skip a test unless this folder is below the data root of the environment."""
    reason = f"{DATA_ROOT_VARIABLE} names no folder with {folder}"
    return pytest.mark.skipif(not (REAL_ROOT / folder).is_dir(), reason=reason)


def refusal(name: str, data_root: Path | None = None) -> str:
    """What is said when a data set cannot be loaded."""
    with pytest.raises(ConfigurationError) as caught:
        load_dataset(name, data_root)
    return str(caught.value)
