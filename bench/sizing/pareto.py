"""Several algorithms on several devices: what fits, and which of it no other betters.

On every device, of what fits, a workload is on the **Pareto front** if no other needs at most as
much RAM and at most as much time, and less of one of them. RAM is that under the device's
allocator, as measured where that was done. Time is modelled for the device, per training sample
shown to every stage, at the upper end of its interval. Where the time of something that fits is
unknown on a device, its arithmetic operations per sample stand in for the time of all. What has
neither is on no front.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from trainfit.bench.records.schema import Bounds
from trainfit.bench.sizing.measuring import Confirmed
from trainfit.bench.verdicts.judge import FITTING
from trainfit.bench.verdicts.memory import Verdict, worst
from trainfit.bench.verdicts.ram import RamNeed
from trainfit.hardware_profiles import Budgets, Device


class Axis(StrEnum):
    """What is traded against RAM."""

    TIME = "time"
    OPERATIONS = "operations"


@dataclass(frozen=True)
class Combination:
    """An algorithm on a device.

    Attributes:
        device: The device.
        confirmed: The prediction, and what was measured.
        ram: What it needs there, and under which allocator.
        verdict: The one that decides.
        refuted: By its prediction it fits, and by the measurement it does not.
        sample_seconds: Modelled per training sample; None where unknown.
        why_no_time: Why it is unknown; empty where it is not.
    """

    device: Device
    confirmed: Confirmed
    ram: RamNeed
    verdict: Verdict
    refuted: bool
    sample_seconds: Bounds | None
    why_no_time: str

    @property
    def fits(self) -> bool:
        """It is within every budget."""
        return self.verdict.status in FITTING

    def cost(self, axis: Axis) -> float | None:
        """Seconds at their upper bound, or operations, per sample; None where unknown."""
        if axis is Axis.OPERATIONS:
            return self.confirmed.form.sample_operations
        return None if self.sample_seconds is None else self.sample_seconds.high


def combine(found: Confirmed, device: Device, budgets: Budgets) -> Combination:
    """Judge a workload on a device."""
    return Combination(
        device=device,
        confirmed=found,
        ram=found.ram_on(device),
        verdict=worst(found.verdicts(device, budgets)),
        refuted=found.refutes(device, budgets),
        sample_seconds=found.form.sample_seconds(device),
        why_no_time=found.form.demand(device).modelled.latency.reason or "",
    )


def axis_of(found: Sequence[Combination]) -> Axis:
    """What is traded against RAM on one device: time, unless that of what is counted is unknown."""
    counted = [each for each in found if each.fits and each.cost(Axis.OPERATIONS) is not None]
    known = all(each.sample_seconds is not None for each in counted)
    return Axis.TIME if known else Axis.OPERATIONS


def front(found: Sequence[Combination], axis: Axis) -> list[Combination]:
    """The Pareto front of the combinations of one device."""
    points = [
        (ram, cost, each)
        for each in found
        if each.fits and (cost := each.cost(axis)) is not None
        if (ram := each.ram.ram_bytes) is not None
    ]
    return [
        each
        for ram, cost, each in points
        if not any(
            other_ram <= ram and other_cost <= cost and (other_ram, other_cost) != (ram, cost)
            for other_ram, other_cost, _ in points
        )
    ]
