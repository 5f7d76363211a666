"""Verdicts on time and energy, which are intervals.

An interval fits if all of it does: its upper end is compared with the limit. One that has the limit
inside is ``unknown``, since the truth may lie on either side.
"""

from __future__ import annotations

from trainfit.bench.records.schema import Bounds, Evidence
from trainfit.bench.verdicts.memory import UNITS, Budget, Status, Verdict, unknown
from trainfit.hardware_profiles import Device

WHAT: dict[Budget, str] = {
    "step_latency": "a step takes",
    "energy_per_step": "a step takes",
    "training_energy": "training takes",
}
"""How a sentence about a budget begins."""


ROUNDING = 1e-9
"""A margin of a tenth is enough, however its digits come out in binary."""


def judge_interval(
    device: Device,
    budget: Budget,
    interval: Bounds | None,
    limit: float,
    evidence: Evidence,
    *,
    source: str,
) -> Verdict:
    """Compare an interval with a limit.

    Args:
        device: Whose limit it is.
        budget: Which one; its unit is that of ``interval`` and ``limit``.
        interval: Seconds or joules; None where there is no figure.
        limit: What is allowed, greater than 0.
        evidence: How the interval was obtained.
        source: What it was modelled from or measured with, or why there is none.
    """
    if interval is None:
        return unknown(device.name, budget, f"cannot be judged: {source}")
    unit = UNITS[budget]
    margin = limit - interval.high
    of = f"{WHAT[budget]} {spread(interval, unit)} of {format_quantity(limit, unit)}"
    left = f"{format_quantity(abs(margin), unit)}"
    if interval.low > limit:
        status = Status.EXCEEDS
        outcome = f"at least {format_quantity(interval.low - limit, unit)} too much"
    elif interval.high > limit:
        status, outcome = Status.UNKNOWN, "the budget lies inside the interval"
    elif margin < device.tight_margin * limit * (1 - ROUNDING):
        status = Status.TIGHT
        outcome = f"at least {left} left, under the margin of {device.tight_margin:.0%}"
    else:
        status, outcome = Status.FITS, f"at least {left} left"
    return Verdict(
        device=device.name,
        budget=budget,
        status=status,
        margin=margin,
        unit=unit,
        evidence=evidence,
        reason=f"{of}: {outcome} ({evidence}: {source})",
    )


_PREFIXES = (
    ("M", 1e6),
    ("k", 1e3),
    ("", 1.0),
    ("m", 1e-3),
    ("u", 1e-6),
    ("n", 1e-9),
    ("p", 1e-12),
)


def format_quantity(value: float, unit: str) -> str:
    """Seconds or joules to three digits with a prefix: ``1.25 ms``, ``840 uJ``, ``3,600 s``.

    Nothing is ``0 s`` or ``0 J``, without a prefix that would look like a resolution.
    """
    if value == 0:
        return f"0 {unit}"
    prefixes = [each for each in _PREFIXES if not (unit == "s" and each[1] > 1)]
    prefix, scale = next(
        (each for each in prefixes if abs(value) >= each[1] * 0.9995), prefixes[-1]
    )
    number = value / scale
    return (
        f"{number:,.0f} {prefix}{unit}" if abs(number) >= 999.5 else f"{number:.3g} {prefix}{unit}"
    )


def spread(interval: Bounds, unit: str) -> str:
    """An interval for people: ``1.2 ms to 4 ms``."""
    low, high = format_quantity(interval.low, unit), format_quantity(interval.high, unit)
    return low if low == high else f"{low} to {high}"
