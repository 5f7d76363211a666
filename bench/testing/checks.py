"""A step's figures held against the limits of a test: what is too large, by how much, and why."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any

from trainfit.bench.testing.figures import Figures
from trainfit.bench.testing.limits import Limits
from trainfit.bench.verdicts.memory import Status, Verdict, judge
from trainfit.hardware_profiles import format_bytes

LISTED = 6
"""Tensors that a failure names."""


class Kind(StrEnum):
    """In what way a step does not do."""

    OVER = "over a limit"
    UNKNOWN = "not known"
    CHANGED = "changed"
    NOT_COMPARABLE = "not comparable"
    NO_GOLDEN = "no golden"
    NOT_DETERMINISTIC = "not deterministic"


@dataclass(frozen=True)
class Problem:
    """One thing that does not hold.

    Attributes:
        limit: Which argument of the marker says so.
        kind: In what way.
        text: One sentence, or lines; begins without a capital.
        over_bytes: By how much, where that is a number.
    """

    limit: str
    kind: Kind
    text: str
    over_bytes: int | None = None

    def plain(self) -> dict[str, Any]:
        """As plain values."""
        return asdict(self) | {"kind": self.kind.value}


def check(figures: Figures, limits: Limits) -> list[Problem]:
    """Everything that limits on bytes and devices do not allow; the golden is not looked at."""
    if not figures["deterministic"]:
        return [
            Problem(
                "repeats",
                Kind.NOT_DETERMINISTIC,
                f"the {figures['repeats']} repeats of the step did not allocate the same, so there"
                " is no figure to hold to a limit; look for shapes that change from step to step,"
                " caches that grow, and work done every so many steps",
            )
        ]
    return [*_totals(figures, limits), *_phases(figures, limits), *_boards(figures, limits)]


def verdicts_of(figures: Figures, limits: Limits) -> list[Verdict]:
    """The verdict on RAM of every device that is asked for; a step alone has no storage."""
    static, peak = figures["static_bytes"], figures["peak_dynamic_bytes"]
    return [verdict for device in limits.devices for verdict in judge(static, peak, 0, device)]


def _totals(figures: Figures, limits: Limits) -> Iterator[Problem]:
    static, peak = figures["static_bytes"], figures["peak_dynamic_bytes"]
    where = f"in phase {figures['peak_phase']}"
    yield from _over("max_peak", "peak dynamic memory", peak, limits.max_peak_bytes, where)
    yield from _over(
        "max_static",
        "static memory",
        static,
        limits.max_static_bytes,
        f"{_shares(figures['static_categories'])}",
    )
    yield from _over(
        "max_ram",
        "RAM",
        figures["ram_bytes"],
        limits.max_ram_bytes,
        f"{static:,} B static + {peak:,} B peak dynamic {where}",
    )


def _phases(figures: Figures, limits: Limits) -> Iterator[Problem]:
    for name, allowed in limits.max_phase_bytes.items():
        phase = figures["phases"].get(name)
        limit = f"max_phase[{name!r}]"
        if phase is None:
            seen = ", ".join(figures["phases"]) or "none"
            yield Problem(
                limit,
                Kind.UNKNOWN,
                f"the step has no phase {name!r} (it has: {seen}); mark it with"
                f' trainfit.phase("{name}")',
            )
            continue
        what = f"peak dynamic memory of {name}"
        yield from _over(limit, what, phase["peak_bytes"], allowed, _shares(phase["categories"]))


def _over(limit: str, what: str, size: int, allowed: int | None, why: str) -> Iterator[Problem]:
    if allowed is not None and size > allowed:
        over = size - allowed
        text = f"{what} is {size:,} B, {over:,} B over the {format_bytes(allowed)} allowed ({why})"
        yield Problem(limit, Kind.OVER, text, over)


def _boards(figures: Figures, limits: Limits) -> Iterator[Problem]:
    for verdict in verdicts_of(figures, limits):
        limit = f"device {verdict.device}"
        if verdict.status is Status.UNKNOWN:
            yield Problem(limit, Kind.UNKNOWN, verdict.reason)
            continue
        margin = int(verdict.margin or 0)
        if margin < 0:
            text = f"{verdict.status}: {-margin:,} B too much in phase {figures['peak_phase']}"
            yield Problem(limit, Kind.OVER, f"{text}; {verdict.reason}", -margin)
        elif limits.min_margin_bytes is not None and margin < limits.min_margin_bytes:
            lacks = limits.min_margin_bytes - margin
            wanted = format_bytes(limits.min_margin_bytes)
            yield Problem(
                limit,
                Kind.OVER,
                f"{verdict.status}: {margin:,} B left, {lacks:,} B less than min_margin"
                f" ({wanted}) wants; {verdict.reason}",
                lacks,
            )


def _shares(categories: Mapping[str, int]) -> str:
    largest = sorted(categories.items(), key=lambda item: -item[1])
    return ", ".join(f"{category} {size:,}" for category, size in largest if size) or "nothing"


def message(problems: Sequence[Problem], figures: Figures) -> str:
    """What a failed test says: the problems, then what is alive at the peak.

    Its first line is all that pytest's summary shows, so it is a problem and not a headline.
    """
    lines = [f"{problem.limit}: {problem.text}" for problem in problems]
    if not any(problem.kind in (Kind.OVER, Kind.CHANGED) for problem in problems):
        return "\n".join(lines)
    lines += _alive(f"the peak of {figures['peak_phase']}", figures["peak_dynamic_bytes"], figures)
    for problem in problems:
        name = problem.limit.removeprefix("max_phase['").removesuffix("']")
        phase = figures["phases"].get(name)
        if phase is not None and problem.kind is Kind.OVER and name != figures["peak_phase"]:
            lines += _alive(f"the peak of {name}", phase["peak_bytes"], phase)
    return "\n".join(lines)


def _alive(where: str, size: int, figures: Mapping[str, Any]) -> list[str]:
    head = f"alive at {where} ({size:,} B dynamic), largest first:"
    return [head, *(f"  {line}" for line in tensor_lines(figures["tensors"]))]


def tensor_lines(tensors: Sequence[Mapping[str, Any]], most: int = LISTED) -> list[str]:
    """One line per kind of tensor, the first few of them."""
    lines = []
    most = most + 1 if len(tensors) == most + 1 else most  # "1 more" takes a line as well
    for tensor in tensors[:most]:
        times = f"{tensor['count']} x " if tensor["count"] > 1 else ""
        name = tensor["name"] or "unnamed"
        born = f", from {tensor['phase']}" if tensor["phase"] else ", from before the step"
        size = tensor["bytes"] * tensor["count"]
        lines.append(f"{size:>12,} B  {tensor['category']}: {times}{name}{born}")
    if len(tensors) > most:
        rest = sum(tensor["bytes"] * tensor["count"] for tensor in tensors[most:])
        lines.append(f"{rest:>12,} B  in {len(tensors) - most} more")
    return lines or ["           0 B"]
