"""The file of figures: whatever is wrong with it costs time, and nothing else."""

from __future__ import annotations

import sqlite3
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from trainfit.bench.sizing.memo import store as module
from trainfit.bench.sizing.memo.figures import Figures, StageFigures
from trainfit.bench.sizing.memo.store import FILE, Store, cache_folder

SOME = Figures(("all",), "never", [StageFigures(3, 4, 0, 2, arena_bytes=4, device_bytes=4)])


def keys(folder: Path) -> list[str]:
    return sorted(Store(folder).read())


def test_what_is_written_is_read(tmp_path: Path) -> None:
    Store(tmp_path / "new").write({"a": SOME})
    Store(tmp_path / "new").write({"b": SOME})

    assert keys(tmp_path / "new") == ["a", "b"]


def test_nothing_is_made_for_nothing(tmp_path: Path) -> None:
    Store(tmp_path / "new").write({})

    assert Store(tmp_path / "new").read() == {}
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize("content", [b"", b"no database at all " * 100, b"SQLite format 3\0" * 99])
def test_what_is_no_database_is_replaced(tmp_path: Path, content: bytes) -> None:
    (tmp_path / FILE).write_bytes(content)

    assert Store(tmp_path).read() == {}
    Store(tmp_path).write({"a": SOME})

    assert keys(tmp_path) == ["a"]


def test_a_torn_database_is_replaced(tmp_path: Path) -> None:
    Store(tmp_path).write({str(number): SOME for number in range(300)})
    whole = (tmp_path / FILE).read_bytes()
    (tmp_path / FILE).write_bytes(whole[: len(whole) // 2])

    Store(tmp_path).read()
    Store(tmp_path).write({"a": SOME})
    Store(tmp_path).write({"a": SOME})

    assert "a" in keys(tmp_path)


def test_a_database_of_another_program_is_left_alone(tmp_path: Path) -> None:
    with sqlite3.connect(tmp_path / FILE) as connection:
        connection.execute("CREATE TABLE figures (weight)")

    Store(tmp_path).write({"a": SOME})

    assert Store(tmp_path).read() == {}
    assert connection.execute("SELECT * FROM figures").fetchall() == []
    connection.close()


def test_a_folder_that_cannot_be_written_keeps_nothing(tmp_path: Path) -> None:
    (tmp_path / "file").touch()

    for folder in (tmp_path / "file", tmp_path / "file" / "below", Path("/proc/nowhere")):
        Store(folder).write({"a": SOME})
        assert Store(folder).read() == {}


def test_a_file_that_cannot_be_written_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # GIVEN a file, and a system that lets nobody write; who runs tests may be root
    Store(tmp_path).write({"a": SOME})
    real = sqlite3.connect
    monkeypatch.setattr(
        module.sqlite3, "connect", lambda name, **k: real(name.replace("rwc", "ro"), **k)
    )

    Store(tmp_path).write({"b": SOME})

    assert keys(tmp_path) == ["a"]


def test_another_that_writes_is_waited_for_and_then_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_WAIT_SECONDS", 0.01)
    Store(tmp_path).write({"a": SOME})
    other = sqlite3.connect(tmp_path / FILE)
    other.execute("BEGIN EXCLUSIVE")

    Store(tmp_path).write({"b": SOME})
    assert Store(tmp_path).read() == {}
    other.rollback()
    other.close()

    assert keys(tmp_path) == ["a"]


def test_several_write_at_once(tmp_path: Path) -> None:
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda name: Store(tmp_path).write({name: SOME}), "abcdefgh"))

    assert keys(tmp_path) == list("abcdefgh")


def test_the_oldest_go(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST", 3)
    for name in "abcd":
        Store(tmp_path).write({name: SOME})
    Store(tmp_path).write({"b": SOME})
    Store(tmp_path).write({"e": SOME})

    assert keys(tmp_path) == ["b", "d", "e"]


def test_where_it_is(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOME", "/home/me")
    for asked, base, found in [
        ("", "", Path("/home/me/.cache/trainfit")),
        ("", "relative", Path("/home/me/.cache/trainfit")),
        ("", "/var/cache", Path("/var/cache/trainfit")),
        (str(tmp_path), "/var/cache", tmp_path),
        ("off", "/var/cache", None),
        ("OFF", "", None),
    ]:
        monkeypatch.setenv("TRAINFIT_CACHE", asked)
        monkeypatch.setenv("XDG_CACHE_HOME", base)
        assert cache_folder() == found
