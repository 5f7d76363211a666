"""Verdicts on bytes: does a workload fit on a device, with what margin, and why.

RAM needed is what must be resident during a step (static bytes) plus what comes and goes, in one
contiguous piece: as torch's allocator holds it, or in a planned arena where a device has one
(:mod:`trainfit.bench.verdicts.ram`). Storage is compared with flash. All sums are exact
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
from trainfit.bench.verdicts.ram import PlannedRam, RamNeed, ram_under
from trainfit.hardware_profiles import Allocator, Budgets, Device, format_bytes


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
        judged_by: On RAM: whose bytes were judged, a planned arena's or those of torch's allocator;
            None where there are none, and for other budgets.
        reason: One sentence.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    device: str
    budget: Budget
    status: Status
    margin: int | float | None
    unit: Literal["B", "s", "J"] = "B"
    evidence: Evidence = Evidence.ALLOCATOR
    judged_by: Allocator | None = None
    reason: str


def judge(
    static_bytes: int | None,
    peak_dynamic_bytes: int | None,
    storage_bytes: int | None,
    device: Device,
    *,
    arena_bytes: int | None = None,
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
        arena_bytes: Of a planned arena, by which microcontrollers are judged; None where there is
            none, so that the peak is judged there, too.
        budgets: Limits that are tighter than its memory; None takes those of its profile.
        evidence: How the bytes were obtained; verdicts on bytes that are None say ``unavailable``.
        left_bytes: What every step leaves behind. More than 0 fills any memory: ``exceeds``, with
            the number of steps until then in the reason.

    Returns:
        The verdict on RAM; then, unless ``storage_bytes`` is 0, the one on flash.

    Raises:
        ValueError: A number of bytes is negative.
    """
    refuse_negative(
        static_bytes=static_bytes,
        peak_dynamic_bytes=peak_dynamic_bytes,
        storage_bytes=storage_bytes,
        arena_bytes=arena_bytes,
        left_bytes=left_bytes,
    )
    need = RamNeed(static_bytes, peak_dynamic_bytes, Allocator.TORCH, evidence)
    if static_bytes is not None and arena_bytes is not None:
        planned = PlannedRam(static_bytes, arena_bytes)
        need = ram_under(device.allocator, need, lambda: planned)
    limits = device.budgets if budgets is None else budgets
    verdicts = [judge_ram(need, device, limits.ram_bytes, left_bytes)]
    if storage_bytes != 0:
        verdicts.append(judge_flash(storage_bytes, device, limits.flash_bytes, evidence))
    return verdicts


def refuse_negative(**counts: int | None) -> None:
    """Make sure that bytes are counted from 0.

    Raises:
        ValueError: One of them is negative; the message has its name.
    """
    for name, count in counts.items():
        if count is not None and count < 0:
            raise ValueError(f"{name} is {count}; bytes are counted from 0")


def worst(verdicts: Iterable[Verdict]) -> Verdict:
    """The verdict that decides: exceeds before unknown before tight before fits.

    Raises:
        ValueError: There are none.
    """
    found = list(verdicts)
    if not found:
        raise ValueError("no verdicts to choose from")
    return max(found, key=lambda verdict: verdict.status.severity)


def judge_ram(need: RamNeed, device: Device, limit: int | None, left_bytes: int = 0) -> Verdict:
    """The verdict on RAM.

    Args:
        need: What is needed under the device's allocator, or under torch's in its place.
        device: The device.
        limit: A budget beside its memory; None for none.
        left_bytes: As :func:`judge` takes it.
    """
    static, dynamic = need.static_bytes, need.dynamic_bytes
    if static is None or dynamic is None:
        what = "static bytes were" if static is None else "peak dynamic memory was"
        return unknown(device.name, "ram", f"cannot be judged because the {what} not measured")
    parts = f"({format_bytes(static)} static + {format_bytes(dynamic)} {_DYNAMIC[need.allocator]})"
    needs = f"needs {format_bytes(static + dynamic)} {parts}"
    found = _with_leak(_in_one_piece(static + dynamic, needs, device, limit), left_bytes)
    why = f"; no arena, so judged by torch's peak: {need.no_arena}" if need.no_arena else ""
    changes = {"evidence": need.evidence, "judged_by": need.allocator}
    return found.model_copy(update={**changes, "reason": f"{found.reason}{why}"})


_DYNAMIC = {Allocator.ARENA: "planned arena", Allocator.TORCH: "peak dynamic"}


def _in_one_piece(needed: int, needs: str, device: Device, limit: int | None) -> Verdict:
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


def judge_flash(
    storage: int | None, device: Device, limit: int | None, evidence: Evidence
) -> Verdict:
    """The verdict on flash of ``storage`` bytes, None where they are not known."""
    if storage is None:
        return unknown(device.name, "flash", "cannot be judged because the storage is not known")
    return _in_flash(storage, device, limit).model_copy(update={"evidence": evidence})


def _in_flash(storage: int, device: Device, limit: int | None) -> Verdict:
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
