"""Judged claims in words: what is claimed, what came out, how many hold, what is missing."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby

from trainfit.bench.claims.claim import Check, ClaimVerdict, Judged, JudgedCheck, command
from trainfit.bench.claims.statistics import Expect
from trainfit.bench.claims.workloads import Interval, Setting
from trainfit.bench.verdicts.intervals import format_quantity

_SAYS = {
    ClaimVerdict.HOLDS: ("holds", "hold"),
    ClaimVerdict.IN_PART: ("holds in part", "hold in part"),
    ClaimVerdict.DOES_NOT_HOLD: ("does not hold", "do not hold"),
    ClaimVerdict.NOT_DECIDED: ("is not decided", "are not decided"),
    ClaimVerdict.NOT_TESTABLE: ("is not testable here", "are not testable here"),
    ClaimVerdict.NO_RECORDS: ("has no records", "have no records"),
}


def claimed(check: Check) -> str:
    """What was published and how far off it may be, or which way a difference has to go."""
    expected, unit = check.expected, check.statistic.unit
    published = _span(check, expected.published) if expected.published else ""
    if expected.is_direction:
        tested = f"{expected.expect} than {expected.start(check.statistic):g}"
        return f"{published} {unit} (tested: {tested})" if published else f"{tested} {unit}"
    said = {Expect.AT_LEAST: "at least ", Expect.AT_MOST: "at most "}.get(expected.expect, "")
    allowed = f", give or take {expected.tolerance:g}" if expected.tolerance else ""
    return f"{said}{published} {unit}{allowed}"


def reproduced(found: JudgedCheck) -> str:
    """The value with its deviation, then what was compared; ``-`` if there is no value."""
    if found.computed is None:
        return "-"
    check, shown = found.check, found.check.statistic.shown
    text = _span(check, found.computed.value)
    if found.computed.deviation is not None and check.quantity.varies:
        text += f" ± {found.computed.deviation:.2g}"
    said = shown or (lambda sides: [_figure(side.only, check.quantity.unit) for side in sides])
    return f"{text} {check.statistic.unit} ({'; '.join(said(found.sides))})"


def _span(check: Check, ends: Interval) -> str:
    signed = check.statistic.signed
    return " to ".join(dict.fromkeys(number(end, signed=signed) for end in ends))


def number(value: float, *, signed: bool) -> str:
    """Three digits, or a whole number; ``signed`` puts a plus before what is positive."""
    if math.isinf(value):
        return "unbounded"
    size = abs(value)
    text = f"{size:,.0f}" if size >= 1000 else f"{size:.1f}" if size >= 10 else f"{size:.2f}"
    return f"{'-' if value < 0 else '+' if signed and value > 0 else ''}{text}"


def _figure(setting: Setting, unit: str) -> str:
    low, high = setting.mean
    if unit == "%":
        spread = "" if setting.deviation is None else f" ± {100 * setting.deviation:.2f}"
        return f"{100 * low:.2f}{spread} %"
    if unit in ("B", "products"):
        return f"{low:,.0f}{' B' if unit == 'B' else ''}"
    if unit:
        return " to ".join(dict.fromkeys(format_quantity(end, unit) for end in (low, high)))
    return f"{low:.3g}"


def evidence(found: JudgedCheck) -> str:
    """Seeds, passes and how rates were chosen; empty where a value depends on none of it."""
    return found.evidence.text if found.evidence else ""


def counts(judged: Iterable[Judged]) -> dict[str, int]:
    """How many claims have which verdict, every verdict named."""
    verdicts = [each.verdict for each in judged]
    return {verdict.value: verdicts.count(verdict) for verdict in ClaimVerdict}


def sentence(judged: Sequence[Judged], runs: int) -> str:
    """The summary: ``28 claims: 5 hold, 8 hold in part, ... (from 16 runs)``."""
    found = {ClaimVerdict(name): count for name, count in counts(judged).items()}
    parts = [f"{count} {_SAYS[verdict][count != 1]}" for verdict, count in found.items() if count]
    return (
        f"{len(judged)} claim{'s' if len(judged) != 1 else ''}: {', '.join(parts)}"
        f" (from {runs} run{'s' if runs != 1 else ''})"
    )


def missing(judged: Sequence[Judged]) -> list[str]:
    """A sentence that says which claims lack records, then the commands that make them."""
    lacking = [each for each in judged if each.suites]
    if not lacking:
        return []
    suites = dict.fromkeys(suite for each in lacking for suite in each.suites)
    names = ", ".join(each.claim.id for each in lacking)
    return [f"Records are missing for {names}. They are made by", *map(command, suites)]


def sentences(*parts: str | None) -> str:
    """Parts that may be missing, each with a capital in front and a full stop behind."""
    given = [f"{part[0].upper()}{part[1:]}" for part in parts if part]
    return " ".join(part if part.endswith(".") else f"{part}." for part in given)


def by_paper(judged: Iterable[Judged]) -> Iterator[tuple[str, list[Judged]]]:
    """The title of each paper and its claims."""
    for title, group in groupby(judged, key=lambda each: each.claim.paper.title):
        yield title, list(group)


def markdown(judged: Sequence[Judged]) -> str:
    """One section per paper: a table of all checks, then what has to be known."""
    parts = []
    for title, own in by_paper(judged):
        lines = [
            f"### {title}",
            "",
            "| claim | compared | claimed | reproduced | verdict |",
            "|---|---|--:|---|---|",
            *(_line(cells) for each in own for cells in _cells(each)),
            "",
            *(f"- `{each.claim.id}`: {_about(each)}" for each in own),
        ]
        parts.append("\n".join(lines))
    lacking = missing(judged)
    if lacking:
        parts.append("\n".join([f"{lacking[0]}:", "", "```sh", *lacking[1:], "```"]))
    return "\n\n".join(parts)


def _cells(judged: Judged) -> Iterable[tuple[str, ...]]:
    head = f"`{judged.claim.id}`: {judged.claim.text}"
    verdict = f"**{judged.verdict.value}**"
    if not judged.checks:
        yield head, "", "", "", verdict
    for index, each in enumerate(judged.checks):
        note = f", {evidence(each)}" if evidence(each) else ""
        own = "" if each.outcome.value == judged.verdict.value else each.outcome.value
        named = f"{verdict}, here {own}" if own else verdict
        yield (
            "" if index else head,
            each.check.what,
            claimed(each.check),
            reproduced(each) + note,
            own if index else named,
        )


def _line(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |"


def _about(judged: Judged) -> str:
    return sentences(f"Source: {judged.claim.source}", judged.reason, judged.claim.remark)
