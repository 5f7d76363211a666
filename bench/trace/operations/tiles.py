"""Products that are computed in parts: what the parts share is one operand, one result.

A rule that unpacks bits a tile at a time multiplies tile by tile. Its parts are products into one
storage, one after the other in one phase, and an operand of theirs is from one storage. What
several of them read unchanged is read by one product, and a result that they add to is written by
one.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable

from trainfit.bench.trace.operations.contents import Contents, read_by
from trainfit.bench.trace.operations.work import Part, Product, Result
from trainfit.bench.trace.trace import Operand, Operator


class Tiles:
    """Follows a step, operator by operator."""

    def __init__(self, contents: Contents) -> None:
        self._contents = contents
        self._place: Hashable = None  # phase and storage of the product that may have more parts
        self._operands: set[int] = set()  # storages that its parts read
        self._seen: set[Hashable] = set()
        self._versions = Counter[int]()  # how often each storage was written

    def counted(self, call: Operator, product: Product) -> tuple[int, int]:
        """Elements that a product reads and writes, besides those of parts before it."""
        result, adds = product.result.tensor, _adds(call, product)
        sources = {self._contents.source(each.tensor) for each in product.operands}
        self._join(call.phase, result, sources, adds=adds)
        read = sum(
            self._new(
                each, (self._versions[each.tensor.storage], each.first, *_region(each.tensor))
            )
            for each in product.operands
        )
        first = 0 if result is None else self._new(product.result, _region(result))
        written = first if adds else product.result.elements
        return read * call.times, written * call.times

    def after(self, call: Operator) -> None:
        """An operator was called."""
        self._versions.update({each.storage for each in (*call.written, *call.results)})

    def _join(self, phase: str, result: Operand | None, operands: set[int], *, adds: bool) -> None:
        """It is a part of the product before it, or the first of its own."""
        place = result and (phase, result.storage)
        again = result is not None and not adds and _region(result) in self._seen
        if place is None or place != self._place or again or not operands & self._operands:
            self._place, self._operands, self._seen = place, set(), set()
        self._operands |= operands

    def _new(self, part: Part | Result, key: Hashable) -> int:
        if key in self._seen:
            return 0
        self._seen.add(key)
        return part.elements


def _adds(call: Operator, product: Product) -> bool:
    """Whether its result is added to what is there; our kernels say so by their names."""
    if call.name.startswith("trainfit.") and not call.name.startswith("trainfit.add_"):
        return False
    result = product.result.tensor
    return result is not None and any(each.storage == result.storage for each in read_by(call))


def _region(tensor: Operand) -> tuple[Hashable, ...]:
    return tensor.storage, tensor.offset, tensor.shape, tensor.strides
