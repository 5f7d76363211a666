"""The result of a comparison in words that can be quoted."""

from __future__ import annotations

from trainfit.bench.latency_comparison.paired import Comparison


def sentence(found: Comparison) -> str:
    """The result in words that can be quoted."""
    low, high = found.interval
    digits = 2
    while digits < 5 and found.differs and round(low, digits) <= 1 <= round(high, digits):
        digits += 1  # or the numbers would not show what the words say
    ratio, low_text, high_text = (f"{value:.{digits}f}" for value in (found.ratio, low, high))
    takes = f"B takes {ratio} ({low_text} to {high_text}) times as long as A"
    how = (
        f"{100 * found.confidence:g} % interval, {found.blocks} blocks each, "
        f"{found.threads} thread{'s' if found.threads > 1 else ''}"
    )
    if found.differs:
        return f"{takes}; {how}"
    return f"No difference is shown: {takes}, an interval that holds 1; {how}"


def notes(found: Comparison) -> list[str]:
    """What has to be said beside it."""
    said = ["Absolute times are those of this machine."]
    if found.stopped != "settled":
        said.append(
            f"The interval is wider than the {100 * found.asked_width:g} % that were asked for: "
            f"the cap on {found.stopped} came first. On a quieter machine it would be narrower."
        )
    return said
