"""Cycles of one multiply-accumulate or one element operation on a processor core.

A table has intervals, because the cost of the same C code depends on its context: operands in
registers or in memory, loops unrolled or not. ``low`` is the arithmetic alone, which no compiled
code can beat; ``high`` is a plain loop that loads every operand each time.
"""

from __future__ import annotations

from functools import cache
from importlib import resources
from typing import Any, ClassVar, Literal, Self

from pydantic import model_validator

from trainfit._text import nearest
from trainfit.hardware_profiles.errors import ProfileError
from trainfit.hardware_profiles.figures import PositiveFloat, Sourced, Table, Text
from trainfit.hardware_profiles.parsing import parse_table

_SUFFIX = ".toml"
_PACKED = 32  # operands in one word where an operand is one bit

NumberFormat = Literal["fp32", "int8", "fp32_binary", "binary"]
Kind = Literal["add", "multiply", "compare", "divide", "transcendental", "random"]


class CycleRange(Sourced):
    """The lowest and highest cycles of an operation, with the source of both.

    Attributes:
        low, high: The bounds; both may be fractions where one instruction does several.
    """

    quantity: ClassVar[str] = "cycle count"
    advice: ClassVar[str] = "write unit = 'cycles'"
    example: ClassVar[str] = '{ low = 1, high = 2, unit = "cycles", source = "document, section" }'
    numbers: ClassVar[tuple[str, ...]] = ("low", "high")

    low: PositiveFloat | None = None
    high: PositiveFloat | None = None
    unit: Literal["cycles"] | None = None

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.low is not None and self.high is not None and self.low > self.high:
            raise ValueError(f"low {self.low:g} is above high {self.high:g}; swap them")
        return self

    @property
    def text(self) -> str:
        """The range for people."""
        if self.low is None or self.high is None:
            return "unknown"
        if self.low == self.high:
            return f"{self.low:g} {'cycle' if self.low == 1 else 'cycles'}"
        return f"{self.low:g} to {self.high:g} cycles"


class CoreTable(Table):
    """The cycle table of one processor core.

    Attributes:
        name: Slug; the stem of its file, and the value of ``cycles`` in a profile.
        title: Its full name.
        note: Note on all figures below.
        load, store: One access to data memory, of a word or less.
        loop: Counter, address, compare and branch of one iteration of a loop that is not unrolled.
        mac: The arithmetic of one multiply-accumulate, by number format.
        operations: The arithmetic of one element operation, by number format and kind.
    """

    name: Text
    title: Text
    note: str = ""
    load: CycleRange
    store: CycleRange
    loop: CycleRange
    mac: dict[NumberFormat, CycleRange]
    operations: dict[NumberFormat, dict[Kind, CycleRange]]

    def mac_cycles(self, number_format: str) -> tuple[float, float]:
        """Cycles per multiply-accumulate of a product: ``(low, high)``.

        ``low`` is the arithmetic alone, with operands in registers and the loop fully unrolled.
        ``high`` is a plain loop that loads both operands for every multiply-accumulate. Bits are
        assumed to be packed into words of 32. If both operands are bits, loads and loop are shared
        by 32 multiply-accumulates; if one is, 32 share its load and an outer loop over words.
        Storing a result is not included, because it happens once per result.

        Args:
            number_format: ``fp32``, ``int8``, ``fp32_binary`` or ``binary``.

        Raises:
            ProfileError: The table has no such figure, or it is unknown.
        """
        if number_format not in self.mac:
            raise self._without("multiply-accumulate of", number_format, self.mac)
        low, high = self._bounds(f"mac.{number_format}", self.mac[number_format])
        load, loop = self._bounds("load", self.load)[1], self._bounds("loop", self.loop)[1]
        if number_format == "binary":
            overhead = (2 * load + loop) / _PACKED
        elif number_format == "fp32_binary":
            overhead = (load + loop) * (1 + 1 / _PACKED)
        else:
            overhead = 2 * load + loop
        return low, high + overhead

    def operation_cycles(self, number_format: str, kind: str) -> tuple[float, float]:
        """Cycles per element operation: ``(low, high)``.

        ``low`` is the operation alone. ``high`` is two loads, the operation, one store and one
        iteration of a plain loop.

        Args:
            number_format: As for ``mac_cycles``.
            kind: ``add``, ``multiply``, ``compare``, ``divide``, ``transcendental``, ``random``.

        Raises:
            ProfileError: The table has no such figure, or it is unknown.
        """
        if number_format not in self.operations:
            raise self._without("element operations in", number_format, self.operations)
        kinds = self.operations[number_format]
        if kind not in kinds:
            raise self._without(f"{number_format} operation", kind, kinds)
        low, high = self._bounds(f"operations.{number_format}.{kind}", kinds[kind])
        load, store = self._bounds("load", self.load)[1], self._bounds("store", self.store)[1]
        return low, high + 2 * load + store + self._bounds("loop", self.loop)[1]

    def _bounds(self, key: str, cycles: CycleRange) -> tuple[float, float]:
        if cycles.low is None or cycles.high is None:
            raise ProfileError(f"cycle table {self.name}: {key} is unknown: {cycles.unknown}")
        return cycles.low, cycles.high

    def _without(self, what: str, name: str, known: dict[Any, Any]) -> ProfileError:
        return ProfileError(f"cycle table {self.name}: no {what} {name!r}; {nearest(name, known)}")


def core_names() -> list[str]:
    """Names of the packaged cycle tables, sorted."""
    return sorted(
        entry.name.removesuffix(_SUFFIX)
        for entry in (resources.files(__package__ or "hardware_profiles") / "cores").iterdir()
        if entry.name.endswith(_SUFFIX)
    )


@cache
def load_core(name: str) -> CoreTable:
    """A packaged cycle table by its name.

    Raises:
        ProfileError: There is no such table. The message names the nearest.
    """
    names = core_names()
    if name not in names:
        raise ProfileError(f"unknown core {name!r}; {nearest(name, names)}")
    folder = resources.files(__package__ or "hardware_profiles") / "cores"
    return parse_core((folder / f"{name}{_SUFFIX}").read_bytes(), f"cores/{name}{_SUFFIX}")


def parse_core(content: bytes, file: str) -> CoreTable:
    """A cycle table from the bytes of its file.

    Args:
        content: TOML in UTF-8.
        file: Name of the file in a message; its stem must be the table's name.

    Raises:
        ProfileError: The file is malformed or contradicts itself. The message is one line: file,
            key, what is wrong, what would be right.
    """
    table = parse_table(CoreTable, content, file)
    stem = file.rpartition("/")[2].removesuffix(_SUFFIX)
    if table.name != stem:
        raise ProfileError(
            f"{file}: name: {table.name!r} is not the name of the file; write name = {stem!r}"
        )
    return table
