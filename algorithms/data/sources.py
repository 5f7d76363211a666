"""Where the files of the data sets are published, and their checksums: ``sources.toml``, read."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from pathlib import Path

from trainfit.algorithms.data import LOADERS, DatasetInfo, mitbih, synthetic
from trainfit.algorithms.errors import ConfigurationError, unknown_name


@dataclass(frozen=True)
class Source:
    """Where one data set is published.

    Attributes:
        info: The data set.
        base_url: What the names of files are appended to.
        folder: Where the files are kept below the data root.
        size_bytes: What has to be fetched, as far as it is published; no file may be longer.
        files: Names of the files that have to be there in the end, each with its checksum
            (``sha256:`` or ``md5:`` and the digits) or None where the list of sums has it.
        archive: The file that they are members of, below ``folder``; None where each is published
            by itself.
        archive_checksum: Its checksum.
        sums: Name of a list of SHA-256 sums that is published beside the files; None where every
            file has its checksum here.
    """

    info: DatasetInfo
    base_url: str
    folder: str
    size_bytes: int
    files: dict[str, str | None]
    archive: str | None = None
    archive_checksum: str | None = None
    sums: str | None = None


def _read_sources() -> dict[str, Source]:
    tables = tomllib.loads(Path(__file__).with_name("sources.toml").read_text("utf-8"))
    known = tables["mitbih"]["files"]
    tables["mitbih"]["files"] = {name: known.get(name) for name in mitbih.FILES}
    return {name: Source(LOADERS[name][0], **table) for name, table in tables.items()}


SOURCES = _read_sources()
"""Name to source, for every data set that is read from files."""


def find_source(name: str) -> Source:
    """The source of a data set, or of the one whose files it is made of.

    Raises:
        ConfigurationError: No such data set, or one that is made without files.
    """
    family = name.split("-", 1)[0]
    if family == synthetic.FAMILY or (name in LOADERS and family not in SOURCES):
        raise ConfigurationError(f"dataset {name!r} needs no files: there is nothing to download")
    if name not in LOADERS:
        raise unknown_name("download", name, SOURCES)
    return SOURCES[family]
