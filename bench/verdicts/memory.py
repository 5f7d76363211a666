"""Verdicts on bytes: does a workload fit on a device, with what margin, and why.

RAM needed is what must be resident during a step (static bytes) plus the peak of what comes and
goes (dynamic bytes), in one contiguous piece. Storage is compared with flash. All sums are exact
integers; KiB and MiB appear only in the reason. For time and energy see
:mod:`trainfit.bench.verdicts.intervals`.
"""

from __future__ import annotations

from collections.abc import Iterable
from enum import StrEnum
from fractions import Fraction
from typing import Literal

from pydantic import BaseModel, ConfigDict

from trainfit.bench.records.schema.base import Evidence
from trainfit.hardware_profiles import Budgets, Device, format_bytes


class Status(StrEnum):
    """How a workload stands against a budget, from best to worst.

    What is known not to fit weighs more than what is not known.
    """

    FITS = "fits"
    TIGHT = "tight"
    UNKNOWN = "unknown"
    EXCEEDS = "exceeds"

    @property
    def severity(self) -> int:
        """0 for the best."""
        return list(Status).index(self)


Budget = Literal["ram", "flash", "step_latency", "energy_per_step", "training_energy"]
"""What can be limited."""

UNITS: dict[Budget, Literal["B", "s", "J"]] = {
    "ram": "B",
    "flash": "B",
    "step_latency": "s",
    "energy_per_step": "J",
    "training_energy": "J",
}
"""Of the figures of a budget: bytes, seconds, joules."""


