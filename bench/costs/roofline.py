"""Time and energy of a step on a board with a GPU: arithmetic against memory traffic.

The roofline of Williams, Waterman and Patterson (Communications of the ACM 52(4), 2009): a step
takes no less than its arithmetic at peak rate, and no less than its memory traffic at peak
bandwidth; the larger of both is the lower bound. The upper bound adds up what a framework without
fused kernels may take: arithmetic at a small share of the peak, every operand streamed from memory,
and the launch of every kernel. The shares are assumptions of this project, stated below; they are
wide on purpose, since small nets reach little of a GPU's peak.
"""

from __future__ import annotations

from collections.abc import Sequence

from trainfit.bench.costs.intervals import (
    Interval,
    Modelled,
    bounds,
    not_countable,
    summed,
    unavailable,
)
from trainfit.bench.records.schema import Bounds, Evidence, PhaseOperations, StageOperations
from trainfit.hardware_profiles import Device, Figure

ROOFLINE = "roofline"
POWER_MODES = "power mode x roofline"

PEAK_SHARE = 0.05
"""Of the peak rate, in the upper bound: products with few rows leave most of a GPU idle."""

BANDWIDTH_SHARE = 0.25
"""Of the peak bandwidth, in the upper bound: operands are read more than once where they do not
stay in caches, and no access pattern reaches the peak."""

KERNELS_PER_CALL = 2
"""In the upper bound: a bias, a copy or a fill beside the kernel itself."""

LAUNCH_SECONDS = 100e-6
"""Of one kernel from an interpreted framework on a small CPU, in the upper bound."""

ASSUMPTIONS = (
    f"down to {PEAK_SHARE:.0%} of the rates and {BANDWIDTH_SHARE:.0%} of the bandwidth, up to"
    f" {KERNELS_PER_CALL} launches of {LAUNCH_SECONDS * 1e6:g} us per operation (assumed)"
)

OPERAND_BYTES = {"fp32": 4.0, "int8": 1.0, "fp32_binary": 4.0, "binary": 0.125}
"""Of an element that a product reads, at most."""

RESULT_BYTES = 4.0
"""Of an element that a product writes: float32 or INT32."""

ELEMENTWISE_BYTES = 12.0
"""Per element operation in the upper bound: two float32 operands and a result."""

BINARY_PER_WORD = 32
"""Bits that one integer instruction takes, in the lower bound."""

BINARY_OF_INT8 = 8
"""One-bit products of a tensor unit for one of INT8, in the lower bound."""

INT8_PER_WORD = 4
"""Elements that one integer instruction takes, in the lower bound."""

CACHE_BYTES = 8 * 2**20
"""What may stay in caches from step to step, in the lower bound: more than any board here has."""


def model_latency(stages: Sequence[StageOperations], device: Device) -> Modelled:
    """Seconds of one step of the stage that takes longest."""
    missing = _missing(device) or not_countable(stages)
    if missing:
        return unavailable(ROOFLINE, missing)
    found = [_latency(stage, device) for stage in stages]
    return max(found, key=lambda each: each.step.high if each.step else 0.0)


def model_energy(stages: Sequence[StageOperations], device: Device) -> Modelled:
    """Joules of one step of the stage that takes most.

    From idle power over the shortest time to the largest power mode over the longest.
    """
    latency = model_latency(stages, device)
    if latency.step is None:
        return unavailable(POWER_MODES, latency.reason or "")
    idle = device.idle_power
    if idle is None or idle.value is None:
        why = idle.unknown if idle is not None else "the profile does not give it"
        return unavailable(POWER_MODES, f"idle power is unknown: {why}")
    modes = [mode for mode in device.power_modes if mode.power.value is not None]
    if not modes:
        return unavailable(POWER_MODES, "no power mode of the profile has a figure")
    top = max(modes, key=lambda mode: mode.power.value or 0.0)
    assert top.power.value is not None

    def joules(seconds: Bounds) -> Bounds:
        assert idle is not None
        assert idle.value is not None
        assert top.power.value is not None
        return bounds((idle.value * seconds.low, top.power.value * seconds.high))

    return Modelled(
        evidence=Evidence.MODELLED,
        model=POWER_MODES,
        source=f"idle {idle.text}, mode {top.name} {top.power.text}; {latency.source}",
        stage=latency.stage,
        step=joules(latency.step),
        phases={name: joules(seconds) for name, seconds in latency.phases.items()},
        terms={name: joules(seconds) for name, seconds in latency.terms.items()},
    )


