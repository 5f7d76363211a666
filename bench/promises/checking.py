"""A rule checked in processes of its own: what crashes or hangs breaks the promise at hand.

``check`` is called by the command; ``run`` runs in the process, and sends what it finds.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from trainfit.bench.errors import BenchError
from trainfit.bench.processes.child import Ending, Message, Outcome
from trainfit.bench.processes.isolation import call
from trainfit.bench.promises.finding import Finding, Standing

FIRST_SECONDS = 120.0
"""A first step may take this long, with the compiling of its kernels."""

SECONDS = 600.0
"""And all that is checked after it."""

FIRST = ("options", "builds", "steps")


class CheckError(BenchError):
    """The rule cannot be checked as it was asked; the message says why."""


@dataclass(frozen=True)
class Asked:
    """What is to be checked.

    Attributes:
        rule: A registered name or ``package.module:Class``.
        options: By name.
        models: Full names of nets; none for small ones of every family that it trains.
        rows: Samples in a batch.
        quick: Leave out what takes longest, and further nets.
    """

    rule: str
    options: dict[str, Any] = field(default_factory=dict)
    models: tuple[str, ...] = ()
    rows: int = 12
    quick: bool = False


def check(
    asked: Asked, names: Sequence[str], found: Callable[[Finding], object] = lambda _: None
) -> list[Finding]:
    """Check promises, each after those that it rests on.

    Args:
        asked: What is checked.
        names: Of the promises, in order.
        found: Called with each as it is found.

    Raises:
        CheckError: There is no such rule, or it refuses the options, the nets or the batch.
    """
    findings: dict[str, Finding] = {}

    def note(finding: Finding) -> None:
        findings[finding.promise] = finding
        found(finding)

    while rest := [name for name in names if name not in findings]:
        _one_process(asked, rest, list(findings.values()), note)
    return [findings[name] for name in names]


def _one_process(
    asked: Asked, names: list[str], before: list[Finding], note: Callable[[Finding], None]
) -> None:
    """Check as many as one process lives for; at least one."""
    first = [name for name in names if name in FIRST]
    parts: Message = {}

    def on_message(message: Message) -> None:
        if "found" in message:
            said = message["found"]
            note(Finding(**said | {"standing": Standing(said["standing"])}))
        else:
            parts.update(message)

    with tempfile.TemporaryDirectory() as scratch:
        outcome = call(
            "trainfit.bench.promises.running:run",
            {
                "asked": asdict(asked),
                "names": first or names,
                "before": [asdict(each) for each in before],
            },
            log=Path(scratch) / "log",
            timeout_seconds=FIRST_SECONDS if first else SECONDS,
            on_message=on_message,
        )
    if outcome.ending is Ending.RETURNED:
        return
    if "checking" not in parts:
        raise CheckError(_refusal(asked, outcome))
    where = (outcome.where or "").partition(" ")[0]
    note(Finding(parts["checking"], Standing.BROKEN, _ending(outcome), where))


def _refusal(asked: Asked, outcome: Outcome) -> str:
    if outcome.type == "ConfigurationError":
        return outcome.message
    where = f" ({outcome.where})" if outcome.where else ""
    return f"{asked.rule} cannot be checked: {outcome.type}: {outcome.message}{where}"


def _ending(outcome: Outcome) -> str:
    if outcome.ending is Ending.TIMED_OUT:
        return f"{outcome.message}; every step has to come to its end"
    return f"the process ended: {outcome.message}"


def any_broken(findings: Iterable[Finding]) -> bool:
    """Whether a promise is broken."""
    return any(each.standing is Standing.BROKEN for each in findings)
