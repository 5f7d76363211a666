"""What the commands that gate share: options, reports for people and machines, exit codes."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer

from trainfit.bench.cli.output import OutputError, complain, output, unseen
from trainfit.bench.gate import report
from trainfit.bench.gate.compare import FindingKind, GateResult
from trainfit.bench.gate.explain import legend
from trainfit.bench.gate.golden import golden_text, read_golden
from trainfit.bench.gate.report import WorkloadReport, workload_reports
from trainfit.bench.gate.rules import GoldenError, Missing
from trainfit.bench.gate.run import GatedRun, Update, gate, update_golden, without_collection
from trainfit.bench.gate.summary import write_summary

_MOST_ROWS = 20
_MOST_EXPLAINED = 10

GoldenOption = Annotated[
    Path,
    typer.Option(
        metavar="FILE",
        help="Golden file: the expected bytes, e.g. ci/memory.json.",
    ),
]
OptionalGoldenOption = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE",
        help="Golden file: the expected bytes, e.g. ci/memory.json. Required but for --self-test.",
    ),
]
UpdateOption = Annotated[
    bool,
    typer.Option("--update", help="Write what was measured into the golden and show the changes."),
]
PruneOption = Annotated[
    bool,
    typer.Option("--prune", help="With --update: remove workloads that were not measured."),
]
StrictOption = Annotated[
    bool, typer.Option("--strict", help="Fail on workloads that the golden does not have.")
]
MissingOption = Annotated[
    Missing | None,
    typer.Option(
        help="Treatment of workloads that were not measured, whatever the rules say.",
        show_default="fail",
    ),
]
MarkdownOption = Annotated[
    Path | None,
    typer.Option(metavar="FILE", help="Report as Markdown for a pull request, e.g. report.md."),
]
JunitOption = Annotated[
    Path | None,
    typer.Option(metavar="FILE", help="Report as JUnit XML for a CI system, e.g. junit.xml."),
]
GithubOption = Annotated[
    bool | None,
    typer.Option(
        "--github/--no-github",
        help="Annotations for GitHub Actions.",
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

    Raises:
        GoldenError: Annotations and JSON would be mixed; said before anything takes time.
    """

    markdown: Path | None = None
    junit: Path | None = None
    github: bool | None = None

    def __post_init__(self) -> None:
        if self.github and output().as_json:
            raise GoldenError("--github and --json both print to stdout: choose one of them")

    def write(self, result: GateResult, markdown: str, *, file: str = "", text: str = "") -> None:
        """Write the files that were named, the summary of a GitHub job, and annotations.

        Args:
            result: What the gate says.
            markdown: The report of a pull request.
            file: Golden file that annotations point into.
            text: What is in it.

        Raises:
            OutputError: A file cannot be written.
        """
        if self.markdown is not None:
            _write(self.markdown, markdown, "--markdown")
        if self.junit is not None:
            _write(self.junit, report.junit(result), "--junit")
        summary = os.environ.get("GITHUB_STEP_SUMMARY")
        if summary:
            write_summary(Path(summary), markdown)
        in_actions = os.environ.get("GITHUB_ACTIONS") == "true" and not output().as_json
        if in_actions if self.github is None else self.github:
            for line in report.github(result, file=file, text=text, whole=self.whole):
                print(line)

    @property
    def whole(self) -> str:
        """Which of them has the whole list, however long it is."""
        return str(self.junit) if self.junit else "what --json prints"


def gate_or_update(
    read: Callable[[Path], GatedRun],
    measured: Path,
    golden: Path,
    *,
    command: str,
    update: bool,
    prune: bool,
    strict: bool,
    missing: Missing | None,
    reports: Reports,
) -> None:
    """Gate what was measured, or accept it, and say what came of it.

    Args:
        read: Reads what was measured.
        measured: Where it lies.
        golden: The golden file.
        command: The command that was given, for the one that accepts the difference.
        update: Accept it.
        prune: Take out workloads that were not measured.
        strict: A workload without a golden fails.
        missing: What becomes of workloads that were not measured.
        reports: Where else the result is wanted.

    Raises:
        typer.Exit: The gate does not pass.
    """
    if prune and not update:
        raise GoldenError("--prune is for --update: the gate itself changes no golden")
    remedy = f"trainfit {command} {measured} --golden {golden} --update"
    whole = reports.whole
    if update:
        _show_update(update_golden(read(measured), golden, prune=prune), golden)
        return
    with without_collection():
        expected = read_golden(golden, make=remedy)
    result = gate(expected, read(measured), strict=strict, missing=missing)
    _show(result, f"{remedy} --prune" if _lacks_some(result) else remedy)
    title = f"{measured} against {golden}"
    page = report.markdown(result, title=title, whole=whole)
    reports.write(result, page, file=str(golden), text=golden_text(golden))
    finish(
        result,
        hint=f"measure as the golden was made, or accept this: {remedy} adds another torch to the "
        "golden where every byte is equal, and makes the golden again where one is not",
    )


