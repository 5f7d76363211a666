"""The answer to the inverse question, for people and for machines."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from trainfit._text import plain
from trainfit.bench.cli.output import unseen
from trainfit.bench.cli.reports.fit import NAMES
from trainfit.bench.cli.reports.pasting import pasted
from trainfit.bench.records.schema import Workload
from trainfit.bench.sizing.largest import Largest, Probe
from trainfit.bench.sizing.measured_largest import MeasuredLargest, Step
from trainfit.bench.sizing.other_options import Reach
from trainfit.bench.verdicts.memory import Status, Verdict
from trainfit.bench.verdicts.ram import IN_WORDS
from trainfit.hardware_profiles import Allocator, Device, format_bytes

PROBE_COLUMNS = unseen(
    "size ram_bytes torch_ram_bytes status budget margin unit evidence judged_by reason"
)
"""Of every size that was looked at; machines only."""

MOST_EXCEPTIONS = 5


STEP_COLUMNS = unseen(
    "size ram_bytes predicted_bytes torch_ram_bytes status budget margin unit evidence judged_by",
    "reason",
)
"""Of every size that was measured; machines only."""

REACH_COLUMNS = unseen(
    "size options ram_bytes torch_ram_bytes status algorithm model batch_size command"
)
"""Of every size that other options allow; machines only."""

MOST_REACHED = 3

NOT_TRIED = "other options were not tried: the prediction of so many layers takes too long"


def largest_lines(
    found: Largest, device: Device, measured: MeasuredLargest | None = None
) -> list[str]:
    """The answer to the inverse question, in sentences.

    Args:
        found: By prediction.
        device: What it had to fit.
        measured: What a measurement said; where it disagrees, it has the word.
    """
    if measured is not None and measured.refuted:
        return _refuted_lines(measured, device)
    name, probe, size = found.dimension, found.probe, found.size
    if size is None:
        sure = "is sure to fit" if probe.verdict.status is Status.UNKNOWN else "fits"
        return [
            f"no {name} {sure} {device.name}",
            f"  {_probed(found, probe)}",
            _whose(found, device),
        ]
    lines = [
        f"largest {name} that fits {device.name}: {size:,}"
        f" ({found.workload.model}, batch {found.workload.batch_size:,})",
        f"  {_probed(found, probe)}",
    ]
    after = found.next_probe
    if after is None:
        lines.append(f"  the search ended there; {name} beyond {size:,} was not looked at")
    else:
        lines.append(f"  {_probed(found, after)}")
        if after.size > size + 1:
            lines.append(f"  {name} {_between(size, after.size)} cannot be trained by this rule")
    lines.append(_whose(found, device))
    checked = f"  {len(found.probes)} sizes probed"
    if found.monotone:
        lines.append(f"{checked}: more {name} never needed less")
    else:
        lines.append(
            f"{checked}: more {name} does not always need more here, so that one beyond those may"
            " fit, too"
        )
    if found.exceptions:
        some = ", ".join(f"{each:,}" for each in found.exceptions[:MOST_EXCEPTIONS])
        more = len(found.exceptions) - MOST_EXCEPTIONS
        lines.append(
            f"  although {size:,} fits, these smaller ones do not: {some}"
            + (f" and {more} more" if more > 0 else "")
        )
    return lines


def _whose(found: Largest, device: Device) -> str:
    """Under which allocator the answer was judged, and what it needs under the other."""
    line = f"  RAM {IN_WORDS[device.allocator]}"
    if device.allocator is Allocator.TORCH:
        return line
    torch, probe = IN_WORDS[Allocator.TORCH], found.probe
    return (
        f"{line}; {torch}, {found.dimension} {probe.size:,} would need {probe.torch_ram_bytes:,} B"
    )


def _refuted_lines(found: MeasuredLargest, device: Device) -> list[str]:
    """The prediction's answer does not fit when it is measured: what does, and both figures."""
    name, first, answer = found.predicted.dimension, found.steps[0], found.answer
    if answer is None:
        lines = [f"no {name} that was measured fits {device.name}"]
    else:
        workload = answer.confirmed.form.workload
        lines = [
            f"largest {name} that fits {device.name} when it is measured: {answer.size:,}"
            f" ({workload.model}, batch {workload.batch_size:,})"
        ]
    lines.append(
        f"  MEASURED OTHERWISE: by prediction {name} {first.size:,} fits and needs"
        f" {first.predicted_bytes:,} B of RAM {IN_WORDS[device.allocator]};"
        f" measured, it needs {_measured(first)}. The verdict is the measurement's."
    )
    for step in sorted(found.steps, key=lambda each: each.size):
        says = f"  {name} {step.size:,}: measured {_measured(step)}"
        lines.append(f"{says}, {step.verdict.status}{_much(step.verdict)}")
    if found.reason:
        lines.append(f"  the search ended there: {found.reason}")
    return lines


