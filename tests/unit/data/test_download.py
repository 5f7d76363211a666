"""Downloading, from a server in this process: what arrives, what is refused, what stays behind."""

from __future__ import annotations

import errno
import gzip
import hashlib
import io
import os
import shutil
import subprocess
import sys
import tarfile
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import requests
from urllib3 import HTTPResponse

from tests.unit.data.shared import REAL_ROOT
from trainfit.algorithms.data import DATA_ROOT_VARIABLE, LOADERS, load_dataset
from trainfit.algorithms.data.download import (
    Download,
    DownloadError,
    _Bar,
    _check_answer,
    _is_intact,
    download,
)
from trainfit.algorithms.data.mitbih import RECORDS
from trainfit.algorithms.data.sources import SOURCES, find_source
from trainfit.algorithms.errors import ConfigurationError
from trainfit.bench.cli import main as cli

IMAGES = bytes(range(256)) * 2000  # more than one piece
LABELS = b"0123456789"


def sha256(content: bytes) -> str:
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


@dataclass
class Site:
    """What the server has, how it answers, and what was requested."""

    url: str = ""
    files: dict[str, bytes] = field(default_factory=dict)
    requested: list[str] = field(default_factory=list)
    headers: dict[str, str] | None = None  # in place of the length
    most_bytes: int | None = None  # then it breaks off
    redirects: int = 0  # to the same place


@pytest.fixture
def site(monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    """A server on this machine; nothing else is reached."""
    found = Site()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            name = self.path.removeprefix("/files/")
            found.requested.append(name)
            assert self.headers["Accept-Encoding"] == "identity"
            if name not in found.files:
                self.send_error(404)
            elif found.redirects:
                found.redirects -= 1
                self.answer(302, {"Location": self.path}, b"")
            else:
                content = found.files[name]
                headers = {"Content-Length": str(len(content))}
                headers = headers if found.headers is None else found.headers
                self.answer(200, headers, content[: found.most_bytes])

        def answer(self, status: int, headers: dict[str, str], content: bytes) -> None:
            self.send_response(status)
            for header in headers.items():
                self.send_header(*header)
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *args: object) -> None:
            pass

    monkeypatch.setenv("no_proxy", "127.0.0.1")
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    found.url = f"http://127.0.0.1:{server.server_port}/files/"
    yield found
    server.shutdown()
    server.server_close()


@pytest.fixture
def mnist(site: Site, monkeypatch: pytest.MonkeyPatch) -> Site:
    """A tiny MNIST of two files."""
    site.files |= {"images.gz": IMAGES, "labels.gz": LABELS}
    md5 = f"md5:{hashlib.md5(LABELS).hexdigest()}"
    files = {"images.gz": sha256(IMAGES), "labels.gz": md5}
    monkeypatch.setitem(SOURCES, "mnist", replace(SOURCES["mnist"], files=files))
    return site


def packed(*entries: tuple[tarfile.TarInfo, bytes]) -> bytes:
    whole = io.BytesIO()
    with tarfile.open(fileobj=whole, mode="w:gz") as tar:
        for entry, content in entries:
            tar.addfile(entry, io.BytesIO(content))
    return whole.getvalue()


def member(name: str, content: bytes, **changes: Any) -> tuple[tarfile.TarInfo, bytes]:
    entry = tarfile.TarInfo(name)
    entry.size = len(content)
    for key, value in changes.items():
        setattr(entry, key, value)
    return entry, content


@pytest.fixture
def offer(site: Site, monkeypatch: pytest.MonkeyPatch) -> Callable[[bytes], Site]:
    """Publish an archive as that of CIFAR-100, with two files expected in it."""

    def publish(archive: bytes) -> Site:
        site.files["cifar.tar.gz"] = archive
        source = replace(
            SOURCES["cifar100"],
            files={"test": sha256(LABELS), "train": sha256(IMAGES)},
            archive="cifar.tar.gz",
            archive_checksum=sha256(archive),
        )
        monkeypatch.setitem(SOURCES, "cifar100", source)
        return site

    return publish


GOOD = (
    member("cifar-100-python", b"", type=tarfile.DIRTYPE),
    member("cifar-100-python/readme.html", b"not wanted"),
    member("cifar-100-python/train", IMAGES),
    member("cifar-100-python/test", LABELS),
)


