"""Every budget of a device, compared with what is known of a workload.

RAM and flash are always judged, RAM under the allocator that the device has; time and energy where
the device's profile or the user sets a limit. What was measured on the device itself counts;
otherwise what was modelled for it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Self

from trainfit.bench.costs.intervals import DeviceModel, Modelled, bounds, scaled
from trainfit.bench.records.schema import Bounds, Energy, Evidence, Latency, Memory, Record
from trainfit.bench.verdicts.intervals import judge_interval
from trainfit.bench.verdicts.memory import (
    Budget,
    Status,
    Verdict,
    judge_flash,
    judge_ram,
    refuse_negative,
    unknown,
)
from trainfit.bench.verdicts.ram import (
    Plan,
    PlannedRam,
    RamNeed,
    not_planned,
    planned_of,
    ram_under,
)
from trainfit.hardware_profiles import Allocator, Budgets, Device, tighten

FITTING = (Status.FITS, Status.TIGHT)
"""What is within a budget; ``unknown`` is not."""


@dataclass(frozen=True)
class ResourceDemand:
    """What is known of a workload.

    Attributes:
        static_bytes: As :func:`trainfit.bench.verdicts.memory.judge` takes it: under torch, at the
            stage that needs the most there.
        peak_dynamic_bytes: Likewise.
        storage_bytes: Likewise.
        evidence: Of the bytes; with ``unavailable`` they are not judged.
        batch_size: Samples per step.
        stages: How many there are; what was measured here was measured at one of them.
        model: Gives time and energy of a step on the device, as computed; asked where they matter.
        latency: As measured here; it counts if this machine is the device.
        energy: Likewise.
        left_bytes: What every step leaves behind, as measured.
        plan: Gives what is needed with a planned arena; asked for devices that have one.
    """

    static_bytes: int | None
    peak_dynamic_bytes: int | None
    storage_bytes: int | None
    evidence: Evidence
    batch_size: int
    stages: int
    model: Callable[[], DeviceModel]
    latency: Latency | None = None
    energy: Energy | None = None
    left_bytes: int = 0
    plan: Plan = not_planned

    @cached_property
    def planned(self) -> PlannedRam | str:
        """RAM with a planned arena, or why there is none."""
        return self.plan()

    def ram(self, allocator: Allocator) -> RamNeed:
        """RAM under an allocator; under torch's where there is no arena."""
        torch = RamNeed(self.static_bytes, self.peak_dynamic_bytes, Allocator.TORCH, self.evidence)
        return ram_under(allocator, torch, lambda: self.planned)

    @cached_property
    def modelled(self) -> DeviceModel:
        """Time and energy of a step on the device, as computed."""
        return self.model()

    @classmethod
    def of(cls, record: Record, model: Callable[[], DeviceModel]) -> Self:
        """What a record says, and what gives the costs that are modelled from it for a device."""
        memory = record.memory
        return cls(
            static_bytes=memory.static_bytes if memory else None,
            peak_dynamic_bytes=memory.peak_dynamic_bytes if memory else None,
            storage_bytes=memory.storage_bytes if memory else None,
            evidence=memory.evidence if memory else Evidence.UNAVAILABLE,
            batch_size=record.workload.batch_size,
            stages=len(memory.stages) if memory else len(record.operations),
            model=model,
            latency=record.latency,
            energy=record.energy,
            left_bytes=max((0, *_left(memory))) if memory else 0,
            plan=partial(planned_of, memory) if memory else not_planned,
        )


def _left(memory: Memory) -> Iterable[int]:
    return (stage.residual.left_after_step_bytes for stage in memory.stages)


def judge_all(
    demand: ResourceDemand, device: Device, budgets: Budgets | None = None, *, here: bool = False
) -> list[Verdict]:
    """Compare a workload with every budget of a device.

    Args:
        demand: What is known of the workload.
        device: The device.
        budgets: Budgets beside those of its profile; they can only be tighter. A looser one
            contradicts the profile, and the verdict on it is ``unknown`` with that reason.
        here: This machine is the device, so that what was measured is its own.

    Returns:
        The verdicts on RAM, flash (unless no storage is needed), step latency, energy per step and
        energy of a training run, the last three where they are limited.
    """
    limits, conflicts = tighten(device.budgets, budgets or Budgets())
    found: list[Verdict] = []
    if demand.evidence is not Evidence.UNAVAILABLE:
        need = demand.ram(device.allocator)
        refuse_negative(
            static_bytes=need.static_bytes,
            dynamic_bytes=need.dynamic_bytes,
            storage_bytes=demand.storage_bytes,
            left_bytes=demand.left_bytes,
        )
        found = [judge_ram(need, device, limits.ram_bytes, demand.left_bytes)]
        if demand.storage_bytes != 0:
            evidence, limit = demand.evidence, limits.flash_bytes
            found.append(judge_flash(demand.storage_bytes, device, limit, evidence))
    found += _costs(demand, device, limits, here=here)
    return [
        unknown(device.name, each.budget, conflicts[each.budget])
        if each.budget in conflicts
        else each
        for each in found
    ]


