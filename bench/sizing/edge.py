"""Where the last size lies that fits: guessed from what is left at two other sizes.

What a step needs rises nearly in a line with its batch, so that two guesses find what halving finds
in ten steps. A guess decides nothing: every size is judged before it is believed.
"""

from __future__ import annotations

from math import isqrt

from trainfit.bench.verdicts.memory import Verdict


def last_fitting(low: tuple[int, Verdict], other: tuple[int, Verdict]) -> int | None:
    """The last size that fits if what is left falls in a line, more than the first one at least.

    Args:
        low: A size that fits and its verdict.
        other: Another size and its verdict.

    Returns:
        None where the two verdicts are on different budgets, or what is left does not fall.
    """
    (size, one), (there, two) = low, other
    if one.budget != two.budget or one.margin is None or two.margin is None:
        return None
    by_size = (one.margin - two.margin) / (there - size)
    return max(size + 1, size + int(one.margin / by_size)) if by_size > 0 else None


def halfway(low: int, high: int) -> int:
    """A size between two that are not neighbours; of their ratio, where they are far apart."""
    return (low + high) // 2 if high < 4 * low else isqrt(low * high)
