"""Which run folders are meant."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.builders.gate import write_run
from tests.builders.runs import record
from trainfit.bench.errors import RunFolderError
from trainfit.bench.records.reading import run_folders, runs_below


def test_run_folders_are_taken_once_alone_or_by_the_folder_around(tmp_path: Path) -> None:
    first, second = (write_run(tmp_path / name, [record()]) for name in "ab")
    assert run_folders([second, tmp_path]) == [second, first]
    with pytest.raises(RunFolderError, match="is neither a run folder nor a folder of them"):
        run_folders([tmp_path / "a" / "logs"])


def test_runs_below_folders_are_sorted_and_may_be_none(tmp_path: Path) -> None:
    runs = [write_run(tmp_path / name, [record()]) for name in ("y/b", "x/c", "y/a")]
    (tmp_path / "x" / "empty").mkdir()
    assert runs_below(tmp_path / "y", tmp_path / "x") == sorted(runs)
    assert runs_below(tmp_path / "none") == []
