"""What stands behind a paper: the suite that measures it, its figures and tables, and its index.

:mod:`trainfit.bench.papers.drawing` draws and :mod:`trainfit.bench.claims.claim` judges; here is
what of it belongs to a paper, and the page that says what every file shows and where its numbers
come from.
"""

from __future__ import annotations

import csv
import shlex
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from trainfit._text import escape_markdown, markdown_code, nearest
from trainfit.bench.errors import BenchError
from trainfit.bench.frames.sources import load_run
from trainfit.bench.papers.drawing import Drawing
from trainfit.bench.records.reading import iter_records, read_environment, run_name

INDEX = "README.md"


class PaperError(BenchError):
    """A paper cannot be reproduced as it was asked for."""


@dataclass(frozen=True)
class Paper:
    """A paper whose figures can be made again.

    Attributes:
        name: On the command line, and in the list of claims.
        title: With its source.
        suite: What measures it.
        rules: The algorithms that are its own; a run without any of them is none of its.
        figures: In the order of its index.
        tables: In the order of its index.
    """

    name: str
    title: str
    suite: str
    rules: tuple[str, ...]
    figures: tuple[str, ...]
    tables: tuple[str, ...]


PAPERS = {
    paper.name: paper
    for paper in (
        Paper(
            "tinyfoa",
            "TinyFoA (Huang & Aminifar, AAAI 39(16), 2025, doi 10.1609/aaai.v39i16.33910)",
            "paper-tinyfoa",
            ("tinyfoa", "local_head", "forward_forward", "pepita", "mem_pepita", "drtp", "dfa"),
            ("tinyfoa-memory", "tinyfoa-accuracy", "accuracy-bytes"),
            ("tinyfoa-memory", "memory", "accuracy"),
        ),
        Paper(
            "ff-int8",
            "FF-INT8 (Ma, Panda & Reda, DAC 2025, arXiv 2506.22771)",
            "paper-ff-int8",
            ("ff_int8", "backprop_int8", "backprop_ui8", "backprop_dai8", "qat_int8", "ptq_int8"),
            (
                "ff-int8-table-v",
                "ff-int8-convergence",
                "ff-int8-depth",
                "ff-int8-operations",
                "gradients",
                "robustness",
                "sensitivity",
                "accuracy-bytes",
            ),
            ("ff-int8-table-v", "ff-int8-depth", "ff-int8-operations", "memory", "accuracy"),
        ),
    )
}


def find_paper(name: str) -> Paper:
    """A paper by its name.

    Raises:
        PaperError: There is none; the message names the nearest.
    """
    if name not in PAPERS:
        raise PaperError(f"unknown paper {name!r}: {nearest(name, PAPERS)}")
    return PAPERS[name]


def its_runs(paper: Paper, runs: Sequence[Path]) -> list[Path]:
    """The runs that have one of the paper's rules; all of them where none has.

    Raises:
        RunFolderError: One cannot be read.
    """
    own = [run for run in runs if set(load_run(run)["algorithm"]) & set(paper.rules)]
    return own or list(runs)


def index(
    paper: Paper,
    runs: Sequence[Path],
    given: Sequence[Path],
    made: Sequence[Drawing],
    claims: str | None,
) -> str:
    """The page of a paper's folder, as Markdown.

    Args:
        paper: Whose.
        runs: Where the numbers come from.
        given: How they were named on the command line.
        made: Everything that was asked for, drawn or not.
        claims: What became of the paper's claims, as Markdown; None if it was not asked.

    Raises:
        RunFolderError: A run does not say what produced it.
    """
    again = shlex.join(["trainfit", "paper", paper.name, *_from(given)])
    parts = [
        f"# {paper.title}",
        "Figures, tables and claims of this paper, made again from records. What was published"
        " stands beside them, open or in columns of its own; what is modelled is hatched. Every"
        " figure is there as PDF, SVG and PNG and with the numbers it plots as CSV, every table as"
        " CSV, Markdown and LaTeX.",
        f"```sh\n{again}\n```",
        "## Records",
        "\n".join(_runs(runs)),
        "## Figures",
        *(_figure(each, runs) for each in made if each.kind == "figure" and each.files),
        "## Tables",
        *(_table(each) for each in made if each.kind == "table" and each.files),
    ]
    if claims is not None:
        parts += ["## Claims", claims]
    missing = [each for each in made if each.missing]
    if missing:
        parts += ["## Not made", "\n".join(_missing(missing))]
    return "\n\n".join(parts) + "\n"


def _from(given: Sequence[Path]) -> Iterator[str]:
    for run in given:
        yield from ("--from", str(run))


def _runs(runs: Sequence[Path]) -> Iterator[str]:
    yield "| run | records | trainfit | torch | processor | revision | started |"
    yield "|---|--:|---|---|---|---|---|"
    for run in runs:
        found = read_environment(run)
        versions, machine = found.get("versions") or {}, found.get("machine") or {}
        cells = (
            markdown_code(run_name(run)),
            str(sum(1 for _ in iter_records(run))),
            *(
                None if each is None else escape_markdown(str(each))
                for each in (
                    versions.get("trainfit"),
                    versions.get("torch"),
                    machine.get("cpu"),
                    _revision(found.get("git")),
                    found.get("started_at"),
                )
            ),
        )
        yield "| " + " | ".join("not known" if c is None else c for c in cells) + " |"


def _revision(git: dict[str, Any] | None) -> str | None:
    if not git or not git.get("commit"):
        return None
    return f"{str(git['commit'])[:12]}{' with changes' if git.get('dirty') else ''}"


def _figure(drawing: Drawing, runs: Sequence[Path]) -> str:
    picture = next(file for file in drawing.files if file.suffix == ".png")
    return "\n\n".join(
        [
            f"### {drawing.title}",
            f"![{drawing.title}]({picture.name})",
            f"{_links(drawing)}. From {', '.join(origins(drawing, runs))}.",
        ]
    )


def _table(drawing: Drawing) -> str:
    return f"- **{drawing.title}**: {_links(drawing)}. {drawing.caption}"


def _links(drawing: Drawing) -> str:
    return ", ".join(f"[{file.name}]({file.name})" for file in drawing.files)


def _missing(missing: Sequence[Drawing]) -> Iterator[str]:
    yield "| what | why, and what makes it |"
    yield "|---|---|"
    for each in missing:
        yield f"| {each.kind} {each.name} | {escape_markdown(each.missing.replace('|', '/'))} |"


def origins(drawing: Drawing, runs: Sequence[Path]) -> list[str]:
    """The runs whose numbers a figure plots, as its own CSV says; all of them if it does not."""
    known = [run_name(run) for run in runs]
    numbers = next((file for file in drawing.files if file.suffix == ".csv"), None)
    named: set[str] = set()
    if numbers is not None:
        with numbers.open(encoding="utf-8", newline="") as stream:
            for row in csv.DictReader(stream):
                named |= set((row.get("runs") or row.get("run") or "").split(", "))
    return [markdown_code(name) for name in known if name in named or not named & set(known)]
