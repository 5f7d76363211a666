"""From a trace's storages to values: what is written once, read for a while, then overwritten.

A storage that is overwritten as a whole holds another value from then on; from the last read of
the old one to that, there is a hole in which it needs no memory. What is changed in part, and what
a product adds to, stays the same value.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import torch

from trainfit.bench.trace.device.accesses import Access, accesses_of, beginnings, freed_in, seen_of
from trainfit.bench.trace.device.reads import reads_of
from trainfit.bench.trace.device.regions import Region, region_of
from trainfit.bench.trace.device.rows import Row, Way
from trainfit.bench.trace.device.table import integers_below, row_of
from trainfit.bench.trace.trace import Operand, Operator, Trace

REGISTER_BYTES = 8
"""One number of up to this size is in a register, and has no place in memory."""

FOUND = -1
"""When what was there before the step was made."""


@dataclass(slots=True)
class Value:
    """What a storage holds for a while. Instants are numbers of operators.

    Attributes:
        number: Its place in the list of values.
        storage: Number of its storage.
        born: When it is first written to.
        found: It was there before the step.
        maker: The operator that writes all of it at once; -1 if it is written bit by bit.
        made_as: What that operator writes.
        reads: What is read of it, by operator.
        times: How often each of these reads an element.
        writes: The operators that write to it.
        start, stop: The bytes of the storage that are touched.
        types: Types of what is written.
        kept: It outlives the step.
        bytes: What C stores.
    """

    number: int
    storage: int
    born: int
    found: bool
    maker: int = -1
    made_as: Operand | None = None
    reads: dict[int, list[Operand]] = field(default_factory=dict)
    times: dict[int, list[int]] = field(default_factory=dict)
    writes: list[int] = field(default_factory=list)
    start: int = 1 << 62
    stop: int = 0
    types: set[torch.dtype] = field(default_factory=set)
    kept: bool = False
    bytes: int = 0

    def touch(self, region: Region) -> None:
        """A part of it is read or written."""
        self.start, self.stop = min(self.start, region.start), max(self.stop, region.stop)

    @property
    def size(self) -> int:
        """Bytes between the first and the last that are touched, as torch stores them."""
        return max(self.stop - self.start, 0)

    @property
    def elements(self) -> int:
        """Number of elements of the type that is written."""
        return self.size // min((each.itemsize for each in self.types), default=1)


@dataclass(slots=True)
class Step:
    """An operator in terms of values.

    Attributes:
        operator: The call.
        row: Its row in the operator table.
        reads: Values that it reads, with what it reads of them.
        makes: Values that it writes as a whole.
        changes: Values that it writes in part, or adds to.
    """

    operator: Operator
    row: Row
    reads: list[tuple[int, Operand]] = field(default_factory=list)
    makes: list[tuple[int, Operand]] = field(default_factory=list)
    changes: list[int] = field(default_factory=list)


@dataclass(frozen=True)
class Values:
    """All values of a trace, and its operators in terms of them."""

    values: list[Value]
    steps: list[Step]

    def end_of_loop(self, born: int, last: int) -> int:
        """The end of the outermost loop that reads a value at ``last`` and does not make it.

        Of a loop over tiles the first two passes are in the trace, and the second stands for all
        that follow: what it reads has to be there until the last of them ends.
        """
        if not self.loops:
            return last
        outside = 1 if born < 0 else int(self._times[born : last + 1].min())
        if self._times[last] <= outside:
            return last
        ends = self._seldomer(outside)
        place = int(np.searchsorted(ends, last))
        return int(ends[place]) - 1 if place < len(ends) else len(self.steps) - 1

    @cached_property
    def _times(self) -> np.ndarray[Any, np.dtype[np.int64]]:
        """How often each step is done."""
        return np.array([step.operator.times for step in self.steps], dtype=np.int64)

    def _seldomer(self, times: int) -> np.ndarray[Any, np.dtype[np.intp]]:
        """The steps done at most so often, in order; there are few different ``times``."""
        if times not in self._kept:
            self._kept[times] = np.flatnonzero(self._times <= times)
        return self._kept[times]

    @cached_property
    def _kept(self) -> dict[int, np.ndarray[Any, np.dtype[np.intp]]]:
        return {}

    @cached_property
    def loops(self) -> bool:
        """Whether anything is done more often than it is shown."""
        return any(step.operator.times > 1 for step in self.steps)


class _Reader:
    """Walks through a trace and keeps what each storage holds now."""

    def __init__(self, trace: Trace) -> None:
        self.trace = trace
        self.values: list[Value] = []
        self.steps: list[Step] = []
        self.current: dict[int, Value] = {}

    def new(self, storage: int, born: int, *, found: bool = False) -> Value:
        value = Value(len(self.values), storage, born, found)
        self.values.append(value)
        self.current[storage] = value
        return value

    def now(self, storage: int, at: int) -> Value:
        if storage in self.current:
            return self.current[storage]
        found = self.trace.storages[storage].found
        return self.new(storage, FOUND if found else at, found=found)

    def read(self, step: Step, storage: int, seen: list[Operand]) -> None:
        at = len(self.steps)
        for operand in seen:
            value = self.now(storage, at)
            value.reads.setdefault(at, []).append(operand)
            value.times.setdefault(at, []).append(reads_of(step.operator, step.row, operand))
            value.touch(seen_of(operand, self.trace, step.operator.times))
            step.reads.append((value.number, operand))

    def write(self, step: Step, storage: int, does: Access, *, begins: bool) -> None:
        at, written = len(self.steps), does.fills + does.changes
        if not written:
            return
        value = self.new(storage, at) if begins else self.now(storage, at)
        if begins and len(written) == 1:
            value.maker, value.made_as = at, written[0]
            step.makes.append((value.number, written[0]))
        else:
            value.maker, value.made_as = -1, None
            step.changes.append(value.number)
        value.writes.append(at)
        for operand in written:
            value.touch(seen_of(operand, self.trace, step.operator.times))
            value.types.add(operand.dtype)


def values_of(trace: Trace) -> Values:
    """Follow every storage through the step."""
    known = [(each, row_of(each)) for each in trace.operators]
    operators = [each for each, row in known if row.way is not Way.NOTHING]
    rows = [row for _, row in known if row.way is not Way.NOTHING]
    accesses = [accesses_of(*each) for each in zip(operators, rows, strict=True)]
    begins = beginnings(trace, accesses, rows, [each.times for each in operators])
    reader = _Reader(trace)
    for at, (operator, row, does) in enumerate(zip(operators, rows, accesses, strict=True)):
        step = Step(operator, row)
        for storage, access in does.items():
            replaced = access.changes if (at, storage) in begins else []
            reader.read(step, storage, access.reads + replaced)
        for storage, access in does.items():
            reader.write(step, storage, access, begins=(at, storage) in begins)
        reader.steps.append(step)
    freed = freed_in(trace)
    for storage, value in reader.current.items():
        value.kept = not value.found and storage not in freed
    for value in reader.values:
        whole = value.made_as and region_of(value.made_as)
        if whole and whole.stop - whole.start < value.size:
            value.maker, value.made_as = -1, None
        value.bytes = _bytes(value, reader.steps)
    return Values(reader.values, reader.steps)


def _bytes(value: Value, steps: list[Step]) -> int:
    """What C stores: nothing of a single number, a bit of a truth, a byte of a label.

    What is never written is made of Python's numbers: constants of the program.
    """
    if not value.writes and not value.found:
        return 0
    if value.size <= REGISTER_BYTES and value.elements <= 1:
        return 0
    if value.types == {torch.bool}:
        return -(-value.elements // 8)
    if value.types == {torch.int64} and value.made_as is not None:
        uses = [(at, each) for at, seen in value.reads.items() for each in seen]
        return value.elements * label_bytes(
            [(steps[at], each) for at, each in [(value.maker, value.made_as), *uses]]
        )
    return value.size


def label_bytes(uses: list[tuple[Step, Operand]]) -> int:
    """Bytes of an integer of which uses show how large it can be; 8 if none does."""
    most = max((integers_below(step.operator, step.row, each) for step, each in uses), default=0)
    return 8 if not most else 1 if most <= 1 << 8 else 2 if most <= 1 << 16 else 4
