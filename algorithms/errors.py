"""Errors a user can cause in this folder; the command line makes them one line, exit code 2."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class ConfigurationError(ValueError):
    """Something asked for does not exist or does not fit together.

    The message says what was wrong, where, and what would be right.
    """


def unknown_name(kind: str, name: str, known: Iterable[str], hint: str = "") -> ConfigurationError:
    """The error for a name that is not in a registry, with the nearest names that are.

    Args:
        kind: What was looked up, in the singular ("algorithm", "model").
        name: What was asked for.
        known: The names that exist.
        hint: A sentence to append, for instance how names are formed.
    """
    names = sorted(known)
    near = difflib.get_close_matches(name, names, n=3, cutoff=0.5)
    suggestion = f"did you mean {' or '.join(near)}?" if near else f"known: {', '.join(names)}"
    return ConfigurationError(f"unknown {kind} {name!r}; {suggestion}{' ' + hint if hint else ''}")
