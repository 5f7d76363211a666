"""What a device has to hold, before and after: the net of a change, which is told first.

A change may hold more between steps and need less at the peak; only both together say whether
there is less room than before.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from trainfit.bench.gate.figures import StepFigures
from trainfit.bench.gate.rules import WORKLOAD

LEFT_METRIC = "left_after_step_bytes"

_PARTS = ("static", "peak_dynamic")


@dataclass(frozen=True)
class Totals:
    """Sums over one step, in bytes.

    Attributes:
        static: What is there before, during and after a step.
        peak_dynamic: The peak of what comes and goes.
        left: What a step leaves behind.
    """

    static: int
    peak_dynamic: int
    left: int = 0

    @property
    def ram(self) -> int:
        """The largest number of bytes alive at one instant."""
        return self.static + self.peak_dynamic


@dataclass(frozen=True)
class Change:
    """The totals of a workload then and now."""

    before: Totals
    after: Totals

    @property
    def net(self) -> str:
        """RAM before and after in one line, and which part moved.

        ``RAM 455,456 B -> 460,512 B, +5,056 B (+1.1 %): static +15,464 B, peak_dynamic -10,408 B``
        """
        parts = ", ".join(self.parts())
        then, now = self.before.ram, self.after.ram
        if not parts:
            return f"RAM {now:,} B, as before"
        if then == now:
            return f"RAM {now:,} B, as before: {parts}"
        percent = f" ({100 * (now - then) / then:+.1f} %)" if then else ""
        return f"RAM {then:,} B -> {now:,} B, {now - then:+,} B{percent}: {parts}"

    @property
    def moved(self) -> int:
        """By how many bytes of RAM; negative for less."""
        return self.after.ram - self.before.ram

    def parts(self) -> Iterator[str]:
        """What moved: ``static +15,464 B``."""
        for name in _PARTS:
            change = getattr(self.after, name) - getattr(self.before, name)
            if change:
                yield f"{name} {change:+,} B"


def totals_of(step: StepFigures) -> Totals | None:
    """The sums over a step; None where its bytes are not known."""
    whole = step.figures.get(WORKLOAD, {})
    static, peak = (whole.get(f"{name}_bytes") for name in _PARTS)
    if not isinstance(static, int) or not isinstance(peak, int):
        return None
    left = [metrics.get(LEFT_METRIC, 0) for metrics in step.figures.values()]
    return Totals(static, peak, max((each for each in left if isinstance(each, int)), default=0))


def change_of(golden: StepFigures, measured: StepFigures) -> Change | None:
    """Both sides of a comparison; None where one of them is not known."""
    before, after = totals_of(golden), totals_of(measured)
    return None if before is None or after is None else Change(before, after)
