"""What a step would take on a device that is not here, from the operations of its prediction."""

from __future__ import annotations

from collections.abc import Sequence

from trainfit.bench.costs import cycles as cost_cycles
from trainfit.bench.costs import roofline as cost_roofline
from trainfit.bench.costs.intervals import DeviceModel, Modelled, bounds, scaled, summed
from trainfit.bench.records.schema import Bounds, Evidence, StageOperations
from trainfit.hardware_profiles import Device


def model_device(stages: Sequence[StageOperations], device: Device, batch_size: int) -> DeviceModel:
    """Seconds and joules of a step, as intervals; unavailable with a reason where a figure lacks.

    Args:
        stages: The operations of a step of every stage.
        device: Microcontrollers are modelled by cycles, boards with a GPU by a roofline.
        batch_size: Samples per step.
    """
    model = cost_cycles if device.kind == "mcu" else cost_roofline
    energy = model.model_energy(stages, device)
    steps = [energy.step]
    if len(stages) != 1:
        steps = [model.model_energy([stage], device).step for stage in stages]
    return DeviceModel(
        device=device.name,
        latency=model.model_latency(stages, device),
        energy=energy,
        energy_per_sample=_per_sample(steps, batch_size),
    )


def not_modelled(device: str, reason: str) -> DeviceModel:
    """What is known of a device whose profile cannot be read."""
    nothing = Modelled(evidence=Evidence.UNAVAILABLE, reason=reason)
    return DeviceModel(device=device, latency=nothing, energy=nothing)


def _per_sample(steps: Sequence[Bounds | None], batch_size: int) -> Bounds | None:
    """Every sample is shown to every stage, since passes over the data are counted per stage."""
    known = [(step.low, step.high) for step in steps if step is not None]
    if not known or len(known) < len(steps):
        return None
    return bounds(scaled(summed(known), 1 / batch_size))
