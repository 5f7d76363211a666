"""Which files a run may write, and what is said of those that it may not."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path
from typing import Any

import pytest

from tests.builders.disks import largest_file
from tests.builders.runs import record
from trainfit._whole_files import write_files
from trainfit.bench.errors import RunFolderError
from trainfit.bench.records import own_files, writing
from trainfit.bench.records.own_files import open_own, replace_whole, require_own_folder
from trainfit.bench.records.writing import RunFolder, is_free

SUITE: dict[str, Any] = {"name": "s", "devices": []}
ENVIRONMENT: dict[str, Any] = {"versions": {"trainfit": "1", "torch": "2"}}


@pytest.fixture
def run(tmp_path: Path) -> Path:
    with RunFolder.create(tmp_path / "run", SUITE, ENVIRONMENT) as folder:
        folder.append(record())
        folder.append_beside("timelines.jsonl", "{}")
    return tmp_path / "run"


def refusing(*names: str, number: int = errno.EACCES) -> Any:
    """``os.open`` of somebody who may not open these files; the superuser may open any."""
    opened = os.open

    def refuse(path: Any, flags: int, *arguments: Any, **named: Any) -> int:
        if Path(path).name in names:
            raise OSError(number, os.strerror(number), str(path))
        return opened(path, flags, *arguments, **named)

    return refuse


@pytest.mark.parametrize("number", [errno.EACCES, errno.EROFS, errno.ENOSPC])
@pytest.mark.parametrize("name", ["records.jsonl", "timelines.jsonl", ".environment.json"])
def test_a_run_that_may_not_be_written_says_so(
    name: str, number: int, run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = {file: file.read_bytes() for file in run.iterdir()}
    monkeypatch.setattr(own_files.os, "open", refusing(name, number=number))

    with pytest.raises(RunFolderError, match=rf"{run}.*: cannot write: {os.strerror(number)}"):
        RunFolder.reopen(run, SUITE, ENVIRONMENT)

    monkeypatch.undo()
    assert {file: file.read_bytes() for file in run.iterdir()} == before
    RunFolder.reopen(run, SUITE, ENVIRONMENT).close()  # nothing holds it


def test_a_place_that_may_not_be_looked_at_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(self: Path) -> Any:
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))

    monkeypatch.setattr(Path, "lstat", refuse)
    with pytest.raises(RunFolderError, match="cannot be looked at: Permission denied"):
        is_free(tmp_path / "run")
    with pytest.raises(RunFolderError, match="cannot be looked at: Permission denied"):
        open_own(tmp_path / "file", os.O_RDONLY)


def test_a_name_that_no_file_can_have_says_so(tmp_path: Path) -> None:
    with pytest.raises(RunFolderError, match="File name too long"):
        RunFolder.create(tmp_path / ("n" * 5000), SUITE, ENVIRONMENT)


def test_what_is_no_file_of_ones_own_is_named(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to("file")
    (tmp_path / "folder").mkdir()
    os.mkfifo(tmp_path / "fifo")
    for name, what in (
        ("link", "a symbolic link"),
        ("folder", "no file"),
        ("fifo", "no file"),
        ("/dev/null", "no file"),
    ):
        with pytest.raises(RunFolderError, match=f"cannot write: it is {what}"):
            open_own(tmp_path / name, os.O_RDWR | os.O_CREAT)
    assert not (tmp_path / "file").exists()
    require_own_folder(tmp_path)  # of none of these names would a run make one
    (tmp_path / "01.log").symlink_to("file")
    with pytest.raises(RunFolderError, match=r"/01.log: cannot write: it is a symbolic link"):
        require_own_folder(tmp_path)


def test_a_link_that_comes_in_between_is_not_followed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "link").symlink_to("file")
    monkeypatch.setattr(own_files, "require_own_file", lambda _: None)

    with pytest.raises(RunFolderError, match="cannot write: "):
        open_own(tmp_path / "link", os.O_RDWR | os.O_CREAT)

    assert not (tmp_path / "file").exists()


def test_a_file_is_replaced_as_a_whole_or_not_at_all(tmp_path: Path) -> None:
    file = tmp_path / "file"
    replace_whole(file, b"old")
    mask = os.umask(0)
    os.umask(mask)
    assert stat.S_IMODE(file.stat().st_mode) == 0o666 & ~mask

    with largest_file(100), pytest.raises(OSError, match="File too large"):
        replace_whole(file, b"n" * 1000)

    assert file.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [file]


def test_a_scratch_file_that_was_left_or_planted_is_no_obstacle(tmp_path: Path) -> None:
    (tmp_path / "theirs").write_bytes(b"theirs")
    (tmp_path / ".file").symlink_to("theirs")

    replace_whole(tmp_path / "file", b"new")

    assert (tmp_path / "file").read_bytes() == b"new"
    assert (tmp_path / "theirs").read_bytes() == b"theirs"


def test_files_are_written_together_or_not_at_all(tmp_path: Path) -> None:
    folder = tmp_path / "a" / "b"
    with largest_file(100), pytest.raises(OSError, match="File too large"):
        write_files(folder, {"small": b"s", "large": b"l" * 1000})
    assert list(tmp_path.iterdir()) == []

    assert write_files(folder, {"small": b"s", "large": b"l"}) == [
        folder / "small",
        folder / "large",
    ]
    (folder / "taken").mkdir()
    with pytest.raises(OSError, match="directory"):
        write_files(folder, {"taken": b"t"})
    assert sorted(path.name for path in folder.iterdir()) == ["large", "small", "taken"]


def test_a_run_that_cannot_be_made_leaves_no_folders(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writing, "replace_whole", refusing("suite.json", number=errno.ENOSPC))

    with pytest.raises(RunFolderError, match="No space left"):
        RunFolder.create(tmp_path / "a" / "b" / "run", SUITE, ENVIRONMENT)

    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("size", [0, 1, 2**16 - 1, 2**16, 2**16 + 1, 3 * 2**16])
@pytest.mark.parametrize("begun", [0, 7, 2**16, 2**17 + 5])
def test_what_was_cut_off_goes_however_long_it_is(size: int, begun: int, run: Path) -> None:
    file = run / "timelines.jsonl"
    whole = b"x" * (size - 1) + b"\n" if size else b""
    file.write_bytes(whole + b"y" * begun)

    RunFolder.reopen(run, SUITE, ENVIRONMENT).close()

    assert file.read_bytes() == whole
