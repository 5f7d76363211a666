"""Inputs of which a part stands for something else for a while, and is then as it was.

::

    kept = x[:, :4].clone(); x[:, :4] = one_hot(y); ...; x[:, :4] = kept

C need not do that: whoever reads x in between looks at the label instead of the first four columns.
"""

from __future__ import annotations

from collections.abc import Iterator

from trainfit.bench.trace.device.rows import Way
from trainfit.bench.trace.device.values import Value, Values


def lent(values: Values) -> Iterator[tuple[int, dict[int, int]]]:
    """What is kept of lent parts: its number, and until when each stand-in is computed."""
    for kept in values.values:
        if kept.maker >= 0 and not kept.kept and len(kept.reads) == 1:
            runs = _stand_ins(values, kept)
            if runs is not None:
                yield kept.number, runs


def _stand_ins(values: Values, kept: Value) -> dict[int, int] | None:
    """The operators that write the stand-in, with the last that reads it; None if it is no loan."""
    steps = values.steps
    begin, (end,) = kept.maker, kept.reads
    if steps[begin].row.way is not Way.MERE or len(steps[begin].reads) != 1:
        return None
    number, part = steps[begin].reads[0]
    lender = values.values[number]
    back = steps[end]
    copies = ".clone." in steps[begin].operator.name and ".copy_." in back.operator.name
    if not lender.found or not copies or back.operator.written != (part,):
        return None
    between = [at for at in lender.writes if begin < at < end]
    for at in between:
        mere = steps[at].row.way in {Way.FILL, Way.MERE}
        if not mere or steps[at].operator.written != (part,) or steps[at].makes:
            return None
    there = max((at for at in lender.reads if begin < at < end), default=begin)
    sources = [values.values[n] for at in between for n, _ in steps[at].reads]
    if any(between[0] < at < end for source in sources for at in source.writes):
        return None
    return {at: max(at, there) for at in between}
