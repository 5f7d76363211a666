"""``trainfit datasets``."""

from __future__ import annotations

from trainfit.algorithms.data import describe_datasets
from trainfit.bench.cli.output import output

COLUMNS = (
    ("dataset", "data set"),
    ("shape", "features / classes"),
    ("samples", "train + test"),
    ("where", "from"),
    ("summary", "what it is"),
)


def datasets() -> None:
    """List data sets: their sizes and where they come from."""
    rows = []
    for info in describe_datasets():
        size = "in its files"
        if info.train_samples is not None and info.test_samples is not None:
            size = f"{info.train_samples:,} + {info.test_samples:,}"
        features = "in its name"
        if info.features is not None and info.classes is not None:
            features = f"{info.features:,} / {info.classes}"
        root = "--data-root" if info.needs_data_root else "built in"
        rows.append((info.name, features, size, root, info.summary))
    output().rows("datasets", COLUMNS, rows)
