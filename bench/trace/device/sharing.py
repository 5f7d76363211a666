"""Which values need memory of their own: computed where they are read, or in place of an operand."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import torch

from trainfit.bench.trace.device.table import Way, row_of_sums
from trainfit.bench.trace.device.values import FOUND, Step, Value, Values
from trainfit.bench.trace.trace import Operand

FEW = 2
"""Most times that arithmetic on an element is done again because its result is not stored."""

_EACH = {Way.MERE, Way.EACH}


@dataclass
class Sharing:
    """Decisions for the values of a step.

    Attributes:
        runs: Per operator, the operator at whose place it is computed: mostly itself.
        absent: Numbers of values that are not stored.
    """

    values: Values
    runs: list[int]
    absent: set[int] = field(default_factory=set)
    total: dict[int, int] = field(default_factory=dict)
    heavy: set[int] = field(default_factory=set)
    once: set[int] = field(default_factory=set)
    doubtful: dict[int, int] = field(default_factory=dict)

    def last(self, value: Value) -> int:
        if value.kept:
            return len(self.runs)
        return max(
            (*(self.runs[r] for r in value.reads), *value.writes, value.born)
        )

    def leaves(self, at: int) -> Iterator[tuple[Value, Operand, bool]]:
        """What is read from memory where an operator runs: value, operand, and whether the
        operator's result is at the same place in it."""
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
    """Whether an element of the result depends on the element at the same place, and no other."""
    row = step.row
    if row.way not in _EACH | {Way.ROWS} or not step.makes:
        return False
    if row.replaces is not None and not any(
        place < len(step.operator.args) and step.operator.args[place] == operand
        for place in row.replaces
    ):
        return False
    return operand.elements == operand.distinct == step.makes[0][1].elements


def computed_where_read(
    values: Values, *, eager: bool, skip: frozenset[int] = frozenset()
) -> Sharing:
    """Leave out the results that later operators compute where they need them."""
    sharing = Sharing(values, list(range(len(values.steps))))
    _lend(sharing)
    for at in range(len(values.steps) - 1, -1, -1):
        step = values.steps[at]
        if step.changes or len(step.makes) != 1 or sharing.runs[at] != at:
            continue
        value = values.values[step.makes[0][0]]
        if value.maker != at or value.kept or value.number in skip:
            continue
        if step.row.way is Way.FILL:
            sharing.absent.add(value.number)
        elif value.reads and _may_wait(sharing, at, value):
            where = max(sharing.runs[r] for r in value.reads)
            if _sources_allow(sharing, at, where, value, eager=eager):
                sharing.absent.add(value.number)
                sharing.total[value.number] = _total(sharing, value)
                sharing.runs[at] = where
                if step.row.way is not Way.MERE:
                    sharing.heavy.add(value.number)
                    for reader in value.reads:
                        if values.steps[reader].row.way is Way.PRODUCT:
                            sharing.once.add(reader)
    return sharing


def _total(sharing: Sharing, value: Value) -> int:
    """How often each element would be computed."""
    total = 0
    for reader, seen in value.reads.items():
        step = sharing.values.steps[reader]
        again = 1
        if step.makes and step.makes[0][0] in sharing.absent:
            again = sharing.total.get(step.makes[0][0], 1)
        for reads in value.times[reader]:
            if step.row.way is Way.PRODUCT and reader not in sharing.once and len(seen) == 1:
                reads = 1  # the loop over the other operand is the inner one
            total += reads * again
    return total


def _may_wait(sharing: Sharing, at: int, value: Value) -> bool:
    """Whether computing a value where it is read does nothing expensive again."""
    step = sharing.values.steps[at]
    where = {sharing.runs[r] for r in value.reads}
    if step.row.way is Way.MERE:
        return True
    if len(where) != 1:
        return False
    (there,) = where
    if step.row.way is Way.EACH:
        return _total(sharing, value) <= FEW
    if step.row.way is Way.SUM:
        return _row_by_row(sharing, step, value, there)
    return step.row.way is Way.PRODUCT and _is_cast(sharing, value)


def _row_by_row(sharing: Sharing, step: Step, value: Value, there: int) -> bool:
    """Whether a row's sum is needed only by the same row of one loop over rows."""
    if value.made_as is None or any(len(seen) > 1 for seen in value.reads.values()):
        return False
    end = sharing.values.steps[there]
    if end.row.way not in _EACH or not (end.makes or end.changes):
        return False
    if end.makes and end.makes[0][0] in sharing.absent:
        return False
    result = end.makes[0][1] if end.makes else end.operator.written[0]
    if _total(sharing, value) > 1:
        return False
    if result.elements == value.elements:  # each sum becomes one element
        return True
    rows = result.elements // result.shape[-1] if result.shape else 1
    return _along_rows(step) and len(result.shape) > 1 and rows == value.elements


def _along_rows(step: Step) -> bool:
    """Whether an operator sums along rows: over the last dimension and no other."""
    operand = step.reads[0][1]
    name = step.operator.name.split(".")[1]
    along = step.operator.args[2 if name == "linalg_vector_norm" else 1 :][:1]
    if not along or len(operand.shape) < 2:
        return False
    dims = along[0] if isinstance(along[0], (list, tuple)) else (along[0],)
    last = len(operand.shape) - 1
    return [d % (last + 1) for d in dims if isinstance(d, int)] == [last]


