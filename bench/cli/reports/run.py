"""What a person reads of a run: one table of figures and one matrix of verdicts.

Nothing is printed here: both are lists of rich renderables, of which a ``Text`` is one line. Bytes
are exact. A cell never says by colour alone what it says.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from trainfit.bench.records.schema import (
    Accuracy,
    Energy,
    ErrorRecord,
    Memory,
    Record,
    RecordStatus,
    Workload,
)
from trainfit.bench.verdicts.memory import Status, Verdict, worst
from trainfit.hardware_profiles import Allocator, Device, format_bytes

MISSING = "-"
CELLS = {
    Status.FITS: ("fits", "ok", "green"),
    Status.TIGHT: ("tight", "ok-", "yellow"),
    Status.EXCEEDS: ("no", "X", "red"),
    Status.UNKNOWN: ("?", "?", "magenta"),
}
"""How a verdict is written: as a word, shorter where there is no room, and its colour."""

MEANINGS = ("enough", "enough, little left", "too little", "not known")

COMFORTABLE_WIDTH = 100
"""With fewer columns than this, sub-phases go on a line of their own."""

WORD_WIDTH, SHORT_WIDTH = 6, 4
"""Columns a workload takes in the matrix with words and with short ones, with the space after."""

STATUS_WORDS = {
    RecordStatus.OK: "ok",
    RecordStatus.FAILED: "failed",
    RecordStatus.TIMED_OUT: "timed out",
    RecordStatus.OUT_OF_MEMORY: "out of memory",
}


def figures(records: Sequence[Record], width: int) -> list[RenderableType]:
    """One row per workload: accuracy, bytes, what owns the peak, prediction, time of a step.

    What all workloads share is said once, above; below the table is one line per failure.

    Args:
        records: The workloads, in the order that numbers them.
        width: Columns there are.
    """
    table = Table(box=None, padding=(0, 1, 0, 0), pad_edge=False, header_style="bold")
    table.add_column("#", justify="right", no_wrap=True)
    table.add_column("workload", overflow="fold", min_width=14)
    table.add_column("test\nacc", justify="right", no_wrap=True)
    table.add_column("static\nbytes", justify="right", no_wrap=True)
    table.add_column("peak dyn\nbytes", justify="right", no_wrap=True)
    table.add_column("peak in", overflow="fold", min_width=8)
    table.add_column("traced", justify="right", no_wrap=True)
    table.add_column("device\nview", justify="right", no_wrap=True)
    table.add_column("step\nms", justify="right", no_wrap=True)
    energy = any(record.energy and record.energy.joules_per_step for record in records)
    if energy:
        table.add_column("step\nmJ", justify="right", no_wrap=True)
    shared = _shared(records)
    notes: list[RenderableType] = []
    if any(record.memory and not record.memory.deterministic for record in records):
        notes.append(Text("~ peaks of repeated steps differed: not deterministic, never gated"))
    for number, record in enumerate(records, start=1):
        label = Text(_short_label(record, shared))
        if record.error:
            label.append(f" ({STATUS_WORDS[record.status]})", style="red")
            notes.append(_failure(number, record.status, record.error))
        if record.memory and record.memory.worst.not_predicted:
            notes.append(Text(f"#{number} not predicted: {record.memory.worst.not_predicted}"))
        cells = _cells(record, narrow=width < COMFORTABLE_WIDTH)
        if energy:
            cells.append(_millijoules(record))
        table.add_row(str(number), label, *cells)
    notes += _energy_notes(records)
    title = Text(", ".join(shared.values()), style="bold")
    return [title, table, *notes] if shared else [table, *notes]


def _shared(records: Sequence[Record]) -> dict[str, str]:
    """What all workloads have in common; said once, above the table."""
    says = {
        "model": "{}",
        "dataset": "{}",
        "batch_size": "batch size {}",
        "seed": "seed {}",
    }
    values = {key: {getattr(record.workload, key) for record in records} for key in says}
    shared = {key: says[key].format(*found) for key, found in values.items() if len(found) == 1}
    before = {_before(record.workload) for record in records}
    if len(before) == 1 and before != {""}:
        shared["pretrained"] = before.pop()
    return shared


def _before(workload: Workload) -> str:
    """What the net had learned; nothing of one that begins anew."""
    return "" if workload.pretrained is None else workload.pretrained.label


def _short_label(record: Record, shared: dict[str, str]) -> str:
    workload = record.workload
    parts = [workload.algorithm.rpartition(":")[2]]
    parts += [f"{key}={value}".lower() for key, value in sorted(workload.options.items())]
    for key, form in (("model", "{}"), ("dataset", "{}"), ("batch_size", "b{}"), ("seed", "s{}")):
        if key not in shared:
            parts.append(form.format(getattr(workload, key)))
    if "pretrained" not in shared and workload.pretrained is not None:
        parts.append(_before(workload))
    return " ".join(parts)


def _reached(accuracy: Accuracy | None) -> str:
    """The test accuracy; one on samples that were held out is marked."""
    if accuracy is None:
        return MISSING
    if accuracy.test_accuracy is None:
        return f"v {accuracy.validation_accuracy:.1%}"
    return f"{accuracy.test_accuracy:.1%}"


def _cells(record: Record, *, narrow: bool) -> list[str | Text]:
    memory, latency, accuracy = record.memory, record.latency, record.accuracy
    cells: list[str | Text] = [_reached(accuracy)]
    if memory is None:
        cells += [MISSING] * 5
    else:
        mark = "" if memory.deterministic else "~"
        cells += [
            f"{memory.static_bytes:,}",
            f"{mark}{memory.peak_dynamic_bytes:,}",
            memory.peak_phase.replace(".", "\n.") if narrow else memory.peak_phase,
            _predicted(memory),
            MISSING if memory.device_bytes is None else f"{memory.device_bytes:,}",
        ]
    seconds = latency.step_seconds_median if latency else None
    cells.append(MISSING if seconds is None else f"{seconds * 1e3:.2f}")
    return cells


def _millijoules(record: Record) -> str:
    joules = record.energy.joules_per_step if record.energy else None
    return MISSING if joules is None else f"{joules * 1e3:.3g}"


def _energy_notes(records: Sequence[Record]) -> list[Text]:
    """Where energy comes from, or why there is none; each said once."""
    found = [record.energy for record in records if record.energy is not None]
    said = dict.fromkeys(_energy_note(energy) for energy in found)
    return [Text(line) for line in said]


def _energy_note(energy: Energy) -> str:
    if energy.joules_per_step is not None:
        return f"energy by {energy.sensor}: {energy.coverage}"
    if energy.sensor is None:
        return "no energy: no sensor could be read (trainfit sensors says why)"
    return f"no energy by {energy.sensor}: {energy.reason}"


def _predicted(memory: Memory) -> Text:
    """``= peak`` where it is, otherwise what was measured beyond it."""
    if memory.predicted_bytes is None:
        return Text(MISSING)
    residual = memory.peak_dynamic_bytes - memory.predicted_bytes
    return Text(f"{residual:+,}", style="yellow") if residual else Text("= peak", style="green")


def _failure(number: int, status: RecordStatus, error: ErrorRecord) -> Text:
    what = f"{error.type}: {error.message}" if error.message else error.type
    where = f" at {error.where}" if error.where else ""
    return Text(f"#{number} {STATUS_WORDS[status]}: {what}{where}", style="red")


def verdicts(
    judged: Sequence[Sequence[Verdict]], devices: Sequence[Device], width: int
) -> list[RenderableType]:
    """Devices by workloads, then which device is the smallest for each.

    Args:
        judged: The verdicts on every workload, numbered from 1 as in the table.
        devices: What they were judged against; shown by usable RAM, the unknown last.
        width: Columns there are; workloads that do not fit beside each other get a block below.
    """
    if not devices or not any(judged):
        return []
    ordered = sorted(devices, key=lambda d: (d.usable_ram_bytes is None, d.usable_ram_bytes or 0))
    names = max(len(device.name) for device in ordered)
    sizes = max(len("usable RAM"), *(len(_ram(device)) for device in ordered))
    margin = names + 1 + sizes + 1
    words = margin + WORD_WIDTH * len(judged) <= width
    cell = WORD_WIDTH if words else max(SHORT_WIDTH, len(f"#{len(judged)} "))
    per_block = max(1, (width - margin) // cell)
    blocks = [
        _block(judged, ordered, range(start, min(start + per_block, len(judged))), words)
        for start in range(0, len(judged), per_block)
    ]
    legend = Text(f"{_whose_ram(judged, ordered)}, flash for storage{_others(judged)}: ")
    for (word, short, colour), meaning in zip(CELLS.values(), MEANINGS, strict=True):
        legend.append(word if words else short, style=colour).append(f" = {meaning} | ")
    legend.right_crop(3)
    return [*blocks, legend, *_reasons(judged, ordered)]


def _whose_ram(judged: Sequence[Sequence[Verdict]], devices: Iterable[Device]) -> str:
    """What RAM was judged for: in a planned arena, with torch, or with torch for want of one."""
    allocators = {device.name: device.allocator for device in devices}
    kinds = {
        (verdict.judged_by, allocators.get(verdict.device))
        for own in judged
        for verdict in own
        if verdict.judged_by is not None
    }
    planned, torch = Allocator.ARENA, Allocator.TORCH
    says = {
        (planned, planned): "static bytes + planned arena (microcontrollers)",
        (torch, torch): "static + peak dynamic bytes (boards that run torch)",
        (torch, planned): "static + peak dynamic bytes (microcontrollers without an arena)",
    }
    found = [text for kind, text in says.items() if kind in kinds]
    return f"RAM for {', '.join(found) or 'static + peak dynamic bytes'}"


def _others(judged: Sequence[Sequence[Verdict]]) -> str:
    """The budgets beyond bytes that were judged, and by which evidence."""
    found = {
        f"{verdict.budget.replace('_', ' ')} ({verdict.evidence})"
        for own in judged
        for verdict in own
        if verdict.unit != "B"
    }
    return "".join(f", {each}" for each in sorted(found))


def _block(
    judged: Sequence[Sequence[Verdict]], devices: Iterable[Device], chosen: range, words: bool
) -> Table:
    table = Table(box=None, padding=(0, 1, 0, 0), pad_edge=False, header_style="bold")
    table.add_column("device", no_wrap=True)
    table.add_column("usable RAM", justify="right", no_wrap=True)
    for index in chosen:
        table.add_column(f"#{index + 1}", no_wrap=True, min_width=WORD_WIDTH - 1 if words else None)
    for device in devices:
        row: list[str | Text] = [device.name, _ram(device)]
        for index in chosen:
            verdict = _deciding(judged[index], device)
            if verdict is None:
                row.append(MISSING)
            else:
                word, short, colour = CELLS[verdict.status]
                row.append(Text(word if words else short, style=colour))
        table.add_row(*row)
    return table


def _ram(device: Device) -> str:
    return "unknown" if device.usable_ram_bytes is None else format_bytes(device.usable_ram_bytes)


def _deciding(judged: Sequence[Verdict], device: Device) -> Verdict | None:
    own = [verdict for verdict in judged if verdict.device == device.name]
    return worst(own) if own else None


def _reasons(judged: Sequence[Sequence[Verdict]], devices: Sequence[Device]) -> list[Text]:
    """One line per device that is the smallest for some workload, and per what is in the way."""
    smallest: dict[str, list[int]] = {}
    nowhere: list[Text] = []
    unknown: dict[str, str] = {}
    for number, own in enumerate(judged, start=1):
        deciding = [(device, _deciding(own, device)) for device in devices]
        found = [(device, verdict) for device, verdict in deciding if verdict is not None]
        fitting = [d for d, v in found if v.status in {Status.FITS, Status.TIGHT}]
        exceeded = [v for _, v in found if v.status == Status.EXCEEDS]
        if fitting:
            smallest.setdefault(fitting[0].name, []).append(number)
        elif exceeded:
            unit = min(verdict.unit for verdict in exceeded)  # bytes before joules and seconds
            alike = [verdict for verdict in exceeded if verdict.unit == unit]
            best = max(alike, key=lambda verdict: verdict.margin or 0)
            nowhere.append(Text(f"#{number} fits on none; {best.device}: {best.reason}"))
        for device, verdict in found:
            if verdict.status == Status.UNKNOWN:
                unknown.setdefault(device.name, verdict.reason)
    lines = [
        Text(f"smallest device for {' '.join(f'#{n}' for n in smallest[device.name])}: ").append(
            device.name, style="bold"
        )
        for device in devices
        if device.name in smallest
    ]
    asked = [Text(f"? {name}: {reason}") for name, reason in unknown.items()]
    return [*lines, *nowhere, *asked]
