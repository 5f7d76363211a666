"""What came of holding two revisions against each other: for people, and as the gate has it."""

from __future__ import annotations

from typing import Any

from trainfit.bench.cli.output import Column, output
from trainfit.bench.gate.compare import Finding, GateResult, Kind, Severity, sort_findings
from trainfit.bench.gate.metrics import key_of
from trainfit.bench.gate.report import change_text, value_text
from trainfit.bench.gate.rules import Unit
from trainfit.bench.latency_comparison.energy import Energies
from trainfit.bench.latency_comparison.ratio import CONFIDENCE, Ratios, Verdict
from trainfit.bench.latency_comparison.result import AgainstResult, WorkloadResult

TIME = "step_time_ratio"
ENERGY = "step_energy_ratio"

_KINDS = {
    Verdict.REGRESSION: (Kind.WORSE, Severity.FAIL),
    Verdict.INCONCLUSIVE: (Kind.CHANGED, Severity.WARN),
    Verdict.FASTER: (Kind.BETTER, Severity.NOTE),
}

_ORDER = (
    Verdict.REGRESSION,
    Verdict.NOT_COMPARABLE,
    Verdict.INCONCLUSIVE,
    Verdict.FASTER,
    Verdict.PASS,
)


def gate_result(result: AgainstResult) -> GateResult:
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
        findings += _ratio(key, TIME, each.times.ratios, result)
        if isinstance(each.energy, Energies):
            findings += _ratio(key, ENERGY, each.energy.ratios, result)
        findings += each.bytes.findings
        if each.bytes.findings:
            explained[key] = each.bytes.explained
    return GateResult(
        sort_findings(findings), tuple(compared), tuple(incomparable), result.notes, explained
    )


def _ratio(key: str, metric: str, ratios: Ratios, result: AgainstResult) -> list[Finding]:
    verdict = ratios.verdict(result.limits.max_ratio)
    if verdict not in _KINDS:
        return []
    kind, severity = _KINDS[verdict]
    what = "time" if metric == TIME else "energy"
    reason = f"{what} of a step, {_words(ratios, verdict, result)}"
    return [
        Finding(key, kind, severity, metric, Unit.RATIO, 1.0, ratios.ratio, reason, ratios.interval)
    ]


def _words(ratios: Ratios, verdict: Verdict, result: AgainstResult) -> str:
    now_then = f"now over {result.revision}: {interval_text(ratios)}"
    allowed = f"{result.limits.max_ratio:g}"
    return {
        Verdict.REGRESSION: f"{now_then}; all of it above the {allowed} allowed",
        Verdict.INCONCLUSIVE: f"{now_then}; the interval holds the {allowed} allowed, so this is "
        "neither a pass nor a regression. A quieter machine, or more pairs (--pairs), narrows it",
        Verdict.FASTER: f"{now_then}; less than before, which nobody has explained yet",
        Verdict.PASS: now_then,
    }[verdict]


def interval_text(ratios: Ratios) -> str:
    """A ratio with its interval, with as many digits as both need to be told from 1."""
    low, high = ratios.interval
    return f"{ratios.ratio:.3f} ({low:.3f} to {high:.3f})"


def sentence(result: AgainstResult) -> str:
    """The verdict in one line."""
    count = dict.fromkeys(_ORDER, 0)
    for each in result.workloads:
        count[each.verdict] += 1
    parts = [
        f"{count[verdict]} {words}"
        for verdict, words in (
            (Verdict.REGRESSION, "got worse"),
            (Verdict.NOT_COMPARABLE, "not comparable"),
            (Verdict.INCONCLUSIVE, "inconclusive"),
            (Verdict.FASTER, "unexplained gain"),
            (Verdict.PASS, "no worse"),
        )
        if count[verdict]
    ]
    total = len(result.workloads)
    head = gate_result(result).verdict
    if head == "pass" and count[Verdict.INCONCLUSIVE]:
        head = "inconclusive"  # the exit code is that of a pass
    many = f"{total} workload{'' if total == 1 else 's'}"
    held = f"{result.now} against {result.revision} ({result.commit[:9]})"
    return f"{head}: {held}, {many}: {', '.join(parts)}"


def details(result: AgainstResult) -> list[str]:
    """What is to be known beyond the table, worst first, a line each."""
    lines = []
    for each in _worst_first(result):
        said = [each.reason] if each.reason else []
        if each.times is not None and each.verdict is not Verdict.PASS:
            time_verdict = each.times.ratios.verdict(result.limits.max_ratio)
            if time_verdict is not Verdict.PASS:
                said.append(f"time of a step, {_words(each.times.ratios, time_verdict, result)}")
        if isinstance(each.energy, Energies):
            ratios = each.energy.ratios
            words = _words(ratios, ratios.verdict(result.limits.max_ratio), result)
            said.append(f"energy of a step by {each.energy.sensor}, {words}")
        said += _bytes(each)
        lines += [f"{each.workload.label}: {text}" for text in said]
    return lines + _energy_missing(result) + list(result.notes)