def _is_cast(sharing: Sharing, value: Value) -> bool:
    """Whether a product is only stored in another type."""
    ((reader, seen), *others) = value.reads.items()
    step = sharing.values.steps[reader]
    name = step.operator.name.split(".")[1]
    return (
        not others
        and len(seen) == 1
        and name in {"copy_", "_to_copy"}
        and bool(step.makes)
        and step.makes[0][0] not in sharing.absent
        and seen[0].elements == step.makes[0][1].elements == value.elements
    )


def _lend(sharing: Sharing) -> None:
    """Leave out what is saved of a found tensor while a part of it stands for something else.

    ``kept = x[:, :4].clone(); x[:, :4] = one_hot(y); ...; x[:, :4] = kept``: whoever reads x in
    between tells by comparing whether it is 0 or 1 there.
    """
    steps, values = sharing.values.steps, sharing.values.values
    for value in values:
        if value.maker < 0 or value.kept or len(value.reads) != 1:
            continue
        begin, (end,) = value.maker, value.reads
        first, last = steps[begin], steps[end]
        if first.row.way is not Way.MERE or len(first.reads) != 1:
            continue
        number, part = first.reads[0]
        lender = values[number]
        if not lender.found or last.changes != [number] or last.operator.written != (part,):
            continue
        between = [w for w in lender.writes if begin < w < end]
        if not all(
            steps[w].row.way in {Way.FILL, Way.MERE} and steps[w].operator.written == (part,)
            and len(steps[w].changes) == 1
            for w in between
        ):
            continue
        there = max([r for r in lender.reads if begin < r < end], default=begin)
        sources = {n for w in between for n, _ in steps[w].reads} - {number}
        if any(at in range(begin, end) for n in sources for at in values[n].writes if at > min(between)):
            continue
        sharing.absent.add(value.number)
        for w in between:
            sharing.runs[w] = max(w, there)


def _sources_allow(sharing: Sharing, at: int, there: int, value: Value, *, eager: bool) -> bool:
    """Whether what the value is computed from is unchanged there, and costs no more than it."""
    step = sharing.values.steps[at]
    extended = 0
    whole = False
    for number in {n for n, _ in step.reads}:
        source = sharing.values.values[number]
        kind = sharing.values.steps[there].row.way
        if any(at < w < there or (w == there and kind not in _EACH) for w in source.writes):
            return False
        if not source.found and sharing.last(source) < there:
            extended += source.bytes
        if source.maker >= 0 and sharing.values.steps[source.maker].row.way is Way.PRODUCT:
            whole |= source.bytes > value.bytes
    if extended > value.bytes and (whole or not eager):
        return False
    if extended:
        sharing.doubtful[value.number] = extended * (there - at)
    return True


@dataclass(slots=True)
class Place:
    """Values that share one place one after the other."""

    bytes: int
    born: int
    last: int
    values: list[Value]


def in_place(sharing: Sharing, *, shrink: bool) -> list[Place]:
    """Give every stored value a place: that of an operand which dies, or one of its own."""
    places: list[Place] = []
    of: dict[int, Place] = {}
    steps, values = sharing.values.steps, sharing.values.values

    def own(value: Value, born: int) -> None:
        place = Place(value.bytes, born, sharing.last(value), [value])
        of[value.number] = place
        if place.bytes:
            places.append(place)

    for at, step in enumerate(steps):
        if sharing.runs[at] != at:
            continue
        taken: set[int] = set()
        sums = row_of_sums(step.operator, step.row)
        if sums:
            places.append(Place(sums, at, at, []))
        for number in [*(n for n, _ in step.makes), *step.changes]:
            value = values[number]
            if number in of or number in sharing.absent or value.found:
                continue
            born = at
            if step.row.way is Way.FILL:
                later = [*(sharing.runs[r] for r in value.reads), *(w for w in value.writes if w > at)]
                born = min(later, default=at)
            host = None
            if number == (step.makes[0][0] if step.makes else -1) and value.bytes:
                host = _host(sharing, at, value, of, taken, shrink=shrink)
            if host is None:
                own(value, born)
            else:
                taken.add(host.number)
                place = of[host.number]
                place.last = max(place.last, sharing.last(value))
                place.bytes = max(place.bytes, value.bytes)
                place.values.append(value)
                of[value.number] = place
    return places


def _host(
    sharing: Sharing, at: int, value: Value, of: dict[int, Place], taken: set[int], *, shrink: bool
) -> Value | None:
    """The operand whose place the result may take."""
    views: dict[int, set[tuple[Operand, bool]]] = {}
    for leaf, operand, same in sharing.leaves(at):
        views.setdefault(leaf.number, set()).add((operand, same))
    fitting = []
    for number, seen in views.items():
        leaf = sharing.values.values[number]
        place = of.get(number)
        if leaf.found or place is None or number in taken or len(seen) != 1:
            continue
        if not next(iter(seen))[1] or sharing.last(leaf) != at:
            continue
        if any(sharing.last(other) > at for other in place.values):
            continue
        if (leaf.storage == value.storage and leaf.start == value.start) or leaf.bytes == value.bytes or (shrink and leaf.bytes > value.bytes):
            fitting.append((abs(place.bytes - value.bytes), number))
    return sharing.values.values[min(fitting)[1]] if fitting else None
