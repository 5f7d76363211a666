"""What the gate found, for people, pull requests, CI systems and GitHub.

What got worse comes first, with the tensors that did it.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from xml.etree.ElementTree import Element, SubElement, indent, tostring

from trainfit._escaping import escape_github, escape_xml
from trainfit._text import counted, escape_markdown, markdown_code, markdown_table
from trainfit.bench.gate.compare import Finding, GateResult, Severity
from trainfit.bench.gate.rules import Unit, Value
from trainfit.bench.gate.run import Update

MOST_ANNOTATIONS = 10
"""GitHub shows so many errors of a step, and so many warnings; the rest would be lost."""

_HEADS = ("peak_dynamic_bytes", "static_bytes", "storage_bytes")
"""What a board has to hold: the figures that stand for a workload if one of them changed."""

_MOST_TOLD = 5


@dataclass(frozen=True)
class WorkloadReport:
    """Everything that was found of one workload.

    Attributes:
        head: The finding that stands for the others.
        findings: All of them, the worst first.
        tensors: What did it, in words.
    """

    head: Finding
    findings: Sequence[Finding]
    tensors: Sequence[str]

    @property
    def others(self) -> int:
        """How many more figures are not as expected."""
        return len(self.findings) - 1

    @property
    def figure(self) -> str:
        """The metric that stands for the workload, as people see it."""
        return (self.head.metric or "").removeprefix("workload/")

    @property
    def what(self) -> str:
        """What is not as expected, in one line; or why nothing could be compared."""
        if not self.head.metric:
            return self.head.reason
        more = f"and {counted(self.others, 'more figure')}" if self.others else ""
        parts = [f"{self.figure} {values_text(self.head)}", change_text(self.head), more]
        return ", ".join(filter(None, parts))

    @property
    def sentences(self) -> list[str]:
        """What did it, and how much is not told."""
        told = [self.head.reason] if self.head.metric and self.head.reason else []
        told += self.tensors[:_MOST_TOLD]
        rest = len(self.tensors) - _MOST_TOLD
        return [*told, f"and {rest} more"] if rest > 0 else told


def workload_reports(result: GateResult) -> list[WorkloadReport]:
    """One report per workload: failures first, and of these what grew most."""
    found: dict[str, list[Finding]] = {}
    for finding in result.findings:
        found.setdefault(finding.workload, []).append(finding)
    reports = [
        WorkloadReport(_head(findings), findings, result.explained.get(workload, ()))
        for workload, findings in found.items()
    ]
    return sorted(reports, key=lambda report: report.head.rank)


def _head(findings: Sequence[Finding]) -> Finding:
    """The finding that says most about a workload."""
    worst = [found for found in findings if found.severity is findings[0].severity]
    for name in _HEADS:
        for found in worst:
            if found.metric == f"workload/{name}":
                return found
    peaks = [f for f in worst if f.metric and f.metric.endswith("/peak_bytes") and f.change]
    ranked = peaks or [f for f in worst if f.unit is Unit.BYTES] or worst
    return max(ranked, key=lambda found: abs(found.change or 0))


# ---- in words ------------------------------------------------------------------------------------


def sentence(result: GateResult) -> str:
    """The verdict in one line."""
    if result.incomparable and not result.failures:
        return f"not comparable: {result.incomparable[0]}"
    failing = {found.workload for found in result.failures}
    warned = {found.workload for found in result.findings if found.severity is Severity.WARN}
    number = len({*result.compared, *failing})
    compared = counted(number, "workload")
    if failing:
        words = f"{result.verdict}: {len(failing)} of {compared} not as the golden has it"
    else:
        words = f"pass: {compared} as the golden has {'it' if number == 1 else 'them'}"
    return words + (f", {counted(len(warned), 'warning')}" if warned else "")


def update_sentence(update: Update, file: str) -> str:
    """What an update did, in one line."""
    counts = {
        "added": len(update.added),
        "changed": len(update.changed),
        "removed": len(update.removed),
    }
    parts = [f"{count} {word}" for word, count in counts.items() if count]
    parts.append(f"{update.same} unchanged")
    if update.kept:
        parts.append(f"{len(update.kept)} that the run does not have left as they were")
    if len(update.torch) > 1:
        parts.append(f"holds for torch {' and '.join(update.torch)}")
    return f"golden {file}: {', '.join(parts)}"


def change_text(found: Finding) -> str:
    """By how much a finding differs: ``+65,536 B (+54.2 %)``."""
    change = found.change
    if change is None:
        return ""
    if found.unit is Unit.RATIO:
        return f"{change:+.3f}"
    text = f"{change:+,}{_unit(found.unit)}"
    if isinstance(found.golden, int) and found.golden:
        text += f" ({100 * change / found.golden:+.1f} %)"
    return text


def value_text(value: Value | None, unit: Unit) -> str:
    """A value as a cell has it."""
    if value is None:
        return "-"
    if isinstance(value, str):
        return value
    return f"{value:.3f}" if unit is Unit.RATIO else f"{value:,}{_unit(unit)}"


def values_text(found: Finding) -> str:
    """What was, and what is: ``4,096 B -> 8,192 B``."""
    return f"{value_text(found.golden, found.unit)} -> {value_text(found.measured, found.unit)}"


def _unit(unit: Unit) -> str:
    return " B" if unit is Unit.BYTES else ""


# ---- Markdown ------------------------------------------------------------------------------------


def markdown(result: GateResult, *, title: str, most: int = 30) -> str:
    """The report as Markdown, for the conversation of a pull request.

    Args:
        result: What the gate says.
        title: What was compared with what.
        most: So many workloads are listed.
    """
    reports = [each for each in workload_reports(result) if each.head.severity is not Severity.NOTE]
    lines = [
        f"### trainfit gate: {result.verdict}",
        "",
        f"{escape_markdown(f'{title}: {sentence(result)}')}.",
    ]
    if result.incomparable:
        lines += ["", *(f"- {escape_markdown(reason)}" for reason in result.incomparable)]
    if reports:
        rows = [_row(each) for each in reports[:most]]
        if len(reports) > most:
            rows.append(("", f"and {len(reports) - most} more", "", "", "", ""))
        head = ("", "workload", "figure", "golden", "now", "change")
        lines += ["", *markdown_table(head, rows, right=3)]
        lines += ["", "<details><summary>What did it</summary>", ""]
        for each in reports[:most]:
            sentences = each.sentences if each.head.metric else [each.what]
            if sentences:
                lines.append(f"- {markdown_code(each.head.workload)}")
                lines += [f"  - {escape_markdown(said)}" for said in sentences]
        lines += ["", "</details>"]
    if result.notes:
        lines += ["", *(f"- {escape_markdown(note)}" for note in result.notes)]
    return "\n".join(lines) + "\n"


def _row(report: WorkloadReport) -> tuple[str, ...]:
    head = report.head
    more = f" and {report.others} more" if report.others else ""
    return (
        head.kind.value if head.severity is Severity.FAIL else f"{head.kind.value} (warning)",
        markdown_code(head.workload),
        (markdown_code(report.figure) if report.figure else "") + more,
        escape_markdown(value_text(head.golden, head.unit)),
        escape_markdown(value_text(head.measured, head.unit)),
        change_text(head),
    )


# ---- JUnit ---------------------------------------------------------------------------------------


def junit(result: GateResult) -> str:
    """One test case per workload, as CI systems read them.

    A regression is a ``failure``, what could not be compared an ``error``, a warning ``skipped``.
    """
    reports = {each.head.workload: each for each in workload_reports(result)}
    suite = Element("testsuite", name="trainfit gate")
    for name in sorted({*result.compared, *reports}):
        report = reports.get(name)
        case = SubElement(suite, "testcase", classname="trainfit.gate", name=escape_xml(name))
        if report is not None and report.head.severity is not Severity.NOTE:
            failed = report.head.severity is Severity.FAIL
            tag = "failure" if failed else "skipped"
            outcome = SubElement(case, tag, message=escape_xml(_summary(report)))
            if failed:
                outcome.set("type", report.head.kind.value)
                outcome.text = escape_xml("\n".join(_details(report)))
    for reason in result.incomparable:
        case = SubElement(suite, "testcase", classname="trainfit.gate", name="comparable")
        SubElement(case, "error", message=escape_xml(reason), type="not comparable")
    suite.set("tests", str(len(suite)))
    for key, tag in (("failures", "failure"), ("errors", "error"), ("skipped", "skipped")):
        suite.set(key, str(len(suite.findall(f"testcase/{tag}"))))
    root = Element("testsuites")
    root.append(suite)
    indent(root)
    return '<?xml version="1.0" encoding="utf-8"?>\n' + tostring(root, "unicode") + "\n"


def _summary(report: WorkloadReport) -> str:
    return f"{report.head.kind.value}: {report.what}"


def _details(report: WorkloadReport) -> list[str]:
    figures = [
        f"{found.metric}: {values_text(found)} {change_text(found)}".rstrip()
        for found in report.findings
        if found.metric
    ]
    return [*report.sentences, *figures]


# ---- GitHub --------------------------------------------------------------------------------------


def github(result: GateResult, *, file: str, text: str) -> list[str]:
    """Workflow commands that put an annotation at the workload's line of the golden.

    Args:
        result: What the gate says.
        file: Path of the golden as the repository has it.
        text: What is in it; the line of a workload is looked up there.
    """
    if result.incomparable and not result.failures:
        reasons = " ".join(result.incomparable)
        return [_command("error", reasons, file=file, title="trainfit gate: not comparable")]
    lines = []
    for severity, command in ((Severity.FAIL, "error"), (Severity.WARN, "warning")):
        told = [each for each in workload_reports(result) if each.head.severity is severity]
        shown = told if len(told) <= MOST_ANNOTATIONS else told[: MOST_ANNOTATIONS - 1]
        for each in shown:
            message = "\n".join([_summary(each), *each.sentences])
            title = f"trainfit gate: {each.head.workload}"
            line = _line_of(each.head.workload, text)
            lines.append(_command(command, message, file=file, line=line, title=title))
        if len(told) > len(shown):
            message = f"and {len(told) - len(shown)} more workloads; {sentence(result)}"
            lines.append(_command(command, message, file=file, title="trainfit gate"))
    return lines


def _line_of(workload: str, text: str) -> int | None:
    at = text.find(f"\n  {json.dumps(workload, ensure_ascii=False)}: ")
    return text.count("\n", 0, at + 1) + 1 if at >= 0 else None


def _command(name: str, message: str, **properties: str | int | None) -> str:
    given = ",".join(
        f"{key}={escape_github(str(value), ',:')}" for key, value in properties.items() if value
    )
    return f"::{name} {given}::{escape_github(message)}"
