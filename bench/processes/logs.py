"""What a process prints, kept in a file up to a limit.

The process writes into a pipe; a thread of the caller moves what comes into the file. So the limit
holds whatever the process does, and a full disk is no failure of the process.
"""

from __future__ import annotations

import os
import threading
from contextlib import suppress
from multiprocessing import Pipe
from multiprocessing.connection import Connection, wait
from pathlib import Path

HEAD_BYTES = 8 * 2**20
"""So much of the beginning is kept."""

TAIL_BYTES = 64 * 2**10
"""And so much of the end, which says how the process ended."""

_PIECE = 64 * 2**10
_AFTERWARDS = 2**20
"""What is still taken after the end, as somebody else may go on writing: more than a pipe holds."""


class Log:
    """The log of one process: hand it ``output``, :meth:`start`, and :meth:`finish` when it ended.

    Args:
        file: Where to; what is there is added to. It is not looked for behind a symbolic link.

    Raises:
        OSError: The file cannot be opened.
    """

    def __init__(self, file: Path) -> None:
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC
        self._file = os.open(file, flags, 0o644)
        self._source, self.output = Pipe(duplex=False)
        self._ended, self._end = Pipe(duplex=False)
        self._room = HEAD_BYTES
        self._tail = b""
        self._beyond = 0
        self._thread = threading.Thread(target=self._move, daemon=True)

    def start(self) -> None:
        """Begin, once the process has its own copy of ``output``."""
        self.output.close()
        self._thread.start()

    def finish(self) -> None:
        """End with what has been written by now; whoever still writes is not waited for."""
        self.output.close()
        self._end.close()
        if self._thread.ident is not None:
            self._thread.join()
        lost = self._beyond - len(self._tail)
        if lost:
            self._write(
                f"\n[{lost:,} bytes are left out here: a log holds the first"
                f" {HEAD_BYTES >> 20} MiB and the last {TAIL_BYTES >> 10} KiB]\n".encode()
            )
        self._write(self._tail)
        os.close(self._file)
        self._source.close()
        self._ended.close()

    def _move(self) -> None:
        left = _AFTERWARDS
        while left > 0:
            ready = wait([self._source, self._ended])
            if self._source not in ready:
                return
            if self._ended in ready:
                left -= _PIECE
            piece = _read(self._source)
            if not piece:
                return
            self._take(piece)

    def _take(self, piece: bytes) -> None:
        head, rest = piece[: self._room], piece[self._room :]
        self._room -= len(head)
        self._write(head)
        self._beyond += len(rest)
        self._tail = (self._tail + rest)[-TAIL_BYTES:]

    def _write(self, text: bytes) -> None:
        with suppress(OSError):  # the disk is full, or the folder gone: a log is the least to lose
            while text:
                text = text[os.write(self._file, text) :]


def _read(source: Connection) -> bytes:
    try:
        return os.read(source.fileno(), _PIECE)
    except OSError:
        return b""
