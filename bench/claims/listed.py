"""Which claims there are: those that come with trainfit, or those of a Python file."""

from __future__ import annotations

import runpy
from collections.abc import Sequence
from pathlib import Path
from traceback import extract_tb

from trainfit._files import FileError, NoFileError, read_bytes
from trainfit._text import nearest
from trainfit.bench.claims import audits, ff_int8_cnns, low_rank, pau_aymone, tinyfoa
from trainfit.bench.claims.claim import Claim, ClaimsError, Paper

PAPERS = (
    tinyfoa.PAPER,
    ff_int8_cnns.PAPER,  # which has those of ff_int8, too
    pau_aymone.PAPER,
    audits.SPYRA_DZWINEL,
    audits.CHEN,
    low_rank.WASI,
    low_rank.ASI_PAPER,
    low_rank.TRAINDEEPLOY,
)
"""The papers behind this project, in the order of the page."""


def read_claims(file: Path | None = None) -> list[Claim]:
    """All claims, in the order in which they are written.

    Args:
        file: A Python file with papers of its own, written as ``bench/claims/tinyfoa.py`` is; None
            for the claims that come with trainfit.

    Raises:
        ClaimsError: It cannot be run, has no claims, or has two of one name.
    """
    found = [claim for paper in (_papers(file) if file else PAPERS) for claim in paper.claims]
    names = [claim.id for claim in found]
    if not found:
        raise ClaimsError(f"{file}: has no claims; it needs a Paper and functions under its .claim")
    for name in names:
        if names.count(name) > 1:
            raise ClaimsError(f"{file}: {name!r} is there twice")
    return found


def _papers(file: Path) -> list[Paper]:
    if file.suffix != ".py":
        raise ClaimsError(f"{file}: claims are written in Python, in a file that ends in .py")
    try:
        read_bytes(file)  # a pipe or a device would never end
        names = runpy.run_path(str(file))
    except NoFileError as problem:
        raise ClaimsError(f"{file}: cannot be read: {problem}") from None
    except FileError as problem:
        raise ClaimsError(f"{file}: {problem}") from None
    except Exception as error:  # whatever the file does
        lines = [
            each.lineno for each in extract_tb(error.__traceback__) if each.filename == str(file)
        ]
        where = f"{file}, line {lines[-1]}" if lines else str(file)
        raise ClaimsError(f"{where}: {type(error).__name__}: {error}") from error
    return [value for value in names.values() if isinstance(value, Paper)]


def chosen(claims: Sequence[Claim], ids: Sequence[str], paper: str | None) -> list[Claim]:
    """Some of the claims.

    Args:
        claims: All there are.
        ids: Names of claims; none means all.
        paper: Only those of this paper.

    Raises:
        ClaimsError: There is no such claim or paper.
    """
    papers = {claim.paper.name for claim in claims}
    if paper is not None and paper not in papers:
        raise ClaimsError(f"--paper {paper}: no claim is of it; {nearest(paper, papers)}")
    known = {claim.id for claim in claims}
    for name in ids:
        if name not in known:
            raise ClaimsError(f"there is no claim {name!r}; {nearest(name, known)}")
    found = [
        claim
        for claim in claims
        if (not ids or claim.id in ids) and (paper is None or claim.paper.name == paper)
    ]
    if not found:
        raise ClaimsError(f"--paper {paper}: none of {', '.join(ids)} is a claim of it")
    return found
