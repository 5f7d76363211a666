"""What ``trainfit gate`` says, and where: tables, files, annotations, and the exit code."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer

from trainfit.bench.cli.output import OutputError, output, unseen
from trainfit.bench.gate import report
from trainfit.bench.gate.ci_formats import github, junit
from trainfit.bench.gate.compare import GateResult
from trainfit.bench.gate.golden import golden_text
from trainfit.bench.gate.report import Story, sentence, stories, update_sentence
from trainfit.bench.gate.rules import GoldenError
from trainfit.bench.gate.update import Update

NOT_COMPARABLE = 3

_MOST_ROWS = 20
_MOST_EXPLAINED = 10

MarkdownOption = Annotated[
    Path | None,
    typer.Option(metavar="FILE", help="Report as Markdown, for a pull request, e.g. gate.md."),
]
JunitOption = Annotated[
    Path | None,
    typer.Option(metavar="FILE", help="Report as JUnit XML, for a CI system, e.g. gate.xml."),
]
GithubOption = Annotated[
    bool | None,
    typer.Option(
        "--github/--no-github",
        help="Annotations for GitHub Actions on stdout.",
        show_default="where GITHUB_ACTIONS is set",
    ),
]


@dataclass(frozen=True)
class Reports:
    """Where else the result is wanted.

    Attributes:
        markdown: A file for the report of a pull request.
        junit: A file for a CI system.
        github: Annotations on stdout; None where GitHub Actions runs this.
    """

    markdown: Path | None = None
    junit: Path | None = None
    github: bool | None = None

    def check(self) -> None:
        """Refuse what cannot be had together; said before anything takes time.

        Raises:
            GoldenError: Annotations and JSON would be mixed.
        """
        if self.github and output().as_json:
            raise GoldenError("--github and --json both print to stdout: choose one of them")

    @property
    def annotations(self) -> bool:
        """Annotations are wanted."""
        if self.github is None:
            return os.environ.get("GITHUB_ACTIONS") == "true" and not output().as_json
        return self.github

    def write(self, markdown: str, junit: str) -> None:
        """The files that were asked for, and the summary of a GitHub job where there is one.

        Raises:
            OutputError: A file cannot be written.
        """
        if self.markdown is not None:
            _write(self.markdown, markdown, "--markdown")
        if self.junit is not None:
            _write(self.junit, junit, "--junit")
        summary = os.environ.get("GITHUB_STEP_SUMMARY")
        if summary:
            _write(Path(summary), markdown, "GITHUB_STEP_SUMMARY", append=True)


def finish(result: GateResult, *, measured: Path, golden: Path, remedy: str, to: Reports) -> None:
    """Say what the gate found, everywhere it is wanted, and leave with its exit code.

    Args:
        result: What the gate says.
        measured: The run or file that was gated.
        golden: The golden file.
        remedy: The command that accepts the difference.
        to: Where else the result is wanted.

    Raises:
        typer.Exit: The gate does not pass.
        OutputError: A report cannot be written.
    """
    _show(result, remedy)
    to.write(report.markdown(result, title=f"{measured} against {golden}"), junit(result))
    if to.annotations:
        for line in github(result, file=str(golden), text=golden_text(golden)):
            print(line)
    if result.exit_code == NOT_COMPARABLE:
        reasons = "; ".join(result.incomparable)
        print(f"trainfit: not comparable: {reasons} (make it anew: {remedy})", file=sys.stderr)
    if result.exit_code:
        raise typer.Exit(result.exit_code)


def show_update(update: Update, golden: Path) -> None:
    """Say what an update accepted."""
    out = output()
    told = [story for story in stories(update.result) if story.head.kind != "new"]
    out.table("accepted", _FINDINGS, _rows(update.result), printed=())
    if told:
        out.show("accepted:", "")
        out.table("workloads", _WORKLOADS, _story_rows(told), printed=_printed(told))
    for name in ("rebased", "added", "changed", "kept", "removed"):
        out.fact(name, getattr(update, name))
    out.fact("unchanged", update.same)
    out.show(*(f"made anew: {reason}" for reason in update.rebased))
    out.show(*(f"removed: {key}" for key in update.removed))
    out.show(update_sentence(update, str(golden)))


def _show(result: GateResult, remedy: str) -> None:
    out = output()
    told = [story for story in stories(result) if story.head.severity != "note"]
    out.table("findings", _FINDINGS, _rows(result), printed=())
    if told:
        out.table("workloads", _WORKLOADS, _story_rows(told), printed=_printed(told))
    out.fact("verdict", result.verdict)
    out.fact("exit_code", result.exit_code)
    out.fact("compared", len(result.compared))
    out.fact("incomparable", list(result.incomparable))
    out.fact("notes", list(result.notes))
    out.fact("explained", {key: list(words) for key, words in result.explained.items()})
    out.show(*(f"note: {note}" for note in result.notes))
    if result.exit_code != NOT_COMPARABLE:  # that is said on stderr
        out.show(sentence(result))
    if result.failures:
        out.show(f"if this is on purpose: {remedy}")


def _printed(told: Sequence[Story]) -> Iterable[str]:
    """What people see: workloads have long names, so each has lines of its own."""
    width = max(len(story.head.kind.value) for story in told) + 2
    for number, story in enumerate(told[:_MOST_ROWS]):
        yield f"{story.head.kind.value:{width}}{story.head.workload}"
        words = [story.what, *(story.sentences if number < _MOST_EXPLAINED else ())]
        yield from (" " * width + each for each in words)
    if len(told) > _MOST_ROWS:
        yield f"and {len(told) - _MOST_ROWS:,} more workloads (--json has all)"
    yield ""


def _rows(result: GateResult) -> Iterable[dict[str, Any]]:
    for found in result.findings:
        yield {
            "severity": found.severity.value,
            "kind": found.kind.value,
            "workload": found.workload,
            "metric": found.metric,
            "unit": found.unit.value if found.metric else None,
            "golden": found.golden,
            "measured": found.measured,
            "change": found.change,
            "reason": found.reason or None,
        }


_FINDINGS = unseen(
    "severity", "kind", "workload", "metric", "unit", "golden", "measured", "change", "reason"
)


def _story_rows(told: Iterable[Story]) -> Iterable[dict[str, Any]]:
    for story in told:
        head = story.head
        yield {
            "kind": head.kind.value,
            "severity": head.severity.value,
            "figure": story.figure or None,
            "golden": head.golden,
            "measured": head.measured,
            "unit": head.unit.value if head.metric else None,
            "others": story.others,
            "workload": head.workload,
            "what": story.what,
            "explained": story.sentences,
        }


_WORKLOADS = unseen(
    "severity",
    "kind",
    "workload",
    "figure",
    "unit",
    "golden",
    "measured",
    "others",
    "what",
    "explained",
)


def _write(file: Path, text: str, option: str, *, append: bool = False) -> None:
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        with file.open("a" if append else "w", encoding="utf-8") as stream:
            stream.write(text)
    except OSError as error:
        raise OutputError(f"{option} {file}: cannot be written: {error.strerror}") from error
