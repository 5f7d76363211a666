"""The command that fetches the files of data sets, or lists which of them can be fetched."""

from __future__ import annotations

from typing import Annotated
from urllib.parse import urlsplit

import typer

from trainfit.algorithms.data.download import download as fetch
from trainfit.algorithms.data.sources import SOURCES, find_source
from trainfit.algorithms.errors import ConfigurationError
from trainfit.bench.cli.options import DataRootOption
from trainfit.bench.cli.output import output
from trainfit.bench.cli.progress import DownloadLine


def download(
    name: Annotated[
        str | None,
        typer.Argument(metavar="NAME", help="Data set to fetch, e.g. mnist."),
    ] = None,
    data_root: DataRootOption = None,
    base_url: Annotated[
        str | None,
        typer.Option(
            metavar="URL",
            help="Address to fetch from instead, e.g. of a mirror; checksums stay the same.",
        ),
    ] = None,
) -> None:
    """Fetch the files of a data set, or list what there is.

    Files are compared with published checksums. Those that are there and intact are not fetched
    again. No other command uses a network.
    """
    if name is None:
        _list()
        return
    source = find_source(name)
    if data_root is None:
        raise ConfigurationError(
            f"dataset {name!r}: where to? pass --data-root DIR or set TRAINFIT_DATA_ROOT"
        )
    with DownloadLine() as bar:
        done = fetch(name, data_root, base_url=base_url, progress=bar.show)
    out = output()
    out.show(
        f"{name}: {len(done.fetched)} files fetched, {len(done.kept)} were there; "
        f"all have the published checksum",
        f"folder: {done.folder}",
        f"source: {source.info.source}; licence: {source.info.licence}",
    )
    out.fact("fetched", [str(each) for each in done.fetched])
    out.fact("kept", [str(each) for each in done.kept])
    out.fact("folder", str(done.folder))


def _list() -> None:
    rows = []
    for name, source in SOURCES.items():
        size = f"{source.size_bytes / 1e6:,.0f} MB"
        host = urlsplit(source.base_url).hostname or ""
        rows.append((name, size, f"{source.folder}/", host, source.info.licence))
    columns = ("dataset", "to fetch", "below the data root", "from", "licence")
    output().rows("downloads", columns, rows)
