"""The copy of a large run's frame: the same frame, used only while it fits."""

import json

import pandas as pd
import pytest

from tests.builders.runs import record
from trainfit.bench.errors import RunFolderError
from trainfit.bench.records import frame_cache as frame_store
from trainfit.bench.records.frame import to_frame
from trainfit.bench.records.frame_cache import copy_of, load_frame
from trainfit.bench.records.reading import RECORDS, iter_records
from trainfit.bench.records.schema import Accuracy
from trainfit.bench.records.sources import SOURCES, load_run, load_source
from trainfit.bench.records.writing import RunFolder

FEW = 3


@pytest.fixture
def run(tmp_path, monkeypatch):
    """A run of three records, which is large here."""
    monkeypatch.setattr(frame_store, "WORTH_KEEPING", FEW)
    with RunFolder.create(tmp_path / "run", {}, {}) as folder:
        for size in range(1, FEW + 1):
            folder.append(record(batch_size=size, accuracy=None))
    return tmp_path / "run"


def test_the_copy_is_the_frame(run):
    made = load_run(run)
    assert copy_of(run).exists()
    read = load_run(run)
    pd.testing.assert_frame_equal(made, read)
    pd.testing.assert_frame_equal(read, to_frame(iter_records(run)))


def test_the_copy_is_what_is_read(run):
    load_frame(run)
    (run / RECORDS).touch()  # the clock may have moved on: it may have been changed
    assert not copy_of(run).exists()
    load_frame(run).assign(algorithm="from the copy").to_parquet(copy_of(run))
    assert set(load_frame(run)["algorithm"]) == {"from the copy"}


def test_another_record_is_seen(run):
    assert len(load_frame(run)) == FEW
    with RunFolder(run) as folder:
        folder.append(record(batch_size=99))
    assert list(load_frame(run)["batch_size"]) == [1, 2, 3, 99]
    assert len(list((run / frame_store.CACHE).iterdir())) == 1  # the old copy is gone


def test_a_damaged_copy_is_made_anew(run):
    made = load_frame(run)
    copy_of(run).write_bytes(b"PAR1 no")
    pd.testing.assert_frame_equal(load_frame(run), made)


def test_a_small_run_has_no_copy(run, monkeypatch):
    monkeypatch.setattr(frame_store, "WORTH_KEEPING", FEW + 1)
    load_frame(run)
    assert not (run / frame_store.CACHE).exists()


def test_a_folder_that_cannot_be_written_is_read(run, monkeypatch):
    def full(*_args, **_kwargs):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(pd.DataFrame, "to_parquet", full)
    assert len(load_frame(run)) == FEW
    assert list((run / frame_store.CACHE).iterdir()) == []


def test_a_folder_without_records_is_no_run(tmp_path):
    with pytest.raises(RunFolderError, match="is not a run folder"):
        load_frame(tmp_path)


def test_a_damaged_record_is_named_by_its_line(run):
    lines = (run / RECORDS).read_text().splitlines()
    lines[1] = json.dumps({"schema": "trainfit.record/99"})
    (run / RECORDS).write_text("\n".join(lines) + "\n")
    with pytest.raises(RunFolderError, match=rf"{RECORDS}:2: not a record of this version: schema"):
        load_frame(run)


def test_what_only_some_records_have_is_missing_in_the_others():
    trained = record(accuracy=Accuracy(test_accuracy=0.5, epochs=2, train_seconds=1.0))
    frame = to_frame([record(accuracy=None), trained, record(accuracy=None)])
    assert list(frame["test_accuracy"].isna()) == [True, False, True]
    assert frame["passes"].dtype == "Int64"
    assert len(frame) == FEW


def test_frames_of_several_runs_are_stacked(run, tmp_path):
    with RunFolder.create(tmp_path / "other", {}, {}) as folder:
        folder.append(
            record(
                accuracy=Accuracy(
                    test_accuracy=0.75,
                    epochs=4,
                    train_seconds=1.0,
                    curve=[0.5, 0.75],
                    curve_passes=[2, 4],
                )
            )
        )
    frame = load_source([run, tmp_path / "other"], "records")
    assert list(frame["run"]) == ["run"] * FEW + ["other"]
    curves = load_source([run, tmp_path / "other"], "curves")
    assert curves[["run", "pass", "test_accuracy"]].values.tolist() == [
        ["other", 2, 0.5],
        ["other", 4, 0.75],
    ]


@pytest.mark.parametrize("source", SOURCES)
def test_a_run_without_them_has_an_empty_frame(source, tmp_path):
    with RunFolder.create(tmp_path / "empty", {}, {}):
        pass
    assert load_source([tmp_path / "empty"], source).empty
