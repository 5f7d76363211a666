"""What is recommended, for people and for machines."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from typing import Any, NamedTuple

from rich.console import Group, RenderableType
from rich.text import Text

from trainfit.bench.cli.output import Column, drawn, plain, stdout, unseen
from trainfit.bench.cli.reports.fit import NAMES
from trainfit.bench.frames.workloads import ends
from trainfit.bench.records.schema import Workload
from trainfit.bench.sizing.recommend import Candidate, Objective, runners_up
from trainfit.bench.sizing.recommend_suite import Offer
from trainfit.bench.sizing.trained import Skipped
from trainfit.bench.verdicts.intervals import format_quantity
from trainfit.bench.verdicts.ram import IN_WORDS
from trainfit.hardware_profiles import format_bytes

MOST_ROWS = 20
"""Rows of a front that are printed."""

MOST_OFFERED = 16
"""Rows of what is offered that are printed."""


class Asked(NamedTuple):
    """What the front was asked to be."""

    objective: Objective
    min_accuracy: float


def _share(value: float | None) -> str:
    return "-" if value is None else f"{value:.2%}"


def _joules(value: float | None) -> str:
    return "unknown" if value is None else format_quantity(value, "J")


def _seconds(value: float | None) -> str:
    return "unknown" if value is None else format_quantity(value, "s")


def _wait(value: float | None) -> str:
    """A time to plan with, in the unit that people would use."""
    if value is None:
        return "unknown"
    if value < 90:
        return f"{max(1, round(value))} s"
    return f"{value / 60:.0f} min" if value < 5400 else f"{value / 3600:.1f} h"


DEVICE = Column("device", "device")
ACCURACY = (
    Column("accuracy", "test acc", _share, right=True),
    Column("worst", "worst", _share, right=True),
    Column("seeds", "seeds", plain, right=True),
)
WORKLOAD = Column("workload", "workload")
RAM = Column("ram_bytes", "RAM", format_bytes, right=True)
VERDICT = Column("status", "verdict")
COST = {
    Objective.ENERGY: Column("sample_joules_high", "J/sample <=", _joules, right=True),
    Objective.LATENCY: Column("sample_seconds_high", "s/sample <=", _seconds, right=True),
}
TRAINING = Column("training_seconds", "training", _wait, right=True)

COLUMNS = (
    DEVICE,
    *ACCURACY,
    Column("passes"),
    WORKLOAD,
    RAM,
    VERDICT,
    *COST.values(),
    *unseen(
        "sample_joules_low sample_seconds_low algorithm options model batch_size",
        "train_samples standardise augment storage_bytes evidence reason runs",
        "judged_by torch_ram_bytes arena_ram_bytes",
    ),
)
"""Everything that is known of a candidate."""

OFFERED = (*COLUMNS, TRAINING, Column("epochs"))
ANSWERS = (DEVICE, Column("answers"), Column("reason"))
SKIPPED = (WORKLOAD, Column("reason", "not judged because"), Column("algorithm"))


def front_columns(objective: Objective) -> list[Column]:
    """What people see of a front; of time and energy what was asked for, else time."""
    cost = COST.get(objective, COST[Objective.LATENCY])
    return [*ACCURACY, WORKLOAD, RAM, VERDICT, cost]


def row(each: Candidate) -> dict[str, Any]:
    """A candidate as a row of :data:`COLUMNS`."""
    workload, trained = each.workload, each.trained
    return {
        "device": each.device,
        "accuracy": trained.accuracy if trained else None,
        "worst": trained.worst if trained else None,
        "seeds": trained.seeds if trained else None,
        "passes": trained.passes if trained else None,
        "runs": list(trained.runs) if trained else [],
        "workload": label(workload),
        "ram_bytes": each.ram_bytes,
        "judged_by": str(each.ram.allocator),
        "torch_ram_bytes": each.torch_ram_bytes,
        "arena_ram_bytes": each.arena_ram_bytes,
        "evidence": str(each.ram.evidence),
        "storage_bytes": each.form.storage_bytes,
        "status": str(each.verdict.status),
        "reason": each.verdict.reason,
        **ends("sample_joules", each.sample_joules),
        **ends("sample_seconds", each.sample_seconds),
        "algorithm": workload.algorithm,
        "options": workload.options,
        "model": workload.model,
        "batch_size": workload.batch_size,
        "train_samples": workload.train_samples,
        "standardise": workload.standardise,
        "augment": workload.augment,
        "epochs": workload.epochs,
    }


class OfferedRow(Mapping[str, Any]):
    """A candidate as a row of :data:`OFFERED`; its costs are modelled when it is looked at."""

    def __init__(self, each: Candidate, training_seconds: float | None) -> None:
        self._each, self._training_seconds = each, training_seconds

    @cached_property
    def _row(self) -> dict[str, Any]:
        return row(self._each) | {"training_seconds": self._training_seconds}

    def __getitem__(self, key: str) -> Any:
        return self._training_seconds if key == "training_seconds" else self._row[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self._row)

    def __len__(self) -> int:
        return len(self._row)


def skipped_row(each: Skipped) -> dict[str, Any]:
    """A workload that is not judged as a row of :data:`SKIPPED`."""
    return {
        "workload": label(each.workload),
        "reason": each.reason,
        "algorithm": each.workload.algorithm,
    }


def label(workload: Workload) -> str:
    """``ALGORITHM MODEL bN OPTIONS``: what tells one from the next comes first."""
    parts = [workload.algorithm, workload.model, f"b{workload.batch_size}"]
    if workload.train_samples is not None:
        parts.append(f"[:{workload.train_samples}]")
    if workload.standardise:
        parts.append("standardised")
    if workload.augment is not None:
        parts.append(str(workload.augment))
    if workload.pretrained is not None:
        parts.append(workload.pretrained.label)
    for name, value in workload.options.items():
        parts.append(f"{name}={plain(value) if isinstance(value, bool) else value}")
    return " ".join(parts)


def prose(text: str) -> RenderableType:
    """On a terminal wrapped between words, elsewhere a line that can be searched."""
    return Group(Text(text)) if stdout().is_terminal else text


def skipped_lines(skipped: Iterable[Skipped]) -> list[RenderableType]:
    """One line per reason."""
    counts = Counter(each.reason for each in skipped)
    return [prose(f"Not judged: {count(n, 'workload')}, {why}") for why, n in counts.items()]


def count(number: int, what: str) -> str:
    """``1 device``, ``2 devices``."""
    return f"{number:,} {what}" if number == 1 else f"{number:,} {what}s"


def _table(columns: Sequence[Column], rows: Sequence[Mapping[str, Any]]) -> RenderableType:
    """A table in which only the workload is wrapped, between its words."""
    table = drawn(columns, rows)
    for made, column in zip(table.columns, columns, strict=True):
        made.no_wrap = column is not WORKLOAD
    return table


def by_device(
    fronts: Mapping[str, Sequence[Candidate]], found: Sequence[Candidate], asked: Asked
) -> list[RenderableType]:
    """A table per device, headed by its name, or why there is none."""
    parts: list[RenderableType] = []
    for name, front in fronts.items():
        own = of(name, found)
        parts.append(Text(f"\n{name}{_whose_ram(own)}", style="bold"))
        if not front:
            parts.append(prose(why_none(own, asked)))
            continue
        columns = front_columns(asked.objective)
        parts.append(_table(columns, [row(each) for each in front[:MOST_ROWS]]))
        if len(front) > MOST_ROWS:
            parts.append(f"and {len(front) - MOST_ROWS} more (--json or --csv lists all)")
        others = runners_up(own, front, asked.min_accuracy)
        if others:
            parts.append(prose("Other algorithms, each at its most accurate:"))
            parts.append(_table(columns, [row(each) for each in others]))
        parts += map(prose, _cautions([*front[:MOST_ROWS], *others], asked))
    return [*parts, ""]


def _whose_ram(own: Sequence[Candidate]) -> str:
    """Under which allocator the RAM of a device's rows is; where an arena is missing, torch's."""
    judged = Counter(each.ram.allocator for each in own)
    if not judged:
        return ""
    (most, _), *others = judged.most_common()
    beside = f", of {others[0][1]} {IN_WORDS[others[0][0]]}" if others else ""
    return f" (RAM {IN_WORDS[most]}{beside})"


def of(device: str, found: Iterable[Candidate]) -> list[Candidate]:
    """Those of a device."""
    return [each for each in found if each.device == device]


def _cautions(front: Sequence[Candidate], asked: Asked) -> list[str]:
    """What the rows of a front do not say by themselves."""
    below = [each for each in front if each.trained and each.trained.worst < asked.min_accuracy]
    once = [each for each in front if each.trained and each.trained.seeds == 1]
    lines = []
    if below:
        lines.append(f"Of {len(below)} the worst seed is below {asked.min_accuracy:.2%}.")
    if once:
        lines.append(f"Of {len(once)} there is one seed: how far others spread is not known.")
    return lines


def why_none(own: Sequence[Candidate], asked: Asked) -> str:
    """Why nothing that has been trained is recommended for a device."""
    trained = [each for each in own if each.trained is not None]
    if not trained:
        return "nothing that has been trained can be judged by prediction"
    fitting = [each for each in trained if each.fits]
    if not fitting:
        least = min(trained, key=lambda each: each.ram_bytes)
        return (
            f"none of {len(trained)} trained workloads is sure to fit; the smallest,"
            f" {label(least.workload)}: {NAMES[least.verdict.budget]}: {least.verdict.reason}"
        )
    best = max(fitting, key=lambda each: each.trained.accuracy if each.trained else 0.0)
    reached = best.trained.accuracy if best.trained else 0.0
    if reached < asked.min_accuracy:
        return (
            f"none of {len(fitting)} trained workloads that fit reaches {asked.min_accuracy:.2%};"
            f" the best has {reached:.2%}: {label(best.workload)}"
        )
    return f"the {asked.objective} of no trained workload that fits can be modelled"


def offered_parts(
    offered: Offer, rows: Sequence[Mapping[str, Any]], places: int, devices: int
) -> list[RenderableType]:
    """What fits and nobody has trained, and how much of the grid is done.

    Args:
        offered: What is missing, and what is done.
        rows: What is missing, as rows of :data:`OFFERED`.
        places: Combinations of device, algorithm and depth.
        devices: How many devices there are.
    """
    kinds = "algorithm and depth" if devices == 1 else "device, algorithm and depth"
    done = len(offered.done)
    closing = prose(
        f"Of {places} combinations of {kinds}: {done} done (the widest net of the grid that fits,"
        f" or a wider one, has been trained on all of the data), {len(rows)} left,"
        f" {places - done - len(rows)} where nothing is sure to fit."
    )
    if not rows:
        return [
            prose("Nothing of the grid is left to train: it has a record, or does not fit."),
            closing,
        ]
    columns = [*([DEVICE] if devices > 1 else []), WORKLOAD, RAM, VERDICT, TRAINING]
    parts: list[RenderableType] = [
        prose(
            f"Fits, and nobody has trained it yet: {count(len(rows), 'workload')} (of every"
            " algorithm and depth the widest net in the largest batch)"
        ),
        _table(columns, rows[:MOST_OFFERED]),
    ]
    if len(rows) > MOST_OFFERED:
        parts.append(f"and {len(rows) - MOST_OFFERED} more (--json or --csv lists all)")
    known = [each["training_seconds"] for each in rows if each["training_seconds"] is not None]
    unknown = len(rows) - len(known)
    if known:
        which = f"{len(known)} of them" if unknown else "all of them"
        text = f"To train {which} takes about {_wait(sum(known))} on a machine like that of the"
        text += " records"
        text += f"; for the other {unknown} it is not known." if unknown else "."
    else:
        text = "How long training takes is not known: no record of a like workload."
    return [*parts, prose(text), closing]
