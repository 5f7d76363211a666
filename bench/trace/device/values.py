"""From a trace's storages to values: what is written once and read until the next overwriting.

A storage that is overwritten in whole holds another value from then on; between the last read of
the old one and that there is a hole, in which it needs no memory. What is changed in part, and what
a product adds to, stays the same value.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import torch

from trainfit.bench.trace.device.regions import Region, Spans, region_of, union, without
from trainfit.bench.trace.device.table import Row, Way, below, reads_of, row_of
from trainfit.bench.trace.trace import Operand, Operator, Trace, operands

REGISTER_BYTES = 8

FOUND = -1
"""The instant at which what was found before the step was made."""


@dataclass(slots=True)
class Value:
    """What a storage holds for a while.

    Attributes:
        number: Its place in the list of values.
        storage: Number of the storage.
        born: The operator that writes it first.
        maker: The operator that writes all of it, if no other writes to it; otherwise -1.
        reads: Operators that read it, with what they read.
        start, stop: The bytes of the storage that are touched.
        kept: It outlives the step.
        found: It was there before the step.
    """

    number: int
    storage: int
    born: int
    maker: int = -1
    made_as: Operand | None = None
    reads: dict[int, list[Operand]] = field(default_factory=dict)
    times: dict[int, list[int]] = field(default_factory=dict)  # how often, per read
    writes: list[int] = field(default_factory=list)
    bytes: int = 0
    start: int = 1 << 62
    stop: int = 0
    kept: bool = False
    found: bool = False
    dtypes: set[torch.dtype] = field(default_factory=set)
    made_of: set[torch.dtype] = field(default_factory=set)  # types that are written
    width: int = 0  # bits of an element, if fewer than its type has

    def touch(self, region: Region) -> None:
        self.start, self.stop = min(self.start, region.start), max(self.stop, region.stop)

    @property
    def size(self) -> int:
        """Bytes between the first and the last that are touched, as torch stores them."""
        return max(self.stop - self.start, 0)

    @property
    def elements(self) -> int:
        """Number of elements of the type that is written."""
        return self.size // min((each.itemsize for each in self.made_of), default=1)

    @property
    def single(self) -> bool:
        """Whether it is one number."""
        return self.elements <= 1


@dataclass(slots=True)
class Step:
    """An operator, by the values that it reads and makes."""

    operator: Operator
    row: Row
    reads: list[tuple[int, Operand]] = field(default_factory=list)
    makes: list[tuple[int, Operand]] = field(default_factory=list)
    changes: list[int] = field(default_factory=list)


@dataclass
class Values:
    """All values of a trace, and its operators in their terms."""

    values: list[Value]
    steps: list[Step]


@dataclass(slots=True)
class _Access:
    """What an operator does to one storage."""

    reads: list[Operand]  # as operands
    fresh: list[Operand]  # overwritten, or made
    changed: list[Operand]  # read and written


def values_of(trace: Trace) -> Values:
    """Follow every storage through the step."""
    operators = [each for each in trace.operators if row_of(each).way is not Way.NOTHING]
    rows = [row_of(each) for each in operators]
    accesses = [_accesses(*each) for each in zip(operators, rows, strict=True)]
    starts = _starts(trace, accesses, rows)
    values: list[Value] = []
    steps: list[Step] = []
    current: dict[int, Value] = {}

    def new(storage: int, born: int, *, found: bool = False) -> Value:
        value = Value(len(values), storage, born, found=found)
        values.append(value)
        current[storage] = value
        return value

    def now(storage: int, at: int) -> Value:
        found = trace.storages[storage].found
        known = current.get(storage)
        return known or new(storage, FOUND if found else at, found=found)

    for at, (operator, row, access) in enumerate(zip(operators, rows, accesses, strict=True)):
        step = Step(operator, row)
        steps.append(step)
        for storage, does in access.items():
            begins = (at, storage) in starts
            reads = does.reads + (does.changed if begins else [])
            if reads:
                value = now(storage, at)
                for operand in reads:
                    value.reads.setdefault(at, []).append(operand)
                    value.times.setdefault(at, []).append(reads_of(operator, row, operand))
                    value.touch(region_of(operand))
                    value.dtypes.add(operand.dtype)
                    step.reads.append((value.number, operand))
        for storage, does in access.items():
            writes = does.fresh + does.changed
            if not writes:
                continue
            begins = (at, storage) in starts
            value = new(storage, at) if begins else now(storage, at)
            if begins and len(writes) == 1:
                value.maker, value.made_as = at, writes[0]
                step.makes.append((value.number, writes[0]))
            else:
                value.maker, value.made_as = -1, None
                step.changes.append(value.number)
            value.writes.append(at)
            for operand in writes:
                value.touch(region_of(operand))
                value.made_of.add(operand.dtype)
    freed = freed_in(trace)
    for storage, value in current.items():
        known = trace.storages[storage]
        value.kept = not known.found and known.size > 0 and storage not in freed
    for value in values:
        if value.made_as and region_of(value.made_as).stop - region_of(value.made_as).start < value.size:
            value.maker, value.made_as = -1, None
        value.width = _width(value, steps)
        value.bytes = _bytes(value)
    return Values(values, steps)


def _bytes(value: Value) -> int:
    """What C stores: a single number is in a register."""
    if value.size <= REGISTER_BYTES and value.elements <= 1:
        return 0
    if value.width:
        return -(-value.elements * value.width // 8)
    return value.size


def _width(value: Value, steps: list[Step]) -> int:
    """Bits of an element if they are fewer than torch takes: truths, and labels."""
    if value.made_of == {torch.bool}:
        return 1
    if value.made_of != {torch.int64} or value.made_as is None:
        return 0
    shown = [
        below(steps[at].operator, steps[at].row, operand)
        for at, operand in (
            (value.maker, value.made_as),
            *((at, each) for at, seen in value.reads.items() for each in seen),
        )
    ]
    most = max(shown)
    return 0 if not most else 8 if most <= 256 else 16 if most <= 65536 else 32


def _accesses(operator: Operator, row: Row) -> dict[int, _Access]:
    """What an operator does to each storage."""
    found: dict[int, _Access] = {}

    def of(operand: Operand) -> _Access:
        return found.setdefault(operand.storage, _Access([], [], []))

    if row.way is Way.ROOM:
        return {}
    written = list(operator.written)
    for place, argument in enumerate(operator.args):
        if place in row.ignores or place in row.scratch:
            for operand in operands(argument):
                if operand in written:
                    written.remove(operand)
            continue
        for operand in operands(argument):
            if operand in written:
                written.remove(operand)
                access = of(operand)
                (access.fresh if place in row.overwrites else access.changed).append(operand)
            else:
                of(operand).reads.append(operand)
    for argument in operator.kwargs.values():
        for operand in operands(argument):
            if operand in written:
                written.remove(operand)
                of(operand).fresh.append(operand)
            else:
                of(operand).reads.append(operand)
    made = set(operator.makes)
    for operand in operator.results:
        if operand.storage in made:
            of(operand).fresh.append(operand)
    return found


def _starts(
    trace: Trace, accesses: list[dict[int, _Access]], rows: list[Row]
) -> set[tuple[int, int]]:
    """(operator, storage) wherever nothing of what the storage held before is needed any more."""
    starts: set[tuple[int, int]] = set()
    needed: dict[int, Spans] = {}
    freed = freed_in(trace)
    for storage in trace.storages:
        if storage.found or storage.number not in freed:
            needed[storage.number] = ((0, storage.size),)
    for at in range(len(accesses) - 1, -1, -1):
        for storage, does in accesses[at].items():
            if trace.storages[storage].found:
                continue
            after = needed.get(storage, ())
            covers: Spans = ()
            for operand in does.fresh + does.changed:
                region = region_of(operand)
                if region.dense:
                    covers = union(covers, region.spans)
            rest = without(after, covers)
            splits = not does.changed or rows[at].way in {Way.MERE, Way.EACH, Way.ROWS}
            if (does.fresh or does.changed) and not rest and splits:
                starts.add((at, storage))
            for operand in does.reads + does.changed:
                rest = union(rest, region_of(operand).spans)
            needed[storage] = rest
    return starts


def freed_in(trace: Trace) -> set[int]:
    """Numbers of the storages that are freed before the step ends."""
    stream = trace.stream
    return {n for n, size in zip(stream.pointers, stream.sizes, strict=True) if size < 0}
