"""Judged claims in words: what is claimed, what came out, how many hold, what is missing."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

from trainfit.bench.claims.judge import Judged, JudgedCheck, Verdict, command
from trainfit.bench.claims.schema import Check
from trainfit.bench.claims.select import Side
from trainfit.bench.claims.statistics import UNITS, no_difference, points
from trainfit.bench.claims.words import ALONG, Expect, Statistic
from trainfit.bench.verdicts.intervals import format_quantity

_SAYS = {
    Verdict.HOLDS: ("holds", "hold"),
    Verdict.IN_PART: ("holds in part", "hold in part"),
    Verdict.DOES_NOT_HOLD: ("does not hold", "do not hold"),
    Verdict.NOT_TESTABLE: ("is not testable here", "are not testable here"),
    Verdict.NO_RECORDS: ("has no records", "have no records"),
}

_UNSIGNED = (
    Statistic.RATIO,
    Statistic.PERCENT_OF,
    Statistic.PAIRS_IN_ORDER,
    Statistic.PASSES_RATIO,
)


def claimed(check: Check) -> str:
    """What was published and how far off it may be, or which way a difference has to go."""
    unit = UNITS[check.statistic]
    if check.expect in (Expect.MORE, Expect.LESS):
        tested = f"{check.expect} than {no_difference(check):g}"
        if check.published is None:
            return f"{tested} {unit}"
        return f"{_range(check)} {unit} (tested: {tested})"
    said = {Expect.AT_LEAST: "at least ", Expect.AT_MOST: "at most "}.get(check.expect, "")
    allowed = f", give or take {check.tolerance:g}" if check.tolerance else ""
    return f"{said}{_range(check)} {unit}{allowed}"


def _range(check: Check) -> str:
    signed = check.statistic not in _UNSIGNED
    ends = check.published or []
    return " to ".join(dict.fromkeys(_number(end, signed=signed) for end in ends))


def reproduced(found: JudgedCheck) -> str:
    """The value with its deviation, then what was compared; ``-`` if there is no value."""
    if found.value is None:
        return "-"
    signed = found.check.statistic not in _UNSIGNED
    text = " to ".join(dict.fromkeys(_number(end, signed=signed) for end in found.value))
    if found.deviation is not None and not _of_bytes(found.check):
        text += f" ± {found.deviation:.2g}"
    text += f" {UNITS[found.check.statistic]}"
    return f"{text} ({_compared(found)})"


def _compared(found: JudgedCheck) -> str:
    """What every side says; of steps only how far left and right are apart."""
    sides = found.sides
    if found.check.statistic in ALONG:
        pairs = zip(sides[::2], sides[1::2], strict=True)
        gaps = (points(left.only.mean, right.only.mean) for left, right in pairs)
        return ", ".join(_number(low, signed=True) for low, _ in gaps)
    return "; ".join(_side(side, found.check) for side in sides)


def _number(value: float, *, signed: bool) -> str:
    if math.isinf(value):
        return "unbounded"
    size = abs(value)
    text = f"{size:,.0f}" if size >= 1000 else f"{size:.1f}" if size >= 10 else f"{size:.2f}"
    return f"{'-' if value < 0 else '+' if signed and value > 0 else ''}{text}"


def _of_bytes(check: Check) -> bool:
    return check.quantity[0].endswith("_bytes") or check.quantity[0] == "macs"


def _side(side: Side, check: Check) -> str:
    if check.statistic is Statistic.NEAR_BEST_POINTS:
        return f"{len(side.settings)} settings"
    setting, quantity = side.only, check.quantity[0]
    low, high = setting.mean
    if _of_bytes(check):
        return f"{low:,.0f}{' B' if quantity.endswith('_bytes') else ''}"
    if quantity.endswith("accuracy"):
        spread = "" if setting.deviation is None else f" ± {100 * setting.deviation:.2f}"
        return f"{100 * low:.2f}{spread} %"
    unit = "J" if quantity.endswith("joules") else "s" if "seconds" in quantity else ""
    if not unit:
        return f"{low:.3g}"
    return " to ".join(dict.fromkeys(format_quantity(end, unit) for end in (low, high)))


def seeds(found: JudgedCheck) -> str:
    """How many seeds stand behind a value that differs from seed to seed; else empty."""
    same = _of_bytes(found.check) or found.check.quantity[0].startswith("modelled.")
    if found.seeds is None or same:
        return ""
    return "one seed" if found.seeds == 1 else f"{found.seeds} seeds"


def counts(judged: Iterable[Judged]) -> dict[str, int]:
    """How many claims have which verdict, every verdict named."""
    verdicts = [each.verdict for each in judged]
    return {verdict.value: verdicts.count(verdict) for verdict in Verdict}


def sentence(judged: Sequence[Judged], runs: int) -> str:
    """The summary: ``28 claims: 5 hold, 8 hold in part, ... (from 16 runs)``."""
    found = {Verdict(name): count for name, count in counts(judged).items()}
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
