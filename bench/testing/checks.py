"""A step compared with the limits of a test: what is too large, by how much, and why."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from trainfit.bench.gate.explain import leak_hints, left_lines, legend
from trainfit.bench.gate.figures import UNNAMED, left_groups, places_of
from trainfit.bench.testing.limits import StepLimits
from trainfit.bench.verdicts.memory import Status, Verdict, judge
from trainfit.hardware_profiles import format_bytes

if TYPE_CHECKING:
    from trainfit.bench.profiler import StepProfile
    from trainfit.bench.profiler.fold import Block

LISTED = 6
"""Tensors that a failure names."""

MOST_TENSORS = 40
"""Kinds of tensors that a report lists; the rest of a peak is small change."""


class CheckKind(StrEnum):
    """In what way a step does not do."""

    OVER = "over a limit"
    LEAK = "leak"
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
        measured: What was measured, where a limit stands against it.
        allowed: That limit.
        at_peak: What is alive at the peak says something about it.
    """

    limit: str
    kind: CheckKind
    text: str
    over_bytes: int | None = None
    measured: int | None = None
    allowed: int | None = None
    at_peak: bool = False

    def plain(self) -> dict[str, Any]:
        """As plain values."""
        return asdict(self) | {"kind": self.kind.value}


def check(step: StepProfile, limits: StepLimits) -> list[Problem]:
    """Everything that limits on bytes and devices do not allow; the golden is not looked at."""
    if not step.deterministic:
        from trainfit.bench.profiler.summary import period_advice  # noqa: PLC0415  (imports torch)

        text = (
            f"the {step.repeats} repeats of the step did not allocate the same, so there is no"
            f" figure to hold to a limit; {period_advice(step, 'training_memory')}"
        )
        return [Problem("repeats", CheckKind.NOT_DETERMINISTIC, text)]
    return [
        *_leak(step, limits),
        *_totals(step, limits),
        *_phases(step, limits),
        *_boards(step, limits),
    ]


def leaked_bytes(step: StepProfile, limits: StepLimits) -> int:
    """What every step leaves behind and may not; 0 where it may, or leaves nothing."""
    left, allowed = step.left_after_step_bytes, limits.max_left_bytes
    return 0 if allowed is None else left if left > allowed else 0


def verdicts_of(step: StepProfile, limits: StepLimits) -> list[Verdict]:
    """The verdict on RAM of every device of the marker; a step alone has no storage."""
    static, peak, left = step.static_bytes, step.peak_dynamic_bytes, leaked_bytes(step, limits)
    return [
        verdict
        for device in limits.devices
        for verdict in judge(static, peak, 0, device, left_bytes=left)
    ]


def steps_until_full(margin: int, left: int) -> int:
    """The step that finds no room any more, where each leaves ``left`` of ``margin`` bytes."""
    return margin // left + 1


def _leak(step: StepProfile, limits: StepLimits) -> Iterator[Problem]:
    left = leaked_bytes(step, limits)
    if not left:
        return
    allowed = int(limits.max_left_bytes or 0)
    boards = [
        f"on {verdict.device} full after {steps_until_full(int(verdict.margin), left):,} steps"
        for verdict in verdicts_of(step, limits)
        if verdict.margin is not None and verdict.margin >= 0
    ]
    more = f", {left - allowed:,} B over the {format_bytes(allowed)} allowed" if allowed else ""
    groups = left_groups(step)
    lines = [
        f"leaves {left:,} B per step{more}: {', '.join(boards) or 'any memory fills up'}",
        *(f"  left behind: {line}" for line in left_lines(groups, places_of(step))),
        *(f"  {hint}" for hint in leak_hints(groups)),
        f'  if that is meant: max_left="{left} B" allows it, max_left=None any leak',
    ]
    yield Problem("max_left", CheckKind.LEAK, "\n".join(lines), left - allowed, left, allowed)


def _totals(step: StepProfile, limits: StepLimits) -> Iterator[Problem]:
    static, peak = step.static_bytes, step.peak_dynamic_bytes
    where = f"in phase {step.peak_phase}"
    shares = _shares(step.static_categories)
    both = f"{static:,} B static + {peak:,} B peak dynamic {where}"
    yield from _over("max_peak", "peak dynamic memory", peak, limits.max_peak_bytes, where)
    yield from _over(
        "max_static", "static memory", static, limits.max_static_bytes, shares, at_peak=False
    )
    yield from _over("max_ram", "RAM", static + peak, limits.max_ram_bytes, both)


def _phases(step: StepProfile, limits: StepLimits) -> Iterator[Problem]:
    for name, allowed in limits.max_phase_bytes.items():
        phase = step.phases.get(name)
        limit = f"max_phase[{name!r}]"
        if phase is None:
            seen = ", ".join(step.phases) or "none"
            yield Problem(
                limit,
                CheckKind.UNKNOWN,
                f"the step has no phase {name!r} (it has: {seen}); mark it with"
                f' trainfit.phase("{name}")',
            )
            continue
        what = f"peak dynamic memory of {name}"
        yield from _over(limit, what, phase.peak_bytes, allowed, _shares(phase.categories))


