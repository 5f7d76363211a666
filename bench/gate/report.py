"""What the gate found, for people: what got worse first, and which tensor did it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from trainfit.bench.gate.compare import Finding, GateResult, Kind, Severity
from trainfit.bench.gate.rules import Unit, Value
from trainfit.bench.gate.update import Update

_HEADS = ("peak_dynamic_bytes", "static_bytes", "storage_bytes")
"""What a board has to hold: the figures that stand for a workload if one of them changed."""

_MOST_TOLD = 5

_TABLE_HEAD = (
    "| | workload | figure | golden | now | change |",
    "|---|---|---|--:|--:|--:|",
)


@dataclass(frozen=True)
class Story:
    """Everything that was found of one workload.

    Attributes:
        head: The finding that stands for the others.
        others: How many more figures of it are not as expected.
        tensors: What did it, in words.
    """

    head: Finding
    others: int
    tensors: Sequence[str]

    @property
    def figure(self) -> str:
        """The metric that stands for the workload, as people see it."""
        metric = self.head.metric
        return metric.removeprefix("workload/") if metric else ""

    @property
    def what(self) -> str:
        """What is not as expected, in one line; or why nothing could be compared."""
        head = self.head
        if not head.metric:
            return head.reason
        golden, now = value_text(head.golden, head.unit), value_text(head.measured, head.unit)
        parts = [f"{self.figure} {golden} -> {now}", change_text(head)]
        if self.others:
            parts.append(f"and {_counted(self.others, 'more figure')}")
        return ", ".join(filter(None, parts))

    @property
    def sentences(self) -> list[str]:
        """What did it, and how much is not told."""
        told = [self.head.reason] if self.head.metric and self.head.reason else []
        told += self.tensors[:_MOST_TOLD]
        rest = len(self.tensors) - _MOST_TOLD
        return [*told, f"and {rest} more"] if rest > 0 else told


def stories(result: GateResult) -> list[Story]:
    """One story per workload: failures first, and of these what grew most."""
    found: dict[str, list[Finding]] = {}
    for finding in result.findings:
        found.setdefault(finding.workload, []).append(finding)
    told = [
        Story(head, len(findings) - 1, tuple(result.explained.get(workload, ())))
        for workload, findings in found.items()
        for head in [_head(findings)]
    ]
    return sorted(told, key=_weight)


def sentence(result: GateResult) -> str:
    """The verdict in one line."""
    all_of_them = {*result.compared, *(found.workload for found in result.failures)}
    compared = _counted(len(all_of_them), "workload")
    if result.incomparable and not result.failures:
        return f"not comparable: {result.incomparable[0]}"
    failing = len({found.workload for found in result.failures})
    warned = len({f.workload for f in result.findings if f.severity is Severity.WARN})
    words = f"{result.verdict}: {failing} of {compared}" if failing else f"pass: {compared}"
    words += " not as the golden has it" if failing else " as the golden has them"
    if len(result.compared) == 1 and not failing:
        words = "pass: 1 workload as the golden has it"
    return words + (f", {_counted(warned, 'warning')}" if warned else "")


def update_sentence(update: Update, file: str) -> str:
    """What an update did, in one line."""
    parts = [
        f"{len(workloads)} {word}"
        for word, workloads in (
            ("added", update.added),
            ("changed", update.changed),
            ("removed", update.removed),
        )
        if workloads
    ]
    parts.append(f"{update.same} unchanged")
    if update.kept:
        parts.append(f"{len(update.kept)} that the run does not have left as they were")
    return f"golden {file}: {', '.join(parts)}"


def change_text(found: Finding) -> str:
    """By how much a finding differs: ``+65,536 B (+54.2 %)``."""
    change = found.change
    if change is None:
        return ""
    if found.unit is Unit.RATIO:
        return f"{change:+.3f}"
    text = f"{change:+,} {'B' if found.unit is Unit.BYTES else ''}".rstrip()
    if isinstance(found.golden, int) and found.golden:
        text += f" ({100 * change / found.golden:+.1f} %)"
    return text


def value_text(value: Value | None, unit: Unit) -> str:
    """A value as a cell has it."""
    if value is None:
        return "-"
    if isinstance(value, str):
        return value
    if unit is Unit.RATIO:
        return f"{value:.3f}"
    return f"{value:,}{' B' if unit is Unit.BYTES else ''}"


def markdown(result: GateResult, *, title: str, most: int = 30) -> str:
    """The report as Markdown, for the conversation of a pull request.

    Args:
        result: What the gate says.
        title: What was compared with what.
        most: So many workloads are listed.
    """
    told = [story for story in stories(result) if story.head.severity is not Severity.NOTE]
    lines = [f"### trainfit gate: {result.verdict}", "", f"{title}: {sentence(result)}."]
    if result.incomparable:
        lines += ["", *(f"- {_escaped(reason)}" for reason in result.incomparable)]
    if told:
        lines += [
            "",
            "| | workload | figure | golden | now | change |",
            "|---|---|---|--:|--:|--:|",
        ]
        lines += [_row(story) for story in told[:most]]
        if len(told) > most:
            lines.append(f"| | and {len(told) - most} more | | | | |")
        lines += ["", "<details><summary>What did it</summary>", ""]
        for story in told[:most]:
            sentences = story.sentences if story.head.metric else [story.what]
            if sentences:
                lines.append(f"- {_code(story.head.workload)}")
                lines += [f"  - {_escaped(sentence)}" for sentence in sentences]
        lines += ["", "</details>"]
    if result.notes:
        lines += ["", *(f"- {_escaped(note)}" for note in result.notes)]
    return "\n".join(lines) + "\n"


def _row(story: Story) -> str:
    head = story.head
    more = f" and {story.others} more" if story.others else ""
    cells = (
        head.kind.value if head.severity is Severity.FAIL else f"{head.kind.value} (warning)",
        _code(head.workload),
        (_code(story.figure) if story.figure else "") + more,
        value_text(head.golden, head.unit),
        value_text(head.measured, head.unit),
        change_text(head),
    )
    return f"| {' | '.join(cells)} |"


def _code(text: str) -> str:
    return f"`{text.replace('|', chr(92) + '|').replace('`', chr(39))}`"


def _escaped(text: str) -> str:
    """No text of a record becomes markup: an error may hold anything."""
    for character in "\\`*_[]<>|#":
        text = text.replace(character, f"\\{character}")
    return " ".join(text.split())


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


def _weight(story: Story) -> tuple[int, int, float, str]:
    head = story.head
    kinds = [Kind.INVALID, Kind.WORSE, Kind.GREW, Kind.MISSING, Kind.CHANGED, Kind.SHRANK]
    order = kinds.index(head.kind) if head.kind in kinds else len(kinds)
    size = abs(head.change or 0)
    return (list(Severity).index(head.severity), order, -size, head.workload)


def _counted(number: int, what: str) -> str:
    return f"{number:,} {what}{'' if number == 1 else 's'}"
