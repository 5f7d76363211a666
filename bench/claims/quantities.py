"""What claims compare: bytes, multiply-accumulates, accuracies, modelled time and energy.

A quantity has a table, one of the frames of :mod:`trainfit.bench.frames.sources` and the columns
``low`` and ``high``: equal for what was measured, the bounds of a model otherwise, missing where a
row has no figure.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from trainfit.bench.frames.sources import load_source

if TYPE_CHECKING:
    import pandas as pd

KEY = ["run", "label", "seed", "epochs", "shuffle"]
"""The columns that tell the workloads of some runs apart."""


class Tables:
    """The frames of some runs, each read when it is first needed."""

    def __init__(self, runs: Sequence[Path]) -> None:
        self._runs = list(runs)
        self.sources: dict[str, pd.DataFrame] = {}
        self._tables: dict[Quantity, pd.DataFrame] = {}

    def __getitem__(self, source: str) -> pd.DataFrame:
        if source not in self.sources:
            self.sources[source] = load_source(self._runs, source)
        return self.sources[source]

    def of(self, quantity: Quantity) -> pd.DataFrame:
        """The table of a quantity."""
        if quantity not in self._tables:
            self._tables[quantity] = quantity.table(self)
        return self._tables[quantity]


@dataclass(frozen=True)
class Quantity:
    """One thing that can be compared.

    Attributes:
        key: What machine-readable output calls it.
        name: What people call it.
        unit: ``B``, ``%`` (of a share, 0 to 1), ``s``, ``J``, ``products``, or none.
        table: Makes its table.
        varies: Whether it differs from seed to seed.
    """

    key: str
    name: str
    unit: str
    table: Callable[[Tables], pd.DataFrame]
    varies: bool = True


def _exactly(frame: pd.DataFrame, values: pd.Series) -> pd.DataFrame:
    return frame.assign(low=values, high=values)


def column(
    key: str, name: str = "", unit: str = "", *, source: str = "records", varies: bool = True
) -> Quantity:
    """A column of a frame as it is."""

    def table(tables: Tables) -> pd.DataFrame:
        return _exactly(tables[source], tables[source][key])

    return Quantity(key, name or key, unit, table, varies)


def _ram(tables: Tables) -> pd.DataFrame:
    frame = tables["records"]
    return _exactly(frame, frame["static_bytes"] + frame["peak_dynamic_bytes"])


STATIC = column("static_bytes", "static bytes", "B", varies=False)
DYNAMIC = column("peak_dynamic_bytes", "peak dynamic bytes", "B", varies=False)
RAM = Quantity("ram_bytes", "static + peak dynamic bytes", "B", _ram, varies=False)
BOTH = (DYNAMIC, RAM)
"""Bytes alone and with what is held between steps: which of them a paper means is rarely said."""


def _arena_ram(tables: Tables) -> pd.DataFrame:
    frame = tables["records"]
    return _exactly(frame, frame["static_bytes"] + frame["arena_bytes"])


ARENA = column("arena_bytes", "planned arena", "B", varies=False)
"""Dynamic bytes of the step as straight-line C would run it."""
ARENA_RAM = Quantity(
    "arena_ram_bytes", "static bytes + planned arena", "B", _arena_ram, varies=False
)


@cache
def in_phase(phase: str, *, held: bool = False) -> Quantity:
    """Peak dynamic bytes in a phase of the stage that needs most.

    Args:
        phase: For example ``forward``.
        held: With the static bytes.
    """

    def table(tables: Tables) -> pd.DataFrame:
        values = tables["values"]
        peaks = values[(values["phase"] == phase) & (values["quantity"] == "peak_bytes")]
        found = tables["records"].merge(
            peaks[[*KEY, "stage", "value"]],
            how="left",
            left_on=[*KEY, "worst_stage"],
            right_on=[*KEY, "stage"],
        )
        return _exactly(found, found["value"] + (found["static_bytes"] if held else 0))

    kind, name = ("ram", RAM.name) if held else ("peak", DYNAMIC.name)
    return Quantity(f"phase.{phase}.{kind}_bytes", f"{name} in {phase}", "B", table, varies=False)


def _macs(tables: Tables) -> pd.DataFrame:
    """Of a step, so of rules with one stage; ``forward.positive`` is in ``forward``."""
    values = tables["values"]
    counts = values[values["quantity"] == "macs"]
    whole = [phase for phase in counts["phase"].unique() if "." not in phase]
    sums = counts[counts["phase"].isin(whole)].groupby(KEY, as_index=False)["value"].sum()
    found = tables["records"].merge(sums, how="left", on=KEY)
    return _exactly(found, found["value"].where(found["stages"].fillna(1) <= 1))


MACS = Quantity("macs", "multiply-accumulates", "products", _macs, varies=False)
"""Over all phases and number formats of a step."""


@cache
def modelled(device: str, quantity: str) -> Quantity:
    """``seconds`` or ``joules`` of a step as modelled for a device: an interval."""

    def table(tables: Tables) -> pd.DataFrame:
        costs = tables["costs"]
        of_it = (
            (costs["device"] == device)
            & (costs["quantity"] == quantity)
            & (costs["evidence"] == "modelled")
        )
        return tables["records"].merge(costs[of_it][[*KEY, "low", "high"]], how="left", on=KEY)

    key = f"modelled.{device}.{quantity}"
    return Quantity(key, key, {"seconds": "s", "joules": "J"}[quantity], table, varies=False)


ACCURACY = column("test_accuracy", unit="%")
BALANCED = Quantity(
    "balanced_accuracy",
    "balanced accuracy",
    "%",
    lambda tables: _exactly(
        tables["records"],
        tables["records"]["balanced_accuracy"].where(tables["records"]["test_accuracy"].notna()),
    ),
)
"""The mean over classes of the share of each that is classified rightly, on the test half."""
CURVE = column("test_accuracy", unit="%", source="curves")
"""After every pass at which it was measured; what counts is the last one."""


def _lost(tables: Tables) -> pd.DataFrame:
    noise = tables["noise"]
    whole = noise[noise["disturbance"] == "none"].drop_duplicates(KEY)
    found = noise.merge(
        whole[[*KEY, "test_accuracy"]], how="left", on=KEY, suffixes=("", "_undisturbed")
    )
    return _exactly(found, found["test_accuracy_undisturbed"] - found["test_accuracy"])


LOST_ACCURACY = Quantity("lost_accuracy", "accuracy lost", "%", _lost)
"""What a disturbance of the weights took from the accuracy of the same net."""

RELATIVE_RMS = column("int8_relative_rms", source="gradients")
"""At the last moment at which gradients were probed; a mean over weight tensors."""


@cache
def over_training(key: str) -> Quantity:
    """A column of the gradients, as a mean over training.

    At each moment it is the mean over the weight tensors; over moments a mean in which each counts
    for the passes since the one before, so all alike where they are spaced evenly. The moment
    before training ends no pass and does not count: the untrained net takes one step of thousands,
    and what its gradients are like is a matter of how weights are drawn. ``moments`` are those that
    count, a JSON list of passes. Of rules with one stage; with several, layers that no step moves
    any more would count for as much as the one that is trained.
    """

    def table(tables: Tables) -> pd.DataFrame:
        frame = tables["gradients"]
        known = frame[frame[key].notna() & (frame["pass"] > 0)]
        at = known.groupby([*KEY, "pass"], as_index=False, sort=True)[key].mean()
        at["since"] = at["pass"] - at.groupby(KEY)["pass"].shift(fill_value=0)
        at["weighted"] = at[key] * at["since"]
        sums = at.groupby(KEY, as_index=False).agg(
            weighted=("weighted", "sum"), since=("since", "sum"), moments=("pass", _as_json)
        )
        stages = frame.groupby(KEY, as_index=False)["stage"].nunique()
        rows = frame.drop(columns=["pass", "stage", key]).drop_duplicates(KEY)
        found = rows.merge(stages, how="left", on=KEY).merge(sums, how="left", on=KEY)
        mean = (found["weighted"] / found["since"]).astype("float64")
        return _exactly(found, mean.where(found["stage"] == 1))

    return Quantity(f"{key}.over_training", f"{key} over training", "", table)


def _as_json(passes: pd.Series) -> str:
    return json.dumps([int(each) for each in passes])


RMS_OVER_TRAINING = over_training("int8_relative_rms")
ZEROED_OVER_TRAINING = over_training("int8_rounded_to_zero")
