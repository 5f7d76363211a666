"""Which algorithms from outside may be imported: naming ``package.module:Class`` runs its module.

Whoever calls these functions from Python has named what they import. A command line has not: the
names that it reads from suites, records and run folders were written by others. So the command line
begins with :func:`none_but`, and every option that takes an algorithm calls :func:`permit`. What is
permitted here is permitted in the processes of workloads, which are told.

Registered names, ours and those of installed packages, are never restricted.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from trainfit.algorithms.errors import ConfigurationError

_permitted: frozenset[str] | None = None
"""None permits everything."""


def permitted() -> list[str] | None:
    """The names that may be imported, sorted; None where all may."""
    return None if _permitted is None else sorted(_permitted)


def restrict(names: Iterable[str] | None) -> None:
    """From here on permit these names and no others; None permits everything."""
    global _permitted  # noqa: PLW0603  (it is a property of the process)
    _permitted = None if names is None else frozenset(names)


@contextmanager
def none_but(names: Iterable[str] = ()) -> Iterator[None]:
    """Permit these names and no others, and afterwards what was permitted before."""
    before = _permitted
    restrict(names)
    try:
        yield
    finally:
        restrict(before)


def permit(names: Iterable[str]) -> None:
    """Permit these names as well."""
    if _permitted is not None:
        restrict(_permitted | set(names))


def is_outside(name: str) -> bool:
    """Whether a name is ``package.module:Class`` and not one that is registered."""
    return ":" in name


def require_permitted(name: str) -> None:
    """Refuse an algorithm from outside that nobody here has named.

    Raises:
        ConfigurationError: It is one.
    """
    if is_outside(name) and _permitted is not None and name not in _permitted:
        raise ConfigurationError(
            f"algorithm {name!r} is code that a file names, and none of that is run unasked; to"
            f" run it, name it on the command line too: --algorithm {name}"
        )
