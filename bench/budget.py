"""Verdicts: does a workload fit on a device, with what margin, and why.

RAM needed is what must be resident during a step (static bytes) plus the peak of what comes and
goes (dynamic bytes), in one contiguous piece. Storage is held against flash. All sums are exact
integers; KiB and MiB appear only in the reason.
"""

from __future__ import annotations

from collections.abc import Iterable
from enum import StrEnum
from fractions import Fraction
from typing import Literal

from pydantic import BaseModel, ConfigDict

from hardware_profiles import Device, format_bytes


class Status(StrEnum):
    """How a workload stands against a budget."""

    FITS = "fits"
    TIGHT = "tight"
    EXCEEDS = "exceeds"
    UNKNOWN = "unknown"


_SEVERITY = (Status.FITS, Status.TIGHT, Status.UNKNOWN, Status.EXCEEDS)
"""From best to worst: what is known not to fit weighs more than what is not known."""


class Verdict(BaseModel):
    """A workload held against one budget of one device.

    Attributes:
        device: Name of the device.
        budget: Which of its limits.
        status: The verdict.
        margin: Bytes left, negative where they lack, None where a figure is unknown.
        reason: One sentence.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    device: str
    budget: Literal["ram", "flash"]
    status: Status
    margin: int | None
    reason: str


def judge(
    static_bytes: int | None,
    peak_dynamic_bytes: int | None,
    storage_bytes: int | None,
    device: Device,
) -> list[Verdict]:
    """Hold a workload against a device.

    Args:
        static_bytes: Resident before, during and after a step; None where not measured.
        peak_dynamic_bytes: Largest sum of all other bytes; None where not measured.
        storage_bytes: Kept out of RAM during a step; None where not known.
        device: The device.

    Returns:
        The verdict on RAM; then, unless ``storage_bytes`` is 0, the one on flash.

    Raises:
        ValueError: A number of bytes is negative.
    """
    for name, count in (
        ("static_bytes", static_bytes),
        ("peak_dynamic_bytes", peak_dynamic_bytes),
        ("storage_bytes", storage_bytes),
    ):
        if count is not None and count < 0:
            raise ValueError(f"{name} is {count}; bytes are counted from 0")
    verdicts = [_judge_ram(static_bytes, peak_dynamic_bytes, device)]
    if storage_bytes != 0:
        verdicts.append(_judge_flash(storage_bytes, device))
    return verdicts


def worst(verdicts: Iterable[Verdict]) -> Verdict:
    """The verdict that decides: exceeds before unknown before tight before fits.

    Raises:
        ValueError: There are none.
    """
    found = list(verdicts)
    if not found:
        raise ValueError("no verdicts to choose from")
    return max(found, key=lambda verdict: _SEVERITY.index(verdict.status))


def _judge_ram(static: int | None, dynamic: int | None, device: Device) -> Verdict:
    if static is None or dynamic is None:
        what = "static bytes were" if static is None else "peak dynamic memory was"
        return _unknown(device, "ram", f"cannot be judged because the {what} not measured")
    needed = static + dynamic
    parts = f"({format_bytes(static)} static + {format_bytes(dynamic)} peak dynamic)"
    needs = f"needs {format_bytes(needed)} {parts}"
    usable = device.usable_ram_bytes
    arena = device.largest_arena
    if usable is None or arena is None or arena.size_bytes is None:
        return _unknown(device, "ram", f"{needs}, but {device.ram_unknown}")
    reserved = arena.size_bytes - usable
    where = (
        f"{needs} of the {format_bytes(usable)} usable in {arena.name}"
        f" ({format_bytes(arena.size_bytes)} less {format_bytes(reserved)} reserved)"
    )
    verdict = _compare(device, "ram", needed, usable, where)
    together = sum(other.size_bytes or 0 for other in device.arenas) - reserved
    if verdict.status is Status.EXCEEDS and needed <= together:
        split = (
            f"{verdict.reason}; all arenas together have {format_bytes(together)},"
            " but no contiguous run is long enough"
        )
        return verdict.model_copy(update={"reason": split})
    return verdict


def _judge_flash(storage: int | None, device: Device) -> Verdict:
    if storage is None:
        return _unknown(device, "flash", "cannot be judged because the storage is not known")
    needs = f"needs {format_bytes(storage)} of storage"
    usable = device.usable_flash_bytes
    if usable is None or device.flash.value is None:
        return _unknown(device, "flash", f"{needs}, but {device.flash_unknown}")
    reserved = device.flash.value - usable
    where = (
        f"{needs} of the {format_bytes(usable)} usable in flash"
        f" ({format_bytes(device.flash.value)} less {format_bytes(reserved)} for the program)"
    )
    return _compare(device, "flash", storage, usable, where)


def _compare(
    device: Device, budget: Literal["ram", "flash"], needed: int, usable: int, where: str
) -> Verdict:
    margin = usable - needed
    # The fraction as it is written in the profile: 0.1 as a binary float is a little more.
    limit = Fraction(str(device.tight_margin)) * usable
    if margin < 0:
        status, outcome = Status.EXCEEDS, f"{format_bytes(-margin)} too much"
    elif margin < limit:
        status = Status.TIGHT
        outcome = f"{format_bytes(margin)} left, under the margin of {device.tight_margin:.0%}"
    else:
        status, outcome = Status.FITS, f"{format_bytes(margin)} left"
    return Verdict(
        device=device.name,
        budget=budget,
        status=status,
        margin=margin,
        reason=f"{where}: {outcome}",
    )


def _unknown(device: Device, budget: Literal["ram", "flash"], reason: str) -> Verdict:
    return Verdict(
        device=device.name, budget=budget, status=Status.UNKNOWN, margin=None, reason=reason
    )
