"""The result of a comparison in words that can be quoted."""

from __future__ import annotations

from trainfit._text import counted
from trainfit.bench.latency_comparison.paired import Comparison
from trainfit.bench.latency_comparison.waiting import Estimate


def sentence(found: Comparison) -> str:
    """The result in words that can be quoted."""
    how = (
        f"{100 * found.confidence:g} % interval, {found.blocks} blocks each, "
        f"{counted(found.threads, 'thread')}"
    )
    if found.doubt:
        beside = f"B takes {_words(found.cpu)} times the CPU time of A; " if found.cpu else ""
        return f"Which takes longer is unknown: {found.doubt}. {beside}{how}"
    digits = 2
    low, high = found.wall.interval
    while digits < 5 and found.differs and round(low, digits) <= 1 <= round(high, digits):
        digits += 1  # or the numbers would not show what the words say
    takes = f"B takes {_words(found.wall, digits)} times as long as A"
    if found.cpu:
        takes += f" and {_words(found.cpu, digits)} times the CPU time"
    if found.differs:
        return f"{takes}; {how}"
    return f"No difference is shown: {takes}, an interval that holds 1; {how}"


def _words(estimate: Estimate, digits: int = 2) -> str:
    low, high = estimate.interval
    return f"{estimate.ratio:.{digits}f} ({low:.{digits}f} to {high:.{digits}f})"


def notes(found: Comparison) -> list[str]:
    """What has to be said beside it."""
    said = ["Absolute times are those of this machine."]
    waited = [side.use.waited or 0.0 for side in (found.a, found.b)]
    if max(waited) > found.asked_width and not found.doubt:
        said.append(
            f"A waited for a core for {100 * waited[0]:.0f} % of its time, B for "
            f"{100 * waited[1]:.0f} %: times of steps are those of a busy machine."
        )
    if found.doubt:
        said.append("On a quieter machine it can be known.")
    elif found.stopped != "settled":
        said.append(
            f"The interval is wider than the {100 * found.asked_width:g} % that were asked for: "
            f"the cap on {found.stopped} came first. On a quieter machine it would be narrower."
        )
    if found.cpu is None:
        said.append("CPU time is unknown here, so a busy machine may not have been noticed.")
    elif found.threads > 1:
        said.append("CPU time is that of all threads together: work, not duration.")
    return said
