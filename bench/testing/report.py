"""What a session of tests says at the end: a table, what failed, what was accepted, and JSON."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from trainfit._text import counted
from trainfit.bench.gate import report
from trainfit.bench.gate.compare import Finding, FindingKind, GateResult, Severity
from trainfit.bench.gate.figures import StepFigures
from trainfit.bench.gate.rules import Unit
from trainfit.bench.testing.checks import CheckKind, steps_until_full
from trainfit.bench.testing.compared import Compared, relative
from trainfit.bench.testing.goldens import accept_into, conditions

SCHEMA = "trainfit.training-memory/1"

_INTERNAL = ("entry", "places")
"""What goes with a step from a worker and is not for the report in JSON."""

HEADING = "training memory"

_KINDS = {
    CheckKind.OVER: FindingKind.OVER,
    CheckKind.LEAK: FindingKind.LEAKS,
}
"""Of what no comparison found; anything else is no figure that could be compared."""


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
    """One line per step: bytes flush right, then what can be of any length.

    What steps leave behind is a column if one of them does.
    """
    steps = list(measured)
    keys = ["peak_dynamic_bytes", "static_bytes", "ram_bytes"]
    heads = ["peak dynamic B", "static B", "RAM B"]
    if any(each.step["figures"]["left_after_step_bytes"] > 0 for each in steps):
        keys.append("left_after_step_bytes")
        heads.append("left B per step")
    rows = [(*heads, "phase of the peak", "device", "test")]
    for each in steps:
        figures = each.step["figures"]
        left = figures["left_after_step_bytes"]
        verdicts = [_verdict(verdict, left) for verdict in each.step["verdicts"]]
        texts = [f"{figures[key]:,}" for key in keys]
        rows.append((*texts, figures["peak_phase"], "; ".join(verdicts) or "-", each.title))
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return [
        "  ".join(
            cell.rjust(width) if column < len(keys) else cell.ljust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    ]


def _verdict(verdict: Mapping[str, Any], left: int) -> str:
    margin, told = verdict["margin"], f"{verdict['device']} {verdict['status']}"
    if margin is None:
        return told
    if margin >= 0 and verdict["status"] == "exceeds":  # there is room, for so many steps
        return f"{told}, full after {steps_until_full(margin, left):,} steps"
    return f"{told}, {abs(margin):,} B {'left' if margin >= 0 else 'too much'}"


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
            lines.append(f"{each.title}: not accepted, since the test {each.outcome}{_leak(each)}")
            continue
        figures = StepFigures.model_validate(golden["entry"])
        files.setdefault(golden["file"], {})[golden["key"]] = figures
        if golden["status"] != "equal" or golden["changes"]:
            lines.append(f"{each.title}: accepted ({golden['status']})")
            lines += [f"  {change}" for change in golden["changes"]]
            left = each.step["figures"]["left_after_step_bytes"]
            if left > 0:
                lines.append(f"  {report.leak_sentence(each.title, left)}; its marker allows that")
    for file, steps in files.items():
        lines += accept_into(Path(file), steps)
    return lines


def _leak(each: Measured) -> str:
    """What to do about a leak, which no golden takes in without the marker's leave."""
    for problem in each.step["problems"]:
        if problem["kind"] == CheckKind.LEAK.value and problem["limit"] == "max_left":
            left = problem["measured"]
            return f': it leaks {left:,} B per step, which max_left="{left} B" would allow'
    return ""


def document(measured: Iterable[Measured], trainfit: str) -> str:
    """Everything about every step, as JSON."""
    steps = []
    for each in measured:
        golden = each.step["golden"]
        if golden is not None:
            golden = {key: value for key, value in golden.items() if key != "entry"}
        kept = {key: value for key, value in each.step.items() if key not in _INTERNAL}
        steps.append({"test": each.test, "outcome": each.outcome, **kept, "golden": golden})
    versions = {"trainfit": trainfit, "torch": conditions().torch}
    found = {"schema": SCHEMA, "versions": versions, "steps": steps}
    return json.dumps(found, indent=1) + "\n"


# ---- as the gate reports -------------------------------------------------------------------------


def gate_result(measured: Iterable[Measured], notes: Sequence[str] = ()) -> GateResult:
    """What tests found in the form of the gate, whose renderer then writes all reports."""
    findings: list[Finding] = []
    explained: dict[str, list[str]] = {}
    origins: dict[str, list[str]] = {}
    changes = {}
    compared = []
    for each in measured:
        compared.append(each.title)
        known = set()
        for plain in each.step["comparisons"]:
            found = Compared.read(plain, each.title)
            findings += found.findings
            known |= {finding.kind for finding in found.findings if _fails(finding)}
            if found.findings:
                known_words = explained.setdefault(each.title, [])
                known_words += [said for said in found.explained if said not in known_words]
                origins.setdefault(each.title, []).append(found.where)
            if found.change is not None and (found.findings or each.title not in changes):
                changes[each.title] = found.change
        findings += [
            finding
            for problem in each.step["problems"]
            if (finding := _finding(each.title, problem, known)) is not None
        ]
    findings.sort(key=lambda found: found.rank)
    return GateResult(
        findings, compared, notes=notes, explained=explained, changes=changes, origins=origins
    )


def _fails(finding: Finding) -> bool:
    return finding.severity is Severity.FAIL


def _finding(title: str, problem: Mapping[str, Any], known: set[FindingKind]) -> Finding | None:
    """A limit that does not hold; None for what a comparison has found already."""
    kinds = (CheckKind.CHANGED.value, CheckKind.LEAK.value)
    if problem["measured"] is None and known and problem["kind"] in kinds:
        return None
    kind = _KINDS.get(CheckKind(problem["kind"]), FindingKind.INVALID)
    first, *more = problem["text"].splitlines()
    if problem["measured"] is None:
        return Finding(title, kind, Severity.FAIL, reason=f"{problem['limit']}: {first}")
    reason = "; ".join([first, *(line.strip() for line in more)])
    allowed, now = problem["allowed"], problem["measured"]
    return Finding(title, kind, Severity.FAIL, problem["limit"], Unit.BYTES, allowed, now, reason)


def page(measured: Sequence[Measured], notes: Sequence[str], title: str, whole: str) -> str:
    """The report as Markdown: of a pull request, or of a job's summary."""
    result = gate_result(measured, notes)
    failing = len({found.workload for found in result.failures})
    steps = counted(len(measured), "training step")
    said = f"{failing} of {steps} not as it should be" if failing else f"{steps} as they should be"
    return report.markdown(
        result, title=title, heading=HEADING, said=f"{result.verdict}: {said}", whole=whole
    )


def github_lines(measured: Sequence[Measured], whole: str) -> list[str]:
    """Workflow commands for GitHub, at the code that grew or else at the test."""
    root = os.environ.get("GITHUB_WORKSPACE")
    places: dict[str, report.Place] = {}
    for each in measured:
        file, line = each.step["places"]["code"] or each.step["places"]["test"]
        places[each.title] = (relative(file, root), line)
    first = next(iter(places.values()), ("", None))[0]
    return report.github(
        gate_result(measured), file=first, text="", heading=HEADING, places=places, whole=whole
    )
