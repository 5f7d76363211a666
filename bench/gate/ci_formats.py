"""What the gate found, for machines: JUnit XML, and the annotations of GitHub Actions."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from xml.etree.ElementTree import Element, SubElement, indent, tostring

from trainfit.bench.gate.compare import GateResult, Severity
from trainfit.bench.gate.report import Story, change_text, sentence, stories, value_text

_NO_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""What XML 1.0 cannot hold, however it is written."""

MOST_ANNOTATIONS = 10
"""GitHub shows so many errors of a step, and so many warnings; the rest would be lost."""


def junit(result: GateResult) -> str:
    """One test case per workload, as CI systems read them.

    A regression is a ``failure``, what could not be compared an ``error``, a warning ``skipped``.
    """
    told = {story.head.workload: story for story in stories(result)}
    names = sorted({*result.compared, *told})
    suite = Element("testsuite", name="trainfit gate")
    for name in names:
        story = told.get(name)
        case = SubElement(suite, "testcase", classname="trainfit.gate", name=_clean(name))
        if story is not None and story.head.severity is not Severity.NOTE:
            failed = story.head.severity is Severity.FAIL
            tag = "failure" if failed else "skipped"
            outcome = SubElement(case, tag, message=_clean(_summary(story)))
            if failed:
                outcome.set("type", story.head.kind.value)
                outcome.text = _clean("\n".join(_details(result, story)))
    for reason in result.incomparable:
        case = SubElement(suite, "testcase", classname="trainfit.gate", name="comparable")
        SubElement(case, "error", message=_clean(reason), type="not comparable")
    counts = {
        "tests": len(suite),
        "failures": len(suite.findall("testcase/failure")),
        "errors": len(suite.findall("testcase/error")),
        "skipped": len(suite.findall("testcase/skipped")),
    }
    for key, count in counts.items():
        suite.set(key, str(count))
    root = Element("testsuites")
    root.append(suite)
    indent(root)
    return '<?xml version="1.0" encoding="utf-8"?>\n' + tostring(root, "unicode") + "\n"


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
        told = [story for story in stories(result) if story.head.severity is severity]
        shown = told if len(told) <= MOST_ANNOTATIONS else told[: MOST_ANNOTATIONS - 1]
        for story in shown:
            message = "\n".join([_summary(story), *story.sentences])
            title = f"trainfit gate: {story.head.workload}"
            line = _line_of(story.head.workload, text)
            lines.append(_command(command, message, file=file, line=line, title=title))
        if len(told) > len(shown):
            message = f"and {len(told) - len(shown)} more workloads; {sentence(result)}"
            lines.append(_command(command, message, file=file, title="trainfit gate"))
    return lines


def _summary(story: Story) -> str:
    return f"{story.head.kind.value}: {story.what}"


def _details(result: GateResult, story: Story) -> Sequence[str]:
    findings = [
        f"{found.metric}: {value_text(found.golden, found.unit)} -> "
        f"{value_text(found.measured, found.unit)} {change_text(found)}".rstrip()
        for found in result.findings
        if found.workload == story.head.workload and found.metric
    ]
    return [*story.sentences, *findings]


def _line_of(workload: str, text: str) -> int | None:
    at = text.find(f"\n  {json.dumps(workload, ensure_ascii=False)}: ")
    return text.count("\n", 0, at + 1) + 1 if at >= 0 else None


def _command(name: str, message: str, **properties: str | int | None) -> str:
    given = ",".join(
        f"{key}={_escaped(str(value), ',:')}" for key, value in properties.items() if value
    )
    return f"::{name} {given}::{_escaped(message)}"


def _escaped(text: str, more: str = "") -> str:
    """Percent-encoding of what would end a command or a property early."""
    for character in "%\r\n" + more:
        text = text.replace(character, f"%{ord(character):02X}")
    return text


def _clean(text: str) -> str:
    return _NO_XML.sub("\ufffd", text)
