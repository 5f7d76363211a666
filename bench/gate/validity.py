"""Is a record valid: did it end well, and are its figures the same every time?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from trainfit.bench.errors import RunFolderError
from trainfit.bench.gate.golden import Entry
from trainfit.bench.gate.metrics import entry_of_record, key_of
from trainfit.bench.records.schema import Record, RecordStatus


@dataclass(frozen=True)
class Measured:
    """What a run has to say to the gate.

    Attributes:
        entries: Figures of every valid workload, by its name.
        invalid: Why the others are not.
        version: Of the records, which say it in ``schema``.
        evidence: How bytes were measured, one word for all records.
    """

    entries: dict[str, Entry]
    invalid: dict[str, str]
    version: str
    evidence: str


def measured_of(records: Sequence[Record], run: Path) -> Measured:
    """Valid figures and invalid records of a run.

    A workload that is in the run twice (with other numbers of passes, say) must have the same
    bytes twice.

    Raises:
        RunFolderError: The run measured no memory at all, or not everywhere in the same way.
    """
    entries: dict[str, Entry] = {}
    invalid: dict[str, str] = {}
    for record in records:
        key = key_of(record.workload)
        reason = why_invalid(record)
        if reason is None and record.memory is not None:
            entry = entry_of_record(record.memory, record.operations)
            if entries.setdefault(key, entry).figures != entry.figures:
                reason = "two records of it in this run have different bytes"
        if reason is not None:
            invalid[key] = reason
    evidence = sorted({record.memory.evidence.value for record in records if record.memory})
    if not evidence:
        raise RunFolderError(_no_memory(records, run))
    if len(evidence) > 1:
        raise RunFolderError(
            f"{run}: mixes ways of measuring bytes ({', '.join(evidence)}); "
            "gate one run for each of them"
        )
    valid = {key: entry for key, entry in entries.items() if key not in invalid}
    return Measured(valid, invalid, records[0].schema_, evidence[0])


def why_invalid(record: Record) -> str | None:
    """Why the bytes of a record cannot be gated; None if they can."""
    if record.status is not RecordStatus.OK:
        error = record.error
        what = f": {error.type}: {error.message}" if error else ""
        return f"it ended as {record.status.value.replace('_', ' ')}{what}"
    if record.memory is None:
        return 'its memory was not measured; add "memory" to measure in the suite'
    unsteady = [stage.stage for stage in record.memory.stages if not stage.deterministic]
    if unsteady or not record.memory.deterministic:
        where = f" at stage {', '.join(unsteady)}" if unsteady else ""
        return f"its bytes are not deterministic{where}: repeats differed"
    return None


def _no_memory(records: Sequence[Record], run: Path) -> str:
    failed = next((why_invalid(each) for each in records if each.status is not RecordStatus.OK), "")
    if failed:
        return f"{run}: no record has bytes; of the first, {failed}"
    return (
        f"{run}: no record has bytes; run a suite that measures memory "
        '(measure = ["memory"]): trainfit run SUITE --out DIR'
    )
