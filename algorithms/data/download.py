"""Getting the files of a data set into the data root, for those who ask for it.

Nothing reaches its place before it is whole and has the published checksum: files are written into
a folder of their own, which disappears however the download ends, and renamed from there. Files
that are in place and have their checksum are not fetched again. Names and paths in an archive are
compared with those that are expected and never used.
"""

from __future__ import annotations

import gzip
import os
import re
import tarfile
import tempfile
import zlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from trainfit.algorithms.data.fetch import (
    CHUNK_BYTES,
    DownloadError,
    Progress,
    fetch,
    is_intact,
    verify,
)
from trainfit.algorithms.data.sources import RemoteFile, find_source

_SUM_LINE = re.compile(r"^([0-9a-f]{64})[ \t]+\*?(\S+)$", re.MULTILINE)


@dataclass(frozen=True)
class Download:
    """What was done.

    Attributes:
        folder: Where the files are.
        fetched: Names of the files that were put there.
        kept: Names of the files that were there before, with the right checksum.
    """

    folder: Path
    fetched: tuple[str, ...]
    kept: tuple[str, ...]


def download(
    name: str,
    data_root: Path,
    *,
    base_url: str | None = None,
    progress: Progress = lambda name, done, total: None,
) -> Download:
    """Fetch what is missing of a data set.

    Args:
        name: One of `sources.SOURCES`, or a data set made of the same files.
        data_root: The folder that data sets are read from; made if it is not there.
        base_url: Where to fetch from in place of the publisher; the same files are expected.
        progress: Told how it goes.

    Raises:
        DownloadError: The server, what it sends, or the disk.
        ConfigurationError: No such data set, or one that needs no files.
    """
    source = find_source(name)
    url = (base_url or source.base_url).rstrip("/") + "/"
    if not url.startswith(("https://", "http://")):
        raise DownloadError(f"{url} is no address to fetch from: it has to start with https://")
    folder = data_root.absolute() / source.folder
    files = source.files
    with _told(folder):
        if source.sums:
            with tempfile.TemporaryDirectory() as elsewhere:
                sums = fetch(RemoteFile(source.sums, None), url, Path(elsewhere), progress)
                files = _with_sums(files, sums, url + source.sums)
        missing = [file for file in files if not is_intact(folder / file.name, file)]
        if missing:
            with _scratch(folder) as scratch:
                arrived: Iterable[Path] = (fetch(file, url, scratch, progress) for file in missing)
                if source.archive:
                    archive = fetch(source.archive, url, scratch, progress)
                    arrived = _extract(archive, missing, source.folder, scratch)
                for path in arrived:
                    os.replace(path, folder / path.name)
    fetched = tuple(file.name for file in missing)
    return Download(folder, fetched, tuple(f.name for f in files if f.name not in fetched))


def _with_sums(files: Iterable[RemoteFile], sums: Path, origin: str) -> tuple[RemoteFile, ...]:
    """The same files, each with its checksum from a list as ``sha256sum`` writes it."""
    lines = _SUM_LINE.findall(sums.read_text("utf-8", errors="replace"))
    published = {name: f"sha256:{digits}" for digits, name in lines}
    found = []
    for file in files:
        checksum = published.get(file.name)
        if checksum is None:
            raise DownloadError(f"{origin} has no checksum of {file.name}: it is another list")
        if file.checksum not in (None, checksum):
            raise DownloadError(
                f"{origin} has {checksum} for {file.name}, known is {file.checksum}: "
                "it is the list of another version"
            )
        found.append(replace(file, checksum=checksum))
    return tuple(found)


def _extract(archive: Path, files: Iterable[RemoteFile], folder: str, scratch: Path) -> list[Path]:
    """Take the expected files out of an archive, whatever else it holds."""
    wanted = {f"{folder}/{file.name}": file for file in files}
    found = []
    try:
        with tarfile.open(archive, "r:gz") as tar:
            for entry in tar:
                file = wanted.pop(entry.name, None)
                if file is None:
                    continue
                stream = tar.extractfile(entry) if entry.isreg() else None
                if stream is None or entry.size > file.most_bytes:
                    raise DownloadError(
                        f"{archive.name} holds {entry.name} as something else than a file of at "
                        f"most {file.most_bytes:,} bytes; nothing of it was kept"
                    )
                found.append(scratch / file.name)
                with found[-1].open("wb") as out:
                    while piece := stream.read(CHUNK_BYTES):
                        out.write(piece)
                verify(found[-1], file, f"{entry.name} in {archive.name}")
    except (tarfile.TarError, gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise DownloadError(f"{archive.name} is not an intact archive ({error})") from error
    if wanted:
        raise DownloadError(f"{archive.name} holds no {', '.join(wanted)}")
    return found


@contextmanager
def _scratch(folder: Path) -> Iterator[Path]:
    """A folder inside a folder, which is made if need be and does not stay if it stays empty."""
    made = [each for each in (folder, *folder.parents) if not each.exists()]
    folder.mkdir(parents=True, exist_ok=True)
    try:
        with tempfile.TemporaryDirectory(prefix=".download-", dir=folder) as scratch:
            yield Path(scratch)
    finally:
        try:
            for each in made:
                each.rmdir()
        except OSError:
            pass  # something is in it


@contextmanager
def _told(folder: Path) -> Iterator[None]:
    """Say in one sentence that the disk is full, or may not be read or written."""
    try:
        yield
    except OSError as error:
        raise DownloadError(
            f"{error.filename or folder} cannot be used: {error.strerror or error}; "
            "nothing half-written was kept"
        ) from error
