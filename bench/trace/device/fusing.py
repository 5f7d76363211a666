"""Which results C need not store, because it computes them where they are read."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from trainfit.bench.trace.device.lending import lent
from trainfit.bench.trace.device.rows import Way
from trainfit.bench.trace.device.values import Step, Value, Values
from trainfit.bench.trace.trace import Operand

FEW = 2
"""How often arithmetic on an element may be done instead of storing its result."""

ELEMENTWISE = frozenset({Way.MERE, Way.EACH})

Choice = frozenset[int]
"""Numbers of values."""


@dataclass
class Fused:
    """What is computed where.

    Attributes:
        values: All values.
        runs: Per operator, the last operator for which it is computed: mostly it is itself.
        absent: Values that are not stored.
        kept_longer: Of those, the ones for which something else is stored longer.
        refused: Values for which more would have to be stored longer than they are large; with
            the operator until which it would.
    """

    values: Values
    runs: list[int]
    absent: set[int] = field(default_factory=set)
    kept_longer: dict[int, int] = field(default_factory=dict)
    refused: dict[int, int] = field(default_factory=dict)
    _computed: dict[int, int] = field(default_factory=dict)  # how often each element is
    _accumulated: set[int] = field(default_factory=set)  # products with an operand read once

    def last(self, value: Value) -> int:
        """The last instant at which a value is needed, loops included."""
        if value.kept:
            return len(self.runs)
        last = max((*(self.runs[at] for at in value.reads), *value.writes, value.born))
        return self.values.end_of_loop(value.born, last)

    def leaves(self, at: int) -> Iterator[tuple[Value, Operand, bool]]:
        """What an operator reads from memory: value, part, and whether it reads it in place.

        That is, whether an element of the result depends on the one at its place and no other.
        """
        step = self.values.steps[at]
        for number, operand in step.reads:
            value = self.values.values[number]
            same = same_places(step, operand)
            if number in self.absent:
                for leaf, seen, through in self.leaves(value.maker):
                    yield leaf, seen, through and same
            else:
                yield value, operand, same


def same_places(step: Step, operand: Operand) -> bool:
    """Whether an operand could be replaced by the result, element by element."""
    row = step.row
    if row.way not in ELEMENTWISE | {Way.ROWS} or not step.makes:
        return False
    if row.replaces is not None and all(
        operand != each for place, each in enumerate(step.operator.args) if place in row.replaces
    ):
        return False
    return operand.elements == operand.distinct == step.makes[0][1].elements


def fuse(values: Values, *, without: Choice = frozenset(), also: Choice = frozenset()) -> Fused:
    """Leave out what may be computed where it is read and does not make others live too long.

    Args:
        values: Those of a trace.
        without: Values that are stored in any case.
        also: Values that are left out though others have to be stored longer for it.
    """
    fused = Fused(values, list(range(len(values.steps))))
    for number, runs in lent(values):
        fused.absent.add(number)
        for at, there in runs.items():
            fused.runs[at] = there
    for at in range(len(values.steps) - 1, -1, -1):
        step = values.steps[at]
        if step.changes or len(step.makes) != 1 or fused.runs[at] != at:
            continue
        value = values.values[step.makes[0][0]]
        if value.maker != at or value.kept or value.number in without:
            continue
        if step.row.way is Way.FILL:
            fused.absent.add(value.number)
        elif value.reads and _may_wait(fused, step, value):
            there = max(fused.runs[reader] for reader in value.reads)
            if _worth_it(fused, at, there, value, forced=value.number in also):
                _leave_out(fused, at, there, value)
    return fused


def _leave_out(fused: Fused, at: int, there: int, value: Value) -> None:
    steps = fused.values.steps
    fused._computed[value.number] = _computations(fused, value)
    fused.absent.add(value.number)
    fused.runs[at] = there
    if steps[at].row.way is Way.PRODUCT:  # its sums are in registers
        fused._accumulated.add(at)
    if steps[at].row.way is not Way.MERE:
        fused._accumulated.update(r for r in value.reads if steps[r].row.way is Way.PRODUCT)


def _computations(fused: Fused, value: Value) -> int:
    """How often each element would be computed."""
    total = 0
    for reader, times in value.times.items():
        step = fused.values.steps[reader]
        again = 1
        if step.makes and step.makes[0][0] in fused.absent:
            again = fused._computed.get(step.makes[0][0], 1)
        outer = step.row.accumulates and reader not in fused._accumulated and len(times) == 1
        again *= _passes(fused, value, reader)
        total += again * (1 if outer else sum(times))  # outside of the loop over the other operand
    return total


def _passes(fused: Fused, value: Value, reader: int) -> int:
    """How many passes of a loop, of which one is shown, read the same elements of a value.

    One, if an earlier pass read another part of it: then every pass has a part of its own.
    """
    steps = fused.values.steps
    times = steps[reader].operator.times
    if times == 1:
        return 1
    parts = [(each.shape, each.strides, each.offset) for each in value.reads[reader]]
    for earlier, seen in value.reads.items():
        for each in seen if earlier < reader else ():
            if all(
                each.offset != there and [each.shape, each.strides] == of for *of, there in parts
            ):
                return 1
    return times // min(step.operator.times for step in steps[max(value.born, 0) : reader + 1])


def _may_wait(fused: Fused, step: Step, value: Value) -> bool:
    """Whether nothing expensive is done again if a value is computed where it is read."""
    if step.row.way is Way.MERE:
        return True
    steps = fused.values.steps
    where = {fused.runs[reader] for reader in value.reads}
    if len(where) > 1 or any(steps[r].operator.times > step.operator.times for r in value.reads):
        return False
    (there,) = where
    if step.row.way is Way.EACH:
        return _computations(fused, value) <= FEW
    if step.row.way is Way.SUM:
        return _computations(fused, value) <= 1 and _in_one_loop(fused, step, value, there)
    return step.row.way is Way.PRODUCT and _only_converted(fused, value)


def _in_one_loop(fused: Fused, step: Step, value: Value, there: int) -> bool:
    """Whether a sum can stay in a register until the one element, or row, that needs it."""
    end = fused.values.steps[there]
    if end.row.way not in ELEMENTWISE or any(n in fused.absent for n, _ in end.makes):
        return False
    if not end.makes and not end.operator.written:
        return False
    result = end.makes[0][1] if end.makes else end.operator.written[0]
    if result.elements == value.elements:
        return True
    rows = result.elements // result.shape[-1] if len(result.shape) > 1 else 0
    return rows == value.elements and _along_rows(step)


def _along_rows(step: Step) -> bool:
    """Whether an operator sums over the last dimension, and no other."""
    rank = len(step.reads[0][1].shape)
    place = 2 if ".linalg_vector_norm." in step.operator.name else 1
    along = step.operator.args[place] if len(step.operator.args) > place else None
    dimensions = along if isinstance(along, (list, tuple)) else (along,)
    return rank > 1 and [d % rank for d in dimensions if isinstance(d, int)] == [rank - 1]


def _only_converted(fused: Fused, value: Value) -> bool:
    """Whether a product is only stored in another type: its sums may be rounded one by one."""
    if len(value.reads) != 1 or sum(map(len, value.reads.values())) != 1:
        return False
    (reader,) = value.reads
    step = fused.values.steps[reader]
    return (
        step.operator.name.split(".")[1] in {"copy_", "_to_copy"}
        and len(step.makes) == 1
        and step.makes[0][0] not in fused.absent
        and step.makes[0][1].elements == value.elements
    )


def _stored_for(fused: Fused, value: Value) -> int:
    """Bytes that have to be stored for a value: its own, or those that it is merely taken from."""
    step = fused.values.steps[value.maker] if value.maker >= 0 else None
    if step is None or step.row.way not in {Way.MERE, Way.FILL} or len(value.reads) > 1:
        return value.bytes
    sources = (fused.values.values[number] for number in {n for n, _ in step.reads})
    return min(value.bytes, sum(_stored_for(fused, each) for each in sources if not each.found))


def _worth_it(fused: Fused, at: int, there: int, value: Value, *, forced: bool) -> bool:
    """Whether what a value is computed from is unchanged until then, and not larger than it."""
    steps, values = fused.values.steps, fused.values.values
    longer = 0
    product = False
    for number in {n for n, _ in steps[at].reads}:
        source = values[number]
        until = there if steps[there].row.way in ELEMENTWISE else there + 1
        if any(at < write < until for write in source.writes):
            return False
        if not source.found and fused.last(source) < there:
            longer += _stored_for(fused, source)
            made_by = steps[source.maker].row.way if source.maker >= 0 else None
            product |= made_by is Way.PRODUCT and source.bytes > value.bytes
    if longer > value.bytes and (product or not forced):
        if not product:
            fused.refused[value.number] = there
        return False
    if longer:
        fused.kept_longer[value.number] = longer * (there - at)
    return True