class Verdict(BaseModel):
    """How a workload stands against one budget of one device.

    Attributes:
        device: Name of the device.
        budget: Which of its limits.
        status: The verdict.
        margin: What is left, negative where something lacks, None where a figure is unknown; of an
            interval, what is left at its worse end.
        unit: Of the margin: whole bytes, seconds or joules.
        evidence: How the figure that was judged had been obtained.
        reason: One sentence.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    device: str
    budget: Budget
    status: Status
    margin: int | float | None
    unit: Literal["B", "s", "J"] = "B"
    evidence: Evidence = Evidence.ALLOCATOR
    reason: str


def judge(
    static_bytes: int | None,
    peak_dynamic_bytes: int | None,
    storage_bytes: int | None,
    device: Device,
    *,
    budgets: Budgets | None = None,
    evidence: Evidence = Evidence.ALLOCATOR,
    left_bytes: int = 0,
) -> list[Verdict]:
    """Compare the bytes of a workload with a device.

    Args:
        static_bytes: Resident before, during and after a step; None where not measured.
        peak_dynamic_bytes: Largest sum of all other bytes; None where not measured.
        storage_bytes: Kept out of RAM during a step; None where not known.
        device: The device.
        budgets: Limits that are tighter than its memory; None takes those of its profile.
        evidence: How the bytes were obtained; verdicts on bytes that are None say ``unavailable``.
        left_bytes: What every step leaves behind. More than 0 fills any memory: ``exceeds``, with
            the number of steps until then in the reason.

    Returns:
        The verdict on RAM; then, unless ``storage_bytes`` is 0, the one on flash.

    Raises:
        ValueError: A number of bytes is negative.
    """
    for name, count in (
        ("static_bytes", static_bytes),
        ("peak_dynamic_bytes", peak_dynamic_bytes),
        ("storage_bytes", storage_bytes),
        ("left_bytes", left_bytes),
    ):
        if count is not None and count < 0:
            raise ValueError(f"{name} is {count}; bytes are counted from 0")
    limits = device.budgets if budgets is None else budgets
    ram = _judge_ram(static_bytes, peak_dynamic_bytes, device, limits.ram_bytes)
    verdicts = [_with_leak(ram, left_bytes)]
    known = [static_bytes is not None and peak_dynamic_bytes is not None]
    if storage_bytes != 0:
        verdicts.append(_judge_flash(storage_bytes, device, limits.flash_bytes))
        known.append(storage_bytes is not None)
    return [
        verdict.model_copy(update={"evidence": evidence}) if there else verdict
        for verdict, there in zip(verdicts, known, strict=True)
    ]


def worst(verdicts: Iterable[Verdict]) -> Verdict:
    """The verdict that decides: exceeds before unknown before tight before fits.

    Raises:
        ValueError: There are none.
    """
    found = list(verdicts)
    if not found:
        raise ValueError("no verdicts to choose from")
    return max(found, key=lambda verdict: verdict.status.severity)


def _judge_ram(
    static: int | None, dynamic: int | None, device: Device, limit: int | None
) -> Verdict:
    if static is None or dynamic is None:
        what = "static bytes were" if static is None else "peak dynamic memory was"
        return unknown(device.name, "ram", f"cannot be judged because the {what} not measured")
    needed = static + dynamic
    parts = f"({format_bytes(static)} static + {format_bytes(dynamic)} peak dynamic)"
    needs = f"needs {format_bytes(needed)} {parts}"
    usable = device.usable_ram_bytes
    arena = device.largest_arena
    if limit is not None and usable is None:
        return _beyond_unknown(device, "ram", needed, limit, needs, why=device.ram_unknown)
    if usable is None or arena is None or arena.size_bytes is None:
        return unknown(device.name, "ram", f"{needs}, but {device.ram_unknown}")
    reserved = arena.size_bytes - usable
    where = (
        f"{needs} of the {format_bytes(usable)} usable in {arena.name}"
        f" ({format_bytes(arena.size_bytes)} less {format_bytes(reserved)} reserved)"
    )
    if limit is not None and limit < usable:
        where = f"{needs} of a budget of {format_bytes(limit)}"
        return _compare(device, "ram", needed, limit, where)
    verdict = _compare(device, "ram", needed, usable, where)
    together = sum(other.size_bytes or 0 for other in device.arenas) - reserved
    if verdict.status is Status.EXCEEDS and needed <= together:
        split = (
            f"{verdict.reason}; all arenas together have {format_bytes(together)},"
            " but no contiguous run is long enough"
        )
        return verdict.model_copy(update={"reason": split})
    return verdict


def _with_leak(verdict: Verdict, left: int) -> Verdict:
    """What fits at the first step and leaks does not fit: after how many steps it is full."""
    if not left or verdict.margin is None or verdict.status is Status.EXCEEDS:
        return verdict
    steps = int(verdict.margin) // left + 1
    leak = f"but leaves {left:,} B per step: full after {steps:,} steps"
    return verdict.model_copy(
        update={"status": Status.EXCEEDS, "reason": f"{verdict.reason}, {leak}"}
    )


def _judge_flash(storage: int | None, device: Device, limit: int | None) -> Verdict:
    if storage is None:
        return unknown(device.name, "flash", "cannot be judged because the storage is not known")
    needs = f"needs {format_bytes(storage)} of storage"
    usable, free = device.usable_flash_bytes, device.free_flash_bytes
    if free is None or (usable is None and storage > free):
        why = device.flash_unknown
        if limit is not None:
            return _beyond_unknown(device, "flash", storage, limit, needs, why=why)
        more = (
            "" if free is None else f", more than the {format_bytes(free)} that are free at least"
        )
        return unknown(device.name, "flash", f"{needs}{more}, but {why}")
    if limit is not None and limit < free:
        where = f"{needs} of a budget of {format_bytes(limit)}"
        return _compare(device, "flash", storage, limit, where)
    return _compare(device, "flash", storage, free, f"{needs} of {_free_flash(device, free)}")


def _free_flash(device: Device, free: int) -> str:
    if device.usable_flash_bytes is None or device.flash.value is None:
        return f"at least {format_bytes(free)} that are free ({device.flash_unknown})"
    return (
        f"the {format_bytes(free)} usable in flash ({format_bytes(device.flash.value)} less"
        f" {format_bytes(device.flash.value - free)} for the program)"
    )


def _beyond_unknown(
    device: Device, budget: Budget, needed: int, limit: int, needs: str, *, why: str
) -> Verdict:
    """A budget on a device of unknown size: what is above it does not fit, whatever there is."""
    if needed > limit:
        return _compare(
            device, budget, needed, limit, f"{needs} of a budget of {format_bytes(limit)}"
        )
    return unknown(
        device.name, budget, f"{needs}, within the budget of {format_bytes(limit)}, but {why}"
    )


def _compare(device: Device, budget: Budget, needed: int, usable: int, where: str) -> Verdict:
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


def unknown(device: str, budget: Budget, reason: str) -> Verdict:
    """A verdict that cannot be given, and why."""
    return Verdict(
        device=device,
        budget=budget,
        status=Status.UNKNOWN,
        margin=None,
        unit=UNITS[budget],
        evidence=Evidence.UNAVAILABLE,
        reason=reason,
    )
