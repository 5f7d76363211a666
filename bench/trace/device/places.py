"""Where values are stored: in the place of an operand that dies, or in one of their own."""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import accumulate

from trainfit.bench.trace.device.fusing import Fused
from trainfit.bench.trace.device.rows import Way
from trainfit.bench.trace.device.table import row_of_sums
from trainfit.bench.trace.device.values import Value
from trainfit.bench.trace.trace import Operand


@dataclass(slots=True)
class Place:
    """Bytes for values that follow one another.

    Attributes:
        bytes: Those of the largest.
        born, last: The first and last operator at which one of them is needed.
        values: In order; none for the sums of a row that a kernel keeps.
    """

    bytes: int
    born: int
    last: int
    values: list[Value] = field(default_factory=list)


def places_of(fused: Fused) -> list[Place]:
    """Give a place to every value that is stored and was not found."""
    places: list[Place] = []
    of: dict[int, Place] = {}
    for at, step in enumerate(fused.values.steps):
        sums = row_of_sums(step.operator, step.row)
        if sums:
            places.append(Place(sums, at, at))
        if fused.runs[at] != at:
            continue
        for number in [*(number for number, _ in step.makes), *step.changes]:
            value = fused.values.values[number]
            if number in of or number in fused.absent or value.found or not value.bytes:
                continue
            first = bool(step.makes) and step.makes[0][0] == number
            place = _operand_that_dies(fused, at, value, of) if first else None
            if place is None:
                place = Place(0, _needed_from(fused, at, value), 0)
                places.append(place)
            place.bytes = max(place.bytes, value.bytes)
            place.last = max(place.last, fused.last(value))
            place.values.append(value)
            of[number] = place
    return places


def levels(places: list[Place], instants: int) -> list[int]:
    """Bytes alive at every instant; one more than there are operators: after the step."""
    changes = [0] * (instants + 2)
    for place in places:
        changes[place.born] += place.bytes
        changes[place.last + 1] -= place.bytes
    return list(accumulate(changes))[: instants + 1]


def _needed_from(fused: Fused, at: int, value: Value) -> int:
    """When memory is first written: constants are set just before they are first needed."""
    if fused.values.steps[at].row.way is not Way.FILL:
        return at
    later = [*(fused.runs[reader] for reader in value.reads), *(w for w in value.writes if w > at)]
    return min(later, default=at)


def _operand_that_dies(fused: Fused, at: int, value: Value, of: dict[int, Place]) -> Place | None:
    """The place of an operand that nobody reads later and that the result may replace.

    All that is read of it must be at the place of the element that is written: a matrix cannot be
    replaced by the sum of itself and its transpose.
    """
    seen: dict[int, set[tuple[Operand, bool]]] = {}
    for leaf, operand, same in fused.leaves(at):
        seen.setdefault(leaf.number, set()).add((operand, same))
    fitting: list[tuple[int, int]] = []
    for number, views in seen.items():
        leaf, place = fused.values.values[number], of.get(number)
        if place is None or len(views) > 1 or not all(same for _, same in views):
            continue
        if place.last != at or fused.last(leaf) != at:
            continue
        (operand, _), *_ = views
        continued = leaf.storage == value.storage and (
            leaf.start == value.start or (leaf.start < value.start and value.stop <= leaf.stop)
        )
        all_of_it = leaf.elements == operand.elements == value.elements
        same_width = leaf.bytes * value.elements == value.bytes * leaf.elements
        if same_width and (continued or all_of_it):
            fitting.append((abs(place.bytes - value.bytes), number))
    return of[min(fitting)[1]] if fitting else None
