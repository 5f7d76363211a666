"""Seconds and joules of a step, measured here and modelled for devices, as one tidy frame."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import pandas as pd

from trainfit.plots.drawing.style import PHASES
from trainfit.plots.drawing.workloads import devices, over_seeds

HERE = "this machine"
BUDGETS = {"seconds": "step_latency", "joules": "energy_per_step"}
"""By quantity, the budget that limits it per step."""


def costs(rows: pd.DataFrame) -> pd.DataFrame:
    """One row per workload, device and phase; ``step`` is the whole step.

    ``device`` is ``this machine`` where a clock or a sensor measured; all others are modelled, and
    then for the whole step only, as an interval. Columns per quantity: ``seconds`` (the median),
    ``seconds_low`` and ``_high``, ``seconds_evidence``, ``seconds_limit``; ``joules`` (the mean)
    and the same of it. What is not known is missing; evidence is ``unavailable`` where it was asked
    for and could not be had, and missing where it was not asked for.

    Args:
        rows: From :func:`trainfit.plots.drawing.workloads.over_seeds`, with its ``workload``.
    """
    modelled = dict.fromkeys(
        [*devices(rows, "modelled", "seconds_low"), *devices(rows, "modelled", "joules_low")]
    )
    limits = {
        (device, quantity): _limit(rows, device, quantity)
        for device in modelled
        for quantity in BUDGETS
    }
    found = []
    for row in rows.to_dict("records"):
        known = {key: row[key] for key in ("workload", "algorithm", "options", "model")}
        found += [known | part for part in _measured(row)]
        for device in modelled:
            part: dict[str, Any] = {"device": device, "phase": "step"}
            for quantity in BUDGETS:
                ends = [row.get(f"modelled.{device}.{quantity}_{end}") for end in ("low", "high")]
                there = not pd.isna(ends).any()
                part |= {f"{quantity}_low": ends[0], f"{quantity}_high": ends[1]}
                part[f"{quantity}_evidence"] = "modelled" if there else "unavailable"
                part[f"{quantity}_limit"] = limits[device, quantity]
            found.append(known | part)
    names = [q + end for q in BUDGETS for end in ("", "_low", "_high", "_evidence", "_limit")]
    return pd.DataFrame(
        found, columns=["workload", "algorithm", "options", "model", "device", "phase", *names]
    )


def _measured(row: dict[Any, Any]) -> Iterable[dict[str, Any]]:
    """What a clock and a sensor measured of the step and of its three phases."""
    energy = row.get("energy_evidence")
    for phase in (*PHASES, "step"):
        stem = "step_" if phase == "step" else f"phase.{phase}."
        seconds = row.get(f"{stem}seconds_median")
        joules = row.get("joules_per_step" if phase == "step" else f"phase.{phase}.joules")
        part = {
            "device": HERE,
            "phase": phase,
            "seconds": seconds,
            "seconds_low": row.get(f"{stem}seconds_low"),
            "seconds_high": row.get(f"{stem}seconds_high"),
            "seconds_evidence": None if pd.isna(seconds) else "clock",
            "joules": joules,
            "joules_evidence": energy,
        }
        if phase == "step":
            part["joules_low"] = row.get("joules_per_step_low")
            part["joules_high"] = row.get("joules_per_step_high")
        yield part


def _limit(rows: pd.DataFrame, device: str, quantity: str) -> float | None:
    """What a device's budget allows per step: what is left plus the interval's high end."""
    budget = BUDGETS[quantity]
    margin, high = f"margin.{device}.{budget}_{quantity}", f"modelled.{device}.{quantity}_high"
    evidence = f"evidence.{device}.{budget}"
    if not {margin, high, evidence} <= set(rows.columns):
        return None
    known = (rows[margin] + rows[high])[rows[evidence] == "modelled"].dropna()
    return float(known.iloc[0]) if len(known) else None


def unlike(numbers: pd.DataFrame, most: int) -> list[str]:
    """At most so many devices that differ most in what a step takes, from fast to slow.

    The slowest and the fastest come first, then whichever is farthest from those taken, by the
    middle of its bounds on a log scale. Devices of which time and energy are modelled go before
    the others.
    """
    step = numbers[(numbers["device"] != HERE) & (numbers["phase"] == "step")]
    bounds = ["seconds_low", "seconds_high"]
    whole = step.dropna(subset=[*bounds, "joules_low"])
    step = whole if whole["device"].nunique() >= min(2, most) else step.dropna(subset=bounds)
    if step.empty:
        return []
    means = step.groupby("device", sort=False)[bounds].mean().astype(float)
    middles = means.clip(lower=1e-12).apply(np.log).mean(axis=1).sort_values(kind="stable")
    order = [str(device) for device in middles.index]
    taken = list(dict.fromkeys((order[-1], order[0])))[:most]
    while len(taken) < min(most, len(order)):
        rest = [device for device in order if device not in taken]
        apart = [min(abs(middles[device] - middles[other]) for other in taken) for device in rest]
        taken.append(rest[int(np.argmax(apart))])
    return [device for device in order if device in taken]


def costs_of(frame: pd.DataFrame) -> pd.DataFrame:
    """:func:`costs` of the workloads that have any; what is measured is meaned over seeds.

    What is modelled does not depend on the seed.
    """
    names = [
        name
        for name in frame.columns
        if name.startswith(("step_seconds_", "joules_per_step"))
        or (name.startswith("phase.") and (".seconds_" in name or name.endswith(".joules")))
    ]
    measured = [name for name in names if frame[name].notna().any()]
    modelled = [name for name in frame.columns if name.startswith("modelled.")]
    if not measured and not modelled:
        return costs(over_seeds(frame[:0]))
    known = frame.dropna(subset=[*measured, *modelled], how="all")
    return costs(over_seeds(known, *measured))
