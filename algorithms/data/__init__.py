"""Data sets, one module per family; none is shipped, none can run code by being read.

A data set is either embedded in a dependency (``digits``), generated (``synthetic-...``), or read
from the folder that the user names as data root. Only `download`, on request, puts the published
files there.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

from trainfit.algorithms.data import cifar, digits, mitbih, mnist, synthetic
from trainfit.algorithms.data.base import Dataset, DatasetInfo, absent_classes, check_dataset
from trainfit.algorithms.data.batching import batches, check_fits
from trainfit.algorithms.data.files import DATA_ROOT_VARIABLE
from trainfit.algorithms.errors import unknown_name

LOADERS: dict[str, tuple[DatasetInfo, Callable[[Path | None], Dataset]]] = {
    digits.INFO.name: (digits.INFO, digits.load),
    **{
        info.name: (info, partial(module.load, info.name))
        for module in (cifar, mitbih, mnist)
        for info in module.INFOS
    },
}
"""Name to description and loading function."""


def describe_datasets() -> list[DatasetInfo]:
    """The data sets, by name; generated data comes last, with the form of its names."""
    return [*(LOADERS[name][0] for name in sorted(LOADERS)), synthetic.INFO]


def dataset_names() -> list[str]:
    """Names that `load_dataset` takes; the last is a form, ``synthetic-FEATURES-CLASSES``."""
    return [info.name for info in describe_datasets()]


def features_and_classes(name: str, data_root: Path | None = None) -> tuple[int, int]:
    """Features and classes of a data set, by its name alone where that says it.

    Raises:
        ConfigurationError: As :func:`load_dataset`.
    """
    if name.split("-", 1)[0] == synthetic.FAMILY:
        return synthetic.parse(name)
    info = LOADERS[name][0] if name in LOADERS else None
    if info is not None and info.features is not None and info.classes is not None:
        return info.features, info.classes
    data = load_dataset(name, data_root)
    return data.features, data.classes


def load_dataset(name: str, data_root: Path | None = None) -> Dataset:
    """Load a data set and check it.

    Args:
        name: One of `dataset_names`, with numbers in place of the capitals.
        data_root: The folder with ``mitdb``, ``MNIST/raw`` and others, laid out like torchvision's
            root. None takes the environment variable ``TRAINFIT_DATA_ROOT``, if it is set.

    Raises:
        ConfigurationError: No such data set, or its files are missing or damaged.
    """
    if name.split("-", 1)[0] == synthetic.FAMILY:
        dataset = synthetic.load(name)
    elif name in LOADERS:
        dataset = LOADERS[name][1](data_root)
    else:
        raise unknown_name("dataset", name, dataset_names())
    check_dataset(dataset)
    return dataset


__all__ = [
    "DATA_ROOT_VARIABLE",
    "LOADERS",
    "Dataset",
    "DatasetInfo",
    "absent_classes",
    "batches",
    "check_dataset",
    "check_fits",
    "dataset_names",
    "describe_datasets",
    "features_and_classes",
    "load_dataset",
]
