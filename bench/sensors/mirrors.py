"""Counters that are one counter shown twice, as the dies of some processors show their package's.

Linux lists a zone for every die of a package. On processors that count only the package, each of
these zones shows the package's counter, and their sum is the energy times the number of dies
(mlco2/codecarbon#1274). Two dies that draw power on their own never show the same microjoule for
long, so equal figures tell.
"""

from __future__ import annotations

import itertools
import re
import time
from collections.abc import Callable, Iterable, Mapping

_DIE = re.compile(r"(?P<package>package-\d+)-die-\d+(?P<part>/\w+)?")

_LOOKS, _MOST_LOOKS = 5, 50
"""Looks that must show two counters alike, and all that are taken where they keep moving."""

_SECONDS_BETWEEN = 0.002
"""Counters move about every millisecond: independent ones have parted long before the last look."""

_TELLING_JOULES = 1.0
"""A counter tells microjoules apart: two that gained exactly this much alike are one."""

_SAME_JOULES = 5e-7

Look = Callable[[], Mapping[str, float]]
"""Reads those counters that can be read, in joules."""

Pair = tuple[str, str]


class Dies:
    """The dies of packages: which of them share a counter, and whether that stays so.

    Args:
        rails: Zones, as the kernel names them.
        look: Reads them.
        sleep: Waits between two looks.
    """

    def __init__(
        self, rails: Iterable[str], look: Look, sleep: Callable[[float], None] = time.sleep
    ) -> None:
        self._look = look
        pairs = _siblings(rails)
        self.mirrors = _mirrored(pairs, look, sleep)
        """Rails that show another rail's counter, and whose."""
        self._settled = [(kept, other) for other, kept in self.mirrors.items()]
        self._watched = [pair for pair in pairs if not self.mirrors.keys() & set(pair)]
        self._start: dict[str, float] = {}

    def doubt(self, raw: Mapping[str, float], joules: Mapping[str, float]) -> str | None:
        """Why the sum of the dies cannot be believed, if so.

        Args:
            raw: What the counters have just shown.
            joules: The same, unwrapped.
        """
        if not self._settled and not self._watched:
            return None
        again = self._look()
        for pair in self._settled:
            if _alike(pair, raw, again) is False:
                return (
                    f"{' and '.join(pair)} showed the same counter at first and no longer do: "
                    f"whether they are one is not known"
                )
        # Dies may have started at different figures: what counts is what both gained since.
        for rail, value in joules.items():
            self._start.setdefault(rail, value)
        gained = {rail: value - self._start[rail] for rail, value in joules.items()}
        then = {
            rail: gained[rail] + again[rail] - raw[rail] for rail in gained.keys() & again.keys()
        }
        for pair in list(self._watched):
            alike = _alike(pair, gained, then)
            if alike is False:
                self._watched.remove(pair)
            elif alike and gained[pair[0]] >= _TELLING_JOULES:
                return (
                    f"{' and '.join(pair)} gained the same {gained[pair[0]]:g} J to the "
                    f"microjoule: one counter shown twice, so that their sum is not known"
                )
        return None


def _siblings(rails: Iterable[str]) -> list[Pair]:
    """Rails that are the same part of two dies of one package."""
    groups: dict[tuple[str, str], list[str]] = {}
    for rail in rails:
        found = _DIE.fullmatch(rail)
        if found:
            groups.setdefault((found["package"], found["part"] or ""), []).append(rail)
    return [pair for group in groups.values() for pair in itertools.combinations(group, 2)]


def _mirrored(pairs: Iterable[Pair], look: Look, sleep: Callable[[float], None]) -> dict[str, str]:
    """Rails that show another rail's counter every time they are looked at, and whose."""
    seen = dict.fromkeys(pairs, 0)
    for number in range(_MOST_LOOKS):
        if all(count >= _LOOKS for count in seen.values()):
            break
        if number:
            sleep(_SECONDS_BETWEEN)
        first, second = look(), look()
        for pair in list(seen):
            alike = _alike(pair, first, second)
            if alike is False:
                del seen[pair]
            elif alike:
                seen[pair] += 1
    found: dict[str, str] = {}
    for (kept, other), count in seen.items():
        if count and kept not in found:
            found.setdefault(other, kept)
    return found


def _alike(pair: Pair, first: Mapping[str, float], second: Mapping[str, float]) -> bool | None:
    """Whether two rails show the same; None where that cannot be told.

    Args:
        pair: The rails.
        first: What all rails showed.
        second: The same, read once more at once: a rail that has moved meanwhile tells nothing.
    """
    if not set(pair) <= first.keys() & second.keys():
        return None
    if any(abs(first[rail] - second[rail]) > _SAME_JOULES for rail in pair):
        return None
    return abs(first[pair[0]] - first[pair[1]]) <= _SAME_JOULES
