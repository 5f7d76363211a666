"""Fetching the published files of a data set into the data root, on request.

pooch fetches each file and compares its checksum; this module knows which files, where they go and
how to report errors. No file reaches its place before it is complete and has the published
checksum: files arrive in a temporary folder, which is removed however the download ends, and are
renamed from there. Files in place with their checksum are not fetched again. Names and paths in an
archive are compared with the expected ones and never used.
"""

from __future__ import annotations

import gzip
import hashlib
import os
import re
import shutil
import tarfile
import tempfile
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any
from urllib.parse import urljoin

from trainfit.algorithms.data.sources import Source, find_source
from trainfit.algorithms.errors import ConfigurationError

if TYPE_CHECKING:
    import pooch
    import requests

Progress = Callable[[str, int, int | None], None]
"""Called for every piece that arrives: name of the file, bytes so far, bytes in all if known."""

_CHUNK_BYTES = 1 << 18
_TIMEOUT_SECONDS = 60.0
# Files are wanted as they are published: a server that compresses them changes their checksum.
_HEADERS = {"User-Agent": "trainfit", "Accept-Encoding": "identity"}
_SUM_LINE = re.compile(r"^([0-9a-f]{64})[ \t]+\*?(\S+)$", re.MULTILINE)


class DownloadError(ConfigurationError):
    """A file could not be fetched or kept, or is not the published one; says which and why."""


@dataclass(frozen=True)
class Download:
    """The result of a download.

    Attributes:
        folder: The folder of the files.
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
        base_url: Address to fetch from instead of the publisher's; the same files are expected.
        progress: Called with the progress.

    Raises:
        DownloadError: The server, what it sends, or the disk.
        ConfigurationError: No such data set, or one that needs no files.
    """
    source = find_source(name)
    url = (base_url or source.base_url).rstrip("/") + "/"
    if not url.startswith(("https://", "http://")):
        raise DownloadError(f"{url} is no address to fetch from: it has to start with https://")
    server = _Server(url, source.size_bytes, progress)
    folder = data_root.absolute() / source.folder
    with _clear_disk_errors(folder):
        files = _with_sums(source, server) if source.sums else source.files
        missing = {
            name: known for name, known in files.items() if not _is_intact(folder / name, known)
        }
        if missing:
            with _scratch(folder) as scratch:
                arrived: Iterable[Path] = (
                    server.fetch(name, checksum, scratch) for name, checksum in missing.items()
                )
                if source.archive:
                    archive = server.fetch(source.archive, source.archive_checksum, scratch)
                    # All before the first is put in its place: half a data set is of no use.
                    arrived = list(_unpack(archive, source.folder, missing, scratch))
                for path in arrived:
                    os.replace(path, folder / path.name)
    return Download(folder, tuple(missing), tuple(name for name in files if name not in missing))


def _is_intact(path: Path, checksum: str | None) -> bool:
    """Whether a file is in place with the published checksum."""
    if checksum is None or not path.is_file():
        return False
    algorithm, _, digits = checksum.partition(":")
    digest = partial(hashlib.new, algorithm, usedforsecurity=False)  # or FIPS refuses md5
    with path.open("rb") as file:
        return hashlib.file_digest(file, digest).hexdigest() == digits


def _with_sums(source: Source, server: _Server) -> dict[str, str | None]:
    """The files with their checksums from the published list, as ``sha256sum`` writes it."""
    origin = f"{server.url}{source.sums}"
    with tempfile.TemporaryDirectory() as elsewhere:
        text = server.fetch(str(source.sums), None, Path(elsewhere)).read_text("utf-8", "replace")
    published = {name: f"sha256:{digits}" for digits, name in _SUM_LINE.findall(text)}
    for name, checksum in source.files.items():
        if name not in published:
            raise DownloadError(f"{origin} has no checksum of {name}: it is another list")
        if checksum not in (None, published[name]):
            raise DownloadError(
                f"{origin} has {published[name]} for {name}, known is {checksum}: "
                "it is the list of another version"
            )
    return {name: published[name] for name in source.files}