def get(name: str, root: Path, site: Site, **options: Any) -> Download:
    return download(name, root, base_url=site.url, **options)


def refusal(name: str, root: Path, site: Site) -> str:
    with pytest.raises(ConfigurationError) as caught:
        get(name, root, site)
    return str(caught.value)


def everything(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if not path.is_dir()}


# --- what arrives -------------------------------------------------------------------------------


def test_files_arrive(mnist: Site, tmp_path: Path) -> None:
    told: list[tuple[str, int, int | None]] = []
    done = get("mnist", tmp_path / "new", mnist, progress=lambda *piece: told.append(piece))
    folder = tmp_path / "new" / "MNIST" / "raw"
    assert done == Download(folder, ("images.gz", "labels.gz"), ())
    assert everything(tmp_path) == {"new/MNIST/raw/images.gz", "new/MNIST/raw/labels.gz"}
    assert (folder / "images.gz").read_bytes() == IMAGES
    assert told[-1] == ("labels.gz", 10, 10)
    assert ("images.gz", len(IMAGES), len(IMAGES)) in told
    assert len(told) > 2
    (tmp_path / "plain").touch()
    assert (folder / "images.gz").stat().st_mode == (tmp_path / "plain").stat().st_mode


def test_what_is_there_is_not_fetched_again(mnist: Site, tmp_path: Path) -> None:
    get("mnist", tmp_path, mnist)
    mnist.requested.clear()
    assert get("mnist", tmp_path, mnist).kept == ("images.gz", "labels.gz")
    assert mnist.requested == []
    (tmp_path / "MNIST" / "raw" / "labels.gz").write_bytes(b"damaged")
    done = get("mnist", tmp_path, mnist)
    assert (done.fetched, done.kept) == (("labels.gz",), ("images.gz",))
    assert mnist.requested == ["labels.gz"]
    assert (tmp_path / "MNIST" / "raw" / "labels.gz").read_bytes() == LABELS


def test_what_is_there_may_be_read_only(
    mnist: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    get("mnist", tmp_path, mnist)
    monkeypatch.setattr("tempfile.mkdtemp", lambda *args, **options: pytest.fail("wrote"))
    get("mnist", tmp_path, mnist)


def test_archive(offer: Callable[[bytes], Site], tmp_path: Path) -> None:
    site = offer(packed(*GOOD))
    done = get("cifar100", tmp_path, site)
    assert done.fetched == ("test", "train")
    assert everything(tmp_path) == {"cifar-100-python/test", "cifar-100-python/train"}
    assert (done.folder / "train").read_bytes() == IMAGES
    assert get("cifar100", tmp_path, site).kept == ("test", "train")
    assert site.requested == ["cifar.tar.gz"]
    (done.folder / "test").unlink()
    assert get("cifar100", tmp_path, site).fetched == ("test",)


@pytest.fixture
def records(site: Site, monkeypatch: pytest.MonkeyPatch) -> Site:
    """Three files of MIT-BIH, one of them with a checksum that is known, and the list of sums."""
    site.files |= {"106.hea": b"header", "106.dat": IMAGES, "106.atr": b"beats"}
    lines = [f"{sha256(content)[7:]} {name}\n" for name, content in site.files.items()]
    lines.insert(1, f"{'0' * 64} x_mitdb/106.dat\n")
    site.files["SHA256SUMS.txt"] = "".join(lines).encode()
    files = {"106.hea": None, "106.dat": None, "106.atr": sha256(b"beats")}
    monkeypatch.setitem(SOURCES, "mitbih", replace(SOURCES["mitbih"], files=files))
    return site


def test_list_of_sums(records: Site, tmp_path: Path) -> None:
    assert get("mitbih-intra-13x13", tmp_path, records).fetched == ("106.hea", "106.dat", "106.atr")
    assert everything(tmp_path) == {"mitdb/106.hea", "mitdb/106.dat", "mitdb/106.atr"}
    records.requested.clear()
    assert len(get("mitbih", tmp_path, records).kept) == 3
    assert records.requested == ["SHA256SUMS.txt"]


def test_file_that_is_not_as_listed(records: Site, tmp_path: Path) -> None:
    records.files["106.dat"] = IMAGES[::-1]
    text = refusal("mitbih", tmp_path, records)
    assert text.startswith(f"{records.url}106.dat is not the published file: SHA256 hash of ")
    assert everything(tmp_path) == {"mitdb/106.hea"}  # whole, and verified


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (b"106.hea", b"another", "has no checksum of 106.hea: it is another list"),
        (sha256(b"beats")[7:].encode(), b"0" * 64, "has sha256:000"),
    ],
)
def test_list_that_is_another(
    records: Site, tmp_path: Path, old: bytes, new: bytes, message: str
) -> None:
    records.files["SHA256SUMS.txt"] = records.files["SHA256SUMS.txt"].replace(old, new)
    text = refusal("mitbih", tmp_path / "new", records)
    assert text.startswith(f"{records.url}SHA256SUMS.txt {message}")
    assert list(tmp_path.iterdir()) == []


