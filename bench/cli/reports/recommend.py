"""What is recommended, for people and for machines."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from rich.console import RenderableType
from rich.text import Text

from trainfit.bench.cli.output import Column, drawn, plain, unseen
from trainfit.bench.cli.reports.fit import NAMES
from trainfit.bench.frames.workloads import ends
from trainfit.bench.records.schema import Workload
from trainfit.bench.sizing.recommend import Candidate, Objective
from trainfit.bench.verdicts.intervals import format_quantity
from trainfit.hardware_profiles import format_bytes

MOST_ROWS = 20


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


COLUMNS = (
    Column("device", "device"),
    Column("accuracy", "test acc", _share, right=True),
    Column("passes", "passes", plain, right=True),
    Column("workload", "workload"),
    Column("ram_bytes", "RAM", format_bytes, right=True),
    Column("status", "verdict"),
    Column("sample_joules_high", "J/sample <=", _joules, right=True),
    Column("sample_seconds_high", "s/sample <=", _seconds, right=True),
    *unseen(
        "seeds sample_joules_low sample_seconds_low algorithm options model batch_size",
        "storage_bytes reason",
    ),
)


def row(each: Candidate) -> dict[str, Any]:
    """A candidate as a row of :data:`COLUMNS`."""
    workload = each.workload
    return {
        "device": each.device,
        "accuracy": each.trained.accuracy if each.trained else None,
        "seeds": each.trained.seeds if each.trained else None,
        "passes": each.trained.passes if each.trained else None,
        "workload": _label(workload),
        "ram_bytes": each.form.ram_bytes,
        "storage_bytes": each.form.storage_bytes,
        "status": str(each.verdict.status),
        "reason": each.verdict.reason,
        **ends("sample_joules", each.sample_joules),
        **ends("sample_seconds", each.sample_seconds),
        "algorithm": workload.algorithm,
        "options": workload.options,
        "model": workload.model,
        "batch_size": workload.batch_size,
    }


def _label(workload: Workload) -> str:
    """``ALGORITHM MODEL bN OPTIONS``: what tells one from the next comes first."""
    parts = [workload.algorithm, workload.model, f"b{workload.batch_size}"]
    if workload.train_samples is not None:
        parts.append(f"[:{workload.train_samples}]")
    if workload.standardise:
        parts.append("standardised")
    for name, value in workload.options.items():
        parts.append(f"{name}={plain(value) if isinstance(value, bool) else value}")
    return " ".join(parts)


def by_device(
    fronts: Mapping[str, Sequence[Candidate]], found: Sequence[Candidate], asked: Asked
) -> list[RenderableType]:
    """A table per device, headed by its name, or why there is none."""
    parts: list[RenderableType] = []
    for name, front in fronts.items():
        parts.append(Text(f"\n{name}", style="bold"))
        if not front:
            parts.append(why_none([each for each in found if each.device == name], asked))
            continue
        parts.append(drawn(COLUMNS[1:], [row(each) for each in front[:MOST_ROWS]]))
        if len(front) > MOST_ROWS:
            parts.append(f"and {len(front) - MOST_ROWS} more (--json or --csv lists all)")
    return [*parts, ""]


def why_none(own: Sequence[Candidate], asked: Asked) -> str:
    """Why nothing that has been trained is recommended for a device."""
    trained = [each for each in own if each.trained is not None]
    if not trained:
        return "nothing that has been trained can be judged by closed form"
    fitting = [each for each in trained if each.fits]
    if not fitting:
        least = min(trained, key=lambda each: each.form.ram_bytes)
        return (
            f"none of {len(trained)} trained workloads is sure to fit; the smallest,"
            f" {_label(least.workload)}: {NAMES[least.verdict.budget]}: {least.verdict.reason}"
        )
    reached = [each.trained.accuracy for each in fitting if each.trained]
    if max(reached) < asked.min_accuracy:
        return (
            f"none of {len(fitting)} trained workloads that fit reaches {asked.min_accuracy:.2%};"
            f" the best has {max(reached):.2%}"
        )
    return f"the {asked.objective} of no trained workload that fits can be modelled"
