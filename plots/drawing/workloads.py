"""Frames as rows of workloads: means over seeds, phases of a step, RAM and limits of devices."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from trainfit.plots.drawing.labels import short_labels
from trainfit.plots.drawing.style import PHASES

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

WORKLOAD = (
    "algorithm",
    "options",
    "model",
    "dataset",
    "batch_size",
    "epochs",
    "train_samples",
    "held_out",
    "standardise",
    "shuffle",
    "augment",
    "pretrained",
)
"""What tells workloads apart; runs of one that differ by their seed are repeats."""

RECORD = ["run", *WORKLOAD, "seed"]
"""What rows of several frames share that are of one record."""


PLANNED = "arena"
"""Of a verdict's ``judged_by``: not torch's peak counts, but a planned arena."""

STAR = "*"
STARRED = f"{STAR} judges static bytes + planned arena"
"""What a mark behind the name of a device says."""


def ram_bytes(frame: pd.DataFrame) -> pd.Series[Any]:
    """Static plus peak dynamic bytes: what torch must hold; missing where either is."""
    return frame["static_bytes"] + frame["peak_dynamic_bytes"]


def over_seeds(frame: pd.DataFrame, *columns: str) -> pd.DataFrame:
    """One row per workload: the first of its rows, and of these columns the mean over seeds.

    Where a workload was measured twice with the same seed, the later one counts.

    Args:
        frame: One row per record.
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
    rows["workload"] = short_labels(rows.drop(columns="seed"), passes="test_accuracy" in columns)
    return rows


def named(frame: pd.DataFrame, *telling: str, passes: bool = False) -> pd.DataFrame:
    """Several rows per record, with a short label in front; what was measured twice counts once.

    Args:
        frame: Rows with the columns that tell workloads apart, and ``seed``.
        telling: The columns that tell rows of one workload and seed apart.
        passes: Say how long each was trained, wherever they differ in it.
    """
    known = frame.drop_duplicates([*WORKLOAD, "seed", *telling], keep="last")
    groups = known.groupby(list(WORKLOAD), sort=False, dropna=False)
    firsts = groups.head(1)
    labels = dict(
        zip(
            groups.ngroup()[firsts.index],
            short_labels(firsts.drop(columns="seed"), passes=passes),
            strict=True,
        )
    )
    rows = known.copy()
    rows.insert(0, "workload", groups.ngroup().map(labels))
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


def cut(rows: pd.DataFrame, most: int) -> pd.DataFrame:
    """The rows of at most so many workloads; ``attrs["left_out"]`` names the others.

    The first workload of every algorithm is taken before the second of any.
    """
    everyone = rows.drop_duplicates("workload")
    turn = everyone.groupby("algorithm", sort=False).cumcount()
    kept = everyone["workload"][turn.sort_values(kind="stable").index[:most]]
    result = rows[rows["workload"].isin(kept)].reset_index(drop=True)
    left_out = everyone["workload"][~everyone["workload"].isin(kept)]
    result.attrs["left_out"] = left_out.tolist()
    return result


def texts(frame: pd.DataFrame) -> pd.DataFrame:
    """The frame without categories: long frames keep names so, which do not map and join freely."""
    kinds = {name: object for name in frame if isinstance(frame[name].dtype, pd.CategoricalDtype)}
    return frame.astype(kinds)


def by_phase(records: pd.DataFrame, values: pd.DataFrame, *quantities: str) -> pd.DataFrame:
    """Three rows per record, a phase each, with a column per quantity, missing where not known.

    Values are those of the ``worst_stage`` where records have one.
    """
    rows = records.drop(columns=list(quantities), errors="ignore")
    rows = rows.merge(pd.Series(PHASES, name="phase"), how="cross")
    if values.empty:
        return rows.reindex(columns=[*rows.columns, *quantities])
    keys = [*RECORD, "phase"]
    if "worst_stage" in rows:
        rows, keys = rows.assign(stage=rows["worst_stage"]), [*keys, "stage"]
    known = texts(values[values["quantity"].isin(quantities)])
    for quantity in quantities:
        part = known[known["quantity"] == quantity].rename(columns={"value": quantity})
        part = part[[*keys, quantity]].drop_duplicates(keys, keep="last")
        rows = rows.merge(part, how="left", on=keys)
    return rows


