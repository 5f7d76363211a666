"""The file that lists what papers claim, and how each claim is tested here.

::

    [paper.ff-int8]
    title = "FF-INT8 (Ma, Panda & Reda, DAC 2025)"

    [[claim]]
    id = "ff-int8-memory-fp32"
    paper = "ff-int8"
    text = "what is claimed, in our words"
    source = "Table V, last row"
    suite = "results/suites/NAME.toml"        # makes the records that test it
    [[claim.check]]
    what = "static + peak dynamic bytes"
    statistic = "change_percent"
    quantity = "ram_bytes"
    expect = "near"
    published = -38.7
    tolerance = 5.0
    where = { model = "mlp-784-1000-1000-10", batch_size = 32 }
    left = { algorithm = "ff_int8", options = { lookahead = "true" } }
    right = { algorithm = "backprop" }

A claim that cannot be tested here has ``not_testable``, the reason, in place of checks.
"""

from __future__ import annotations

import tomllib
from collections.abc import Sequence
from pathlib import Path

from pydantic import Field, ValidationError

from trainfit._schema_errors import explain
from trainfit._text import nearest
from trainfit.bench.claims.schema import Claim, Strict, Text
from trainfit.bench.claims.words import ClaimsError

CLAIMS = Path(__file__).parent / "claims.toml"
"""The file that comes with trainfit."""


class _Paper(Strict):
    title: Text


class _File(Strict):
    paper: dict[str, _Paper]
    claim: list[Claim] = Field(min_length=1)


def read_claims(file: Path = CLAIMS) -> list[Claim]:
    """All claims of a file, in its order.

    Raises:
        ClaimsError: It cannot be read, is malformed, or contradicts itself; the message says where.
    """
    try:
        raw = tomllib.loads(file.read_text("utf-8"))
    except OSError as error:
        raise ClaimsError(f"{file}: cannot be read: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ClaimsError(f"{file}: not valid TOML: {error}") from error
    try:
        found = _File.model_validate(raw)
    except ValidationError as error:
        raise ClaimsError(f"{file}: {explain(error, raw, _File)}") from None
    seen: set[str] = set()
    for number, claim in enumerate(found.claim, start=1):
        if claim.id in seen:
            raise ClaimsError(f"{file}: claim[{number}].id: {claim.id!r} is there twice")
        seen.add(claim.id)
        if claim.paper not in found.paper:
            raise ClaimsError(
                f"{file}: claim[{number}].paper: there is no [paper.{claim.paper}];"
                f" {nearest(claim.paper, found.paper)}"
            )
    return [
        claim.model_copy(update={"paper_title": found.paper[claim.paper].title})
        for claim in found.claim
    ]


def chosen(claims: Sequence[Claim], ids: Sequence[str], paper: str | None) -> list[Claim]:
    """The claims that were asked for.

    Args:
        claims: All there are.
        ids: Names of claims; none means all.
        paper: Only those of this paper.

    Raises:
        ClaimsError: There is no such claim or paper.
    """
    papers = {claim.paper for claim in claims}
    if paper is not None and paper not in papers:
        raise ClaimsError(f"--paper {paper}: no claim is of it; {nearest(paper, papers)}")
    known = {claim.id for claim in claims}
    for name in ids:
        if name not in known:
            raise ClaimsError(f"there is no claim {name!r}; {nearest(name, known)}")
    found = [
        claim
        for claim in claims
        if (not ids or claim.id in ids) and (paper is None or claim.paper == paper)
    ]
    if not found:
        raise ClaimsError(f"--paper {paper}: none of {', '.join(ids)} is a claim of it")
    return found
