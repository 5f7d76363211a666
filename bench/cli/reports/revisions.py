"""What came of comparing two revisions: for people, and as findings of the gate."""

from __future__ import annotations

from typing import Any

from trainfit._text import (
    counted,
    escape_markdown,
    markdown_code,
    markdown_table,
    milliseconds,
)
from trainfit._text import ratio as ratio_text
from trainfit.bench.cli.output import Column, output
from trainfit.bench.gate.compare import Finding, FindingKind, GateResult, Severity
from trainfit.bench.gate.figures import key_of
from trainfit.bench.gate.report import change_text, values_text
from trainfit.bench.gate.rules import Unit
from trainfit.bench.latency_comparison.result import (
    CONFIDENCE,
    Energies,
    Ratios,
    RatioVerdict,
    RevisionResult,
    Times,
    WorkloadResult,
)

TIME = "step_time_ratio"
ENERGY = "step_energy_ratio"

_KINDS = {
    RatioVerdict.REGRESSION: (FindingKind.WORSE, Severity.FAIL),
    RatioVerdict.INCONCLUSIVE: (FindingKind.CHANGED, Severity.WARN),
    RatioVerdict.FASTER: (FindingKind.BETTER, Severity.NOTE),
}

_COUNTED = {
    RatioVerdict.REGRESSION: "got worse",
    RatioVerdict.NOT_COMPARABLE: "not comparable",
    RatioVerdict.INCONCLUSIVE: "inconclusive",
    RatioVerdict.FASTER: "unexplained gain",
    RatioVerdict.PASS: "no worse",
}
"""Verdicts in the order in which they are told, and what is said of their number."""


def gate_result(result: RevisionResult) -> GateResult:
    """The same as findings, for whatever reads those: JUnit, annotations, the exit code."""
    findings: list[Finding] = []
    incomparable: list[str] = []
    explained: dict[str, tuple[str, ...]] = {}
    compared: list[str] = []
    for each in result.workloads:
        key = key_of(each.workload)
        if each.times is None:
            incomparable.append(f"{each.workload.label}: {each.reason}")
            continue
        compared.append(key)
        findings += _in_doubt(key, each.times) if each.times.doubt else []
        findings += [] if each.times.doubt else _ratio(key, TIME, each.times.ratios, result)
        if isinstance(each.energy, Energies):
            findings += _ratio(key, ENERGY, each.energy.ratios, result)
        findings += each.bytes.findings
        if each.bytes.findings:
            explained[key] = each.bytes.explained
    findings.sort(key=lambda found: found.rank)
    return GateResult(findings, tuple(compared), tuple(incomparable), result.notes, explained)


def _ratio(key: str, metric: str, ratios: Ratios, result: RevisionResult) -> list[Finding]:
    verdict = ratios.verdict(result.limits.max_ratio)
    if verdict not in _KINDS:
        return []
    kind, severity = _KINDS[verdict]
    what = "time" if metric == TIME else "energy"
    reason = f"{what} of a step, {_words(ratios, result)}"
    return [
        Finding(key, kind, severity, metric, Unit.RATIO, 1.0, ratios.ratio, reason, ratios.interval)
    ]


def _in_doubt(key: str, times: Times) -> list[Finding]:
    kind, severity = _KINDS[RatioVerdict.INCONCLUSIVE]
    return [Finding(key, kind, severity, TIME, Unit.RATIO, 1.0, "unknown", _unknown(times))]


def _unknown(times: Times) -> str:
    return f"time of a step is unknown, {times.doubt}. A quieter machine is needed"


def _words(ratios: Ratios, result: RevisionResult) -> str:
    low, high = ratios.interval
    allowed = f"{result.limits.max_ratio:g}"
    more = {
        RatioVerdict.REGRESSION: f"; all of it above the {allowed} allowed",
        RatioVerdict.INCONCLUSIVE: f"; the interval holds the {allowed} allowed, so this is "
        "neither a pass nor a regression. A quieter machine, or more pairs (--pairs), narrows it",
        RatioVerdict.FASTER: "; less than before, which nobody has explained yet",
    }.get(ratios.verdict(result.limits.max_ratio), "")
    return f"now over {result.revision}: {ratios.ratio:.3f} ({low:.3f} to {high:.3f}){more}"


def sentence(result: RevisionResult) -> str:
    """The verdict in one line."""
    verdicts = [each.verdict for each in result.workloads]
    parts = [
        f"{verdicts.count(verdict)} {words}"
        for verdict, words in _COUNTED.items()
        if verdict in verdicts
    ]
    head = gate_result(result).verdict
    if head == "pass" and RatioVerdict.INCONCLUSIVE in verdicts:
        head = "inconclusive"  # the exit code is that of a pass
    compared = f"{result.now} against {result.revision} ({result.commit[:9]})"
    return f"{head}: {compared}, {counted(len(verdicts), 'workload')}: {', '.join(parts)}"


def details(result: RevisionResult) -> list[str]:
    """What is to be known beyond the table, worst first, a line each."""
    lines = []
    for each in _worst_first(result):
        said = [each.reason] if each.reason else []
        if each.times and each.times.doubt:
            said.append(_unknown(each.times))
        elif each.times and each.times.verdict(result.limits.max_ratio) is not RatioVerdict.PASS:
            said.append(f"time of a step, {_words(each.times.ratios, result)}")
        if isinstance(each.energy, Energies):
            said.append(
                f"energy of a step by {each.energy.sensor}, {_words(each.energy.ratios, result)}"
            )
        said += _bytes(each)
        lines += [f"{each.workload.label}: {text}" for text in said]
    return lines + _energy_missing(result) + list(result.notes)