# --- servers ------------------------------------------------------------------------------------


def test_nothing_there(mnist: Site, tmp_path: Path) -> None:
    del mnist.files["images.gz"]
    text = refusal("mnist", tmp_path / "new", mnist)
    assert text == f"{mnist.url}images.gz cannot be fetched: the server answers 404 Not Found"
    assert list(tmp_path.iterdir()) == []


def test_no_server(mnist: Site, tmp_path: Path) -> None:
    mnist.url = "http://127.0.0.1:9/"
    text = refusal("mnist", tmp_path / "new", mnist)
    assert text.startswith("http://127.0.0.1:9/images.gz cannot be fetched: ")
    assert text.endswith("; is there a network?")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("url", ["file:///etc/", "ftp://host/", "host/"])
def test_other_addresses_are_refused(mnist: Site, tmp_path: Path, url: str) -> None:
    with pytest.raises(DownloadError, match="it has to start with https://"):
        download("mnist", tmp_path, base_url=url)


@pytest.mark.parametrize("content", [IMAGES[::-1], IMAGES + b"1", b"<!DOCTYPE html>", b""])
def test_wrong_file(mnist: Site, tmp_path: Path, content: bytes) -> None:
    mnist.files["images.gz"] = content
    text = refusal("mnist", tmp_path, mnist)
    assert text.startswith(f"{mnist.url}images.gz is not the published file: SHA256 hash of ")
    assert f"expected {sha256(IMAGES)} but got {sha256(content)[7:]}; it was not kept" in text
    assert everything(tmp_path) == set()


