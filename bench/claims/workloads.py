"""Which workloads a side of a check means, and what the records say of them.

A row counts if it has the quantity; a failed workload has none. Rows that differ by their seed only
are one *setting*, and its value is the mean over seeds. Where a side matches several settings whose
values differ, the one that trained longest counts for an accuracy; if that does not decide, nothing
is chosen: a claim must not be judged by whichever setting suits it.
"""

from __future__ import annotations

import json
import re
import statistics
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

from trainfit._text import nearest, plain
from trainfit.bench.claims.quantities import Quantity, Tables

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

_COLUMNS = (*_SAYS, "run", "seed", "standardise", "shuffle")

_SETTING = ["label", "epochs", "shuffle", "bits", "amplitude"]
"""What two rows of one setting have in common."""


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
        names = {full_name(each) for each in wanted}
        return frame[name].isin([each for each in frame[name].unique() if full_name(each) in names])
    found = frame[name].isin(wanted - {DEFAULT})
    return found | frame[name].isna() if DEFAULT in wanted else found


def full_name(model: str) -> str:
    """``mlp-64-32-32-10`` for ``mlp-64-32x2-10``, so that both are one model."""
    if not model.startswith("mlp-"):
        return model
    return re.sub(
        r"(\d+)x(\d+)", lambda found: "-".join([found[1]] * min(int(found[2]), 1000)), model
    )


@dataclass(frozen=True)
class Setting:
    """One workload over its seeds.

    Attributes:
        label: The workload.
        epochs: Passes that it was trained for.
        rows: Of the table of a quantity.
    """

    label: str
    epochs: int
    rows: pd.DataFrame

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
        settings: Those that are there and have the quantity.
        problem: Why there is nothing to judge by; None if there is.
        undecided: There are records, but they do not say one thing.
    """

    workloads: Workloads
    settings: list[Setting]
    problem: str | None = None
    undecided: bool = False

    @property
    def only(self) -> Setting:
        """The one setting that is meant."""
        return self.settings[0]


def find(
    tables: Tables, quantity: Quantity, workloads: Workloads, *, grid: bool = False
) -> Operand:
    """What the records say of some workloads.

    Args:
        tables: The frames of the runs.
        quantity: What is compared.
        workloads: Which are meant.
        grid: All their settings, not one.
    """
    frame = tables.of(quantity)
    rows = frame[workloads.match(frame)]
    if rows.empty:
        return Operand(workloads, [], f"no record of {workloads.text}")
    rows = rows.dropna(subset=["low", "high"])
    if rows.empty:
        return Operand(workloads, [], f"the records of {workloads.text} have no {quantity.key}")
    same = [name for name in _SETTING if name in rows]
    groups = [group for _, group in rows.groupby(same, sort=False, dropna=False)]
    settings = [Setting(str(g["label"].iloc[0]), int(g["epochs"].iloc[0]), g) for g in groups]
    if grid:
        return Operand(workloads, settings)
    if _differ(settings) and quantity.key.endswith("accuracy"):
        longest = max(each.epochs for each in settings)
        settings = [each for each in settings if each.epochs == longest]
    if _differ(settings):
        problem = (
            f"{len(settings)} settings match {workloads.text} and differ"
            f" ({settings[0].label}, {settings[1].label}, ...): give one run with --from"
        )
        return Operand(workloads, settings, problem, undecided=True)
    return Operand(workloads, settings)


def _differ(settings: list[Setting]) -> bool:
    return len({each.mean for each in settings}) > 1
