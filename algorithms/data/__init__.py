"""Data sets, one module per family; none is shipped, none can run code by being read.

A data set is either embedded in a dependency (``digits``), generated (``synthetic-...``), or read
from the folder that the user names as data root. `download` puts the published files there for
those who ask for it; nothing is fetched unasked.
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
"""Name to what is known before loading, and the function that loads it."""


def describe_datasets() -> list[DatasetInfo]:
    """What there is, by name; generated data comes last, as the form that its names take."""
    return [*(LOADERS[name][0] for name in sorted(LOADERS)), synthetic.INFO]


def dataset_names() -> list[str]:
    """Names that `load_dataset` takes; the last is a form, ``synthetic-FEATURES-CLASSES``."""
    return [info.name for info in describe_datasets()]


def load_dataset(name: str, data_root: Path | None = None) -> Dataset:
    """Load a data set and check it.

    Args:
        name: One of `dataset_names`, with numbers in place of the capitals.
        data_root: The folder that holds ``MNIST/raw`` and its like, laid out as torchvision does,
            and ``mitdb``. None takes the environment variable ``TRAINFIT_DATA_ROOT``, where it is
            set.

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
    "load_dataset",
]