def _unpack(
    archive: Path, folder: str, files: Mapping[str, str | None], scratch: Path
) -> Iterator[Path]:
    """Extract the expected files, and no others, from a verified archive."""
    wanted = {f"{folder}/{name}": name for name in files}
    try:
        with tarfile.open(archive, "r:gz") as tar:
            for entry in tar:
                name = wanted.pop(entry.name, None)
                if name is None:
                    continue
                stream = tar.extractfile(entry) if entry.isreg() else None
                if stream is None:
                    raise DownloadError(f"{archive.name} holds {entry.name} as no regular file")
                with (scratch / name).open("wb") as out:
                    shutil.copyfileobj(stream, out, _CHUNK_BYTES)
                if not _is_intact(scratch / name, files[name]):
                    raise DownloadError(
                        f"{entry.name} in {archive.name} is not the published file: its checksum "
                        f"is not {files[name]}; it was not kept"
                    )
                yield scratch / name
    except (tarfile.TarError, gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise DownloadError(f"{archive.name} is not an intact archive ({error})") from error
    if wanted:
        raise DownloadError(f"{archive.name} holds no {', '.join(wanted)}")


@dataclass(frozen=True)
class _Server:
    """The server that files are fetched from.

    Attributes:
        url: Address to which the names of files are appended.
        most_bytes: Largest accepted size of a file.
        progress: Called with the progress.
    """

    url: str
    most_bytes: int
    progress: Progress

    def fetch(self, name: str, checksum: str | None, folder: Path) -> Path:
        """Fetch a file into a folder; what arrives is the published file or an error.

        Raises:
            DownloadError: It cannot be fetched, broke off, or is another file.
            OSError: It cannot be written.
        """
        import pooch  # noqa: PLC0415  (only where something is fetched)
        import requests  # noqa: PLC0415

        pooch.get_logger().setLevel("WARNING")  # it announces every file on stderr otherwise
        url = self.url + name
        store = pooch.create(folder, self.url, registry={name: checksum})
        try:
            return Path(store.fetch(name, downloader=self._receive))
        except DownloadError:
            raise
        except requests.exceptions.ChunkedEncodingError as error:
            raise DownloadError(f"{url} broke off ({_first_cause(error)}); try again") from error
        except requests.RequestException as error:
            raise DownloadError(
                f"{url} cannot be fetched: {_first_cause(error)}; is there a network?"
            ) from error
        except ValueError as error:  # pooch's, in several sentences
            mismatch = str(error).split(". ", 1)[0]
            raise DownloadError(
                f"{url} is not the published file: {mismatch}; it was not kept"
            ) from error

    def _receive(self, url: str, target: str, store: pooch.Pooch) -> None:
        from pooch import HTTPDownloader  # noqa: PLC0415

        Path(target).unlink()  # made for its owner alone; the new one is as the umask says
        with open(target, "wb") as file, ExitStack() as answers:

            def check(answer: requests.Response, **_: Any) -> None:
                answers.callback(answer.close)  # pooch leaves one open where it stops half-way
                _check_answer(answer)

            fetch = HTTPDownloader(
                progressbar=_Bar(file, url, self),
                chunk_size=_CHUNK_BYTES,
                timeout=_TIMEOUT_SECONDS,
                headers=_HEADERS,
                hooks={"response": check},
            )
            fetch(url, file, store)


class _Bar:
    """The progress bar that pooch moves: passes on what has arrived, and stops what is too long.

    pooch counts in whole chunks, of which the last is shorter, so the file is looked at instead.
    """

    def __init__(self, file: IO[bytes], url: str, server: _Server) -> None:
        self.total = 0
        self._file, self._url, self._server = file, url, server

    def update(self, _: int) -> None:
        done, most = self._file.tell(), self._server.most_bytes
        if done > most:
            raise DownloadError(
                f"{self._url} is not the published file: it is longer than {most:,} bytes"
            )
        self._server.progress(self._url.rpartition("/")[2], done, self.total or None)

    def reset(self) -> None:
        pass

    def close(self) -> None:
        pass


def _check_answer(answer: requests.Response) -> None:
    """Refuse errors, and to follow a server from https to anything else; keep bytes as they are."""
    answer.raw.headers.pop("Content-Encoding", None)  # some have it on every .gz: keep it packed
    target = urljoin(answer.url, answer.headers.get("Location", ""))
    if answer.url.startswith("https://") and not target.startswith("https://"):
        raise DownloadError(f"{answer.url} points to {target}, which is not https: refused")
    if not answer.ok:
        raise DownloadError(
            f"{answer.url} cannot be fetched: the server answers {answer.status_code} "
            f"{answer.reason}"
        )


def _first_cause(error: BaseException) -> str:
    """What the innermost of nested errors says: the socket's, behind three layers of libraries."""
    while inner := error.__cause__ or error.__context__:
        error = inner
    return str(error) or type(error).__name__


@contextmanager
def _scratch(folder: Path) -> Iterator[Path]:
    """A temporary folder inside a folder, which is created if needed and removed if left empty."""
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
def _clear_disk_errors(folder: Path) -> Iterator[None]:
    """Say in one sentence that the disk is full, or may not be read or written."""
    try:
        yield
    except OSError as error:
        raise DownloadError(
            f"{error.filename or folder} cannot be used: {error.strerror or error}; "
            "nothing half-written was kept"
        ) from error
