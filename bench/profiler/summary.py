"""What a profile says to people: its figures, what owns the peak, what leaks, what is not known."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from trainfit.bench.profiler.carrying import SCALAR_BYTES
from trainfit.bench.profiler.fold import OUTSIDE, Block

if TYPE_CHECKING:
    from trainfit.bench.profiler.step import StepProfile

_LISTED = 5  # tensors of a list
_SETTLED = 16  # warm-up steps after which nearly every step does the same


def summary(profile: StepProfile) -> str:
    """A short report: peaks per phase, the largest tensors, leaks, and what is not known."""
    return "\n".join(_lines(profile))


def _lines(profile: StepProfile) -> Iterator[str]:
    calls = f"; {profile.steps} calls measured as one" if profile.steps > 1 else ""
    same = "identical in" if profile.deterministic else "NOT the same in"
    yield (
        f"peak dynamic {profile.peak_dynamic_bytes:,} B in {profile.peak_phase}"
        f" (static {profile.static_bytes:,} B; {same} {profile.repeats} repeats{calls})"
    )
    yield (
        f"RAM {profile.ram_bytes:,} B = {profile.static_bytes:,} B there all the time"
        f" + {profile.peak_dynamic_bytes:,} B that come and go"
    )
    for name, phase in profile.phases.items():
        parts = ", ".join(f"{c} {b:,}" for c, b in sorted(phase.categories.items()))
        yield f"  {name:<20} peak {phase.peak_bytes:>14,} B   {parts}"
    if profile.static_categories:
        parts = ", ".join(f"{c} {b:,}" for c, b in sorted(profile.static_categories.items()))
        yield f"  {'static':<20}      {profile.static_bytes:>14,} B   {parts}"
    if profile.live_at_peak:
        yield "largest at the peak:"
        yield from listed(profile.live_at_peak)
    yield from _leak(profile)
    if not profile.deterministic:
        yield period_advice(profile)
    if profile.attribution:
        yield (
            f"categories are not known ({profile.attribution}), so all dynamic bytes are workspace;"
            " the sums are exact"
        )
    yield from profile.notes
    if OUTSIDE in profile.phases:
        yield f'{OUTSIDE}: time in no phase; mark parts of the step with trainfit.phase("forward")'


def listed(blocks: Sequence[Block], most: int = _LISTED) -> Iterator[str]:
    """The largest blocks, a line each, and the sum of the rest."""
    for block in blocks[:most]:
        yield f"  {block.size:>14,} B  {block.category:<15}  {named(block)}"
    rest = blocks[most:]
    if rest:
        yield f"  {sum(block.size for block in rest):>14,} B  in {len(rest)} more"


def named(block: Block) -> str:
    """A block by what made it and where: ``addmm float32 32x10 in classifier, train.py:41``."""
    label = block.label
    if not label and not block.phase:
        label = "found from before the step"
    elif not label:
        label = (
            "a scalar" if block.size <= SCALAR_BYTES else "memory that an operator took for itself"
        )
    where = f" in {block.module}" if block.module else ""
    return f"{label}{where}{f', {block.line}' if block.line else ''}"


def _leak(profile: StepProfile) -> Iterator[str]:
    left = profile.left_after_step_bytes
    if left <= 0:
        return
    yield f"LEAK: leaves {left:,} B {'per cycle' if profile.steps > 1 else 'per step'}:"
    yield from listed(profile.left_blocks)
    if profile.left_in_cycles_bytes:
        yield (
            f"  {profile.left_in_cycles_bytes:,} B of it is held by objects that refer to each"
            " other: it goes when Python's garbage collector runs"
        )


def period_advice(profile: StepProfile, call: str = "profile_step") -> str:
    """What to do about a step that does not do the same every time.

    Args:
        profile: Of that step.
        call: What its user calls to measure it, with the arguments of ``profile_step``.
    """
    if profile.period == 1:
        return (
            "the step did not do the same every time at first, and does now: measure it with more"
            f" warm-up, {call}(step, warmup={_SETTLED})"
        )
    if profile.period:
        return (
            f"the step repeats itself every {profile.period} calls: measure a whole cycle with"
            f" {call}(step, steps={profile.period})"
        )
    return (
        "the repeats differ: look for shapes that change from step to step, caches that grow, and"
        f" work done every so many steps (which {call}(step, steps=N) measures as one)"
    )
