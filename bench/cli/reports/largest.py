"""The answer to the inverse question, for people and for machines."""

from __future__ import annotations

from typing import Any

from trainfit.bench.cli.output import unseen
from trainfit.bench.cli.reports.fit import NAMES
from trainfit.bench.sizing.largest import Largest, Probe
from trainfit.bench.verdicts.memory import Status
from trainfit.hardware_profiles import Device, format_bytes

PROBE_COLUMNS = unseen("size ram_bytes status budget margin unit evidence reason")
"""Of every size that was looked at; machines only."""

MOST_EXCEPTIONS = 5


def largest_lines(found: Largest, device: Device) -> list[str]:
    """The answer to the inverse question, in sentences."""
    name, probe, size = found.dimension, found.probe, found.size
    if size is None:
        sure = "is sure to fit" if probe.verdict.status is Status.UNKNOWN else "fits"
        return [f"no {name} {sure} {device.name}", f"  {_probed(found, probe)}"]
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


def _probed(found: Largest, probe: Probe) -> str:
    """What a size needs to the byte, and the verdict that decides, with its margin."""
    verdict = probe.verdict
    says = f"{found.dimension} {probe.size:,}: needs {probe.ram_bytes:,} B of RAM, {verdict.status}"
    if verdict.unit != "B" or not isinstance(verdict.margin, int):
        return f"{says}; {NAMES[verdict.budget]}: {verdict.reason}"
    much = format_bytes(abs(verdict.margin))
    left = f"{much} too much" if verdict.margin < 0 else f"{much} left"
    return f"{says} ({NAMES[verdict.budget]}: {left})"


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
        "verdict": found.probe.verdict.model_dump(mode="json"),
        "next": None if found.next_probe is None else _row(found.next_probe),
        "workload": found.workload.model_dump(mode="json"),
    }


def probe_rows(found: Largest) -> list[dict[str, Any]]:
    """One row per size that was looked at."""
    return [_row(probe) for probe in found.probes]


def _row(probe: Probe) -> dict[str, Any]:
    verdict = probe.verdict.model_dump(mode="json")
    return {"size": probe.size, "ram_bytes": probe.ram_bytes, **verdict}
