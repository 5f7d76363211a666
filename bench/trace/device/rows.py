"""How an operator computes, as far as memory is concerned: the columns of the operator table."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Way(StrEnum):
    """How an operator gets its results from its operands."""

    MERE = "mere"  # an element from elements: copied, compared, unpacked, scaled by a number
    EACH = "each"  # an element from the elements at the same place, by arithmetic
    ROWS = "rows"  # sums along rows or columns first, then element by element
    SUM = "sum"  # sums and maxima: each element is read once
    PRODUCT = "product"  # each element is read for many results
    FILL = "fill"  # constants
    DRAW = "draw"  # from a random generator, whose order counts
    ROOM = "room"  # memory with nothing in it yet
    NOTHING = "nothing"  # asks what C does not need to know
    OTHER = "other"  # not known: reads all, shares nothing


@dataclass(frozen=True)
class Row:
    """What is known of an operator.

    Attributes:
        way: How it computes.
        overwrites: Places of arguments that it fills without reading what was in them.
        ignores: Places of arguments of which it needs the shape only.
        scratch: Places of workspace that C does not need: widened copies, tables of sums.
        sums: The place of workspace of which C needs one row: the sums of a row of a product that
            are all known before the first can be rounded.
        index: The place of labels or other indices, and of what they point into (-1: the result).
        replaces: Places of operands whose memory the result may take; all that it reads if None.
        accumulates: A product that can be summed up in its result's memory, so that each element
            of one of its operands is read only once.
    """

    way: Way
    overwrites: tuple[int, ...] = ()
    ignores: tuple[int, ...] = ()
    scratch: tuple[int, ...] = ()
    sums: int | None = None
    index: tuple[int, int] | None = None
    replaces: tuple[int, ...] | None = None
    accumulates: bool = False
