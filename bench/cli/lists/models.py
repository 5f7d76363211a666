"""``trainfit models``."""

from __future__ import annotations

from trainfit.algorithms.models import FAMILIES
from trainfit.bench.cli.output import output


def models() -> None:
    """List model families and how their names are formed."""
    rows = [(name, family.form) for name, family in FAMILIES.items()]
    output().rows("models", ("family", "name"), rows)
