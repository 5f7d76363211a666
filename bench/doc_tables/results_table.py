"""The kept results as a Markdown table.

``python -m trainfit.bench.doc_tables.results_table results`` writes it.

A folder of results holds ``suites/NAME.toml`` and, for those that have been run, ``runs/NAME``.
Workloads that differ by their seed only are one row. The table is written between two marks in the
folder's ``README.md``; ``--check`` says whether what stands there is what the records say.
"""

from __future__ import annotations

import statistics
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from trainfit.bench.doc_tables.marked_page import parse, rewrite
from trainfit.bench.records.reading import read_records
from trainfit.bench.records.schema import Accuracy, Record
from trainfit.bench.suite.suite import load_suite

BEGIN, END = "<!-- results -->", "<!-- end of results -->"

HEADER = (
    "| workload | passes | seeds | test accuracy % | best % | static B | peak dynamic B |",
    "|---|--:|--:|--:|--:|--:|--:|",
)


def table(folder: Path) -> str:
    """Markdown: one heading, command and table per suite that has a run.

    Args:
        folder: Holds ``suites`` and ``runs``.

    Raises:
        BenchError: A suite or a run cannot be read.
    """
    parts = []
    for path in sorted((folder / "suites").glob("*.toml")):
        run = folder / "runs" / path.stem
        if not run.exists():
            continue
        suite = load_suite(str(path))
        command = f"trainfit run {path} --data-root DATA --out {run}"
        lines = [
            f"### {path.stem}",
            "",
            suite.description,
            "",
            "```sh",
            command,
            "```",
            "",
            *HEADER,
        ]
        parts.append("\n".join([*lines, *_rows(read_records(run))]))
    return "\n\n".join(parts)


def _rows(records: Sequence[Record]) -> Iterator[str]:
    groups: dict[str, list[Record]] = {}
    for record in records:
        groups.setdefault(record.workload.model_dump_json(exclude={"seed"}), []).append(record)
    for group in groups.values():
        yield _row(group)


def _row(group: Sequence[Record]) -> str:
    first = group[0]
    trained = [record.accuracy for record in group if record.accuracy]
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
    failed = [record for record in group if record.error]
    if failed:
        cells[3] += f" ({len(failed)} of {len(group)} {failed[0].status})"
    return "| " + " | ".join(cells) + " |"


def _final(record: Record, trained: Sequence[Accuracy]) -> str:
    """Accuracy after the last pass; where stages follow each other, after each of them."""
    stages = len(record.operations)
    if stages < 2 or not trained:
        return _spread([each.test_accuracy for each in trained])
    ends = [trained[0].epochs * (stage + 1) // stages for stage in range(stages)]
    curves = [dict(zip(each.curve_passes, each.curve, strict=True)) for each in trained]
    return " / ".join(_spread([curve[end] for curve in curves if end in curve]) for end in ends)


def _spread(values: Sequence[float]) -> str:
    """The mean, and the sample's deviation where there are several."""
    if not values:
        return "-"
    mean = f"{100 * statistics.mean(values):.2f}"
    return f"{mean} ± {100 * statistics.stdev(values):.2f}" if len(values) > 1 else mean


def main(arguments: Sequence[str] | None = None) -> int:
    """Write or check the table; returns the exit code."""
    folder, check = parse("trainfit.bench.doc_tables.results_table", __doc__, arguments)
    return rewrite(folder / "README.md", (BEGIN, END), lambda: table(folder), check=check)


if __name__ == "__main__":
    sys.exit(main())
