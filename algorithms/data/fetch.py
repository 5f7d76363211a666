"""Fetching one published file over http, whole and verified, or not at all."""

from __future__ import annotations

import hashlib
import http.client
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Any

from trainfit.algorithms.data.sources import RemoteFile
from trainfit.algorithms.errors import ConfigurationError

Progress = Callable[[str, int, int | None], None]
"""Told of every piece that arrives: name of the file, bytes so far, bytes in all if known."""

CHUNK_BYTES = 1 << 18
_TIMEOUT_SECONDS = 60.0


class DownloadError(ConfigurationError):
    """A file could not be fetched or kept, or is not the published one; says which and why."""


def fetch(file: RemoteFile, base_url: str, folder: Path, progress: Progress) -> Path:
    """Fetch a file into a folder and make sure that it is the published one.

    Args:
        file: Which file, and how it is known.
        base_url: What its name is appended to.
        folder: Where it is written under its name; what is there after an error is of no use.
        progress: Told how it goes.

    Raises:
        DownloadError: It cannot be fetched, broke off, or is another file.
        OSError: It cannot be written.
    """
    url, target = base_url + file.name, folder / file.name
    done, announced = 0, None
    with target.open("wb") as out:
        for piece, announced in _pieces(url):
            done += len(piece)
            if done > file.most_bytes:
                raise DownloadError(
                    f"{url} is not the published file: it is longer than {file.most_bytes:,} bytes"
                )
            out.write(piece)
            progress(file.name, done, file.size_bytes or announced)
    if announced is not None and done < announced:
        raise DownloadError(f"{url} broke off after {done:,} of {announced:,} bytes; try again")
    if file.size_bytes is not None and done < file.size_bytes:
        raise DownloadError(
            f"{url} is not the published file: it holds {done:,} bytes, not {file.size_bytes:,}"
        )
    verify(target, file, url)
    return target


def _pieces(url: str) -> Iterator[tuple[bytes, int | None]]:
    """What a server sends, and how much it announces; its errors, and no others, are told."""
    request = urllib.request.Request(url, headers={"User-Agent": "trainfit"})  # noqa: S310
    try:
        with _OPENER.open(request, timeout=_TIMEOUT_SECONDS) as response:
            length = response.headers.get("Content-Length", "")
            announced = int(length) if length.isdecimal() else None
            while piece := response.read(CHUNK_BYTES):
                yield piece, announced
    except urllib.error.HTTPError as error:
        error.close()
        raise DownloadError(
            f"{url} cannot be fetched: the server answers {error.code} {error.reason}"
        ) from error
    except (OSError, http.client.HTTPException) as error:
        reason = str(getattr(error, "reason", "") or error) or type(error).__name__
        raise DownloadError(f"{url} cannot be fetched: {reason}; is there a network?") from error


class _StaysEncrypted(urllib.request.HTTPRedirectHandler):
    """Follows a server elsewhere, but not from https to anything else."""

    def redirect_request(  # noqa: PLR0917  (the signature is given)
        self,
        req: urllib.request.Request,
        fp: IO[bytes],
        code: int,
        msg: str,
        headers: Any,
        newurl: str,
    ) -> urllib.request.Request | None:
        if req.full_url.startswith("https://") and not newurl.startswith("https://"):
            raise DownloadError(f"{req.full_url} points to {newurl}, which is not https: refused")
        return super().redirect_request(req, fp, code, msg, headers, newurl)


_OPENER = urllib.request.build_opener(_StaysEncrypted)


def _checksum(path: Path, algorithm: str) -> str:
    digest = hashlib.new(algorithm, usedforsecurity=False)
    with path.open("rb") as file:
        while piece := file.read(CHUNK_BYTES):
            digest.update(piece)
    return f"{algorithm}:{digest.hexdigest()}"


def verify(path: Path, file: RemoteFile, origin: str) -> None:
    """Make sure that what came from ``origin`` is the published file.

    Raises:
        DownloadError: It has another checksum.
    """
    if file.checksum is None:
        return
    found = _checksum(path, file.checksum.partition(":")[0])
    if found != file.checksum:
        raise DownloadError(
            f"{origin} is not the published file: its checksum is {found}, the published one "
            f"{file.checksum}; it was not kept"
        )


def is_intact(path: Path, file: RemoteFile) -> bool:
    """Whether a file is in place with the published size and checksum."""
    if not path.is_file() or file.checksum is None:
        return False
    if file.size_bytes is not None and path.stat().st_size != file.size_bytes:
        return False
    return _checksum(path, file.checksum.partition(":")[0]) == file.checksum