def _bytes(each: WorkloadResult) -> list[str]:
    if each.bytes.note:
        return [each.bytes.note]
    if not each.bytes.findings:
        return []
    found = max(each.bytes.findings, key=lambda each: abs(each.change or 0))
    then, now = (value_text(value, found.unit) for value in (found.golden, found.measured))
    words = [f"{str(found.metric).removeprefix('workload/')} {then} -> {now}", change_text(found)]
    rest = len(each.bytes.findings) - 1
    words.append(f"and {rest} more" if rest else "")
    told = [
        f"{', '.join(filter(None, words))}; bytes are gated with --golden, here they are only"
        " reported"
    ]
    return told + list(each.bytes.explained[:3])


def _energy_missing(result: AgainstResult) -> list[str]:
    """Why energy was not compared, once where it is the same for all."""
    reasons: dict[str, list[str]] = {}
    for each in result.workloads:
        if each.times is not None and isinstance(each.energy, str):
            reasons.setdefault(each.energy, []).append(each.workload.label)
    if len(reasons) == 1:
        return [f"energy is not compared: {reason}" for reason in reasons]
    return [f"energy is not compared of {', '.join(who)}: {why}" for why, who in reasons.items()]


def _worst_first(result: AgainstResult) -> list[WorkloadResult]:
    return sorted(result.workloads, key=lambda each: _ORDER.index(each.verdict))


def show(result: AgainstResult) -> None:
    """Hand the result to the output: a table, then what is to be known beyond it."""
    out = output()
    columns = (
        Column("verdict", "verdict", text=lambda value: str(value).replace("_", " ")),
        Column("workload", "workload"),
        Column("then_seconds", "then", text=_milliseconds, right=True),
        Column("now_seconds", "now", text=_milliseconds, right=True),
        Column("ratio", "now/then", text=_ratio_text, right=True),
        Column("ratio_low", "from", text=_ratio_text, right=True),
        Column("ratio_high", "to", text=_ratio_text, right=True),
        Column("pairs", "pairs", right=True),
        Column("pair_ratios"),
        Column("blocks"),
        Column("stage"),
        Column("stages"),
        Column("bytes_changed"),
        Column("energy_ratio"),
        Column("energy_low"),
        Column("energy_high"),
        Column("energy_reason"),
        Column("reason"),
    )
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
        "bytes_changed": None if each.bytes.note else bool(each.bytes.findings),
    }
    if each.times is None:
        return row | {"bytes_changed": None}
    times = each.times
    row |= {
        "then_seconds": times.then_seconds,
        "now_seconds": times.now_seconds,
        "ratio": times.ratios.ratio,
        "ratio_low": times.ratios.interval[0],
        "ratio_high": times.ratios.interval[1],
        "pairs": len(times.ratios.values),
        "pair_ratios": list(times.ratios.values),
        "blocks": times.blocks,
        "stage": times.stage,
        "stages": times.stages,
    }
    if isinstance(each.energy, str):
        return row | {"energy_reason": each.energy}
    low, high = each.energy.ratios.interval
    return row | {
        "energy_ratio": each.energy.ratios.ratio,
        "energy_low": low,
        "energy_high": high,
    }


def markdown(result: AgainstResult) -> str:
    """The report as Markdown, for the conversation of a pull request."""
    lines = [
        f"### trainfit gate: {gate_result(result).verdict}",
        "",
        f"{_plain(sentence(result))}.",
        "",
        "| | workload | then | now | now/then | interval |",
        "|---|---|--:|--:|--:|--:|",
    ]
    for each in _worst_first(result):
        cells = [each.verdict.value.replace("_", " "), f"`{each.workload.label}`"]
        if each.times is None:
            cells += ["-"] * 4
        else:
            low, high = each.times.ratios.interval
            cells += [
                _milliseconds(each.times.then_seconds),
                _milliseconds(each.times.now_seconds),
                f"{each.times.ratios.ratio:.3f}",
                f"{low:.3f} to {high:.3f}",
            ]
        lines.append(f"| {' | '.join(cells)} |")
    lines += ["", *(f"- {_plain(line)}" for line in details(result))]
    return "\n".join(lines) + "\n"


def _plain(text: str) -> str:
    """No text of an error becomes markup."""
    for character in "\\`*_[]<>|#":
        text = text.replace(character, f"\\{character}")
    return " ".join(text.split())


def _milliseconds(seconds: Any) -> str:
    return "-" if seconds is None else f"{1e3 * seconds:.4g} ms"


def _ratio_text(value: Any) -> str:
    return "-" if value is None else f"{value:.3f}"