def _lacks_some(result: GateResult) -> bool:
    """Whether the golden has workloads, or names of them, that the run does not have."""
    return any(
        found.kind in (FindingKind.MISSING, FindingKind.CHANGED) and not found.metric
        for found in result.failures
    )


def finish(result: GateResult, *, hint: str = "") -> None:
    """Say what could not be compared, and leave with the exit code of the result.

    Raises:
        typer.Exit: The gate does not pass.
    """
    if result.incomparable:
        ways = f" ({hint})" if hint else ""
        reasons = "; ".join(result.incomparable)
        complain(f"not comparable: {reasons}{ways}")
    if result.exit_code:
        raise typer.Exit(result.exit_code)


def _show_update(update: Update, golden: Path) -> None:
    out = output()
    told = [each for each in workload_reports(update.result) if each.head.kind != "new"]
    out.table("accepted", _FINDINGS, _findings(update.result), printed=())
    if told:
        out.show("accepted:", "")
        out.table("workloads", _WORKLOADS, _workloads(told), printed=_printed(told))
    for name in ("rebased", "added", "changed", "kept", "removed", "torch", "dropped"):
        out.fact(name, list(getattr(update, name)))
    out.fact("unchanged", update.same)
    out.show(*(f"made again: {reason}" for reason in update.rebased))
    out.show(*(f"no longer for torch {each}: measure with it again" for each in update.dropped))
    out.show(*(f"removed: {key}" for key in update.removed))
    out.fact("leaks", update.leaks)
    out.show(*(report.leak_sentence(key, left) for key, left in update.leaks.items()))
    out.show(report.update_sentence(update, str(golden)))


def _show(result: GateResult, remedy: str) -> None:
    out = output()
    told = [each for each in workload_reports(result) if each.head.severity != "note"]
    out.table("findings", _FINDINGS, _findings(result), printed=())
    if told:
        out.table("workloads", _WORKLOADS, _workloads(told), printed=_printed(told))
    out.fact("verdict", result.verdict)
    out.fact("exit_code", result.exit_code)
    out.fact("compared", len(result.compared))
    out.fact("incomparable", list(result.incomparable))
    out.fact("notes", list(result.notes))
    out.fact("explained", {key: list(words) for key, words in result.explained.items()})
    out.show(*(f"note: {note}" for note in result.notes))
    if not result.incomparable:  # that is said on stderr
        out.show(report.sentence(result))
    if result.failures:
        out.show(f"if this is on purpose: {remedy}")


def _printed(told: Sequence[WorkloadReport]) -> Iterable[str]:
    """What people see: workloads have long names, so each has lines of its own."""
    width = max(len(each.kind.value) for each in told) + 2
    for number, each in enumerate(told[:_MOST_ROWS]):
        yield f"{each.kind.value:{width}}{each.head.workload}"
        words = each.lines if number < _MOST_EXPLAINED else [each.net or each.what]
        yield from (" " * width + word for word in words)
    if len(told) > _MOST_ROWS:
        yield f"and {len(told) - _MOST_ROWS:,} more workloads (--json has all)"
    yield from legend(line for each in told[:_MOST_EXPLAINED] for line in each.lines)
    yield ""


_FINDINGS = unseen("severity kind workload metric unit golden measured change reason")
_WORKLOADS = unseen(
    "severity kind workload was ram_before ram_after left figure unit golden measured others what"
    " explained"
)


def _findings(result: GateResult) -> Iterable[dict[str, Any]]:
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


def _workloads(told: Iterable[WorkloadReport]) -> Iterable[dict[str, Any]]:
    for each in told:
        head = each.head
        yield {
            "severity": head.severity.value,
            "kind": each.kind.value,
            "workload": head.workload,
            "was": "; ".join(each.paired) or None,
            "ram_before": each.change.before.ram if each.change else None,
            "ram_after": each.change.after.ram if each.change else None,
            "left": each.change.after.left if each.change else None,
            "figure": each.figure or None,
            "unit": head.unit.value if head.metric else None,
            "golden": head.golden,
            "measured": head.measured,
            "others": each.others,
            "what": each.what,
            "explained": each.sentences,
        }


def _write(file: Path, text: str, option: str) -> None:
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8", errors="backslashreplace")
    except OSError as error:
        raise OutputError(f"{option} {file}: cannot be written: {error.strerror}") from error
