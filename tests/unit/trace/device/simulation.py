"""A device view carried out byte by byte, by a second way to look at a trace.

The trace is replayed on stamps: every byte of every storage bears the number of the operator that
wrote it last. Then the plan is carried out in its own order, each place holding the stamps of what
was put there last; whatever an operator reads must be there, with the stamps that it had in the
trace. No analysis of lifetimes is shared with what is tested: only its decisions.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from trainfit.bench.trace.device.rows import Way
from trainfit.bench.trace.device.values import values_of
from trainfit.bench.trace.device.view import plan_of

NEVER = -1


def bytes_of(operand):
    """Which bytes of its storage an operand covers."""
    return _covered(operand.shape, operand.strides, operand.offset, operand.dtype.itemsize)


@lru_cache(maxsize=1024)
def _covered(shape, strides, offset, size):
    """An index of all bytes of some elements; a slice where there is no gap between them."""
    at = np.zeros(1, dtype=np.int64) + offset
    for n, by in zip(shape, strides, strict=True):
        at = (at[:, None] + np.arange(n if by else min(n, 1)) * by).ravel()
    at = np.unique((at[:, None] * size + np.arange(size)).ravel())
    if at.size and at[-1] - at[0] + 1 == at.size:
        return slice(int(at[0]), int(at[-1]) + 1)
    return at


def fresh(storage):
    return np.full(storage.size, NEVER, dtype=np.int32)


def written_by(step):
    """What an operator writes, in the trace."""
    if step.row.way is Way.ROOM:
        return []
    made = set(step.operator.makes)
    results = [each for each in step.operator.results if each.storage in made]
    return [*step.operator.written, *results]


class Machine:
    """Carries out the plan of a trace; ``looked_at`` counts the reads that were checked."""

    def __init__(self, trace):
        self.trace = trace
        self.values = values_of(trace)
        self.plan = plan_of(self.values)
        self.fused = self.plan.fused
        self.back = self.given_back()
        self.history = self.replay()
        self.place_of = {v.number: place for place in self.plan.places for v in place.values}
        self.memory = {}  # id of a place: number of the value that it holds, and its stamps
        self.statics = {s.number: fresh(s) for s in trace.storages if s.found}
        self.lent = {
            at
            for at, there in enumerate(self.fused.runs)
            if there != at and self.values.steps[at].changes
        }
        self.looked_at = 0

    def given_back(self):
        """{operator that gives a lent part of a found storage back: operator that kept it}."""
        back, steps = {}, self.values.steps
        for value in self.values.values:
            if value.number in self.fused.absent and value.maker >= 0 and len(value.reads) == 1:
                (end,) = value.reads
                for source, part in steps[value.maker].reads[:1]:
                    if steps[end].operator.written == (part,) and self.values.values[source].found:
                        back[end] = value.maker
        return back

    def replay(self):
        """Stamps of what each operator reads, in the trace's order."""
        stamps = {s.number: fresh(s) for s in self.trace.storages}
        history = []
        for at, step in enumerate(self.values.steps):
            history.append(
                {
                    operand: stamps[operand.storage][bytes_of(operand)].copy()
                    for operand in step.operator.given
                }
            )
            for operand in written_by(step):
                stamp = history[self.back[at]][operand] if at in self.back else at
                stamps[operand.storage][bytes_of(operand)] = stamp
        return history

    def read(self, number, operand, reader, now):
        """``reader`` finds a value as it was in the trace, though it is computed ``now``."""
        self.looked_at += 1
        value, steps = self.values.values[number], self.values.steps
        expected, covered = self.history[reader][operand], bytes_of(operand)
        if number in self.fused.absent:
            for source, seen in steps[value.maker].reads:
                self.read(source, seen, value.maker, now)
        elif value.found:
            differ = self.statics[value.storage][covered] != expected
            for writer in np.unique(expected[differ]):
                assert writer in self.lent, f"{operand} was changed before {reader} read it"
                for source, seen in steps[writer].reads:
                    self.read(source, seen, writer, now)
        elif value.bytes:
            place = self.place_of[number]
            assert place.born <= now <= place.last, f"{number} is not alive at {now}"
            assert place.bytes >= value.bytes
            holder, stamps = self.memory[id(place)]
            assert holder == number, f"{number} was replaced before {reader} read it"
            known = expected != NEVER
            assert (stamps[covered][known] == expected[known]).all(), f"{number} was changed"

    def write(self, at, step, number):
        value = self.values.values[number]
        written = [each for each in written_by(step) if each.storage == value.storage]
        if value.found:
            if at not in self.back:
                for operand in written:
                    self.statics[value.storage][bytes_of(operand)] = at
        elif value.bytes and number not in self.fused.absent:
            place = self.place_of[number]
            assert at <= place.last
            assert place.born <= at or step.row.way is Way.FILL
            holder, stamps = self.memory.get(id(place), (None, None))
            if holder != number:
                stamps = fresh(self.trace.storages[value.storage])
            for operand in written:
                stamps[bytes_of(operand)] = at
            self.memory[id(place)] = number, stamps

    def run(self):
        for at, step in enumerate(self.values.steps):
            if self.fused.runs[at] == at:
                for number, operand in step.reads:
                    self.read(number, operand, at, at)
                for number in [*(n for n, _ in step.makes), *step.changes]:
                    self.write(at, step, number)
        return self.looked_at


def carry_out(trace):
    """Check the plan of a trace; returns how many reads were looked at.

    Raises:
        AssertionError: Something is read that is not there, or no longer.
    """
    return Machine(trace).run()
