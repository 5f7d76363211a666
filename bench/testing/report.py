"""What a session of tests says at the end: a table, what failed, what was accepted, and JSON."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from trainfit.bench.gate.figures import StepFigures
from trainfit.bench.testing.goldens import accept_into, conditions

SCHEMA = "trainfit.training-memory/1"


@dataclass(frozen=True)
class Measured:
    """One step of one test.

    Attributes:
        test: Node id.
        outcome: Of the test: ``passed``, ``failed`` or ``skipped``.
        step: What the fixture remembered.
    """

    test: str
    outcome: str
    step: Mapping[str, Any]

    @property
    def title(self) -> str:
        """The test, and the name of the step if it has one."""
        return f"{self.test} {self.step['name']}".rstrip()


def table(measured: Iterable[Measured]) -> list[str]:
    """One line per step: bytes flush right, then what can be of any length."""
    head = ("peak dynamic B", "static B", "RAM B", "phase of the peak", "device", "test")
    rows = [head]
    for each in measured:
        figures = each.step["figures"]
        sizes = (figures[key] for key in ("peak_dynamic_bytes", "static_bytes", "ram_bytes"))
        verdicts = [_verdict(verdict) for verdict in each.step["verdicts"]]
        texts = [f"{size:,}" for size in sizes]
        rows.append((*texts, figures["peak_phase"], "; ".join(verdicts) or "-", each.title))
    widths = [max(len(row[column]) for row in rows) for column in range(len(head))]
    return [
        "  ".join(
            cell.rjust(width) if column < 3 else cell.ljust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    ]


def _verdict(verdict: Mapping[str, Any]) -> str:
    margin = verdict["margin"]
    if margin is None:
        return f"{verdict['device']} {verdict['status']}"
    how = "left" if margin >= 0 else "too much"
    return f"{verdict['device']} {verdict['status']}, {abs(margin):,} B {how}"


def failures(measured: Iterable[Measured]) -> Iterator[str]:
    """One line per limit that does not hold."""
    for each in measured:
        for problem in each.step["problems"]:
            first = problem["text"].partition("\n")[0]
            yield f"{each.title}: {problem['limit']}: {first}"


def accept(measured: Iterable[Measured]) -> list[str]:
    """Write the goldens of the tests that passed; returns lines that say what is accepted.

    Raises:
        GoldenError: A golden cannot be read, or not be written.
    """
    files: dict[str, dict[str, StepFigures]] = {}
    lines = []
    for each in measured:
        golden = each.step["golden"]
        if golden is None or golden["entry"] is None:
            continue
        if each.outcome != "passed":
            lines.append(f"{each.title}: not accepted, since the test {each.outcome}")
            continue
        figures = StepFigures.model_validate(golden["entry"])
        files.setdefault(golden["file"], {})[golden["key"]] = figures
        if golden["status"] != "equal" or golden["changes"]:
            lines.append(f"{each.title}: accepted ({golden['status']})")
            lines += [f"  {change}" for change in golden["changes"]]
    for file, steps in files.items():
        lines += accept_into(Path(file), steps)
    return lines


def document(measured: Iterable[Measured], trainfit: str) -> str:
    """Everything about every step, as JSON."""
    steps = []
    for each in measured:
        golden = each.step["golden"]
        if golden is not None:
            golden = {key: value for key, value in golden.items() if key != "entry"}
        steps.append({"test": each.test, "outcome": each.outcome, **each.step, "golden": golden})
    versions = {"trainfit": trainfit, "torch": conditions().torch}
    found = {"schema": SCHEMA, "versions": versions, "steps": steps}
    return json.dumps(found, indent=1) + "\n"
