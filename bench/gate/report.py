"""What the gate found, for people, pull requests, CI systems and GitHub.

What got worse comes first, with the tensors that did it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from xml.etree.ElementTree import Element, SubElement, indent, tostring

from trainfit._escaping import escape_github, escape_xml
from trainfit._text import MISSING, counted, escape_markdown, markdown_code, markdown_table
from trainfit.bench.gate.compare import Finding, FindingKind, GateResult, Severity
from trainfit.bench.gate.cutting import cut, fitting
from trainfit.bench.gate.explain import legend
from trainfit.bench.gate.golden import line_of
from trainfit.bench.gate.rules import Unit, Value
from trainfit.bench.gate.run import Update
from trainfit.bench.gate.totals import Change

MOST_ANNOTATIONS = 10
"""GitHub shows so many errors of a step, and so many warnings; the rest would be lost."""

MOST_CHARACTERS = 65_000
"""A comment of GitHub holds 65,536 characters; what sends it may add a line of its own."""

MOST_MESSAGE = 4_000
"""GitHub's runner cuts the message of an annotation at 4,096 characters."""

_MOST_NOTES = 20

_HEADS = ("peak_dynamic_bytes", "static_bytes", "storage_bytes")
"""What a board has to hold: the figures that stand for a workload if one of them changed."""

_SIZES = (FindingKind.GREW, FindingKind.SHRANK)

_MOST_TOLD = 5


@dataclass(frozen=True)
class WorkloadReport:
    """Everything that was found of one workload.

    Attributes:
        head: The finding that stands for the others.
        findings: All of them, the worst first.
        tensors: What did it, in words.
        change: What a device has to hold before and after, where that is known.
        origins: Where what it was compared with stands, unless the title of the report says so.
    """

    head: Finding
    findings: Sequence[Finding]
    tensors: Sequence[str]
    change: Change | None = None
    origins: Sequence[str] = ()

    @property
    def net(self) -> str:
        """RAM before and after, in one line; empty where it is not known."""
        return self.change.net if self.change else ""

    @property
    def kind(self) -> FindingKind:
        """What happened to it on the whole: a leak before all else, then the net of its RAM."""
        kinds = [found.kind for found in self.findings if found.severity is self.head.severity]
        if FindingKind.LEAKS in kinds:
            return FindingKind.LEAKS
        if self.head.kind in _SIZES and self.change is not None and self.change.moved:
            return FindingKind.GREW if self.change.moved > 0 else FindingKind.SHRANK
        return self.head.kind

    @property
    def left(self) -> int:
        """What every step leaves behind."""
        if self.change is not None:
            return self.change.after.left
        found = [each.measured for each in self.findings if each.kind is FindingKind.LEAKS]
        return max((each for each in found if isinstance(each, int)), default=0)

    @property
    def paired(self) -> Sequence[str]:
        """What the workload was, if the golden has it under another name."""
        return [found.reason for found in self.findings if not found.metric and self.head.metric]

    @property
    def lines(self) -> list[str]:
        """All that is told of it: what a device has to hold first, then what did it."""
        return [*self.paired, *filter(None, [self.net]), self.what, *self.sentences]

    @property
    def others(self) -> int:
        """How many more figures are not as expected."""
        return sum(found.metric is not None for found in self.findings) - bool(self.head.metric)

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
        more = [f"and {rest} more"] if rest > 0 else []
        return [*told, *more, *(f"compared with {origin}" for origin in self.origins)]


def workload_reports(result: GateResult) -> list[WorkloadReport]:
    """One report per workload: failures first, and of these what grew most."""
    found: dict[str, list[Finding]] = {}
    for finding in result.findings:
        found.setdefault(finding.workload, []).append(finding)
    reports = [
        WorkloadReport(
            _head(findings, result.changes.get(workload)),
            findings,
            result.explained.get(workload, ()),
            result.changes.get(workload),
            result.origins.get(workload, ()),
        )
        for workload, findings in found.items()
    ]
    return sorted(reports, key=lambda report: report.head.rank)


def _head(findings: Sequence[Finding], change: Change | None) -> Finding:
    """The finding that says most about a workload."""
    worst = [found for found in findings if found.severity is findings[0].severity]
    worst = [found for found in worst if found.metric] or worst
    heads = [found for name in _HEADS for found in worst if found.metric == f"workload/{name}"]
    if heads:  # of several, one that went the way of the whole
        grew = change is not None and change.moved > 0
        return max(heads, key=lambda found: ((found.change or 0) > 0) == grew)
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


def leak_sentence(workload: str, left: int) -> str:
    """What somebody accepts who accepts a leak."""
    return f"leak accepted: {workload}: every step leaves {left:,} B behind, which fills any memory"


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


