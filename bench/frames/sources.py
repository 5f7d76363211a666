"""What figures, tables and claims are made from: frames of one or several runs, by name.

* ``records``: one row per workload, see :data:`~trainfit.bench.frames.workloads.RECORD`;
* ``values``: the figures of every stage and phase, one row per quantity;
* ``costs``: seconds and joules of a step, measured here and modelled for the suite's devices;
* ``verdicts``: every budget of every device of the suite;
* ``curves``: one row per point of a training's curve: ``pass`` and ``test_accuracy``;
* ``timelines``: live bytes over a step, by category;
* ``gradients``: what INT8 would leave of each weight's gradient, by moment (``pass``) of training;
* ``noise``: what is left of a trained net's accuracy when its weights are disturbed.

Rows of several runs are stacked. Every frame begins with ``run``, the name of a row's folder, and
the columns that say which workload a row is of
(:data:`~trainfit.bench.frames.workloads.IDENTITY`). In the long frames (``values``, ``costs``,
``verdicts``, ``timelines``) text is categorical.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from trainfit.bench.frames.judged import costs_frame, verdicts_frame
from trainfit.bench.frames.timelines import timelines_frame
from trainfit.bench.frames.training import curves_frame, gradients_frame, noise_frame
from trainfit.bench.frames.values import values_frame
from trainfit.bench.frames.workloads import records_frame
from trainfit.bench.records.reading import iter_records, run_name
from trainfit.bench.records.schema import Record
from trainfit.bench.records.timelines import TimelineLine, read_timelines

if TYPE_CHECKING:
    import pandas as pd

_OF_RECORDS: Mapping[str, Callable[[Iterable[tuple[str, Record]]], pd.DataFrame]] = {
    "records": records_frame,
    "values": values_frame,
    "curves": curves_frame,
    "gradients": gradients_frame,
    "noise": noise_frame,
}

_OF_RUNS: Mapping[str, Callable[[Sequence[Path]], pd.DataFrame]] = {
    "costs": costs_frame,
    "verdicts": verdicts_frame,
    "timelines": lambda runs: timelines_frame(_timelines(runs)),
}

SOURCES = (*_OF_RECORDS, *_OF_RUNS)
"""The names that :func:`load_source` knows."""


def load_run(path: str | Path, source: str = "records") -> pd.DataFrame:
    """One frame of a run; see :func:`load_source`."""
    return load_source([Path(path)], source)


def load_source(runs: Sequence[Path], source: str) -> pd.DataFrame:
    """One frame of these runs.

    Args:
        runs: Run folders.
        source: One of :data:`SOURCES`.

    Raises:
        RunFolderError: One of them is no run folder or holds a damaged record.
        KeyError: There is no such source.
    """
    if source in _OF_RUNS:
        return _OF_RUNS[source](runs)
    return _OF_RECORDS[source](_records(runs))


def _records(runs: Iterable[Path]) -> Iterator[tuple[str, Record]]:
    for run in runs:
        name = run_name(run)
        for record in iter_records(run):
            yield name, record


def _timelines(runs: Iterable[Path]) -> Iterator[tuple[str, TimelineLine]]:
    for run in runs:
        name = run_name(run)
        for line in read_timelines(run):
            yield name, line
