"""The file that figures are kept in from one command to the next, in the user's cache folder.

``$TRAINFIT_CACHE`` names another folder, or is ``off``. Losing the file costs time only, so
whatever is wrong with it is no error: what cannot be read is made again, what is no database is
replaced, and what cannot be written is not.
"""

from __future__ import annotations

import json
import os
import sqlite3
from collections.abc import Callable
from contextlib import closing, suppress
from pathlib import Path
from typing import TypeVar

from trainfit.bench.sizing.memo.figures import Figures

VARIABLE = "TRAINFIT_CACHE"
OFF = "off"

FILE = "predictions-1.sqlite"
"""The number is that of the layout."""

MOST = 20_000
"""Predictions that are kept, of a few hundred bytes to some kilobytes each; the oldest go."""

_WAIT_SECONDS = 2.0
"""For another process that writes."""

T = TypeVar("T")


def cache_folder() -> Path | None:
    """Where the file is: below ``$XDG_CACHE_HOME`` or ``~/.cache``, unless the user says otherwise.

    Returns:
        None where nothing is to be kept, or there is no such folder.
    """
    asked = os.environ.get(VARIABLE, "")
    if asked.lower() == OFF:
        return None
    if asked:
        return Path(asked)
    base = os.environ.get("XDG_CACHE_HOME", "")
    if os.path.isabs(base):  # the standard ignores others
        return Path(base) / "trainfit"
    try:
        return Path.home() / ".cache" / "trainfit"
    except RuntimeError:
        return None


class Store:
    """Figures by key, in a file.

    Args:
        folder: Of the file; made if it is not there.
    """

    def __init__(self, folder: Path) -> None:
        self.file = folder / FILE

    def read(self) -> dict[str, str]:
        """All entries, as texts: a file has some thousand, which takes milliseconds."""
        return self._on_file(_all, {}, write=False)

    def write(self, entries: dict[str, Figures]) -> None:
        """Add entries, or replace them; keep no more than :data:`MOST`."""
        rows = [(key, json.dumps(each.as_json())) for key, each in entries.items()]

        def add(connection: sqlite3.Connection) -> None:
            with connection:
                connection.execute("CREATE TABLE IF NOT EXISTS figures (key PRIMARY KEY, value)")
                connection.executemany("INSERT OR REPLACE INTO figures VALUES (?, ?)", rows)
                newest = "SELECT rowid FROM figures ORDER BY rowid DESC LIMIT ?"
                connection.execute(f"DELETE FROM figures WHERE rowid NOT IN ({newest})", (MOST,))  # noqa: S608

        if rows:
            self._on_file(add, None, write=True)

    def _on_file(self, do: Callable[[sqlite3.Connection], T], otherwise: T, *, write: bool) -> T:
        try:
            return self._open(do, write=write)
        except sqlite3.OperationalError:  # busy, read-only, full, or of another layout
            return otherwise
        except (sqlite3.DatabaseError, UnicodeDecodeError):  # no database, or a torn one
            if not write:
                return otherwise
        except OSError:
            return otherwise
        with suppress(OSError, sqlite3.Error):
            self.file.unlink()
            return self._open(do, write=write)
        return otherwise

    def _open(self, do: Callable[[sqlite3.Connection], T], *, write: bool) -> T:
        if write:
            self.file.parent.mkdir(parents=True, exist_ok=True)
        name = f"{self.file.absolute().as_uri()}?mode={'rwc' if write else 'ro'}"
        with closing(sqlite3.connect(name, timeout=_WAIT_SECONDS, uri=True)) as connection:
            connection.execute("PRAGMA synchronous = OFF")
            return do(connection)


def _all(connection: sqlite3.Connection) -> dict[str, str]:
    rows = connection.execute("SELECT key, value FROM figures")
    return {key: value for key, value in rows if isinstance(key, str) and isinstance(value, str)}
