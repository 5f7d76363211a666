"""Texts for places that hold only so much: whole rows are left out, and it is said how many."""

from __future__ import annotations

from collections.abc import Callable, Sequence


def fitting(page: Callable[[int], str], most: int, limit: int) -> int:
    """The largest number of rows, ``most`` at most, with which a page is not too long."""
    low, high = 0, most
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if len(page(middle)) <= limit else (low, middle - 1)
    return low


def cut(lines: Sequence[str], limit: int) -> str:
    """Lines as one text that is not longer than a limit; whole lines are left out, and counted."""

    def page(shown: int) -> str:
        more = [f"... and {len(lines) - shown} more lines"] if shown < len(lines) else []
        return "\n".join([*lines[:shown], *more])

    shown = fitting(page, len(lines), limit)
    return page(shown) if shown else lines[0][: limit - 3] + "..."