def _bytes(each: WorkloadResult) -> list[str]:
    if each.bytes.note:
        return [each.bytes.note]
    if not each.bytes.findings:
        return []
    found = max(each.bytes.findings, key=lambda finding: abs(finding.change or 0))
    rest = len(each.bytes.findings) - 1
    words = [
        f"{str(found.metric).removeprefix('workload/')} {values_text(found)}",
        change_text(found),
        f"and {rest} more" if rest else "",
    ]
    told = (
        f"{', '.join(filter(None, words))}; bytes are gated with --golden, here they are only"
        " reported"
    )
    return [told, *each.bytes.explained[:3]]


def _energy_missing(result: RevisionResult) -> list[str]:
    """Why energy was not compared, once where it is the same for all."""
    reasons: dict[str, list[str]] = {}
    for each in result.workloads:
        if each.times is not None and isinstance(each.energy, str):
            reasons.setdefault(each.energy, []).append(each.workload.label)
    if len(reasons) == 1:
        return [f"energy is not compared: {reason}" for reason in reasons]
    return [f"energy is not compared of {', '.join(who)}: {why}" for why, who in reasons.items()]


def _worst_first(result: RevisionResult) -> list[WorkloadResult]:
    return sorted(result.workloads, key=lambda each: list(_COUNTED).index(each.verdict))


def show(result: RevisionResult) -> None:
    """Hand the result to the output: a table, then what is to be known beyond it."""
    hidden = (
        "cpu_low cpu_high pair_ratios blocks stage stages then_waited now_waited bytes_changed"
        " energy_ratio energy_low energy_high"
    )
    columns = (
        Column("verdict", "verdict", text=lambda value: str(value).replace("_", " ")),
        Column("workload", "workload"),
        Column("then_seconds", "then", text=milliseconds, right=True),
        Column("now_seconds", "now", text=milliseconds, right=True),
        Column("ratio", "now/then", text=ratio_text, right=True),
        Column("ratio_low", "from", text=ratio_text, right=True),
        Column("ratio_high", "to", text=ratio_text, right=True),
        Column("cpu_ratio", "CPU", text=ratio_text, right=True),
        Column("pairs", "pairs", right=True),
        *(Column(key) for key in f"{hidden} energy_reason reason".split()),
    )
    out = output()
    out.table("against", columns, [_row(each) for each in _worst_first(result)])
    gate = gate_result(result)
    for name, value in (
        ("revision", result.revision),
        ("commit", result.commit),
        ("now", result.now),
        ("max_ratio", result.limits.max_ratio),
        ("confidence", CONFIDENCE),
        ("threads", result.threads),
        ("verdict", gate.verdict),
        ("exit_code", gate.exit_code),
        ("sentence", sentence(result)),
        ("details", details(result)),
    ):
        out.fact(name, value)
    out.show("", *details(result), "", sentence(result))


def _row(each: WorkloadResult) -> dict[str, Any]:
    row: dict[str, Any] = {
        "verdict": each.verdict.value,
        "workload": each.workload.label,
        "reason": each.reason or None,
    }
    if each.times is None:
        return row
    times = each.times
    if times.doubt:
        row["reason"] = times.doubt
    else:
        row |= {
            "then_seconds": times.then_seconds,
            "now_seconds": times.now_seconds,
            "ratio": times.ratios.ratio,
            "ratio_low": times.ratios.interval[0],
            "ratio_high": times.ratios.interval[1],
            "pair_ratios": list(times.ratios.values),
        }
    if times.cpu:
        low, high = times.cpu.interval
        row |= {"cpu_ratio": times.cpu.ratio, "cpu_low": low, "cpu_high": high}
    row |= {
        "then_waited": times.uses[0].waited,
        "now_waited": times.uses[1].waited,
        "pairs": len(times.ratios.values),
        "blocks": times.blocks,
        "stage": times.stage,
        "stages": times.stages,
        "bytes_changed": None if each.bytes.note else bool(each.bytes.findings),
    }
    if isinstance(each.energy, str):
        return row | {"energy_reason": each.energy}
    low, high = each.energy.ratios.interval
    energies = {"energy_ratio": each.energy.ratios.ratio, "energy_low": low, "energy_high": high}
    return row | energies


def markdown(result: RevisionResult) -> str:
    """The report as Markdown, for the conversation of a pull request."""
    head = ("", "workload", "then", "now", "now/then", "interval", "CPU time")
    rows = [_cells(each) for each in _worst_first(result)]
    lines = [
        f"### trainfit compare-revisions: {gate_result(result).verdict}",
        "",
        f"{escape_markdown(sentence(result))}.",
        "",
        *markdown_table(head, rows, right=5),
        "",
        *(f"- {escape_markdown(line)}" for line in details(result)),
    ]
    return "\n".join(lines) + "\n"


def _cells(each: WorkloadResult) -> list[str]:
    cells = [each.verdict.value.replace("_", " "), markdown_code(each.workload.label)]
    if each.times is None:
        return cells + ["-"] * 5
    times = each.times
    low, high = times.ratios.interval
    by_clock = [
        milliseconds(times.then_seconds),
        milliseconds(times.now_seconds),
        ratio_text(times.ratios.ratio),
        f"{low:.3f} to {high:.3f}",
    ]
    cpu = ratio_text(times.cpu.ratio if times.cpu else None)
    return [*cells, *(["unknown"] * 4 if times.doubt else by_clock), cpu]
