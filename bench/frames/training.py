"""What training a net showed: the frames ``curves``, ``gradients`` and ``noise``."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Any

from trainfit.bench.frames.workloads import IDENTITY, identity, typed
from trainfit.bench.records.schema import LayerGradients, Noise, Record

if TYPE_CHECKING:
    import pandas as pd

CURVES = {"pass": "Int64", "test_accuracy": "float64"}

GRADIENTS = {
    "pass": "Int64",
    "tensor": "str",
    "stage": "str",
    "evidence": "str",
    "shape": "str",
    "count": "Int64",
    "zeros": "Int64",
    "max_abs": "float64",
    "rms": "float64",
    "mean_abs": "float64",
    "excess_kurtosis": "float64",
    "histogram": "str",
    "histogram_below": "Int64",
    "int8_relative_rms": "float64",
    "int8_cosine": "float64",
    "int8_rounded_to_zero": "float64",
    "int8_evidence": "str",
    "reason": "str",
}

NOISE = {
    "disturbance": "str",
    "bits": "Int64",
    "amplitude": "float64",
    "noise_seed": "Int64",
    "test_accuracy": "float64",
    "samples": "Int64",
    "reason": "str",
}

Records = Iterable[tuple[str, Record]]
"""Records, each with the name of its run."""


def curves_frame(records: Records) -> pd.DataFrame:
    """One row per workload and point of its training's curve.

    A training whose samples were held out has none: its curve is not of the test half.

    Columns: ``run``, those of the workload's identity, then :data:`CURVES`.
    """
    return _frame(records, _curve, CURVES)


def gradients_frame(records: Records) -> pd.DataFrame:
    """One row per workload, moment and weight tensor; workloads that were not probed have none.

    Columns: ``run``, those of the workload's identity, then :data:`GRADIENTS`, which are the fields
    of :class:`~trainfit.bench.records.schema.probes.LayerGradients`. ``pass`` is the moment: after
    so many passes, 0 is before training; records that do not name it have the last one alone.
    ``shape`` and ``histogram`` are lists as compact JSON text. A row without a gradient has a
    ``reason`` and no figures.
    """
    return _frame(records, _gradients, GRADIENTS)


def noise_frame(records: Records) -> pd.DataFrame:
    """One row per workload and disturbance of its weights; what was not probed has none.

    Columns: ``run``, those of the workload's identity, then :data:`NOISE`. ``disturbance`` is
    ``none``, ``bits`` (of the weights, in ``bits``), ``uniform`` (noise, its share of the largest
    weight in ``amplitude``) or ``unavailable``, with a ``reason`` and no figures.
    """
    return _frame(records, _points, NOISE)


def _frame(
    records: Records, rows_of: Callable[[Record], Iterable[dict[str, Any]]], own: dict[str, str]
) -> pd.DataFrame:
    rows = [
        {"run": run, **identity(record.workload), **row}
        for run, record in records
        for row in rows_of(record)
    ]
    types = {"run": "str", **IDENTITY, **own}
    return typed({name: [row.get(name) for row in rows] for name in types}, types)


def _curve(record: Record) -> Iterator[dict[str, Any]]:
    if record.accuracy is None or record.accuracy.test_accuracy is None:
        return
    # Records that do not name the passes have a point for every one.
    passes = record.accuracy.curve_passes or range(1, len(record.accuracy.curve) + 1)
    for number, accuracy in zip(passes, record.accuracy.curve, strict=True):
        yield {"pass": number, "test_accuracy": accuracy}


def _gradients(record: Record) -> Iterator[dict[str, Any]]:
    last = record.workload.epochs * max(len(record.operations), 1)  # a stage each
    for layer in record.gradients:
        yield {"pass": last if layer.passes is None else layer.passes, **_gradient(layer)}


def _gradient(layer: LayerGradients) -> dict[str, Any]:
    row = layer.model_dump(mode="json", exclude={"passes"})
    row["shape"] = json.dumps(row["shape"], separators=(",", ":"))
    row["histogram"] = json.dumps(row["histogram"], separators=(",", ":"))
    error = row.pop("int8") or {}
    return row | {f"int8_{name}": value for name, value in error.items()}


def _points(record: Record) -> Iterator[dict[str, Any]]:
    noise = record.noise
    if noise is None:
        return
    if noise.undisturbed_accuracy is None:
        yield {"disturbance": "unavailable", "reason": noise.reason}
        return
    for point in _disturbed(noise):
        yield {**point, "samples": noise.samples}


def _disturbed(noise: Noise) -> Iterator[dict[str, Any]]:
    yield {"disturbance": "none", "test_accuracy": noise.undisturbed_accuracy}
    for rounded in noise.quantised:
        yield {"disturbance": "bits", **rounded.model_dump()}
    for noisy in noise.noisy:
        found = noisy.model_dump()
        yield {"disturbance": "uniform", "noise_seed": found.pop("seed"), **found}