def _measured(step: Step) -> str:
    return f"{step.ram_bytes:,} B of RAM {IN_WORDS[step.ram.allocator]}"


def measured_fact(found: MeasuredLargest) -> dict[str, Any]:
    """What a measurement made of the answer, for machines."""
    if not found.refuted:
        return {"refuted": False}
    answer = found.answer
    workload = None if answer is None else answer.confirmed.form.workload.model_dump(mode="json")
    return {
        "refuted": True,
        "predicted_size": found.predicted.size,
        "size": found.size,
        "ram_bytes": None if answer is None else answer.ram_bytes,
        "verdict": (answer or found.steps[0]).verdict.model_dump(mode="json"),
        "workload": workload,
    }


def step_rows(found: MeasuredLargest) -> list[dict[str, Any]]:
    """One row per size that was measured."""
    return [
        {
            "size": step.size,
            "ram_bytes": step.ram_bytes,
            "predicted_bytes": step.predicted_bytes,
            "torch_ram_bytes": step.confirmed.ram_bytes,
            **step.verdict.model_dump(mode="json"),
        }
        for step in found.steps
    ]


def reach_rows(
    reached: Iterable[Reach], command: Callable[[Workload], str]
) -> list[dict[str, Any]]:
    """One row per set of options that reaches farther."""
    return [
        {
            "size": each.probe.size,
            "options": each.options,
            "ram_bytes": each.probe.ram_bytes,
            "torch_ram_bytes": each.probe.torch_ram_bytes,
            "status": str(each.probe.verdict.status),
            "algorithm": each.workload.algorithm,
            "model": each.workload.model,
            "batch_size": each.workload.batch_size,
            "command": command(each.workload),
        }
        for each in reached
    ]


def reach_lines(
    found: Largest,
    reached: Sequence[Reach],
    command: Callable[[Workload], str],
    columns: int | None = None,
) -> list[str]:
    """How far other options reach, each with its command; nothing where none does."""
    if not reached:
        return []
    instead = "" if found.size is None else f" instead of {found.size:,}"
    lines = ["with other options, by prediction (accuracy and time change, too):"]
    for each in reached[:MOST_REACHED]:
        options = " ".join(f"-o {name}={plain(value)}" for name, value in each.options.items())
        lines.append(f"  {found.dimension} {each.probe.size:,}{instead} with {options}")
        lines += pasted(command(each.workload), columns)
    return lines


def _probed(found: Largest, probe: Probe) -> str:
    """What a size needs to the byte, and the verdict that decides, with its margin."""
    verdict = probe.verdict
    says = f"{found.dimension} {probe.size:,}: needs {probe.ram_bytes:,} B of RAM, {verdict.status}"
    return f"{says}{_much(verdict)}"


def _much(verdict: Verdict) -> str:
    """What is left or lacks, of which budget; the whole reason where that is no number of bytes."""
    if verdict.unit != "B" or not isinstance(verdict.margin, int):
        return f"; {NAMES[verdict.budget]}: {verdict.reason}"
    much = format_bytes(abs(verdict.margin))
    left = f"{much} too much" if verdict.margin < 0 else f"{much} left"
    return f" ({NAMES[verdict.budget]}: {left})"


def _between(low: int, high: int) -> str:
    return f"{low + 1:,}" if high == low + 2 else f"{low + 1:,} to {high - 1:,}"


def largest_fact(found: Largest) -> dict[str, Any]:
    """The answer for machines."""
    return {
        "dimension": str(found.dimension),
        "size": found.size,
        "monotone": found.monotone,
        "exceptions": list(found.exceptions),
        "probes": len(found.probes),
        "ram_bytes": found.probe.ram_bytes,
        "torch_ram_bytes": found.probe.torch_ram_bytes,
        "verdict": found.probe.verdict.model_dump(mode="json"),
        "next": None if found.next_probe is None else _row(found.next_probe),
        "workload": found.workload.model_dump(mode="json"),
    }


def probe_rows(found: Largest) -> list[dict[str, Any]]:
    """One row per size that was looked at."""
    return [_row(probe) for probe in found.probes]


def _row(probe: Probe) -> dict[str, Any]:
    verdict = probe.verdict.model_dump(mode="json")
    sizes = {"ram_bytes": probe.ram_bytes, "torch_ram_bytes": probe.torch_ram_bytes}
    return {"size": probe.size, **sizes, **verdict}