def markdown(
    result: GateResult,
    *,
    title: str,
    most: int = 30,
    heading: str = "trainfit gate",
    said: str = "",
    whole: str = "",
    limit: int = MOST_CHARACTERS,
) -> str:
    """The report as Markdown, for the conversation of a pull request.

    Args:
        result: What the gate says.
        title: What was compared with what.
        most: So many workloads are listed.
        heading: Whose report it is.
        said: The verdict in a sentence, if not that of ``sentence``.
        whole: Where the whole list is, in words, for a list that is cut.
        limit: Largest length in characters; whole workloads are left out until it fits.
    """
    reports = [each for each in workload_reports(result) if each.head.severity is not Severity.NOTE]
    first = escape_markdown(f"{title}: {said or sentence(result)}")
    head = [f"### {heading}: {result.verdict}", "", f"{first}."]
    if result.incomparable:
        head += ["", *(f"- {escape_markdown(each)}" for each in _first(result.incomparable))]
    tail = ["", *(f"- {escape_markdown(note)}" for note in _first(result.notes))]
    rest = "; the whole list is in " + whole if whole else ""

    def page(shown: int) -> str:
        more = f"... and {len(reports) - shown} more{rest}" if shown < len(reports) else ""
        body = _tables(reports[:shown], more) if reports else []
        return "\n".join([*head, *body, *(tail if result.notes else ())]) + "\n"

    shown = fitting(page, min(most, len(reports)), limit)
    return page(shown)


def _first(lines: Sequence[str]) -> list[str]:
    rest = len(lines) - _MOST_NOTES
    return [*lines[:_MOST_NOTES], *([f"and {rest} more"] if rest > 0 else ())]


def _tables(reports: Sequence[WorkloadReport], more: str) -> list[str]:
    """The table of workloads, then what did it; columns that would be empty are left out."""
    nets, leaks = any(each.net for each in reports), any(each.left for each in reports)
    head = ["", "workload", *(["RAM"] if nets else ()), "figure", "before", "now", "change"]
    head += ["left"] if leaks else []
    rows = [_row(each, nets=nets, leaks=leaks) for each in reports]
    if more:
        rows.append(["", more, *[""] * (len(head) - 2)])
    lines = ["", *markdown_table(head, rows, right=3 + leaks)]
    lines += ["", "<details><summary>What did it</summary>", ""]
    for each in reports:
        lines.append(f"- {markdown_code(each.head.workload)}")
        told = [*each.paired, each.net, *(each.sentences if each.head.metric else [each.what])]
        lines += [f"  - {escape_markdown(said)}" for said in told if said]
    explained = legend(said for each in reports for said in (*each.sentences, each.what))
    lines += ["", *(f"{escape_markdown(said)}." for said in explained)] if explained else []
    return [*lines, "", "</details>"]


def _row(report: WorkloadReport, *, nets: bool, leaks: bool) -> list[str]:
    head = report.head
    more = f" and {report.others} more" if report.others else ""
    row = [
        report.kind.value if head.severity is Severity.FAIL else f"{report.kind.value} (warning)",
        markdown_code(head.workload),
        *([report.net.partition(":")[0].removeprefix("RAM ") or MISSING] if nets else ()),
        (markdown_code(report.figure) if report.figure else "") + more,
        escape_markdown(value_text(head.golden, head.unit)),
        escape_markdown(value_text(head.measured, head.unit)),
        change_text(head),
    ]
    return [*row, f"{report.left:,} B"] if leaks else row


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
                outcome.set("type", report.kind.value)
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
    return f"{report.kind.value}: {'; '.join(filter(None, [report.net, report.what]))}"


def _details(report: WorkloadReport) -> list[str]:
    figures = [
        f"{found.metric}: {values_text(found)} {change_text(found)}".rstrip()
        for found in report.findings
        if found.metric
    ]
    told = [*report.paired, *report.sentences, *figures]
    return [*told, *legend([*told, report.what])]


# ---- GitHub --------------------------------------------------------------------------------------


Place = tuple[str, int | None]
"""A file as the repository has it, and a line of it from 1."""


def github(
    result: GateResult,
    *,
    file: str,
    text: str,
    heading: str = "trainfit gate",
    places: Mapping[str, Place] | None = None,
    whole: str = "",
) -> list[str]:
    """Workflow commands that put an annotation at the workload's line of the golden.

    Args:
        result: What the gate says.
        file: Path of the golden as the repository has it.
        text: What is in it; the line of a workload is looked up there.
        heading: Whose report it is.
        places: Where else an annotation belongs, by workload: at the user's own code.
        whole: Where the whole list is, in words, for a list that is cut.
    """
    places = places or {}
    if result.incomparable and not result.failures:
        reasons = " ".join(result.incomparable)
        return [_command("error", reasons, file=file, title=f"{heading}: not comparable")]
    lines = []
    for severity, command in ((Severity.FAIL, "error"), (Severity.WARN, "warning")):
        told = [each for each in workload_reports(result) if each.head.severity is severity]
        shown = told if len(told) <= MOST_ANNOTATIONS else told[: MOST_ANNOTATIONS - 1]
        for each in shown:
            told_here = [_summary(each), *each.paired, *each.sentences]
            message = cut([*told_here, *legend(told_here)], MOST_MESSAGE)
            title = f"{heading}: {each.head.workload}"
            at = (file, line_of(each.head.workload, text))
            where, line = places.get(each.head.workload, at)
            lines.append(_command(command, message, file=where, line=line, title=title))
        if len(told) > len(shown):
            rest = f"; the whole list is in {whole}" if whole else ""
            message = f"and {len(told) - len(shown)} more workloads; {sentence(result)}{rest}"
            lines.append(_command(command, message, file=file, title=heading))
    return lines


def _command(name: str, message: str, **properties: str | int | None) -> str:
    given = ",".join(
        f"{key}={escape_github(str(value), ',:')}" for key, value in properties.items() if value
    )
    return f"::{name} {given}::{escape_github(message)}"
