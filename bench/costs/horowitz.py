"""Energy of arithmetic and of memory traffic in one technology, for ratios between number formats.

Horowitz, "Computing's energy problem (and what we can do about it)", ISSCC 2014, Fig. 1.1.9: energy
per operation at 45 nm and 0.9 V (figures quoted at second hand). It holds nothing of fetching and
decoding instructions, of leakage or of clocks, which dominate on a microcontroller: a float32
multiply-accumulate is 4.6 pJ there, and a cycle of a Cortex-M takes hundreds. So this says how two
steps compare, and never how many joules one takes on a device.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from trainfit.bench.costs.intervals import Interval, not_countable, scaled, summed
from trainfit.bench.costs.roofline import traffic_bytes
from trainfit.bench.records.schema import PhaseOperations, StageOperations

SOURCE = "Horowitz, ISSCC 2014, Fig. 1.1.9, 45 nm, 0.9 V; for ratios only"

MAC_PICOJOULES: Mapping[str, Interval] = {
    "fp32": (4.6, 4.6),  # multiplication 3.7, addition 0.9
    "int8": (0.23, 0.3),  # multiplication 0.2, addition 0.03 in 8 bits or 0.1 in 32
    "fp32_binary": (0.9, 0.9),  # an addition
    "binary": (0.0, 0.03),  # not in the table: at most an addition of 8 bits
}

ELEMENT_PICOJOULES: Mapping[tuple[str, str], float] = {
    ("fp32", "add"): 0.9,
    ("fp32", "compare"): 0.9,  # as an addition
    ("fp32", "multiply"): 3.7,
    ("int8", "add"): 0.03,
    ("int8", "compare"): 0.03,
    ("int8", "multiply"): 0.2,
}
"""Divisions, transcendental functions and random numbers are not in the table: left out."""

CACHE_PICOJOULES_PER_BYTE = 10 / 8
"""64 bits from a cache of 8 KiB."""

DRAM_PICOJOULES_PER_BYTE = 2600 / 8
"""64 bits from DRAM; the table has 1300 to 2600."""


def arithmetic(stages: Sequence[StageOperations]) -> Interval:
    """Picojoules of the arithmetic of one step of every stage."""
    return summed(_arithmetic(phase) for stage in stages for phase in stage.outermost)


def traffic(stages: Sequence[StageOperations]) -> Interval:
    """Picojoules of the memory traffic of one step of every stage.

    Operands that all come from a small cache at the lower end; from DRAM, each once per product or
    element operation, at the upper.
    """
    moved = sum(traffic_bytes(phase) for stage in stages for phase in stage.outermost)
    return moved * CACHE_PICOJOULES_PER_BYTE, moved * DRAM_PICOJOULES_PER_BYTE


def not_comparable(a: Sequence[StageOperations], b: Sequence[StageOperations]) -> str:
    """Why there is no ratio of the arithmetic of B to that of A; empty where there is one."""
    for letter, stages in (("A", a), ("B", b)):
        if reason := not_countable(stages):
            return f"{letter}: {reason}"
    return "" if arithmetic(a)[0] else "A: its operations may take nothing, by this table"


def ratio(interval: Interval, base: Interval) -> Interval:
    """How many times ``base``, at least and at most; ``base`` is more than 0."""
    return interval[0] / base[1], interval[1] / base[0]


def ratio_text(interval: Interval, base: Interval) -> str:
    """The same for people."""
    low, high = (f"{end:.2f}" for end in ratio(interval, base))
    return low if low == high else f"{low} to {high}"


def _arithmetic(phase: PhaseOperations) -> Interval:
    products = [scaled(MAC_PICOJOULES[each], count) for each, count in phase.macs.items()]
    elements = sum(
        ELEMENT_PICOJOULES.get((number_format, kind), 0.0) * count
        for number_format, kinds in phase.elementwise.items()
        for kind, count in kinds.items()
    )
    return summed([*products, (elements, elements)])
