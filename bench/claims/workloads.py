"""Which workloads a side of a check means, and what the records say of them.

Rows that differ by their seed only are one *setting*, and its value is the mean over seeds. Which
setting of a side is compared with which of another is decided in
:mod:`trainfit.bench.claims.pairing`.
"""

from __future__ import annotations

import json
import statistics
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

from trainfit._experiments import Conditions, net
from trainfit._text import nearest, plain

if TYPE_CHECKING:
    import pandas as pd

Interval = tuple[float, float]
"""Low and high end; for what was measured both are the same."""

DEFAULT = "(default)"
"""An option that is not set, a column that is empty (``train_samples``: all of them)."""

_SAYS = {
    "model": "{}",
    "dataset": "{}",
    "batch_size": "b{}",
    "train_samples": "of {} samples",
    "epochs": "{} epochs",
    "bits": "at {} bits",
    "amplitude": "with noise of {}",
}
"""How the columns are called in a sentence, in its order; others stand as ``name = value``."""

_COLUMNS = (*_SAYS, "run", "seed", "standardise", "shuffle", "augment", "pretrained", "search")


@dataclass(frozen=True)
class Workloads:
    """Workloads of a rule: every option and column that is given has one of the given values.

    Attributes:
        algorithm: The rule.
        options: By name, a value or several in a tuple; :data:`DEFAULT` is "not set".
        columns: The same of other columns; ``bits`` and ``amplitude`` are of quantities under
            noise.
    """

    algorithm: str
    options: Mapping[str, Any] = field(default_factory=dict)
    columns: Mapping[str, Any] = field(default_factory=dict)

    def at(self, **columns: Any) -> Workloads:
        """Those of them with these values; what is given here wins.

        Raises:
            ValueError: There is no such column.
        """
        for name in columns:
            if name not in _COLUMNS:
                raise ValueError(f"no column {name!r}; {nearest(name, _COLUMNS)}")
        return Workloads(self.algorithm, self.options, {**self.columns, **columns})

    def having(self, **options: Any) -> Workloads:
        """Those of them with these options; what is given here wins."""
        return Workloads(self.algorithm, {**self.options, **options}, self.columns)

    @property
    def text(self) -> str:
        """``algorithm[option=value] model dataset b32``, as far as it says so."""
        options = ",".join(f"{key}={value}" for key, value in sorted(_given(self.options).items()))
        columns = _given(self.columns)
        order = sorted(columns, key=lambda name: (*_SAYS, name).index(name))
        says = [_SAYS.get(name, f"{name} = {{}}").format(columns[name]) for name in order]
        return " ".join([f"{self.algorithm}[{options}]" if options else self.algorithm, *says])

    def match(self, frame: pd.DataFrame) -> pd.Series[bool]:
        """Which rows of a frame are meant."""
        mask = frame["algorithm"] == self.algorithm
        for name, wanted in self.columns.items():
            mask &= _test(frame, name, set(_each(wanted)))
        if self.options:
            said = frame["options"].unique()
            mask &= frame["options"].isin([each for each in said if self._has(json.loads(each))])
        return mask

    def _has(self, options: Mapping[str, Any]) -> bool:
        wanted = self.options.items()
        return all(options.get(name, DEFAULT) in _each(value) for name, value in wanted)


@dataclass(frozen=True)
class Cited:
    """A figure of somebody else's code: a side of a check that no record here has.

    Attributes:
        value: In the unit of the quantity.
        text: Whose it is, and how it was measured.
    """

    value: float
    text: str


Side = Workloads | Cited
"""What one side of a check may be."""


def rule(algorithm: str, **options: Any) -> Workloads:
    """The workloads of a rule with these options."""
    return Workloads(algorithm, options)


def _each(value: Any) -> tuple[Any, ...]:
    return value if isinstance(value, tuple) else (value,)


def _given(values: Mapping[str, Any]) -> dict[str, str]:
    """What is set, in words."""
    return {
        name: "|".join(map(plain, _each(value)))
        for name, value in values.items()
        if value != DEFAULT
    }


def _test(frame: pd.DataFrame, name: str, wanted: set[Any]) -> pd.Series[bool]:
    if name == "model":
        names = {net(each) for each in wanted}
        return frame[name].isin([each for each in frame[name].unique() if net(each) in names])
    found = frame[name].isin(wanted - {DEFAULT})
    return found | frame[name].isna() if DEFAULT in wanted else found


@dataclass(frozen=True)
class Setting:
    """One workload over its seeds.

    Attributes:
        label: The workload.
        epochs: Passes of each stage that it was trained for.
        rows: Of the table of a quantity.
        conditions: Under which it was trained.
    """

    label: str
    epochs: int
    rows: pd.DataFrame
    conditions: Conditions | None = None

    @property
    def seeds(self) -> list[int]:
        """That it was trained with."""
        return sorted(set(map(int, self.rows["seed"])))

    def with_seeds(self, seeds: Iterable[int]) -> Setting:
        """The same of these seeds alone."""
        return replace(self, rows=self.rows[self.rows["seed"].isin(list(seeds))])

    @cached_property
    def by_seed(self) -> dict[int, Interval]:
        """The value per seed: the mean over its rows, of a curve over those of the last pass."""
        rows = self.rows
        if "pass" in rows:
            rows = rows[rows["pass"] == rows.groupby("seed")["pass"].transform("max")]
        found: dict[int, list[Interval]] = {}
        for seed, low, high in zip(rows["seed"], rows["low"], rows["high"], strict=True):
            found.setdefault(int(seed), []).append((float(low), float(high)))
        return {seed: _mean(values) for seed, values in found.items()}

    @cached_property
    def mean(self) -> Interval:
        """Mean over seeds."""
        return _mean(self.by_seed.values())

    @property
    def deviation(self) -> float | None:
        """The sample's deviation over seeds; None with one seed or for an interval."""
        values = [low for low, high in self.by_seed.values() if low == high]
        return statistics.stdev(values) if len(values) == len(self.by_seed) > 1 else None

    @property
    def curve(self) -> dict[int, float]:
        """The mean over seeds by pass, at the passes that all of them have."""
        by_pass = self.rows.pivot_table(index="pass", columns="seed", values="low").dropna()
        means = by_pass.mean(axis=1)
        return dict(zip(map(int, means.index.tolist()), map(float, means.tolist()), strict=True))


def _mean(values: Iterable[Interval]) -> Interval:
    lows, highs = zip(*values, strict=True)
    return statistics.fmean(lows), statistics.fmean(highs)


@dataclass(frozen=True)
class Operand:
    """What the records say of one side of a check.

    Attributes:
        workloads: Which were meant.
        settings: Those that are compared; one, but of a grid.
    """

    workloads: Side
    settings: list[Setting]

    @property
    def only(self) -> Setting:
        """The one setting that is meant."""
        return self.settings[0]

    def with_seeds(self, seeds: Iterable[int]) -> Operand:
        """The same of these seeds alone."""
        chosen = list(seeds)
        return replace(self, settings=[each.with_seeds(chosen) for each in self.settings])