def test_endless_file(mnist: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(SOURCES, "mnist", replace(SOURCES["mnist"], size_bytes=len(IMAGES)))
    mnist.files["images.gz"] = IMAGES + b"1"
    assert refusal("mnist", tmp_path, mnist) == (
        f"{mnist.url}images.gz is not the published file: it is longer than 512,000 bytes"
    )
    assert everything(tmp_path) == set()


def test_connection_that_breaks_off(mnist: Site, tmp_path: Path) -> None:
    mnist.most_bytes = 300_000
    text = refusal("mnist", tmp_path, mnist)
    assert text.startswith(f"{mnist.url}images.gz broke off (IncompleteRead(300000 bytes read, ")
    assert text.endswith("; try again")
    assert everything(tmp_path) == set()


@pytest.mark.parametrize("headers", [{}, {"Content-Encoding": "gzip"}])
def test_neither_a_length_nor_an_encoding_is_trusted(
    mnist: Site, tmp_path: Path, headers: dict[str, str]
) -> None:
    mnist.headers = headers
    assert len(get("mnist", tmp_path, mnist).fetched) == 2


def test_redirects_are_followed(mnist: Site, tmp_path: Path) -> None:
    mnist.redirects = 1
    get("mnist", tmp_path, mnist)
    assert mnist.requested == ["images.gz", "images.gz", "labels.gz"]


def test_redirects_stay_encrypted() -> None:
    answer = requests.Response()
    answer.url, answer.status_code = "https://host/file", 302
    answer.raw = HTTPResponse()
    for elsewhere in ("https://other/file", "/other"):
        answer.headers["Location"] = elsewhere
        _check_answer(answer)
    answer.headers["Location"] = "http://host/file"
    with pytest.raises(DownloadError, match="points to http://host/file, which is not https"):
        _check_answer(answer)


# --- archives -----------------------------------------------------------------------------------

LINK = {"type": tarfile.SYMTYPE, "linkname": "/etc/passwd"}
NO_FILES = [
    member("cifar-100-python/train", b"", **kind)
    for kind in (
        LINK,
        {"type": tarfile.LNKTYPE, "linkname": "x"},
        {"type": tarfile.DIRTYPE},
        {"type": tarfile.FIFOTYPE},
    )
]
OTHERS = [member("cifar-100-python/train", content) for content in (IMAGES[::-1], IMAGES + b"1")]
ELSEWHERE = [member(f"{up}/cifar-100-python/test", LABELS) for up in ("", "..", "x")]


@pytest.mark.parametrize(
    ("entries", "message"),
    [
        (GOOD[:3], "cifar.tar.gz holds no cifar-100-python/test"),
        *(((*GOOD[:3], entry), "holds no cifar-100-python/test") for entry in ELSEWHERE),
        *(
            ((entry, *GOOD), "holds cifar-100-python/train as no regular file")
            for entry in NO_FILES
        ),
        *(
            ((entry, *GOOD), "cifar-100-python/train in cifar.tar.gz is not the published file: ")
            for entry in OTHERS
        ),
    ],
)
def test_hostile_archive(
    offer: Callable[[bytes], Site],
    tmp_path: Path,
    entries: tuple[tuple[tarfile.TarInfo, bytes], ...],
    message: str,
) -> None:
    site = offer(packed(*entries))
    assert message in refusal("cifar100", tmp_path / "root", site)
    assert list(tmp_path.iterdir()) == []


def test_paths_in_an_archive_are_never_used(offer: Callable[[bytes], Site], tmp_path: Path) -> None:
    hostile = (
        member("../outside", b"1"),
        member(str(tmp_path / "absolute"), b"1"),
        member("cifar-100-python/link", b"", **LINK),
        member("cifar-100-python/link/inside", b"1"),
    )
    get("cifar100", tmp_path / "root", offer(packed(*hostile, *GOOD)))
    assert everything(tmp_path) == {
        "root/cifar-100-python/test",
        "root/cifar-100-python/train",
    }


@pytest.mark.parametrize(
    "archive",
    [b"no gzip", gzip.compress(b"no tar" * 1000), packed(*GOOD)[:-2000], packed(*GOOD)[:100]],
    # gzip writes the time into its head: as names, the bytes would differ from process to process
    ids=["no gzip", "no tar", "cut near its end", "cut near its start"],
)
def test_damaged_archive(offer: Callable[[bytes], Site], tmp_path: Path, archive: bytes) -> None:
    text = refusal("cifar100", tmp_path, offer(archive))
    assert text.startswith("cifar.tar.gz is not an intact archive (")
    assert everything(tmp_path) == set()


# --- disks --------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["mnist", "cifar100"])
def test_disk_full(
    name: str,
    mnist: Site,
    offer: Callable[[bytes], Site],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    offer(packed(*GOOD))

    def full(*args: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    # The archive itself still fits.
    monkeypatch.setattr(
        *{"mnist": (_Bar, "update"), "cifar100": (shutil, "copyfileobj")}[name], full
    )
    text = refusal(name, tmp_path / "root", mnist)
    folder = tmp_path / "root" / SOURCES[name].folder
    assert text == (
        f"{folder} cannot be used: No space left on device; nothing half-written was kept"
    )
    assert list(tmp_path.iterdir()) == []


def test_not_permitted(mnist: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # Replaced, not chmod: permissions do not stop root, whom containers run tests as.
    def refuse(self: Path, *args: object, **options: object) -> None:
        raise PermissionError(errno.EACCES, "Permission denied", str(self))

    monkeypatch.setattr(Path, "mkdir", refuse)
    expected = "MNIST/raw cannot be used: Permission denied; nothing half-written was kept"
    assert refusal("mnist", tmp_path, mnist) == f"{tmp_path}/{expected}"


def test_data_root_is_a_file(mnist: Site, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    assert "cannot be used: Not a directory" in refusal("mnist", tmp_path / "file", mnist)
    assert (tmp_path / "file").read_text() == "mine"


def test_folder_in_place_of_a_file(mnist: Site, tmp_path: Path) -> None:
    (tmp_path / "MNIST" / "raw" / "labels.gz").mkdir(parents=True)
    assert "labels.gz cannot be used: Is a directory" in refusal("mnist", tmp_path, mnist)
    assert everything(tmp_path) == {"MNIST/raw/images.gz"}


def test_interrupted(mnist: Site, tmp_path: Path) -> None:
    def interrupt(name: str, done: int, total: int | None) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        get("mnist", tmp_path / "new", mnist, progress=interrupt)
    assert list(tmp_path.iterdir()) == []


# --- what is published --------------------------------------------------------------------------


def test_everything_that_is_read_from_files_can_be_fetched(tmp_path: Path) -> None:
    assert list(SOURCES) == sorted(SOURCES)
    for name, (info, _) in LOADERS.items():
        if info.needs_data_root:
            source = find_source(name)
            assert source is SOURCES[name.split("-")[0]]
            # Files are fetched to where they are read from.
            with pytest.raises(ConfigurationError, match=f"folder {tmp_path / source.folder} does"):
                load_dataset(name, tmp_path)


@pytest.mark.parametrize("name", list(SOURCES))
def test_sources_are_complete(name: str) -> None:
    source = SOURCES[name]
    assert source.base_url.startswith("https://")
    assert source.base_url.endswith("/")
    files = dict(source.files)
    if source.archive:
        files[source.archive] = source.archive_checksum
    for file, checksum in files.items():
        assert "/" not in file
        assert checksum or source.sums
        if checksum:
            algorithm, _, digits = checksum.partition(":")
            assert len(digits) == {"md5": 32, "sha256": 64}[algorithm]
    assert source.size_bytes > 10e6


def test_records_are_those_that_are_read() -> None:
    files = SOURCES["mitbih"].files
    assert set(files) == {f"{record}.{end}" for record in RECORDS for end in ("hea", "dat", "atr")}
    assert sum(checksum is not None for checksum in files.values()) == 24


@pytest.mark.parametrize("name", ["digits", "synthetic-8-2"])
def test_nothing_to_fetch(name: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        find_source(name)
    assert str(caught.value) == f"dataset {name!r} needs no files: there is nothing to download"


@pytest.mark.parametrize("name", list(SOURCES))
def test_checksums_are_those_of_the_real_files(name: str) -> None:
    folder = REAL_ROOT / SOURCES[name].folder
    known = {folder / file: checksum for file, checksum in SOURCES[name].files.items() if checksum}
    there = [path for path in known if path.is_file()]
    if not there:
        pytest.skip(f"{folder} holds none of the files")
    assert all(_is_intact(path, known[path]) for path in there)


# --- the command --------------------------------------------------------------------------------


def run(*words: str) -> int:
    with pytest.raises(SystemExit) as ended:
        cli.main(["download", *words])
    assert isinstance(ended.value.code, int)
    return ended.value.code


def test_command(mnist: Site, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("mnist", "--data-root", str(tmp_path), "--base-url", mnist.url) == 0
    shown = capsys.readouterr()
    assert shown.err == ""
    assert shown.out.splitlines() == [
        "mnist: 2 files fetched, 0 were there; all have the published checksum",
        f"folder: {tmp_path / 'MNIST' / 'raw'}",
        "source: LeCun, Bottou, Bengio and Haffner 1998; IDX files in MNIST/raw; licence: CC BY-SA "
        "3.0",
    ]


def test_command_fails_in_one_line(
    mnist: Site, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    mnist.files.clear()
    assert run("mnist", "--data-root", str(tmp_path), "--base-url", mnist.url) == 2
    shown = capsys.readouterr()
    assert shown.out == ""
    assert shown.err == (
        f"trainfit: {mnist.url}images.gz cannot be fetched: the server answers 404 Not Found\n"
    )


def test_command_without_a_place(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv(DATA_ROOT_VARIABLE, raising=False)
    assert run("mnist") == 2
    assert "where to? pass --data-root DIR or set TRAINFIT_DATA_ROOT" in capsys.readouterr().err
    assert run("mnst") == 2
    assert "unknown download 'mnst'; did you mean mnist?" in capsys.readouterr().err


def test_command_lists(capsys: pytest.CaptureFixture[str]) -> None:
    assert run() == 0
    shown = capsys.readouterr().out
    for name, source in SOURCES.items():
        assert name in shown
        assert source.info.licence in shown
        assert source.folder in shown
    assert "170 MB" in shown


def test_nothing_that_fetches_is_loaded_unrequested() -> None:
    code = """
import sys
import trainfit.bench.cli.main as cli
try:
    cli.main(["download"])
except SystemExit:
    print(sorted({"pooch", "requests"} & set(sys.modules)))
"""
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert done.stdout.splitlines()[-1] == "[]"
