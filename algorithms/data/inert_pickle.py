"""Reader for pickles of plain values and byte arrays that cannot run anything.

A pickle is a program for a stack machine, and Python's own machine can be told to call any function
that can be imported. Refusing names there is not enough: that machine also lets a file of a few
bytes reserve gigabytes for its memo, and hashes nested tuples until the process runs out of stack.
So this is a machine of its own. It knows the instructions that dictionaries, lists, tuples,
strings, numbers and numpy arrays are made of, in protocols 2 to 4, and no others. The names of
numpy's functions are compared with a list and never looked up; what they would have made becomes an
inert `ArrayRecord`. Memory is bounded by the size of the file and `MAX_INSTRUCTIONS`.

Source: the protocol as documented by Python's ``pickletools``.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum, auto
from typing import NoReturn

MAX_INSTRUCTIONS = 1_000_000
"""50,000 images with two labels and a name each, the largest published file, take 200,000."""
_LONGEST_NAME = 100


class _Name(Enum):
    """What stands in a value's place where the file names something of numpy; not callable."""

    NDARRAY = auto()
    DTYPE = auto()
    RECONSTRUCT = auto()
    BYTES = auto()


_NAMES = {
    b"numpy.ndarray": _Name.NDARRAY,
    b"numpy.dtype": _Name.DTYPE,
    b"numpy.core.multiarray._reconstruct": _Name.RECONSTRUCT,
    b"numpy._core.multiarray._reconstruct": _Name.RECONSTRUCT,  # where it is since numpy 2
}


class InertPickleError(ValueError):
    """The bytes are not a whole pickle, or one of something else; says what is wrong where."""


@dataclass(slots=True)
class ArrayRecord:
    """What a pickle says about an array of unsigned bytes; nothing of it is checked.

    Attributes:
        shape: As the file has it.
        fortran: The last index runs slowest.
        payload: The elements.
    """

    shape: tuple[int, ...] = ()
    fortran: bool = False
    payload: bytes = b""


def read_pickle(data: bytes) -> object:
    """What a pickle holds: None, bool, int, bytes (for any string), list, tuple, dict, ArrayRecord.

    Strings stay encoded, since files of Python 2 do not say how.

    Raises:
        InertPickleError: An instruction, a name or a nesting that such values do not need; a
            damaged or truncated pickle; bytes behind its end.
    """
    return _Machine(data).run()


class _Machine:
    def __init__(self, data: bytes) -> None:
        self.data = data
        self.at = 0
        self.stack: list[object] = []
        self.below: list[list[object]] = []  # the stacks below each mark
        self.memo: dict[int, object] = {}

    def run(self) -> object:
        for _ in range(MAX_INSTRUCTIONS):
            code = self.take(1)
            if code == b".":
                return self.end()
            if code not in _INSTRUCTIONS:
                self.refuse(f"has the instruction 0x{code.hex()}, which plain values do not need")
            _INSTRUCTIONS[code](self)
        raise InertPickleError(f"has more than {MAX_INSTRUCTIONS:,} instructions")

    def end(self) -> object:
        value = self.pop()
        if self.stack or self.below:
            self.refuse("ends with values left over")
        if self.at != len(self.data):
            self.refuse(f"ends {len(self.data) - self.at:,} bytes before the file does")
        return value

    def refuse(self, problem: str) -> NoReturn:
        raise InertPickleError(f"{problem}, at byte {self.at:,}")

    # --- bytes ---

    def take(self, count: int) -> bytes:
        found = self.data[self.at : self.at + count]
        if len(found) < count:
            raise InertPickleError(
                f"ends at byte {len(self.data):,}, where {count - len(found):,} more are announced"
            )
        self.at += count
        return found

    def skip(self, count: int) -> None:
        self.take(count)

    def number(self, width: int) -> int:
        return int.from_bytes(self.take(width), "little")

    def line(self) -> bytes:
        end = self.data.find(b"\n", self.at, self.at + _LONGEST_NAME)
        if end < 0:
            self.refuse("has a name that does not end")
        found = self.data[self.at : end]
        self.at = end + 1
        return found

    # --- the stack ---

    def push(self, value: object) -> None:
        self.stack.append(value)

    def pop(self) -> object:
        if not self.stack:
            self.refuse("takes a value where there is none")
        return self.stack.pop()

    def pop_to_mark(self) -> list[object]:
        if not self.below:
            self.refuse("goes back to a mark where there is none")
        found, self.stack = self.stack, self.below.pop()
        return found

    def mark(self) -> None:
        self.below.append(self.stack)
        self.stack = []

    def remember(self, index: int) -> None:
        self.push(value := self.pop())
        self.memo[index] = value

    def recall(self, index: int) -> None:
        if index not in self.memo:
            self.refuse(f"recalls value {index:,}, which was not remembered")
        self.push(self.memo[index])

    def tuple_of(self, count: int) -> None:
        self.push(tuple(reversed([self.pop() for _ in range(count)])))

    # --- containers ---

    def extend(self, items: list[object]) -> None:
        target = self.pop()
        if not isinstance(target, list):
            self.refuse("appends to what is not a list")
        target.extend(items)
        self.push(target)

    def store(self, items: list[object]) -> None:
        target = self.pop()
        if not isinstance(target, dict) or len(items) % 2:
            self.refuse("stores into what is not a dictionary")
        for key, value in zip(items[::2], items[1::2], strict=True):
            if not isinstance(key, bytes):  # anything else could be costly to hash
                self.refuse("has a key that is not a string")
            target[key] = value
        self.push(target)

    # --- arrays ---

    def name(self, module: object, name: object) -> None:
        if not (isinstance(module, bytes) and isinstance(name, bytes)):
            self.refuse("has a name that is not a string")
        full = module + b"." + name
        if full not in _NAMES:
            self.refuse(f"names {full[:_LONGEST_NAME]!r}, which is never called")
        self.push(_NAMES[full])

    def reduce(self) -> None:
        arguments, function = self.pop(), self.pop()
        match function, arguments:
            case _Name.DTYPE, (b"u1" | b"|u1", _, _):
                self.push(_Name.BYTES)
            case _Name.DTYPE, (bytes() as code, _, _):
                self.refuse(f"has an array of {code[:20]!r}; expected unsigned bytes, b'u1'")
            case _Name.RECONSTRUCT, (_Name.NDARRAY, *_):
                self.push(ArrayRecord())
            case _:
                self.refuse("calls what is never called")

    def build(self) -> None:
        state, target = self.pop(), self.pop()
        match target, state:
            case _Name.BYTES, tuple():
                pass  # byte order and alignment, which single bytes do not have
            case ArrayRecord(), (
                _,
                tuple() as shape,
                _Name.BYTES,
                bool() as fortran,
                bytes() as it,
            ):
                if not all(type(extent) is int for extent in shape):
                    self.refuse("has an array whose shape is not made of whole numbers")
                target.shape, target.fortran, target.payload = shape, fortran, it
            case _:
                self.refuse("gives an object a state that it cannot have")
        self.push(target)


