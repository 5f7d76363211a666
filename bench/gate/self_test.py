"""Does the gate see what it should? Changes of a known size are planted in a step and looked for.

A gate that never fails looks like a gate that finds nothing. So a tensor of a known size is kept
during the step (a growth), taken away again (a shrink) and kept for ever (a leak), and the whole
way from the allocator to the findings has to say that size.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from trainfit.bench.gate.compare import FindingKind, GateResult, compare_workloads
from trainfit.bench.gate.figures import StepFigures, figures_of_profile
from trainfit.bench.gate.golden import Conditions, Golden

if TYPE_CHECKING:
    from trainfit.bench.profiler import StepProfile

PLANTED_BYTES = 1_024

_KEY = "step"
_ANY = Conditions(torch="any")

Step = Callable[[], Any]


@dataclass(frozen=True)
class Planted:
    """What came of one planted change.

    Attributes:
        what: ``growth``, ``shrink`` or ``leak``.
        bytes: What was planted.
        saw: What the gate says; None where it does not say anything of the kind.
        told: Its first explanation.
        fails: It would have failed the job.
    """

    what: str
    bytes: int
    saw: int | None
    told: str
    fails: bool

    @property
    def seen(self) -> bool:
        """It was seen to the byte, and would have failed."""
        return self.saw == self.bytes and self.fails

    @property
    def text(self) -> str:
        """One line: ``self-test: growth: planted +1,024 B, saw +1,024 B: new: ...``."""
        saw = "saw nothing" if self.saw is None else f"saw {self.saw:+,} B"
        passed = "" if self.fails else ", and the gate passes"
        told = f": {self.told}" if self.told else ""
        fault = "" if self.seen else "FAULT: "
        return f"self-test: {fault}{self.what}: planted {self.bytes:+,} B, {saw}{passed}{told}"


def self_test(
    step: Step, profile: Callable[[Step], StepProfile], *, size: int = PLANTED_BYTES
) -> list[Planted]:
    """Plant a growth, a shrink and a leak in a training step.

    Args:
        step: The step; it goes on training.
        profile: How it is measured.
        size: Bytes to plant.

    Raises:
        Exception: Whatever the step or the measuring raises.
    """
    import torch  # noqa: PLC0415  (the gate itself needs none)

    kept = []

    def grown() -> None:
        more = torch.empty(size, dtype=torch.uint8)
        step()
        del more

    def leaking() -> None:
        kept.append(torch.empty(size, dtype=torch.uint8))
        step()

    plain, more, leak = (figures_of_profile(profile(each)) for each in (step, grown, leaking))
    growth, shrink, left = _gate(plain, more), _gate(more, plain), _gate(plain, leak)
    return [
        _planted("growth", size, growth, _net(growth)),
        _planted("shrink", -size, shrink, _net(shrink)),
        _planted("leak", size, left, _left(left)),
    ]


def _gate(then: StepFigures, now: StepFigures) -> GateResult:
    return compare_workloads(Golden(conditions=_ANY, workloads={_KEY: then}), {_KEY: now})


def _net(result: GateResult) -> int | None:
    change = result.changes.get(_KEY)
    return change.after.ram - change.before.ram if change and result.findings else None


def _left(result: GateResult) -> int | None:
    if not any(found.kind is FindingKind.LEAKS for found in result.findings):
        return None
    change = result.changes[_KEY]
    return change.after.left - change.before.left


def _planted(what: str, size: int, result: GateResult, saw: int | None) -> Planted:
    told = next(iter(result.explained.get(_KEY, ())), "")
    return Planted(what, size, saw, told, result.exit_code == 1)
