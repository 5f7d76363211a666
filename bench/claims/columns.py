"""A frame of runs as columns of plain values, with those that are derived from others.

Selecting a few rows from a frame of hundreds of columns again and again costs seconds in pandas;
claims need some ten columns of it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from trainfit.bench.claims.words import Source

if TYPE_CHECKING:
    import pandas as pd

Column = list[Any]
"""One value per row; what is missing is None."""

_MACS = re.compile(r"phase\.[a-z_]+\.macs\.\w+")
"""Of a phase; a phase that refines another one counts there."""


class Table:
    """One frame; columns are made when they are first asked for."""

    def __init__(self, frame: pd.DataFrame) -> None:
        self._frame = frame
        self._made: dict[str, Column] = {}
        self._derived: dict[str, Callable[[], Column]] = {
            "ram_bytes": lambda: self._with_static("peak_dynamic_bytes"),
            "macs": self._macs,
            "lost_accuracy": self._lost,
        }

    def __len__(self) -> int:
        return len(self._frame)

    def __contains__(self, name: str) -> bool:
        return self.column(name) is not None

    def column(self, name: str) -> Column | None:
        """A column by name; None if there is none and it cannot be derived."""
        if name not in self._made:
            if name in self._frame:
                self._made[name] = plain(self._frame[name])
            elif name in self._derived:
                self._made[name] = self._derived[name]()
            elif name.startswith("phase.") and name.endswith(".ram_bytes"):
                self._made[name] = self._with_static(name.replace(".ram_bytes", ".peak_bytes"))
            else:
                return None
        return self._made[name]

    @cached_property
    def options(self) -> list[dict[str, Any]]:
        """What the suite set, by row."""
        return [json.loads(text) if text else {} for text in self.column("options") or []]

    @cached_property
    def models(self) -> list[str]:
        """Full names, by row."""
        return [full_name(name) for name in self.column("model") or []]

    def _missing(self) -> Column:
        return [None] * len(self)

    def _with_static(self, name: str) -> Column:
        static = self.column("static_bytes") or self._missing()
        own = self.column(name) or self._missing()
        return [None if None in (a, b) else a + b for a, b in zip(static, own, strict=True)]

    def _macs(self) -> Column:
        """Of one stage, if that is all there are: others are not in the frame."""
        parts = [self.column(str(name)) for name in self._frame if _MACS.fullmatch(str(name))]
        stages = self.column("stages") or self._missing()
        counts = [
            [value for value in row if value is not None]
            for row in zip(*(part for part in parts if part is not None), strict=True)
        ] or [[] for _ in range(len(self))]
        return [
            sum(found) if found and (number or 1) == 1 else None
            for found, number in zip(counts, stages, strict=True)
        ]

    def _lost(self) -> Column:
        """What a disturbance took from the accuracy of the same net."""
        accuracy = self.column("test_accuracy") or self._missing()
        kinds = self.column("disturbance") or self._missing()
        names = ("run", "label", "seed", "epochs", "shuffle")
        keys = list(zip(*(self.column(name) or self._missing() for name in names), strict=True))
        whole = {
            key: value for key, value, kind in zip(keys, accuracy, kinds, strict=True)
            if kind == "none"
        }  # fmt: skip
        return [
            None if value is None or whole.get(key) is None else whole[key] - value
            for key, value in zip(keys, accuracy, strict=True)
        ]


class Tables:
    """The frames of some runs, each read when it is first asked for."""

    def __init__(self, runs: Sequence[Path]) -> None:
        self._runs = list(runs)
        self._tables: dict[Source, Table] = {}

    def __getitem__(self, source: Source) -> Table:
        if source not in self._tables:
            from trainfit.bench.frames.sources import load_source  # noqa: PLC0415  (imports pandas)

            self._tables[source] = Table(load_source(self._runs, source.value))
        return self._tables[source]


def plain(values: pd.Series[Any]) -> Column:
    """A column's values, those that are missing in one of pandas' ways as None."""
    return [
        None if missing else value
        for value, missing in zip(values.tolist(), values.isna().tolist(), strict=True)
    ]


def full_name(model: str) -> str:
    """``mlp-64-32-32-10`` for ``mlp-64-32x2-10``, so that both are one model."""
    if not model.startswith("mlp-"):
        return model
    return re.sub(
        r"(\d+)x(\d+)", lambda found: "-".join([found[1]] * min(int(found[2]), 1000)), model
    )
