"""What the gate allows: a rule per metric and workload, with a direction, a unit and a tolerance.

A rule stands in the golden file beside the figures that it is about::

    {"metric": "*/peak_bytes", "workload": "tinyfoa*", "direction": "smaller", "unit": "B",
     "percent": 2.0, "missing": "fail", "why": "the tile size is being tuned until May"}

Without a rule a metric must be what it was, to the byte. Of several rules that match, the last one
counts.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from enum import StrEnum
from functools import lru_cache
from typing import Annotated

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from trainfit._limits import LARGEST_INTEGER
from trainfit._text import shown
from trainfit.bench.errors import BenchError

Value = int | float | str
"""What a metric may be: a whole number, text (the name of a phase), or a ratio of two revisions."""

WORKLOAD = "workload"
"""The scope of what belongs to a workload as a whole, and the metric that says it is there."""

NOISY = re.compile(r"latency|seconds|energy|joules|watts", re.IGNORECASE)
"""Names of what depends on the machine and on the hour."""

PAIRED = "trainfit compare-revisions REV measures both revisions in one job and judges the ratio"
"""What to do for a metric that is noisy."""


class GoldenError(BenchError):
    """A golden file, or a rule in it, cannot be used."""


class Direction(StrEnum):
    """Which way is better."""

    EQUAL = "equal"
    """Neither: any change has to be accepted on purpose."""
    SMALLER = "smaller"
    LARGER = "larger"


class Missing(StrEnum):
    """What becomes of a metric or workload that is in the golden and not in the run."""

    FAIL = "fail"
    WARN = "warn"
    IGNORE = "ignore"


class Unit(StrEnum):
    """What a metric counts."""

    BYTES = "B"
    COUNT = "count"
    TEXT = "text"
    RATIO = "ratio"
    """Of two revisions measured side by side; never stored in a golden."""


def _number(given: object) -> object:
    """A whole number is a number too, but neither truth nor less than nothing is."""
    if isinstance(given, bool) or not isinstance(given, int | float):
        raise ValueError(f"must be a number, got {shown(given)}")
    if not 0 <= given < float("inf"):
        raise ValueError(f"must be 0 or more, got {shown(given)}")
    if given > LARGEST_INTEGER:
        raise ValueError(f"must be at most {LARGEST_INTEGER:,}, got {shown(given)}")
    return float(given)


class Rule(BaseModel):
    """How one metric, or several, are gated.

    Attributes:
        metric: Name with ``*`` for any text; without a ``/`` it is compared with the last part.
        unit: Of the metrics that are meant; others are not touched by the rule.
        workload: Which workloads, with ``*`` likewise.
        direction: Which way is better.
        absolute: Allowed difference in ``unit``.
        percent: Allowed difference in percent of the golden value; the larger of both counts.
        missing: What happens where the run lacks the metric.
        why: The reason for the rule, for the next reader of the file.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    metric: str = Field(min_length=1)
    unit: Annotated[Unit, Field(strict=False)]
    workload: str = Field(default="*", min_length=1)
    direction: Annotated[Direction, Field(strict=False)] = Direction.EQUAL
    absolute: Annotated[float, BeforeValidator(_number)] = 0.0
    percent: Annotated[float, BeforeValidator(_number)] = 0.0
    missing: Annotated[Missing, Field(strict=False)] = Missing.FAIL
    why: str = Field(min_length=1)

    @model_validator(mode="after")
    def _fits_together(self) -> Rule:
        if self.unit is Unit.TEXT and (
            self.direction is not Direction.EQUAL or self.absolute or self.percent
        ):
            raise ValueError("text is equal or it is not: no direction and no tolerance")
        return self

    def covers(self, workload: str, metric: str, unit: Unit) -> bool:
        """Whether the rule is about this metric of this workload."""
        return self.unit is unit and self.names(metric) and _matches(self.workload, workload)

    def names(self, metric: str) -> bool:
        """Whether a metric is meant, whatever its unit and workload."""
        own = metric if "/" in self.metric else metric.rpartition("/")[2]
        return _matches(self.metric, own)

    def allowed(self, golden: float) -> float:
        """How far from a golden value is near enough, in the unit of the metric."""
        return max(self.absolute, self.percent * abs(golden) / 100)

    def verdict(self, golden: float, measured: float) -> int:
        """-1 for better than allowed to pass unseen, 0 for near enough, 1 for worse.

        With ``equal`` the sign is that of the change: 1 has grown, -1 has shrunk.
        """
        change = measured - golden
        if self.direction is Direction.LARGER:
            change = -change
        if abs(change) <= self.allowed(golden):
            return 0
        return 1 if change > 0 else -1

    @property
    def tolerance(self) -> str:
        """What the rule allows, for people: empty where nothing is."""
        parts = []
        if self.absolute:
            parts.append(f"{self.absolute:,g} {self.unit}")
        if self.percent:
            parts.append(f"{self.percent:g} %")
        return " or ".join(parts)


_DEFAULTS = {
    unit: Rule(metric="*", unit=unit, why="what is deterministic is compared exactly")
    for unit in Unit
}


def rule_for(rules: Sequence[Rule], workload: str, metric: str, unit: Unit) -> Rule:
    """The rule that counts: the last one that covers the metric, or equality to the byte."""
    for rule in reversed(rules):
        if rule.covers(workload, metric, unit):
            return rule
    return _DEFAULTS[unit]


def missing_workload(rules: Sequence[Rule], workload: str) -> Missing:
    """What happens if the run lacks a whole workload: by the last rule for ``workload``."""
    for rule in reversed(rules):
        if rule.metric == WORKLOAD and _matches(rule.workload, workload):
            return rule.missing
    return Missing.FAIL


def unit_of(metric: str, value: Value) -> Unit:
    """The unit of a metric, by its name: bytes end in ``_bytes``, everything else is counted."""
    if isinstance(value, str):
        return Unit.TEXT
    if isinstance(value, float):
        return Unit.RATIO
    return Unit.BYTES if metric.endswith("_bytes") else Unit.COUNT


def refuse_noisy(names: Iterable[str], where: str) -> None:
    """Refuse to gate what is noisy against a stored number.

    Raises:
        GoldenError: A name is that of a time, an energy or a power.
    """
    for name in names:
        if NOISY.search(name):
            raise GoldenError(
                f"{where}: {name!r} depends on the machine and is never compared with a stored "
                f"number; {PAIRED}"
            )


def _matches(pattern: str, text: str) -> bool:
    return pattern in ("*", text) or _compiled(pattern).fullmatch(text) is not None


@lru_cache(maxsize=1024)
def _compiled(pattern: str) -> re.Pattern[str]:
    """``*`` is any text; brackets are not special, for a workload's options stand in them."""
    return re.compile(".*".join(map(re.escape, pattern.split("*"))), re.DOTALL)
