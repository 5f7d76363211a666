"""``trainfit models``."""

from __future__ import annotations

from trainfit.algorithms.models import family_names, find_family
from trainfit.bench.cli.output import output


def models() -> None:
    """List model families and how their names are formed."""
    found = [(name, find_family(name)) for name in family_names()]
    rows = [(name, family.form) for name, family in found if family is not None]
    output().rows("models", ("family", "name"), rows)
