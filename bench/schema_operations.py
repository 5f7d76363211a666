"""The part of a record that is arithmetic."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol, Self

from .schema_base import Block, Evidence


class Tally(Protocol):
    """What :class:`algorithms.operations.PhaseOperations` looks like from here."""

    @property
    def macs(self) -> Mapping[Any, int]:
        """Multiply-accumulates by number format."""

    @property
    def elementwise(self) -> Mapping[Any, int]:
        """Element operations by (number format, kind)."""


class PhaseOperations(Block):
    """Arithmetic of one phase of a step.

    ``macs`` are multiply-accumulates of matrix products by number format; ``elementwise`` are
    element operations by number format and kind. See :mod:`algorithms.operations`.
    """

    macs: dict[str, int]
    elementwise: dict[str, dict[str, int]]


class StageOperations(Block):
    """Arithmetic of a step of one stage, in closed form; refined phases count in those around."""

    evidence: Evidence = Evidence.ANALYTIC
    stage: str
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
    def of(cls, stage: str, phases: Mapping[str, Tally]) -> Self:
        """From the tallies of a memory model."""
        return cls(
            stage=stage,
            phases={
                name: PhaseOperations(
                    macs={str(key): count for key, count in tally.macs.items()},
                    elementwise=_nested(tally.elementwise),
                )
                for name, tally in phases.items()
            },
        )


def _nested(tally: Mapping[tuple[str, str], int]) -> dict[str, dict[str, int]]:
    nested: dict[str, dict[str, int]] = {}
    for (number_format, kind), count in tally.items():
        nested.setdefault(str(number_format), {})[str(kind)] = count
    return nested
