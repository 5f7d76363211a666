"""The arithmetic of one step: multiply-accumulates and element operations, by number format.

An algorithm tallies its arithmetic where it states its memory, in ``memory_model``, so that both
follow from one walk through the step. What is counted is the rule's own arithmetic: products of
matrices as multiply-accumulates (MACs; torch's ``FlopCounterMode`` counts two operations each),
everything else element by element. Moving data is not arithmetic and is not counted, nor is what
only this implementation does, such as unpacking a tile of bits.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from enum import StrEnum


class NumberFormat(StrEnum):
    """What the operands of an operation are made of."""

    FP32 = "fp32"
    INT8 = "int8"  # both operands; sums are INT32
    FP32_BINARY = "fp32_binary"  # one operand is a sign or a bit: additions only
    BINARY = "binary"  # both operands are bits: XNOR or AND, then population count


class Kind(StrEnum):
    """What is done with an element."""

    ADD = "add"  # and subtract
    MULTIPLY = "multiply"
    COMPARE = "compare"  # maximum, clip, sign, rectifier: one per bound
    DIVIDE = "divide"  # and square root
    TRANSCENDENTAL = "transcendental"  # exp, log, tanh, sigmoid
    RANDOM = "random"  # one pseudo-random number


@dataclass(frozen=True)
class PhaseOperations:
    """The arithmetic of one phase.

    Attributes:
        macs: Multiply-accumulates of matrix products by number format.
        elementwise: Element operations by number format and kind.
    """

    macs: Counter[NumberFormat] = field(default_factory=Counter)
    elementwise: Counter[tuple[NumberFormat, Kind]] = field(default_factory=Counter)


class Operations:
    """A tally per phase; a refined phase counts in the phases it refines too."""

    def __init__(self) -> None:
        self._phases: dict[str, PhaseOperations] = {}

    def enter(self, phases: list[str]) -> None:
        """Know these phases, even if nothing is computed in them."""
        for name in phases:
            self._phases.setdefault(name, PhaseOperations())

    def product(self, phases: list[str], macs: int, number_format: NumberFormat) -> None:
        """Count a matrix product in all of ``phases``."""
        for name in phases:
            self._phases[name].macs[number_format] += macs

    def each(
        self, phases: list[str], kind: Kind, elements: int, number_format: NumberFormat
    ) -> None:
        """Count an operation on every one of ``elements`` in all of ``phases``."""
        for name in phases:
            self._phases[name].elementwise[number_format, kind] += elements

    @property
    def phases(self) -> dict[str, PhaseOperations]:
        """Phase name to tally, in the order in which phases are first entered."""
        return dict(self._phases)

    def total(self) -> PhaseOperations:
        """The whole step: the sum over phases that refine no other."""
        total = PhaseOperations()
        for name, phase in self._phases.items():
            if "." not in name:
                total.macs.update(phase.macs)
                total.elementwise.update(phase.elementwise)
        return total
