"""What each operator does to each storage, and where a storage begins to hold something new."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from trainfit.bench.trace.device.regions import Region, Spans, region_of, union, without
from trainfit.bench.trace.device.rows import Row, Way
from trainfit.bench.trace.trace import Operand, Operator, Trace, operands

_REPLACES_ALL = {Way.MERE, Way.EACH, Way.ROWS}
"""What changes an operand in place could as well write a new one."""


@dataclass(slots=True)
class Access:
    """What an operator does to one storage.

    Attributes:
        reads: What it only reads.
        fills: What it overwrites, or makes.
        changes: What it reads and overwrites, in place.
    """

    reads: list[Operand] = field(default_factory=list)
    fills: list[Operand] = field(default_factory=list)
    changes: list[Operand] = field(default_factory=list)


def accesses_of(operator: Operator, row: Row) -> dict[int, Access]:
    """What an operator does, by number of storage."""
    found: dict[int, Access] = {}
    if row.way is Way.ROOM:
        return found

    def of(operand: Operand) -> Access:
        return found.setdefault(operand.storage, Access())

    written = list(operator.written)
    for place, argument in enumerate(operator.args):
        unused = place in row.ignores or place in row.scratch
        for operand in operands(argument):
            if operand in written:
                written.remove(operand)
                if not unused:
                    access = of(operand)
                    (access.fills if place in row.overwrites else access.changes).append(operand)
            elif not unused:
                of(operand).reads.append(operand)
    for operand in operands(tuple(operator.kwargs.values())):
        if operand in written:  # out=, grad_input=
            written.remove(operand)
            of(operand).fills.append(operand)
        else:
            of(operand).reads.append(operand)
    made = set(operator.makes)
    for operand in operator.results:
        if operand.storage in made:
            of(operand).fills.append(operand)
    return found


def freed_in(trace: Trace) -> set[int]:
    """Numbers of the storages that are freed before the step ends."""
    stream = trace.stream
    return {n for n, size in zip(stream.pointers, stream.sizes, strict=True) if size < 0}


def seen_of(operand: Operand, trace: Trace, times: int) -> Region:
    """Where an operand lies, in all passes of a loop of which only one is shown: anywhere."""
    if times == 1:
        return region_of(operand)
    return Region(0, trace.storages[operand.storage].size, dense=False)


def carried_on(accesses: Sequence[dict[int, Access]], times: Sequence[int]) -> set[tuple[int, int]]:
    """(operator, storage) wherever a pass of a loop changes what was there before the pass.

    As what micro-batches add up: what one pass leaves is what the next one goes on with, at the
    same place, so that it is one value from before the loop until after it.
    """
    carried: set[tuple[int, int]] = set()
    written: dict[int, int] = {}  # by storage, when it last was
    for at, does_to in enumerate(accesses):
        for number, does in does_to.items():
            if does.changes and min(times[written.get(number, at) : at + 1]) < times[at]:
                carried.add((at, number))
            if does.fills or does.changes:
                written[number] = at
    return carried


def beginnings(
    trace: Trace,
    accesses: Sequence[dict[int, Access]],
    rows: Sequence[Row],
    times: Sequence[int],
) -> set[tuple[int, int]]:
    """(operator, storage) wherever nothing that the storage held before is needed any more.

    Walks backwards with the bytes of every storage that are still to be read. Storages found
    before the step are not looked at: they hold what they hold.

    Args:
        trace: Its storages.
        accesses: What each operator does.
        rows: Their rows in the operator table.
        times: How often each is called.
    """
    freed = freed_in(trace)
    needed: dict[int, Spans] = {
        storage.number: ((0, storage.size),)
        for storage in trace.storages
        if not storage.found and storage.number not in freed
    }
    begins: set[tuple[int, int]] = set()
    carried = carried_on(accesses, times)
    for at in range(len(accesses) - 1, -1, -1):
        for number, does in accesses[at].items():
            if trace.storages[number].found:
                continue
            covered: Spans = ()
            for operand in does.fills + does.changes:
                region = region_of(operand)
                if region.dense:
                    covered = union(covered, region.spans)
            rest = without(needed.get(number, ()), covered)
            replaces = not does.changes or rows[at].way in _REPLACES_ALL
            replaces = replaces and (at, number) not in carried
            if (does.fills or does.changes) and not rest and replaces:
                begins.add((at, number))
            for operand in does.reads + does.changes:
                rest = union(rest, seen_of(operand, trace, times[at]).spans)
            needed[number] = rest
    return begins