def _protocol(machine: _Machine) -> None:
    version = machine.number(1)
    if not 2 <= version <= 4:
        machine.refuse(f"is of protocol {version}; protocols 2 to 4 are read")


_INSTRUCTIONS: dict[bytes, Callable[[_Machine], None]] = {
    b"\x80": _protocol,
    b"\x95": lambda m: m.skip(8),  # the size of a frame, of use to those who read a stream
    # values
    b"N": lambda m: m.push(None),
    b"\x88": lambda m: m.push(True),
    b"\x89": lambda m: m.push(False),
    b"K": lambda m: m.push(m.number(1)),
    b"M": lambda m: m.push(m.number(2)),
    b"J": lambda m: m.push(int.from_bytes(m.take(4), "little", signed=True)),
    # strings: of Python 2, bytes, text; the length before them in one or four bytes
    b"U": lambda m: m.push(m.take(m.number(1))),
    b"T": lambda m: m.push(m.take(m.number(4))),
    b"C": lambda m: m.push(m.take(m.number(1))),
    b"B": lambda m: m.push(m.take(m.number(4))),
    b"\x8c": lambda m: m.push(m.take(m.number(1))),
    b"X": lambda m: m.push(m.take(m.number(4))),
    # containers
    b"(": _Machine.mark,
    b"}": lambda m: m.push({}),
    b"]": lambda m: m.push([]),
    b")": lambda m: m.push(()),
    b"\x85": lambda m: m.tuple_of(1),
    b"\x86": lambda m: m.tuple_of(2),
    b"\x87": lambda m: m.tuple_of(3),
    b"t": lambda m: m.push(tuple(m.pop_to_mark())),
    b"a": lambda m: m.extend([m.pop()]),
    b"e": lambda m: m.extend(m.pop_to_mark()),
    b"s": lambda m: m.store([m.pop(), m.pop()][::-1]),
    b"u": lambda m: m.store(m.pop_to_mark()),
    # the memo
    b"q": lambda m: m.remember(m.number(1)),
    b"r": lambda m: m.remember(m.number(4)),
    b"\x94": lambda m: m.remember(len(m.memo)),
    b"h": lambda m: m.recall(m.number(1)),
    b"j": lambda m: m.recall(m.number(4)),
    # arrays
    b"c": lambda m: m.name(m.line(), m.line()),
    b"\x93": lambda m: m.name(*[m.pop(), m.pop()][::-1]),
    b"R": _Machine.reduce,
    b"b": _Machine.build,
}