def device_limits(records: pd.DataFrame, verdicts: pd.DataFrame) -> dict[str, int]:
    """Bytes of RAM that a device leaves to a training, by device, from smallest to largest.

    A limit is what a workload was judged to need plus what is left of it.
    """
    judged = _of_ram(verdicts)
    if judged.empty:
        return {}
    needs = records[RECORD].assign(
        torch=ram_bytes(records), planned=records["static_bytes"] + records["arena_bytes"]
    )
    known = judged.merge(needs, on=RECORD)
    known["ram"] = known["planned"].where(known["judged_by"] == PLANNED, known["torch"])
    known = known.dropna(subset=["margin", "ram"])
    limits = (known["ram"] + known["margin"]).groupby(known["device"], sort=False).first()
    return {str(name): int(limit) for name, limit in limits.sort_values(kind="stable").items()}


def planning_devices(verdicts: pd.DataFrame) -> list[str]:
    """Devices on which RAM was judged with a planned arena."""
    judged = _of_ram(verdicts)
    return [] if judged.empty else sorted(set(judged.loc[judged["judged_by"] == PLANNED, "device"]))


def devices_with_room(rows: pd.DataFrame, verdicts: pd.DataFrame) -> pd.Series[Any]:
    """Of every row the list of devices whose RAM is enough, as they judge it.

    Args:
        rows: With the columns that say which record each is of.
        verdicts: The frame of that name.
    """
    judged = _of_ram(verdicts)
    if judged.empty:
        return pd.Series([[] for _ in rows.index], rows.index, dtype=object)
    enough = judged[judged["margin"] >= 0]
    devices = enough.groupby(RECORD, dropna=False)["device"].agg(list).rename("room").reset_index()
    kinds = {name: rows[name].dtype for name in RECORD}  # grouping makes numbers of missing texts
    found = rows[RECORD].merge(devices.astype(kinds), how="left", on=RECORD)["room"]
    lists = [each if isinstance(each, list) else [] for each in found]
    return pd.Series(lists, rows.index, dtype=object)


def _of_ram(verdicts: pd.DataFrame) -> pd.DataFrame:
    if verdicts.empty:
        return verdicts
    columns = [*RECORD, "device", "margin", "judged_by"]
    return texts(verdicts.loc[verdicts["budget"] == "ram", columns])


def with_limits(
    table: pd.DataFrame, limits: Mapping[str, int], planning: Collection[str]
) -> pd.DataFrame:
    """The table and, below it, a row per ``device`` with the RAM it leaves (``limit_bytes``).

    Args:
        table: The rows above.
        limits: Bytes by device.
        planning: Devices that judge a planned arena: ``judged_by`` says so.
    """
    rows = pd.DataFrame(
        {
            "device": list(limits),
            "limit_bytes": pd.array(list(limits.values()), dtype="Int64"),
            "judged_by": [PLANNED if name in planning else "torch" for name in limits],
        }
    )
    nullable = {"i": "Int64", "b": "boolean"}  # so that whole numbers stay whole
    kinds = {name: nullable.get(table[name].dtype.kind) for name in table}
    kept = table.astype({name: kind for name, kind in kinds.items() if kind})
    return pd.concat([kept, rows], ignore_index=True)


def apart(numbers: pd.DataFrame) -> tuple[pd.DataFrame, dict[str, int]]:
    """What :func:`with_limits` put together."""
    of_device = numbers["device"].notna()
    limits = numbers[of_device]
    return numbers[~of_device], dict(
        zip(limits["device"], limits["limit_bytes"].astype(int), strict=True)
    )


def marked(numbers: pd.DataFrame, limits: Mapping[str, int]) -> dict[str, int]:
    """The limits, the names of devices that judge a planned arena with a star."""
    planning = set(numbers.loc[numbers["judged_by"] == PLANNED, "device"])
    return {f"{name}{STAR if name in planning else ''}": limit for name, limit in limits.items()}


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
    least = np.log(high / low) / max(8, most + 2)
    kept: list[int] = []
    for limit in sorted(names):
        if len(kept) < most and (not kept or np.log(limit / kept[-1]) >= least):
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
