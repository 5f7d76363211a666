"""Write the ledger of claims, judged by the kept runs, into docs/claims.md."""

from __future__ import annotations

import sys

from generated_section import ROOT, Section
from trainfit.bench.claims.claim import judge_claims
from trainfit.bench.claims.listed import read_claims
from trainfit.bench.claims.text import markdown, sentence
from trainfit.bench.records.reading import RECORDS


def document() -> str:
    """The ledger as Markdown."""
    runs = sorted(path.parent for path in (ROOT / "results" / "runs").glob(f"*/{RECORDS}"))
    judged = judge_claims(runs, read_claims())
    return f"{sentence(judged, len(runs))}.\n\n{markdown(judged)}"


SECTION = Section(ROOT / "docs" / "claims.md", "claims", document)

if __name__ == "__main__":
    sys.exit(SECTION.main(__doc__))