def _over(
    limit: str, what: str, size: int, allowed: int | None, why: str, *, at_peak: bool = True
) -> Iterator[Problem]:
    if allowed is not None and size > allowed:
        over = size - allowed
        text = f"{what} is {size:,} B, {over:,} B over the {format_bytes(allowed)} allowed ({why})"
        yield Problem(limit, CheckKind.OVER, text, over, size, allowed, at_peak)


def _boards(step: StepProfile, limits: StepLimits) -> Iterator[Problem]:
    for verdict in verdicts_of(step, limits):
        limit = f"device {verdict.device}"
        if verdict.status is Status.UNKNOWN:
            yield Problem(limit, CheckKind.UNKNOWN, verdict.reason)
            continue
        margin, wanted = int(verdict.margin or 0), limits.min_margin_bytes
        if margin < 0:
            said, over = f"{-margin:,} B too much in phase {step.peak_phase}", -margin
        elif wanted is not None and margin < wanted:
            over = wanted - margin
            said = (
                f"{margin:,} B left, {over:,} B less than min_margin ({format_bytes(wanted)}) wants"
            )
        else:
            continue
        text = f"{verdict.status}: {said}; {verdict.reason}"
        yield Problem(limit, CheckKind.OVER, text, over, at_peak=True)


def _shares(categories: Mapping[str, int]) -> str:
    largest = sorted(categories.items(), key=lambda item: -item[1])
    return ", ".join(f"{category} {size:,}" for category, size in largest if size) or "nothing"


def message(problems: Sequence[Problem], step: StepProfile) -> str:
    """What a failed test says: the problems; what is alive at the peak, if they are about that.

    Its first line is all that pytest's summary shows, so it is a problem and not a headline.
    """
    lines = [f"{problem.limit}: {problem.text}" for problem in problems]
    if any(problem.at_peak for problem in problems):
        lines += _alive(step.peak_phase, step.peak_dynamic_bytes, step.live_at_peak)
    for problem in problems:
        name = problem.limit.removeprefix("max_phase['").removesuffix("']")
        phase = step.phases.get(name)
        if phase is not None and problem.kind is CheckKind.OVER and name != step.peak_phase:
            lines += _alive(name, phase.peak_bytes, phase.live_at_peak)
    return "\n".join([*lines, *legend(lines)])


def _alive(phase: str, size: int, blocks: Iterable[Block]) -> list[str]:
    head = f"alive at the peak of {phase} ({size:,} B dynamic), largest first:"
    return [head, *(f"  {line}" for line in tensor_lines(blocks))]


def tensor_lines(blocks: Iterable[Block], most: int = LISTED) -> list[str]:
    """One line per kind of tensor, the first few of them."""
    kinds = _kinds(blocks)
    most = most + 1 if len(kinds) == most + 1 else most  # "1 more" takes a line as well
    lines = []
    for block, count in kinds[:most]:
        times = f"{count} x " if count > 1 else ""
        born = f", from {block.phase}" if block.phase else ", from before the step"
        place = " at ".join(filter(None, (block.module, block.line)))
        born += f" [{place}]" if place else ""
        name = block.label or UNNAMED
        lines.append(f"{block.size * count:>12,} B  {block.category}: {times}{name}{born}")
    if len(kinds) > most:
        rest = sum(block.size * count for block, count in kinds[most:])
        lines.append(f"{rest:>12,} B  in {len(kinds) - most} more")
    return lines or ["           0 B"]


def _kinds(blocks: Iterable[Block]) -> list[tuple[Block, int]]:
    """Tensors that are alike and how many there are of them, what is largest together first."""
    kinds = Counter(blocks).items()
    return sorted(kinds, key=lambda kind: (-kind[0].size * kind[1], kind[0]))


def plain_figures(step: StepProfile) -> dict[str, Any]:
    """A step as the report in JSON has it; all numbers are bytes but ``repeats`` and ``count``.

    ``tensors`` lists what is alive at a peak, of the step and of each phase, largest first; equal
    ones are one row with a ``count``, and ``bytes`` is that of one of them.
    """
    return {
        "peak_dynamic_bytes": step.peak_dynamic_bytes,
        "peak_phase": step.peak_phase,
        "static_bytes": step.static_bytes,
        "ram_bytes": step.static_bytes + step.peak_dynamic_bytes,
        "entry_bytes": step.entry_bytes,
        "left_after_step_bytes": step.left_after_step_bytes,
        "static_categories": dict(sorted(step.static_categories.items())),
        "categories": dict(sorted(step.categories.items())),
        "phases": {
            name: {
                "peak_bytes": phase.peak_bytes,
                "entry_bytes": phase.entry_bytes,
                "exit_bytes": phase.exit_bytes,
                "categories": dict(sorted(phase.categories.items())),
                "tensors": _plain_tensors(phase.live_at_peak),
            }
            for name, phase in step.phases.items()
        },
        "tensors": _plain_tensors(step.live_at_peak),
        "deterministic": step.deterministic,
        "repeats": step.repeats,
    }


def _plain_tensors(blocks: Iterable[Block]) -> list[dict[str, Any]]:
    return [
        {
            "name": block.label,
            "bytes": block.size,
            "category": block.category,
            "phase": block.phase,
            "module": block.module,
            "line": block.line,
            "count": count,
        }
        for block, count in _kinds(blocks)[:MOST_TENSORS]
    ]
