"""The arithmetic of one step: multiply-accumulates and element operations, by number format.

It is counted from the step's trace (``bench/trace/operations``). Products of matrices are
multiply-accumulates (MACs; torch's ``FlopCounterMode`` counts two operations each), everything else
is counted element by element. Moving data is not counted, nor is unpacking bits.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from enum import StrEnum


class NumberFormat(StrEnum):
    """Number format of the operands of an operation."""

    FP32 = "fp32"
    INT8 = "int8"  # both operands; sums are INT32
    FP32_BINARY = "fp32_binary"  # one operand is a sign or a bit: additions only
    BINARY = "binary"  # both operands are bits: XNOR or AND, then population count


class Kind(StrEnum):
    """Kind of an element operation."""

    ADD = "add"  # and subtract
    MULTIPLY = "multiply"
    COMPARE = "compare"  # maximum, clip, sign, rectifier: one per bound
    DIVIDE = "divide"  # and square root
    TRANSCENDENTAL = "transcendental"  # exp, log, tanh, sigmoid
    RANDOM = "random"  # one pseudo-random number


class Call(StrEnum):
    """Kind of an operation that is called once per tensor."""

    PRODUCT = "product"
    ELEMENTWISE = "elementwise"


@dataclass(frozen=True)
class PhaseOperations:
    """The arithmetic of one phase.

    Attributes:
        macs: Multiply-accumulates of matrix products by number format.
        elementwise: Element operations by number format and kind.
        operands: Elements that matrix products read, every operand once per product, by number
            format of the product. Of two formats (``fp32_binary``) this counts both operands.
        results: Elements that matrix products write, every result once.
        calls: How many products and element operations there are, each over a whole tensor.
    """

    macs: Counter[NumberFormat] = field(default_factory=Counter)
    elementwise: Counter[tuple[NumberFormat, Kind]] = field(default_factory=Counter)
    operands: Counter[NumberFormat] = field(default_factory=Counter)
    results: Counter[NumberFormat] = field(default_factory=Counter)
    calls: Counter[Call] = field(default_factory=Counter)

    def add(self, other: PhaseOperations) -> None:
        """Add the counts of another tally."""
        for own, more in zip(vars(self).values(), vars(other).values(), strict=True):
            for what, count in more.items():
                own[what] += count


class Operations:
    """A tally per phase; a refined phase counts in the phases it refines too."""

    def __init__(self) -> None:
        self._phases: dict[str, PhaseOperations] = {}

    def enter(self, phases: list[str]) -> None:
        """Register these phases, even if nothing is computed in them."""
        for name in phases:
            self._phases.setdefault(name, PhaseOperations())

    def product(
        self,
        phases: list[str],
        rows: int,
        inner: int,
        columns: int,
        number_format: NumberFormat,
        *,
        times: int = 1,
    ) -> None:
        """Count ``times`` (rows, inner) times (inner, columns) products in all of ``phases``."""
        for name in phases:
            phase = self._phases[name]
            phase.macs[number_format] += times * rows * inner * columns
            phase.operands[number_format] += times * (rows + columns) * inner
            phase.results[number_format] += times * rows * columns
            phase.calls[Call.PRODUCT] += times

    def each(
        self,
        phases: list[str],
        kind: Kind,
        elements: int,
        number_format: NumberFormat,
        *,
        times: int = 1,
    ) -> None:
        """Count an operation on every one of ``elements``, ``times`` over, in all of ``phases``."""
        for name in phases:
            phase = self._phases[name]
            phase.elementwise[number_format, kind] += times * elements
            phase.calls[Call.ELEMENTWISE] += times

    @property
    def phases(self) -> dict[str, PhaseOperations]:
        """Phase name to tally, in the order in which phases are first entered."""
        return dict(self._phases)

    def total(self) -> PhaseOperations:
        """The whole step: the sum over phases that refine no other."""
        total = PhaseOperations()
        for name, phase in self._phases.items():
            if "." not in name:
                total.add(phase)
        return total
