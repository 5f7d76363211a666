"""``trainfit figures``; reads titles without importing matplotlib."""

from __future__ import annotations

from trainfit.bench.cli.output import output
from trainfit.plots import describe_drawings

COLUMNS = ("name", "kind", ("drawn_from", "drawn from"), ("title", "shows"))


def figures() -> None:
    """List the figures and tables that trainfit plot makes."""
    rows = [(each.name, each.kind, each.source, each.title) for each in describe_drawings()]
    output().rows("figures", COLUMNS, rows)
