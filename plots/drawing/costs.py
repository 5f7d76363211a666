"""Seconds and joules of a step, measured here and modelled for devices, as one long frame."""

from __future__ import annotations

import numpy as np
import pandas as pd

from trainfit.plots.drawing.workloads import RECORD, WORKLOAD, by_phase, named, texts

HERE = "this machine"
BUDGETS = {"seconds": "step_latency", "joules": "energy_per_step"}
"""By quantity, the budget that limits it per step."""

_PHASES = {
    "seconds": {"value": "seconds_median", "low": "seconds_low", "high": "seconds_high"},
    "joules": {"value": "joules"},
}
"""By quantity, what its figures are called where they are those of phases."""


def costs_of(costs: pd.DataFrame, values: pd.DataFrame, verdicts: pd.DataFrame) -> pd.DataFrame:
    """One row per workload, device, phase and quantity, the mean over seeds.

    ``device`` is ``this machine`` where a clock or a sensor measured: then ``value`` is the median
    of the time or the mean of the energy. All others are modelled, as an interval, and for the
    whole step only (``phase`` is ``step``). What is not known is missing; ``evidence`` is
    ``unavailable`` where measuring or modelling was tried and gave nothing. ``limit`` is what the
    device allows per step. Workloads of which nothing is known are left out.
    """
    costs = texts(costs)
    step = costs.assign(device=costs["device"].fillna(HERE), phase="step")
    rows = pd.concat([step, *_phases(costs, values)], ignore_index=True)
    known = rows.loc[rows[["value", "low"]].notna().any(axis=1), list(WORKLOAD)]
    rows = rows.merge(known.drop_duplicates(), on=list(WORKLOAD))
    parts = ["value", "low", "high"]
    rows[parts] = rows[parts].astype("Float64").astype(float)
    keys = ["device", "phase", "quantity"]
    about = ["workload", "algorithm", "options", "model", *keys]
    groups = named(rows, *keys).groupby(about, sort=False)
    table = groups.agg(dict.fromkeys(parts, "mean") | {"evidence": "first"}).reset_index()
    limits = _limits(costs, verdicts)
    places = zip(table["device"], table["quantity"], strict=True)
    return table.assign(limit=pd.Series(map(limits.get, places), table.index, dtype=float))


def _phases(costs: pd.DataFrame, values: pd.DataFrame) -> list[pd.DataFrame]:
    """The rows of phases, which are measured on this machine only."""
    records = costs[RECORD].drop_duplicates()
    found = []
    for quantity, names in _PHASES.items():
        wide = by_phase(records, values, *names.values())
        part = wide.rename(columns={name: part for part, name in names.items()})
        part = part.dropna(subset=["value"]).assign(device=HERE, quantity=quantity)
        found.append(part)
    return [part for part in found if len(part)]


def _limits(costs: pd.DataFrame, verdicts: pd.DataFrame) -> dict[tuple[str, str], float]:
    """What budgets allow a modelled step: what is left and the interval's high end."""
    if verdicts.empty:
        return {}
    limits = {}
    for quantity, budget in BUDGETS.items():
        judged = verdicts[(verdicts["budget"] == budget) & (verdicts["evidence"] == "modelled")]
        judged = texts(judged[[*RECORD, "device", "margin"]])
        modelled = costs.loc[costs["quantity"] == quantity, [*RECORD, "device", "high"]]
        both = judged.merge(modelled, on=[*RECORD, "device"]).dropna(subset=["margin", "high"])
        firsts = both.drop_duplicates("device")
        allowed = (firsts["margin"] + firsts["high"]).astype(float)
        limits |= {
            (device, quantity): limit
            for device, limit in zip(firsts["device"], allowed, strict=True)
        }
    return limits


def unlike(numbers: pd.DataFrame, most: int) -> list[str]:
    """At most so many devices that differ most in what a step takes, from fast to slow.

    The slowest and the fastest come first, then whichever is farthest from those taken, by the
    middle of its bounds on a log scale. Devices of which time and energy are modelled go before
    the others.
    """
    known = numbers[numbers["device"] != HERE].dropna(subset=["low", "high"])
    step = known[known["quantity"] == "seconds"]
    both = step[step["device"].isin(known.loc[known["quantity"] == "joules", "device"])]
    step = both if both["device"].nunique() >= min(2, most) else step
    if step.empty:
        return []
    means = step.groupby("device", sort=False)[["low", "high"]].mean()
    middles = np.log(means.clip(lower=1e-12)).mean(axis=1).sort_values(kind="stable")
    order = [str(device) for device in middles.index]
    taken = list(dict.fromkeys((order[-1], order[0])))[:most]
    while len(taken) < min(most, len(order)):
        rest = [device for device in order if device not in taken]
        apart = [min(abs(middles[device] - middles[other]) for other in taken) for device in rest]
        taken.append(rest[int(np.argmax(apart))])
    return [device for device in order if device in taken]
