"""Long frames: several rows per workload, what repeats kept as categories."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from trainfit.bench.frames.workloads import IDENTITY, identity, typed
from trainfit.bench.records.schema import Workload

if TYPE_CHECKING:
    import pandas as pd

Part = tuple[str, Workload, Mapping[str, list[Any]]]
"""The name of a run, a workload of it, and columns of equal length of what is known of it."""


def long_frame(parts: Iterable[Part], types: Mapping[str, str]) -> pd.DataFrame:
    """The columns of all parts one below the other, after ``run`` and the workload's identity.

    Args:
        parts: What is stacked.
        types: The columns that every part has, and their types as pandas names them. Text that is
            a ``category`` takes a byte or two per row however long it is.
    """
    import numpy as np  # noqa: PLC0415  (heavy, and only frames need them)

    about_types = {"run": "str", **IDENTITY}
    about: dict[str, list[Any]] = {name: [] for name in about_types}
    own: dict[str, list[Any]] = {name: [] for name in types}
    counts = []
    for run, workload, columns in parts:
        for name, value in {"run": run, **identity(workload)}.items():
            about[name].append(value)
        for name, values in columns.items():
            own[name].extend(values)
        counts.append(len(next(iter(columns.values()))))
    categories = {name: "category" for name, kind in about_types.items() if kind == "str"}
    known = typed(about, about_types).astype(categories)
    known = known.iloc[np.repeat(np.arange(len(counts)), counts)].reset_index(drop=True)
    return known.join(typed(own, types))


def columns_of(rows: Iterable[tuple[Any, ...]], names: Iterable[str]) -> dict[str, list[Any]]:
    """Rows as columns; every column is there where there is no row."""
    columns: Iterator[Any] = zip(*rows, strict=True)
    found = [list(column) for column in columns]
    return {name: found[place] if found else [] for place, name in enumerate(names)}
