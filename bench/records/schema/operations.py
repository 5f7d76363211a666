"""The part of a record that is arithmetic."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol, Self

from pydantic import Field

from trainfit.bench.records.schema.base import Block, Evidence


class Tally(Protocol):
    """What :class:`trainfit.algorithms.memory.operations.PhaseOperations` looks like from here."""

    @property
    def macs(self) -> Mapping[Any, int]:
        """Multiply-accumulates by number format."""

    @property
    def elementwise(self) -> Mapping[Any, int]:
        """Element operations by (number format, kind)."""

    @property
    def operands(self) -> Mapping[Any, int]:
        """Elements read by products, by number format."""

    @property
    def results(self) -> Mapping[Any, int]:
        """Elements written by products, by number format."""

    @property
    def calls(self) -> Mapping[Any, int]:
        """Products and element operations, each over a whole tensor."""


class PhaseOperations(Block):
    """Arithmetic of one phase of a step.

    ``macs`` are multiply-accumulates of matrix products by number format; ``elementwise`` are
    element operations by number format and kind; ``operands`` and ``results`` are the elements
    that products read and write; ``calls`` counts both. See
    :mod:`trainfit.algorithms.memory.operations`.
    """

    macs: dict[str, int]
    elementwise: dict[str, dict[str, int]]
    operands: dict[str, int] = Field(default_factory=dict)
    results: dict[str, int] = Field(default_factory=dict)
    calls: dict[str, int] = Field(default_factory=dict)
    """Empty in records of version 1, as are ``operands`` and ``results``."""


class StageOperations(Block):
    """Arithmetic of a step of one stage, in closed form; refined phases count in those around."""

    evidence: Evidence = Evidence.ANALYTIC
    stage: str
    static_bytes: int | None = None
    """Closed-form static bytes; None in records of version 1."""
    phases: dict[str, PhaseOperations]

    @property
    def macs(self) -> dict[str, int]:
        """Multiply-accumulates of the whole step by number format."""
        total: dict[str, int] = {}
        for name, phase in self.phases.items():
            for number_format, count in phase.macs.items() if "." not in name else ():
                total[number_format] = total.get(number_format, 0) + count
        return total

    @classmethod
    def of(cls, stage: str, phases: Mapping[str, Tally], static_bytes: int | None = None) -> Self:
        """From the tallies of a memory model."""
        return cls(
            stage=stage,
            static_bytes=static_bytes,
            phases={
                name: PhaseOperations(
                    macs=_named(tally.macs),
                    elementwise=_nested(tally.elementwise),
                    operands=_named(tally.operands),
                    results=_named(tally.results),
                    calls=_named(tally.calls),
                )
                for name, tally in phases.items()
            },
        )


def _named(tally: Mapping[str, int]) -> dict[str, int]:
    return {str(key): count for key, count in tally.items()}


def _nested(tally: Mapping[tuple[str, str], int]) -> dict[str, dict[str, int]]:
    nested: dict[str, dict[str, int]] = {}
    for (number_format, kind), count in tally.items():
        nested.setdefault(str(number_format), {})[str(kind)] = count
    return nested
