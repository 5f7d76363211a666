"""Which rows of which frame a side of a claim's check means, and what they say.

A row counts if it has the quantity; a failed workload has none. Rows that differ by their seed only
are one *setting*, and its value is the mean over seeds. Where a side matches several settings whose
values differ, the one that trained longest counts for an accuracy; if that does not decide, nothing
is chosen: a claim must not be judged by whichever setting suits it.
"""

from __future__ import annotations

import statistics
from dataclasses import dataclass, field
from typing import Any

from trainfit.bench.claims.columns import Table, Tables, full_name
from trainfit.bench.claims.schema import Check, Selector
from trainfit.bench.claims.words import DEFAULT, Source

Interval = tuple[float, float]
"""Low and high end; for what was measured both are the same."""

_COLUMNS = (
    "algorithm",
    "dataset",
    "batch_size",
    "epochs",
    "standardise",
    "shuffle",
    "run",
    "bits",
    "amplitude",
)
"""What a selector compares as it is."""

_SETTING = ("label", "epochs", "shuffle", "bits", "amplitude")
"""What two rows of one setting have in common."""


@dataclass(frozen=True)
class Setting:
    """One workload over its seeds: the value per seed, and the points of a curve per seed."""

    label: str
    epochs: int
    by_seed: dict[int, Interval]
    curves: dict[int, dict[int, float]] = field(default_factory=dict)

    @property
    def mean(self) -> Interval:
        """Mean over seeds."""
        lows, highs = zip(*self.by_seed.values(), strict=True)
        return statistics.fmean(lows), statistics.fmean(highs)

    @property
    def deviation(self) -> float | None:
        """The sample's deviation over seeds; None with one seed or for an interval."""
        values = [low for low, high in self.by_seed.values() if low == high]
        return statistics.stdev(values) if len(values) == len(self.by_seed) > 1 else None


@dataclass(frozen=True)
class Side:
    """What a selector found.

    Attributes:
        selector: What was asked for.
        settings: What matches and has the quantity.
        problem: Why there is nothing to judge by; None if there is.
        undecided: There are records, but they do not say one thing.
    """

    selector: Selector
    settings: list[Setting]
    problem: str | None = None
    undecided: bool = False

    @property
    def only(self) -> Setting:
        """The one setting that is meant."""
        return self.settings[0]


def matching(table: Table, selector: Selector) -> list[int]:
    """The numbers of the rows that a selector means, whatever they hold."""
    rows = list(range(len(table)))
    for name in _COLUMNS:
        wanted = getattr(selector, name)
        if wanted is not None:
            column = table.column(name) or [None] * len(table)
            values = wanted if isinstance(wanted, list) else [wanted]
            rows = [row for row in rows if column[row] in values]
    if selector.model is not None:
        names = {full_name(name) for name in selector.model}
        rows = [row for row in rows if table.models[row] in names]
    if selector.train_samples is not None:
        samples = table.column("train_samples") or [None] * len(table)
        wanted = None if selector.train_samples == DEFAULT else selector.train_samples
        rows = [row for row in rows if samples[row] == wanted]
    if selector.options:
        rows = [row for row in rows if _has(table.options[row], selector.options)]
    return rows


def _has(options: dict[str, Any], wanted: dict[str, Any]) -> bool:
    """An option that is not set has the value ``(default)``."""
    return all(
        options.get(key, DEFAULT) in (value if isinstance(value, list) else [value])
        for key, value in wanted.items()
    )


def select(tables: Tables, check: Check, selector: Selector, *, grid: bool = False) -> Side:
    """What the records say of one side of a check.

    Args:
        tables: The runs.
        check: Says which quantity, one of them.
        selector: The side, with what all sides of the check have in common.
        grid: All settings are meant, not one.
    """
    table, quantity = tables[check.frame], check.quantity[0]
    rows = matching(table, selector)
    if not rows:
        return Side(selector, [], f"no record of {selector.text}")
    values = _values(table, quantity, rows)
    if not values:
        return Side(selector, [], f"the records of {selector.text} have no {quantity}")
    settings = _settings(table, values, curves=check.frame is Source.CURVES)
    if grid:
        return Side(selector, settings)
    if len({each.mean for each in settings}) > 1 and quantity.endswith("accuracy"):
        longest = max(each.epochs for each in settings)
        settings = [each for each in settings if each.epochs == longest]
    if len({each.mean for each in settings}) > 1:
        problem = (
            f"{len(settings)} settings match {selector.text} and differ"
            f" ({settings[0].label}, {settings[1].label}, ...): give one run with --from"
        )
        return Side(selector, settings, problem, undecided=True)
    return Side(selector, settings)


def _values(table: Table, quantity: str, rows: list[int]) -> dict[int, Interval]:
    """The quantity by row, of the rows that have it."""
    low = table.column(quantity) or table.column(f"{quantity}_low")
    high = table.column(quantity) or table.column(f"{quantity}_high")
    if low is None or high is None:
        return {}
    return {
        row: (float(low[row]), float(high[row]))
        for row in rows
        if low[row] is not None and high[row] is not None
    }


def _settings(table: Table, values: dict[int, Interval], *, curves: bool) -> list[Setting]:
    keys = [table.column(name) or [None] * len(table) for name in _SETTING]
    groups: dict[tuple[Any, ...], list[int]] = {}
    for row in values:
        groups.setdefault(tuple(column[row] for column in keys), []).append(row)
    return [
        _setting(table, {row: values[row] for row in rows}, curves=curves)
        for rows in groups.values()
    ]


def _setting(table: Table, values: dict[int, Interval], *, curves: bool) -> Setting:
    first = next(iter(values))
    label, epochs, seeds, passes = (
        table.column(name) or [0] * len(table) for name in ("label", "epochs", "seed", "pass")
    )
    found: dict[int, list[int]] = {}
    for row in values:
        found.setdefault(seeds[row], []).append(row)
    if curves:
        lines = {
            seed: {passes[row]: values[row][0] for row in rows} for seed, rows in found.items()
        }
        by_seed = {seed: (curve[max(curve)],) * 2 for seed, curve in lines.items()}
        return Setting(str(label[first]), epochs[first], by_seed, lines)
    by_seed = {
        seed: (
            statistics.fmean(values[row][0] for row in rows),
            statistics.fmean(values[row][1] for row in rows),
        )
        for seed, rows in found.items()
    }
    return Setting(str(label[first]), epochs[first], by_seed)
