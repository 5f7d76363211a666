"""What several figures and tables ask of a frame: RAM, limits of devices, means over seeds."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from trainfit.plots.drawing.labels import short_labels

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

WORKLOAD = (
    "algorithm",
    "options",
    "model",
    "dataset",
    "batch_size",
    "epochs",
    "train_samples",
    "standardise",
    "shuffle",
)
"""What tells workloads apart; runs of one that differ by their seed are repeats."""


def ram_bytes(frame: pd.DataFrame) -> pd.Series[Any]:
    """Static plus peak dynamic bytes, which a device must hold; missing where either is."""
    return frame["static_bytes"] + frame["peak_dynamic_bytes"]


def over_seeds(frame: pd.DataFrame, *columns: str) -> pd.DataFrame:
    """One row per workload: the first of its rows, and of these columns the mean over seeds.

    Where a workload was measured twice with the same seed, the later one counts.

    Args:
        frame: Records.
        columns: Get a column each that ends in ``_deviation`` (of the sample, missing with one
            seed), too.

    Returns:
        The rows in the order of the frame, with ``seeds``, and ``workload``, a short label.
    """
    known = frame.drop_duplicates([*WORKLOAD, "seed"], keep="last")
    groups = known.groupby(list(WORKLOAD), sort=False, dropna=False)
    number = groups.ngroup().to_numpy()
    values = known[list(columns)].astype("Float64").astype(float).groupby(number)
    rows = groups.head(1).drop(columns=list(columns)).reset_index(drop=True)
    seeds = groups["seed"].nunique().reset_index(drop=True).rename("seeds")
    rows = pd.concat(
        [rows, seeds, values.mean(), values.std(ddof=1).add_suffix("_deviation")], axis=1
    )
    rows["workload"] = short_labels(rows.drop(columns="seed"))
    return rows


def identity(rows: pd.DataFrame) -> pd.DataFrame:
    """The first columns of a table: workload, and model, data set and batch size if they vary.

    What is the same in all rows is in ``attrs["note"]``.
    """
    names = {"model": "net", "dataset": "data set", "batch_size": "batch size"}
    varied = [name for name in names if rows[name].nunique(dropna=False) > 1]
    table = pd.DataFrame({"workload": short_labels(rows.drop(columns=["seed", *varied]))})
    for name in varied:
        table[name] = rows[name].to_numpy()
    same = [f"{names[name]} {rows[name].iloc[0]}" for name in names if name not in varied]
    text = ", ".join(same)
    table.attrs["note"] = f"{text[0].upper()}{text[1:]} throughout." if same else ""
    return table


def device_limits(frame: pd.DataFrame) -> dict[str, int]:
    """Bytes of RAM that a device leaves to a training, by device, from smallest to largest.

    A limit is what a workload needs plus what is left of it.
    """
    needs = ram_bytes(frame)
    limits = {}
    for device in devices(frame, "margin", "ram_bytes"):
        known = (needs + frame[f"margin.{device}.ram_bytes"]).dropna()
        if len(known):
            limits[device] = int(known.iloc[0])
    return dict(sorted(limits.items(), key=lambda item: item[1]))


def limits_of(numbers: pd.DataFrame) -> dict[str, int]:
    """The limits that a figure's numbers hold in columns ``limit.<device>_bytes``."""
    return {
        name.removeprefix("limit.").removesuffix("_bytes"): int(numbers[name].iloc[0])
        for name in numbers.columns
        if name.startswith("limit.")
    }


def devices(frame: pd.DataFrame, what: str, of: str) -> list[str]:
    """The devices that have a column ``WHAT.<device>.OF`` with a value in it."""
    pattern = re.compile(rf"{re.escape(what)}\.(.+)\.{re.escape(of)}")
    found = {match[1]: name for name in frame.columns if (match := pattern.fullmatch(name))}
    return [device for device, name in found.items() if frame[name].notna().any()]


def spread_limits(
    limits: Mapping[str, int], low: float, high: float, most: int
) -> list[tuple[str, int]]:
    """At most so many limits between two figures, far apart on a log axis, named for a line.

    Devices with the same limit share a line. Of two lines that would be closer than an eighth of
    the axis, the smaller limit stays.
    """
    if not low < high:
        return []
    names: dict[int, list[str]] = {}
    for device, limit in limits.items():
        if low <= limit <= high:
            names.setdefault(limit, []).append(device)
    apart = np.log(high / low) / max(8, most + 2)
    kept: list[int] = []
    for limit in sorted(names):
        if len(kept) < most and (not kept or np.log(limit / kept[-1]) >= apart):
            kept.append(limit)
    return [(_joined(names[limit]), limit) for limit in kept]


def _joined(names: Sequence[str]) -> str:
    return ", ".join(names) if len(names) < 3 else f"{names[0]} and {len(names) - 1} more"


def baseline(frame: pd.DataFrame) -> pd.Series[Any]:
    """Peak dynamic bytes of plain backpropagation on the same net and batch; missing if unknown.

    Plain is the row of ``backprop`` with the fewest options, none of which saves memory.
    """
    saving = r'"(?:checkpoint|micro_batch|update|weights|activations|slices)"'
    plain = frame[(frame["algorithm"] == "backprop") & ~frame["options"].str.contains(saving)]
    plain = plain.dropna(subset=["peak_dynamic_bytes"])
    plain = plain.iloc[np.argsort(plain["options"].str.count(":").to_numpy(), kind="stable")]
    found = plain.groupby(["model", "batch_size"], sort=False)["peak_dynamic_bytes"].first()
    keys = zip(frame["model"], frame["batch_size"], strict=True)
    return pd.Series([found.get(key) for key in keys], frame.index, dtype="Float64")
