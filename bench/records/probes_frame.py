"""What the probes found in a run as tidy frames: gradients by weight tensor, accuracy by noise."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from trainfit.bench.records.frame import identity
from trainfit.bench.records.reading import iter_records
from trainfit.bench.records.schema import LayerGradients, Noise, Record

if TYPE_CHECKING:
    import pandas as pd

IDENTITY = (
    "algorithm",
    "options",
    "model",
    "dataset",
    "batch_size",
    "seed",
    "epochs",
    "train_samples",
    "standardise",
    "shuffle",
    "label",
)
"""The columns of ``frame.identity``, after ``run``, the name of the run folder."""

GRADIENTS = (
    "tensor",
    "stage",
    "evidence",
    "shape",
    "count",
    "zeros",
    "max_abs",
    "rms",
    "mean_abs",
    "excess_kurtosis",
    "histogram",
    "histogram_below",
    "int8_relative_rms",
    "int8_cosine",
    "int8_rounded_to_zero",
    "int8_evidence",
    "reason",
)

NOISE = (
    "disturbance",
    "bits",
    "amplitude",
    "noise_seed",
    "test_accuracy",
    "samples",
    "reason",
)

_WHOLE = ("batch_size", "seed", "epochs", "train_samples", "count", "zeros", "histogram_below")
_WHOLE_OF_NOISE = ("batch_size", "seed", "epochs", "train_samples", "bits", "noise_seed", "samples")


def gradients_frame(runs: Sequence[Path]) -> pd.DataFrame:
    """One row per workload and weight tensor; workloads that were not probed have none.

    Columns: ``run``, :data:`IDENTITY`, then :data:`GRADIENTS`, which are the fields of
    :class:`~trainfit.bench.records.schema.probes.LayerGradients`. ``shape`` and ``histogram`` are
    lists as compact JSON text. Where a gradient cannot be had the row has a ``reason`` and no
    figures.

    Raises:
        RunFolderError: One of ``runs`` is not a run folder or holds a damaged record.
    """
    rows = [
        {**known, **_gradients(layer)}
        for known, record in _records(runs)
        for layer in record.gradients
    ]
    return _framed(rows, GRADIENTS, _WHOLE)


def noise_frame(runs: Sequence[Path]) -> pd.DataFrame:
    """One row per workload and disturbance of its weights; what was not probed has none.

    Columns: ``run``, :data:`IDENTITY`, then :data:`NOISE`. ``disturbance`` is ``none``, ``bits``
    (of the weights, in ``bits``), ``uniform`` (noise, its share of the largest weight in
    ``amplitude``) or ``unavailable``, with a ``reason`` and no figures.

    Raises:
        RunFolderError: One of ``runs`` is not a run folder or holds a damaged record.
    """
    rows = [
        {**known, **point}
        for known, record in _records(runs)
        if record.noise
        for point in _points(record.noise)
    ]
    return _framed(rows, NOISE, _WHOLE_OF_NOISE)


def _records(runs: Sequence[Path]) -> Iterator[tuple[dict[str, Any], Record]]:
    for run in runs:
        for record in iter_records(run):
            yield {"run": run.resolve().name, **identity(record.workload)}, record


def _gradients(layer: LayerGradients) -> dict[str, Any]:
    row = layer.model_dump(mode="json", exclude={"int8"})
    row["shape"] = json.dumps(row["shape"], separators=(",", ":"))
    row["histogram"] = json.dumps(row["histogram"], separators=(",", ":"))
    error = layer.int8
    row["int8_relative_rms"] = error.relative_rms if error else None
    row["int8_cosine"] = error.cosine if error else None
    row["int8_rounded_to_zero"] = error.rounded_to_zero if error else None
    row["int8_evidence"] = error.evidence.value if error else None
    return row


def _points(noise: Noise) -> Iterator[dict[str, Any]]:
    samples = {"samples": noise.samples}
    if noise.undisturbed_accuracy is None:
        yield {"disturbance": "unavailable", "reason": noise.reason}
        return
    yield {"disturbance": "none", "test_accuracy": noise.undisturbed_accuracy, **samples}
    for rounded in noise.quantised:
        yield {"disturbance": "bits", **rounded.model_dump(), **samples}
    for noisy in noise.noisy:
        found = noisy.model_dump()
        yield {"disturbance": "uniform", "noise_seed": found.pop("seed"), **found, **samples}


def _framed(
    rows: list[dict[str, Any]], own: tuple[str, ...], whole: tuple[str, ...]
) -> pd.DataFrame:
    """All columns, also where there is no row; whole numbers as nullable ``Int64``."""
    import pandas as pd  # noqa: PLC0415  (half a second that the command line does not need)

    frame = pd.DataFrame(rows, columns=["run", *IDENTITY, *own])
    for column in whole:
        frame[column] = frame[column].astype("Int64")
    return frame
