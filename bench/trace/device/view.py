"""The device view."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate

from trainfit.bench.trace.device.sharing import Place, computed_where_read, in_place
from trainfit.bench.trace.device.values import values_of
from trainfit.bench.trace.trace import Trace


@dataclass(frozen=True)
class Block:
    number: int
    bytes: int
    born: int
    died: int
    category: str
    label: str
    phase: str


def levels(places: Sequence[Place], instants: int) -> list[int]:
    change = [0] * (instants + 2)
    for place in places:
        change[place.born] += place.bytes
        change[place.last + 1] -= place.bytes
    return list(accumulate(change))


def best(trace: Trace):
    values = values_of(trace)
    found = None
    for shrink in (True, False):
        for eager in (False, True):
            one = improve(values, shrink, eager)
            if found is None or one[0] < found[0]:
                found = one
    return found


def attempt(values, shrink, eager, skip):
    sharing = computed_where_read(values, eager=eager, skip=skip)
    places = in_place(sharing, shrink=shrink)
    lv = levels(places, len(values.steps))
    return (max(lv), eager, shrink, values, sharing, places, lv)


def improve(values, shrink, eager):
    skip = frozenset()
    now = attempt(values, shrink, eager, skip)
    for _ in range(20):
        sharing, lv = now[4], now[6]
        at = lv.index(now[0])
        candidates = [n for n in sharing.doubtful if values.values[n].maker <= at <= sharing.runs[values.values[n].maker]]
        candidates.sort(key=lambda n: -sharing.doubtful[n])
        tries = [(attempt(values, shrink, eager, skip | {n}), n) for n in candidates[:24]]
        tries = [t for t in tries if t[0][0] < now[0]]
        if not tries:
            break
        now, n = min(tries, key=lambda t: t[0][0])
        skip |= {n}
    return now
