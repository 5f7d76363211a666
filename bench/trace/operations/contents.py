"""What the storages of a step hold: bits, INT8 or numbers, told by what wrote them last.

A rule that keeps bits or INT8 multiplies them in kernels of its own, or unpacks a tile of them into
floats and takes torch's product. Of the second kind an operator sees floats only. So that the
product is counted in the format of what is multiplied, a storage of floats that was copied from
bits or from INT8, or that a comparison wrote, is known to hold them until something else is written
into it: a part that holds something else makes the whole of it numbers. What is done to a tensor of
two values with single numbers (0 and 1 to -1 and 1, a scale) leaves two values. Bytes are numbers
(the pixels of an image) until they are cut off at 1.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import Enum, auto

import torch

from trainfit.algorithms.memory.operations import NumberFormat
from trainfit.bench.trace.trace import Operand, Operator


class Content(Enum):
    """What numbers a tensor holds, whatever its type."""

    NUMBERS = auto()
    INT8 = auto()
    BITS = auto()  # packed or unpacked: nothing that is done to get them is a rule's own arithmetic
    SIGNS = auto()  # two values, in floats that a rule computed


TWO_VALUES = {Content.BITS, Content.SIGNS}

_BY_TYPE = {torch.bool: Content.BITS, torch.int8: Content.INT8}

_EMPTY = frozenset(["empty", "empty_like", "empty_strided", "new_empty", "new_empty_strided"])

_COPIES = frozenset(
    ["_to_copy", "cat", "clone", "copy", "copy_patches", "index_select", "repeat", "_unsafe_view"]
)
"""They give what they were given."""

_COMPARISONS = frozenset(["eq", "ge", "gt", "le", "lt", "ne", "sign"])
"""They give one of two values; the 0 that is the sign of 0 is taken for one of them."""

_OF_ONE = frozenset(["add", "clamp", "div", "mul", "neg", "relu", "rsub", "sub", "threshold"])
"""With single numbers they give two values for two values."""


class Contents:
    """Follows a step, operator by operator.

    Args:
        sizes: Bytes of every storage of its trace.
    """

    def __init__(self, sizes: Sequence[int]) -> None:
        self._sizes = sizes
        self._held: dict[int, Content] = {}
        self._empty: set[int] = set()  # storages that nothing was written into
        self._writers: dict[int, str] = {}
        self._sources: dict[int, int] = {}

    def of(self, tensor: Operand) -> Content:
        """What a tensor holds now."""
        known = _BY_TYPE.get(tensor.dtype)
        if known is not None:
            return known
        return self._held.get(tensor.storage, Content.NUMBERS)

    def writer(self, tensor: Operand) -> str:
        """The operator that wrote last into its storage; empty if none did."""
        return self._writers.get(tensor.storage, "")

    def source(self, tensor: Operand) -> int:
        """The storage that its own was copied from, or unpacked; its own if it was not."""
        return self._sources.get(tensor.storage, tensor.storage)

    def of_product(self, left: Operand, right: Operand) -> NumberFormat:
        """The number format of a product of two tensors."""
        both = {self.of(left), self.of(right)}
        if both == {Content.INT8}:
            return NumberFormat.INT8
        if both <= TWO_VALUES:
            return NumberFormat.BINARY
        return NumberFormat.FP32_BINARY if both & TWO_VALUES else NumberFormat.FP32

    def after(self, call: Operator, base: str) -> None:
        """An operator was called; ``base`` is its name without overload and underscore."""
        name, read = base.partition(".")[2], read_by(call)
        made = self._made(call, name)
        if name in _EMPTY:
            self._empty.update(call.makes)
            return
        source = self.source(read[0]) if name in _COPIES and len(read) == 1 else None
        for each in (*call.written, *call.results):
            self._write(each, made)
            self._writers[each.storage] = base
            if source is not None:
                self._sources[each.storage] = source

    def _write(self, tensor: Operand, made: Content) -> None:
        whole = tensor.distinct * tensor.dtype.itemsize >= self._sizes[tensor.storage]
        if not whole and tensor.storage not in self._empty:
            before = self._held.get(tensor.storage, Content.NUMBERS)
            made = made if made is before else Content.NUMBERS
        self._empty.discard(tensor.storage)
        self._held[tensor.storage] = made

    def _made(self, call: Operator, name: str) -> Content:
        read = read_by(call)
        if name in _COMPARISONS:
            return Content.SIGNS
        if name == "clamp" and read[0].dtype is torch.uint8 and 1 in call.args[1:]:
            return Content.BITS
        if name in _COPIES:
            source = {self.of(each) for each in read}
            return source.pop() if len(source) == 1 else Content.NUMBERS
        if name in _OF_ONE and read:
            many = [each for each in read if each.elements > 1]
            if len(many) == 1 and self.of(many[0]) in TWO_VALUES:
                return self.of(many[0]) if len(read) == 1 else Content.SIGNS
            if is_integer(call, {self.of(each) for each in read}):
                return Content.INT8
        return Content.NUMBERS


def is_integer(call: Operator, held: set[Content]) -> bool:
    """Whether it computes with INT8 only; with a factor that is no whole number it does not."""
    numbers = (each for each in (*call.args, *call.kwargs.values()))
    return held == {Content.INT8} and not any(isinstance(each, float) for each in numbers)


def read_by(call: Operator) -> tuple[Operand, ...]:
    """The tensors whose elements an operator reads: all but what it only writes to."""
    return call.read