def _missing(device: Device) -> str:
    needed: tuple[tuple[str, Figure | None], ...] = (
        ("fp32_peak", device.fp32_peak),
        ("memory_bandwidth", device.memory_bandwidth),
    )
    for name, figure in needed:
        if figure is None:
            return f"{name}: the profile does not give it"
        if figure.value is None:
            return f"{name} is unknown: {figure.unknown}"
    return ""


def _latency(stage: StageOperations, device: Device) -> Modelled:
    bandwidth = _value(device.memory_bandwidth)
    whole = stage.outermost
    arithmetic = summed(_arithmetic(phase, device) for phase in whole)
    streamed = sum(traffic_bytes(phase) for phase in whole)
    # Whatever a step does, it reads what is held between steps at least once, but for caches.
    held = max(0, (stage.static_bytes or 0) - CACHE_BYTES) / bandwidth
    terms = {
        "arithmetic": arithmetic,
        "traffic": (held, max(held, streamed / (bandwidth * BANDWIDTH_SHARE))),
        "launches": (0.0, sum(_launches(phase) for phase in whole)),
    }
    low = max(arithmetic[0], held)
    high = summed(terms.values())[1]
    return Modelled(
        evidence=Evidence.MODELLED,
        model=ROOFLINE,
        source=f"{_text(device.fp32_peak)}, {_int8(device)[1]}, {_text(device.memory_bandwidth)};"
        f" {ASSUMPTIONS}",
        stage=stage.stage,
        step=bounds((low, high)),
        phases={name: _phase(phase, device, bandwidth) for name, phase in stage.phases.items()},
        terms={name: bounds(interval) for name, interval in terms.items()},
    )


def _phase(phase: PhaseOperations, device: Device, bandwidth: float) -> Bounds:
    low, high = _arithmetic(phase, device)
    high += traffic_bytes(phase) / (bandwidth * BANDWIDTH_SHARE) + _launches(phase)
    return bounds((low, high))


def _arithmetic(phase: PhaseOperations, device: Device) -> Interval:
    """Seconds that the arithmetic takes; a multiply-accumulate is two operations."""
    fp32 = _value(device.fp32_peak) * 1e12
    fastest = {"fp32": fp32, "int8": max(fp32, _int8(device)[0]), "fp32_binary": fp32}
    fastest["binary"] = max(fp32 * BINARY_PER_WORD, _int8(device)[0] * BINARY_OF_INT8)
    elements = phase.elements
    packed = sum(phase.elementwise.get("int8", {}).values())
    low = (elements - packed + packed / INT8_PER_WORD) / fp32
    for number_format, macs in phase.macs.items():
        low += 2 * macs / fastest[number_format]
    # Without kernels of their own, low-bit formats are computed as float32.
    high = (2 * sum(phase.macs.values()) + elements) / (fp32 * PEAK_SHARE)
    return low, high


def traffic_bytes(phase: PhaseOperations) -> float:
    """Bytes if every operand comes from memory and every result goes there."""
    read = sum(OPERAND_BYTES[each] * count for each, count in phase.operands.items())
    return read + RESULT_BYTES * sum(phase.results.values()) + ELEMENTWISE_BYTES * phase.elements


def _launches(phase: PhaseOperations) -> float:
    return sum(phase.calls.values()) * KERNELS_PER_CALL * LAUNCH_SECONDS


def _int8(device: Device) -> tuple[float, str]:
    """Operations per second in INT8: the dense figure, or the sparse one where there is no other.

    Products here are dense; a sparse figure is larger, so that a bound from it is still one.
    """
    figures = (device.int8_dense, device.int8_sparse)
    known = [figure for figure in figures if figure is not None and figure.value is not None]
    if not known:
        return 0.0, "INT8 at the float32 rate, since no INT8 figure is known"
    return _value(known[0]) * 1e12, f"INT8 {known[0].text}"


def _text(figure: Figure | None) -> str:
    assert figure is not None
    return figure.text


def _value(figure: Figure | None) -> float:
    assert figure is not None
    assert figure.value is not None
    return float(figure.value)
