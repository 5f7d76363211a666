"""A device view carried out byte by byte, by a second way to look at a trace.

The trace is replayed on stamps: every byte of every storage bears the number of the operator that
wrote it last. Then the plan is carried out in its own order, each place holding the stamps of what
was put there last; whatever an operator reads must be there, with the stamps that it had in the
trace. No analysis of lifetimes is shared with what is tested: only the decisions.
"""

from __future__ import annotations

import numpy as np

from trainfit.bench.trace.device.table import row_of
from trainfit.bench.trace.device.rows import Way
from trainfit.bench.trace.device.values import values_of
from trainfit.bench.trace.device.view import plan_of

NEVER = -1


def bytes_of(operand):
    """Which bytes of its storage an operand covers."""
    size = operand.dtype.itemsize
    at = np.zeros(1, dtype=np.int64) + operand.offset
    for n, by in zip(operand.shape, operand.strides, strict=True):
        at = (at[:, None] + np.arange(n) * by).ravel()
    return np.unique((at[:, None] * size + np.arange(size)).ravel())


def given_back(values, absent):
    """{operator that gives a lent part back: operator that kept it}."""
    back = {}
    for value in values.values:
        if value.number in absent and value.maker >= 0 and len(value.reads) == 1:
            (end,) = value.reads
            source, part = (values.steps[value.maker].reads or [(0, None)])[0]
            if values.steps[end].operator.written == (part,) and values.values[source].found:
                back[end] = value.maker
    return back


def replay(trace, operators, back):
    """Stamps that each operator sees in what it reads: {(operator, operand): stamps}."""
    stamps = {s.number: np.full(s.size, NEVER, dtype=np.int64) for s in trace.storages}
    history = []
    for at, operator in enumerate(operators):
        seen = {}
        for operand in operator.given:
            seen[operand] = stamps[operand.storage][bytes_of(operand)].copy()
        history.append(seen)
        if row_of(operator).way is Way.ROOM:
            continue
        made = set(operator.makes)
        results = [each for each in operator.results if each.storage in made]
        for operand in [*operator.written, *results]:
            stamps[operand.storage][bytes_of(operand)] = (
                history[back[at]][operand] if at in back else at
            )
    return history


def carry_out(trace):
    """Check a trace's plan; returns how many reads were looked at.

    Raises:
        AssertionError: Something is read that is not there, or no longer.
    """
    values = values_of(trace)
    plan = plan_of(values)
    fused = plan.fused
    operators = [step.operator for step in values.steps]
    back = given_back(values, fused.absent)
    history = replay(trace, operators, back)
    place_of = {v.number: place for place in plan.places for v in place.values}
    memory = {}  # id of a place: number of the value that it holds, and stamps of its storage
    statics = {s.number: np.full(s.size, NEVER, dtype=np.int64) for s in trace.storages if s.found}
    lent = set()  # operators whose writes to found storages are not done
    for at, there in enumerate(fused.runs):
        if there != at and values.steps[at].changes:
            lent.add(at)
    looked_at = 0

    def available(number, operand, reader, now):
        """A value can be read by ``reader`` as it was in the trace, at instant ``now``."""
        nonlocal looked_at
        looked_at += 1
        value = values.values[number]
        expected = history[reader][operand]
        if value.number in fused.absent:
            step = values.steps[value.maker]
            assert step.row.way in {Way.FILL, Way.MERE, Way.EACH, Way.SUM, Way.PRODUCT}
            for source, seen in step.reads:
                available(source, seen, value.maker, now)
            return
        covered = bytes_of(operand)
        if value.found:
            there = statics[value.storage][covered]
            differ = there != expected
            for writer in np.unique(expected[differ]):
                assert writer in lent, (reader, operand, "a found storage has changed")
                for source, seen in values.steps[writer].reads:
                    available(source, seen, writer, now)
            return
        if not value.bytes:
            return  # a register
        place = place_of[number]
        assert place.born <= now <= place.last, (reader, number, "not alive")
        assert place.bytes >= value.bytes
        holder, stamps = memory[id(place)]
        assert holder == number, (reader, number, "replaced")
        written = expected != NEVER
        assert (stamps[covered][written] == expected[written]).all(), (reader, number, "changed")

    for at, step in enumerate(values.steps):
        if fused.runs[at] != at:
            continue
        for number, operand in step.reads:
            available(number, operand, at, at)
        for number in [*(n for n, _ in step.makes), *step.changes]:
            value = values.values[number]
            if value.number in fused.absent:
                continue
            written = [
                each
                for each in (*step.operator.written, *step.operator.results)
                if each.storage == value.storage
            ]
            if value.found:
                if at in back:
                    continue  # what was lent is as it was
                for operand in written:
                    statics[value.storage][bytes_of(operand)] = at
                continue
            if not value.bytes:
                continue
            place = place_of[number]
            begins = place.born if step.row.way is Way.FILL else at
            assert begins <= place.last and (place.born <= at or step.row.way is Way.FILL)
            holder, stamps = memory.get(id(place), (None, None))
            if holder != number:
                stamps = np.full(trace.storages[value.storage].size, NEVER, dtype=np.int64)
            for operand in written:
                stamps[bytes_of(operand)] = at
            memory[id(place)] = number, stamps
    return looked_at
