"""Time and energy of a step on a microcontroller: cycles from the closed-form operation counts.

Every operation of the step takes a number of cycles between two bounds (see
:class:`hardware_profiles.CoreTable`): operands in registers and no loop overhead at best, a plain
loop that loads everything again at worst. Seconds are cycles over the highest clock; joules are
supply x current per MHz x cycles, which is the core while it runs, with nothing else on the board.
"""

from __future__ import annotations

from collections.abc import Sequence

from trainfit.bench.costs.intervals import (
    Interval,
    Modelled,
    bounds,
    largest,
    not_countable,
    scaled,
    summed,
    unavailable,
)
from trainfit.bench.records.schema import Evidence, PhaseOperations, StageOperations
from trainfit.hardware_profiles import CoreTable, Device, ProfileError

CYCLES = "cycles"
CYCLES_ENERGY = "supply x current per MHz x cycles"


def cycles(phase: PhaseOperations, core: CoreTable) -> dict[str, Interval]:
    """Cycles of one phase by what is done: ``fp32 mac``, ``fp32 add``, ``int8 mac``, ...

    Raises:
        ProfileError: The table does not know an operation of this phase, or what a store takes.
    """
    terms: dict[str, Interval] = {}
    for number_format, count in phase.macs.items():
        terms[f"{number_format} mac"] = scaled(core.mac_cycles(number_format), count)
    for number_format, kinds in phase.elementwise.items():
        for kind, count in kinds.items():
            each = core.operation_cycles(number_format, kind)
            terms[f"{number_format} {kind}"] = scaled(each, count)
    # At best a result stays in a register until it is used; at worst every one is written.
    results = sum(phase.results.values())
    if core.store.high is None and results:
        raise ProfileError(f"cycle table {core.name}: store is unknown: {core.store.unknown}")
    terms["stored results"] = (0.0, (core.store.high or 0.0) * results)
    return terms


def model_latency(stages: Sequence[StageOperations], device: Device) -> Modelled:
    """Seconds of one step of the stage that takes longest."""
    core, clock = device.core_table, device.clock
    if core is None:
        return unavailable(CYCLES, device.cycles_unknown)
    if clock.value is None:
        return unavailable(CYCLES, device.clock_unknown)
    missing = not_countable(stages)
    if missing:
        return unavailable(CYCLES, missing)
    return _modelled(
        stages, core, 1 / clock.value, CYCLES, f"cycle table {core.name}, clock {clock.text}"
    )


def model_energy(stages: Sequence[StageOperations], device: Device) -> Modelled:
    """Joules of one step of the stage that takes most."""
    core = device.core_table
    if core is None:
        return unavailable(CYCLES_ENERGY, device.cycles_unknown)
    per_cycle = joules_per_cycle(device)
    if isinstance(per_cycle, str):
        return unavailable(CYCLES_ENERGY, per_cycle)
    missing = not_countable(stages)
    if missing:
        return unavailable(CYCLES_ENERGY, missing)
    supply, current = device.supply, device.current_per_mhz
    assert supply is not None  # joules_per_cycle has seen both
    assert current is not None
    source = f"cycle table {core.name}, {supply.text}, {current.text}"
    return _modelled(stages, core, per_cycle, CYCLES_ENERGY, source)


def joules_per_cycle(device: Device) -> float | str:
    """What the core takes for one cycle, or why that is not known."""
    for name, figure in (("supply", device.supply), ("current per MHz", device.current_per_mhz)):
        if figure is None:
            return f"{name} is missing"
        if figure.value is None:
            return f"{name} is unknown: {figure.unknown}"
    assert device.supply is not None
    assert device.current_per_mhz is not None
    volts, microamperes = device.supply.value, device.current_per_mhz.value
    assert volts is not None
    assert microamperes is not None
    return volts * microamperes * 1e-12  # uA/MHz is 1e-6 A over 1e6 Hz


def _modelled(
    stages: Sequence[StageOperations],
    core: CoreTable,
    per_cycle: float,
    model: str,
    source: str,
) -> Modelled:
    try:
        found = [_stage(stage, core, per_cycle) for stage in stages]
    except ProfileError as error:
        return unavailable(model, str(error))
    stage, phases, terms = largest(found, stages)
    return Modelled(
        evidence=Evidence.MODELLED,
        model=model,
        source=source,
        stage=stage,
        step=bounds(summed(terms.values())),
        phases={name: bounds(interval) for name, interval in phases.items()},
        terms={name: bounds(interval) for name, interval in terms.items()},
    )


def _stage(
    stage: StageOperations, core: CoreTable, factor: float
) -> tuple[dict[str, Interval], dict[str, Interval]]:
    """Bounds of every phase, and of every term over the phases that refine no other."""
    phases: dict[str, Interval] = {}
    terms: dict[str, Interval] = {}
    for name, phase in stage.phases.items():
        own = {term: scaled(each, factor) for term, each in cycles(phase, core).items()}
        phases[name] = summed(own.values())
        for term, interval in own.items() if "." not in name else ():
            terms[term] = summed([terms.get(term, (0.0, 0.0)), interval])
    return phases, terms
