"""Write the kept results, a table per suite that has a run, into results/README.md.

Workloads that differ by their seed only are one row.
"""

from __future__ import annotations

import statistics
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from generated_section import ROOT, Section, table
from trainfit.bench.records.reading import read_records
from trainfit.bench.records.schema import Accuracy, Record
from trainfit.bench.suite.suite import load_suite

HEAD = "workload | passes | seeds | test accuracy % | best % | static B | peak dynamic B"


def document(folder: Path) -> str:
    """A heading, the command and a table per run.

    Args:
        folder: Holds ``runs/NAME`` and, for those that trainfit has no suite for,
            ``suites/NAME.toml``.

    Raises:
        BenchError: A suite or a run cannot be read.
    """
    return "\n\n".join(_part(run) for run in sorted((folder / "runs").iterdir()))


def _part(run: Path) -> str:
    folder = run.parent.parent
    own = folder / "suites" / f"{run.name}.toml"
    suite, records = load_suite(str(own) if own.exists() else run.name), read_records(run)
    named = f"{folder.name}/suites/{own.name}" if own.exists() else run.name
    command = f"trainfit run {named} --data-root DATA --out {folder.name}/runs/{run.name}"
    parts = [f"### {run.name}", suite.description, f"```sh\n{command}\n```"]
    if any(each.epochs for each in suite.workloads) and not any(each.accuracy for each in records):
        parts.append("Kept without the training: bytes and times of a step.")
    return "\n\n".join([*parts, table(HEAD, _rows(records))])


def _rows(records: Sequence[Record]) -> Iterator[list[str]]:
    groups: dict[str, list[Record]] = {}
    for record in records:
        groups.setdefault(record.workload.model_dump_json(exclude={"seed"}), []).append(record)
    yield from map(_row, groups.values())


def _row(group: Sequence[Record]) -> list[str]:
    first = group[0]
    trained = [record.accuracy for record in group if record.accuracy]
    held_out = first.workload.held_out is not None
    memory = first.memory
    cells = [
        first.workload.label,
        str(trained[0].epochs) if trained else "-",
        ", ".join(str(record.workload.seed) for record in group),
        _final(first, trained),
        _spread([max(each.curve) for each in trained]),
        f"{memory.static_bytes:,}" if memory else "-",
        f"{memory.peak_dynamic_bytes:,}" if memory else "-",
    ]
    if held_out and trained:
        cells[3] += " (held out)"
    failed = [record for record in group if record.error]
    if failed:
        cells[3] += f" ({len(failed)} of {len(group)} {failed[0].status})"
    return cells


def _final(record: Record, trained: Sequence[Accuracy]) -> str:
    """Accuracy after the last pass; where stages follow each other, after each of them."""
    stages = len(record.operations)
    if stages < 2 or not trained:
        return _spread([each.curve[-1] for each in trained])
    ends = [trained[0].epochs * (stage + 1) // stages for stage in range(stages)]
    curves = [dict(zip(each.curve_passes, each.curve, strict=True)) for each in trained]
    return " / ".join(_spread([curve[end] for curve in curves if end in curve]) for end in ends)


def _spread(values: Sequence[float]) -> str:
    """The mean, and the sample's deviation where there are several."""
    if not values:
        return "-"
    mean = f"{100 * statistics.mean(values):.2f}"
    return f"{mean} ± {100 * statistics.stdev(values):.2f}" if len(values) > 1 else mean


SECTION = Section(ROOT / "results" / "README.md", "results", lambda: document(ROOT / "results"))

if __name__ == "__main__":
    sys.exit(SECTION.main(__doc__))
