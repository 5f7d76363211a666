"""The claims ledger as a page: ``python -m trainfit.bench.claims.page docs``.

Judges the claims that come with trainfit by the kept runs (``results/runs`` beside the folder of
the page) and writes what comes out between two marks in ``claims.md``. ``--check`` says whether
what stands there is what the records say.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from itertools import groupby
from pathlib import Path

from trainfit.bench.claims.judge import Judged, judge_claims, read_claims
from trainfit.bench.claims.text import claimed, missing, reproduced, seeds, sentence, sentences
from trainfit.bench.doc_tables.marked_page import parse, rewrite
from trainfit.bench.records.reading import runs_below

BEGIN, END = "<!-- claims -->", "<!-- end of claims -->"


def document(runs_folder: Path) -> str:
    """The ledger as Markdown.

    Args:
        runs_folder: Holds run folders.

    Raises:
        BenchError: The claims or a run cannot be read.
    """
    runs = runs_below(runs_folder)
    judged = judge_claims(runs, read_claims())
    return f"{sentence(judged, len(runs))}.\n\n{markdown(judged)}"


def markdown(judged: Sequence[Judged]) -> str:
    """One section per paper: a table of all checks, then what has to be known."""
    parts = []
    for title, group in groupby(judged, key=lambda each: each.claim.paper_title):
        own = list(group)
        lines = [
            f"### {title}",
            "",
            "| claim | compared | claimed | reproduced | verdict |",
            "|---|---|--:|---|---|",
            *(_line(cells) for each in own for cells in _cells(each)),
            "",
            *(f"- `{each.claim.id}`: {_about(each)}" for each in own),
        ]
        parts.append("\n".join(lines))
    lacking = missing(judged)
    if lacking:
        parts.append("\n".join([f"{lacking[0]}:", "", "```sh", *lacking[1:], "```"]))
    return "\n\n".join(parts)


def _cells(judged: Judged) -> Iterable[tuple[str, ...]]:
    head = f"`{judged.claim.id}`: {judged.claim.text}"
    verdict = f"**{judged.verdict.value}**"
    if not judged.checks:
        yield head, "", "", "", verdict
    for number, each in enumerate(judged.checks):
        note = f", {seeds(each)}" if seeds(each) else ""
        own = "" if each.outcome.value == judged.verdict.value else each.outcome.value
        named = f"{verdict}, here {own}" if own else verdict
        yield (
            "" if number else head,
            each.check.what,
            claimed(each.check),
            reproduced(each) + note,
            own if number else named,
        )


def _line(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |"


def _about(judged: Judged) -> str:
    return sentences(f"Source: {judged.claim.source}", judged.reason, judged.claim.remark)


def main(arguments: Sequence[str] | None = None) -> int:
    """Write or check the page; returns the exit code."""
    folder, check = parse("trainfit.bench.claims.page", __doc__, arguments)
    runs = folder.resolve().parent / "results" / "runs"
    return rewrite(folder / "claims.md", (BEGIN, END), lambda: document(runs), check=check)


if __name__ == "__main__":
    sys.exit(main())
