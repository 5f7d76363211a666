"""Every family of nets there is: ours, and those that other packages register.

Another package adds one with an entry point in the group ``trainfit.models``; its name is that of
the family, and it names an object such as
:class:`trainfit.algorithms.models.architectures.table.Architecture`.
"""

from __future__ import annotations

from functools import cache
from importlib.metadata import EntryPoint, entry_points

from trainfit._imports import current_folder_left_out
from trainfit.algorithms.errors import ConfigurationError
from trainfit.algorithms.models.architectures.table import ARCHITECTURES
from trainfit.algorithms.models.grammar import Cnn
from trainfit.algorithms.models.locally_connected import LocallyConnected
from trainfit.algorithms.models.mlp import Mlp
from trainfit.algorithms.models.model import Family

GROUP = "trainfit.models"
"""Entry-point group through which other distributions register families."""

_OURS: tuple[Family, ...] = (Mlp, LocallyConnected, Cnn, *ARCHITECTURES)

FAMILIES: dict[str, Family] = {family.family: family for family in _OURS}
"""Our families by name, the part before the first dash."""

_NEEDED = ("family", "kind", "form", "parse", "complete")


def family_names() -> list[str]:
    """Names of all families, ours first."""
    others = sorted(point.name for point in _entry_points() if point.name not in FAMILIES)
    return [*FAMILIES, *others]


def find_family(name: str) -> Family | None:
    """The family of this name; None if there is none.

    Raises:
        ConfigurationError: Another package registers it and it cannot be imported, or is none.
    """
    if name in FAMILIES:
        return FAMILIES[name]
    point = next((point for point in _entry_points() if point.name == name), None)
    if point is None:
        return None
    try:
        found: Family = point.load()
    except Exception as error:
        raise ConfigurationError(
            f"model family {name!r} of another package ({point.value}) cannot be imported:"
            f" {type(error).__name__}: {error}"
        ) from error
    lacking = [each for each in _NEEDED if not hasattr(found, each)]
    if lacking:
        raise ConfigurationError(
            f"model family {name!r} of another package ({point.value}) lacks {', '.join(lacking)}"
        )
    return found


@cache
def _entry_points() -> tuple[EntryPoint, ...]:
    """Of what is installed; what lies in the current folder is not."""
    with current_folder_left_out():
        return tuple(entry_points(group=GROUP))
