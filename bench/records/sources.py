"""What figures, tables and claims are made from: frames of one or several runs, by name.

* ``records``: one row per workload, :func:`trainfit.bench.records.frame.to_frame` has the columns;
* ``curves``: one row per point of a training's curve: ``pass`` and ``test_accuracy``;
* ``timelines``: live bytes over a step, by category;
* ``gradients`` and ``noise``: what the probes of a trained net found.

Rows of several runs are stacked; ``run`` is the name of a row's folder. Every frame has the columns
that say which workload a row is of (:func:`trainfit.bench.records.frame.identity`), and its own.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from trainfit.bench.errors import RunFolderError
from trainfit.bench.records.frame import identity
from trainfit.bench.records.frame_cache import load_frame
from trainfit.bench.records.reading import RECORDS, iter_records

if TYPE_CHECKING:
    import pandas as pd


def run_folders(given: Sequence[Path]) -> list[Path]:
    """The run folders that ``--from`` means, each given as itself or by the folder that it is in.

    Raises:
        RunFolderError: One is neither a run folder nor a folder of them.
    """
    found: list[Path] = []
    for folder in given:
        own = [folder] if (folder / RECORDS).is_file() else runs_below(folder)
        if not own:
            raise RunFolderError(
                f"--from {folder}: is neither a run folder nor a folder of them, there is no"
                f" {RECORDS}; give one that trainfit run has written"
            )
        found += own
    return list(dict.fromkeys(found))


def runs_below(*folders: str | Path) -> list[Path]:
    """The run folders in these folders, sorted; none where there are none."""
    return sorted(path.parent for folder in folders for path in Path(folder).glob(f"*/{RECORDS}"))


def load_run(path: str | Path) -> pd.DataFrame:
    """A run as one tidy frame, one row per workload, columns as in ``to_frame``.

    Raises:
        RunFolderError: ``path`` is not a run folder or holds a damaged record.
    """
    return load_frame(Path(path))


def load_source(runs: Sequence[Path], source: str) -> pd.DataFrame:
    """One frame of these runs, with the column ``run`` first.

    Args:
        runs: Run folders.
        source: One of :data:`SOURCES`.

    Raises:
        RunFolderError: One of them is no run folder or holds a damaged record.
        KeyError: There is no such source.
    """
    return _LOADERS[source](runs)


def _records(runs: Sequence[Path]) -> pd.DataFrame:
    import pandas as pd  # noqa: PLC0415  (half a second that the command line does not need)

    frames = []
    for path in runs:
        frame = load_frame(path)
        frame.insert(0, "run", path.resolve().name)
        frames.append(frame)
    return pd.concat(frames, ignore_index=True) if frames else pd.DataFrame()


def _curves(runs: Sequence[Path]) -> pd.DataFrame:
    import pandas as pd  # noqa: PLC0415

    rows: list[dict[str, Any]] = []
    for path in runs:
        for record in iter_records(path):
            if record.accuracy is None:
                continue
            known = {"run": path.resolve().name, **identity(record.workload)}
            # Records that do not name the passes have a point for every one.
            passes = record.accuracy.curve_passes or range(1, len(record.accuracy.curve) + 1)
            rows += [
                {**known, "pass": number, "test_accuracy": accuracy}
                for number, accuracy in zip(passes, record.accuracy.curve, strict=True)
            ]
    return pd.DataFrame(rows)


def _timelines(runs: Sequence[Path]) -> pd.DataFrame:
    from trainfit.bench.records.timelines import timelines_frame  # noqa: PLC0415

    return timelines_frame(runs)


def _gradients(runs: Sequence[Path]) -> pd.DataFrame:
    from trainfit.bench.records.probes_frame import gradients_frame  # noqa: PLC0415

    return gradients_frame(runs)


def _noise(runs: Sequence[Path]) -> pd.DataFrame:
    from trainfit.bench.records.probes_frame import noise_frame  # noqa: PLC0415

    return noise_frame(runs)


_LOADERS: dict[str, Callable[[Sequence[Path]], pd.DataFrame]] = {
    "records": _records,
    "curves": _curves,
    "timelines": _timelines,
    "gradients": _gradients,
    "noise": _noise,
}

SOURCES = tuple(_LOADERS)
"""The names that :func:`load_source` knows."""