def amounts(
    demand: ResourceDemand, device: Device, budgets: Budgets
) -> tuple[dict[str, Bounds | None], dict[str, float | None]]:
    """What is needed, and what is allowed, by budget: bytes, seconds or joules, to be drawn."""
    limits, _ = tighten(device.budgets, budgets)
    ram = demand.ram(device.allocator).ram_bytes
    needed = {
        "ram": None if ram is None else _exactly(ram),
        "flash": None if demand.storage_bytes is None else _exactly(demand.storage_bytes),
        "step_latency": demand.modelled.latency.step,
        "energy_per_step": demand.modelled.energy.step,
        "training_energy": None,
    }
    if limits.training_samples is not None:
        energy = _modelled(demand.modelled.energy)
        needed["training_energy"] = _training(demand, energy, limits.training_samples).interval
    allowed = {
        "ram": _least(limits.ram_bytes, device.usable_ram_bytes),
        "flash": _least(limits.flash_bytes, device.free_flash_bytes),
        "step_latency": limits.step_latency_seconds,
        "energy_per_step": limits.energy_per_step_joules,
        "training_energy": limits.battery_joules,
    }
    return needed, allowed


def _exactly(count: int) -> Bounds:
    return Bounds(low=count, high=count)


def _least(*limits: int | None) -> int | None:
    return min((limit for limit in limits if limit is not None), default=None)


def _costs(
    demand: ResourceDemand, device: Device, limits: Budgets, *, here: bool
) -> Iterable[Verdict]:
    if limits.step_latency_seconds is not None:
        figure = _modelled(demand.modelled.latency)
        if here:
            figure = _rather(_measured_latency(demand.latency), figure)
        verdict = _judged(device, "step_latency", figure, limits.step_latency_seconds)
        yield _of_every_stage(verdict, demand, device)
    trains = limits.battery_joules is not None and limits.training_samples is not None
    if limits.energy_per_step_joules is None and not trains:
        return
    energy = _modelled(demand.modelled.energy)
    if here:
        energy = _rather(_measured_energy(demand.energy), energy)
    if limits.energy_per_step_joules is not None:
        verdict = _judged(device, "energy_per_step", energy, limits.energy_per_step_joules)
        yield _of_every_stage(verdict, demand, device)
    if limits.battery_joules is not None and limits.training_samples is not None:
        training = _training(demand, energy, limits.training_samples)
        yield _judged(device, "training_energy", training, limits.battery_joules)


def _of_every_stage(verdict: Verdict, demand: ResourceDemand, device: Device) -> Verdict:
    """A step was measured at one stage; that it fits there says nothing about the others."""
    modelled = verdict.evidence is Evidence.MODELLED  # for the stage that takes most
    if modelled or demand.stages < 2 or verdict.status not in {Status.FITS, Status.TIGHT}:
        return verdict
    why = f"measured at one of {demand.stages} stages, the worst for memory; others may take more"
    return unknown(device.name, verdict.budget, f"{verdict.reason}; {why}")


def _training(demand: ResourceDemand, energy: _Figure, samples: int) -> _Figure:
    """Joules of a training run: every sample is shown to every stage."""
    if energy.interval is None:
        return _Figure(None, Evidence.UNAVAILABLE, energy.source)
    sample = demand.modelled.energy_per_sample
    if energy.evidence is not Evidence.MODELLED:
        if demand.stages > 1:
            why = f"the energy was measured at one of {demand.stages} stages"
            return _Figure(None, Evidence.UNAVAILABLE, why)
        ends = (energy.interval.low, energy.interval.high)
        sample = bounds(scaled(ends, 1 / demand.batch_size))
    if sample is None:
        return _Figure(None, Evidence.UNAVAILABLE, energy.source)
    whole = bounds(scaled((sample.low, sample.high), samples))
    return _Figure(whole, energy.evidence, f"{samples:,} samples; {energy.source}")


@dataclass(frozen=True)
class _Figure:
    interval: Bounds | None
    evidence: Evidence
    source: str


def _rather(measured: _Figure, modelled: _Figure) -> _Figure:
    """What was measured, if it was; otherwise what was modelled, and why not measured."""
    if measured.interval is not None:
        return measured
    if modelled.interval is None:
        return measured
    source = f"{modelled.source}; not measured here: {measured.source}"
    return _Figure(modelled.interval, modelled.evidence, source)


def _judged(device: Device, budget: Budget, figure: _Figure, limit: float) -> Verdict:
    return judge_interval(
        device, budget, figure.interval, limit, figure.evidence, source=figure.source
    )


def _modelled(model: Modelled) -> _Figure:
    if model.step is None:
        return _Figure(None, Evidence.UNAVAILABLE, model.reason or "not modelled")
    return _Figure(model.step, model.evidence, model.model or "")


def _measured_latency(latency: Latency | None) -> _Figure:
    if latency is None or latency.step_interval is None:
        return _Figure(None, Evidence.UNAVAILABLE, "the latency was not measured")
    return _Figure(
        latency.step_interval, latency.evidence, f"median of {latency.steps} steps on this machine"
    )


def _measured_energy(energy: Energy | None) -> _Figure:
    if energy is None:
        return _Figure(None, Evidence.UNAVAILABLE, "the energy was not measured")
    if energy.joules_per_step_interval is None or not energy.valid:
        why = energy.reason or "the energy was not measured"
        return _Figure(None, Evidence.UNAVAILABLE, why)
    source = f"{energy.sensor}: {'+'.join(energy.rails)}"
    if energy.idle_subtracted:
        source += ", without what the machine takes idle"
    return _Figure(energy.joules_per_step_interval, energy.evidence, source)
