"""Errors a user can cause in this folder; the command line makes them one line, exit code 2."""

from __future__ import annotations

from collections.abc import Iterable

from trainfit._text import nearest, shown


class ConfigurationError(ValueError):
    """A name, option or size does not exist or does not fit the others.

    The message says what was wrong, where, and what would be right.
    """


def unknown_name(kind: str, name: str, known: Iterable[str], hint: str = "") -> ConfigurationError:
    """The error for a name that is not in a registry, with the nearest names that are.

    Args:
        kind: What was looked up, in the singular ("algorithm", "model").
        name: The unknown name.
        known: The names that exist.
        hint: A sentence to append, for instance how names are formed.
    """
    advice = f"{nearest(name, known)}{' ' + hint if hint else ''}"
    return ConfigurationError(f"unknown {kind} {shown(name)}; {advice}")
