"""The bytes of both revisions: exact, so one process each says all there is to say.

What changed is reported beside the times. It fails nothing: bytes are gated by a golden file, where
a change that is meant can be accepted; here it could not.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

from pydantic import ValidationError

from trainfit.bench.gate.compare import Finding, Kind, Severity, compare_entries
from trainfit.bench.gate.explain import explain
from trainfit.bench.gate.golden import Entry
from trainfit.bench.gate.metrics import entry_of_record, key_of
from trainfit.bench.gate.rules import Direction, Rule, Unit
from trainfit.bench.latency_comparison.tree_process import TreeProcesses
from trainfit.bench.processes.child import Ending, Message
from trainfit.bench.records.schema import Memory, Workload
from trainfit.bench.records.schema.older import upgraded_memory

TARGET = "trainfit.bench.run.worker:confirm"

_TOTALS = ("static_bytes", "storage_bytes", "peak_dynamic_bytes", "peak_bytes")
"""What is compared; what they are made of explains them."""

_SMALLER = Rule(
    metric="*", unit=Unit.BYTES, direction=Direction.SMALLER, why="less memory is no loss"
)


@dataclass(frozen=True)
class BytesFound:
    """What became of the bytes of one workload.

    Attributes:
        findings: What is not the same; empty where all is, and where nothing could be compared.
        explained: Which tensors did it, in words.
        note: Why nothing could be compared; empty if it could.
    """

    findings: tuple[Finding, ...] = ()
    explained: tuple[str, ...] = ()
    note: str = ""


def compare_bytes(
    workload: Workload,
    then: TreeProcesses,
    now: TreeProcesses,
    *,
    scratch: Path,
    timeout_seconds: float,
) -> BytesFound:
    """Measure the memory of a workload in both trees, on random samples, and compare it.

    Args:
        workload: With its model's name in full; its data set is not read.
        then: The other revision.
        now: The working tree.
        scratch: Folder for logs.
        timeout_seconds: Cap on each process.
    """

    def measured(side: TreeProcesses) -> Memory | str:
        return _measure(workload, side, scratch, timeout_seconds)

    with ThreadPoolExecutor(2) as both:  # bytes do not mind company
        found = dict(zip(("then", "now"), both.map(measured, (then, now)), strict=True))
    for name, memory in found.items():
        if isinstance(memory, str):
            whose = "the working tree's" if name == "now" else "the other revision's"
            return BytesFound(note=f"bytes not compared; {whose} are not known: {memory}")
    then_entry, now_entry = (
        entry_of_record(memory, []) for memory in found.values() if isinstance(memory, Memory)
    )
    return compare_memory(key_of(workload), then_entry, now_entry)


def compare_memory(key: str, then: Entry, now: Entry) -> BytesFound:
    """The totals of two measurements held against each other.

    Args:
        key: The workload's name.
        then: Figures of the other revision.
        now: Those of the working tree.
    """
    findings = compare_entries(key, _totals(then), _totals(now), [_SMALLER])
    return BytesFound(
        tuple(map(_reported, findings)), tuple(explain(then, now)) if findings else ()
    )


def _measure(
    workload: Workload, side: TreeProcesses, scratch: Path, timeout_seconds: float
) -> Memory | str:
    """The memory, or why there is none."""
    parts: Message = {}
    outcome = side.call(
        TARGET,
        {"workload": workload.model_dump(mode="json", exclude_defaults=True)},
        log=scratch / f"bytes-{id(side)}.log",
        timeout_seconds=timeout_seconds,
        on_message=parts.update,
    )
    if outcome.ending is not Ending.RETURNED:
        return f"{outcome.type}: {outcome.message}"
    try:
        memory = Memory.model_validate(upgraded_memory(parts["memory"]))
    except (KeyError, ValidationError):
        return "its records are of another version"
    return memory if memory.deterministic else "they are not deterministic"


def _totals(entry: Entry) -> Entry:
    figures = {
        place: {name: value for name, value in metrics.items() if name in _TOTALS}
        for place, metrics in entry.figures.items()
    }
    return Entry(figures={place: metrics for place, metrics in figures.items() if metrics})


def _reported(found: Finding) -> Finding:
    words = {Kind.MISSING: "only the other revision has this", Kind.NEW: "only now is there this"}
    severity = Severity.NOTE if found.kind is Kind.BETTER else Severity.WARN
    reason = words.get(found.kind, "bytes are gated with --golden; here they are only reported")
    return replace(found, severity=severity, reason=reason)
