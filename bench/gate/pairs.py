"""Which workload of a golden has become which one of the run, where a name has changed.

A name holds all that bytes depend on, so another batch size is another name. The two are taken for
one workload that was changed if all of this holds:

1. The old one was not measured and the new one is not in the golden.
2. Algorithm, family of the model (``mlp``, ``resnet8``) and data set are equal.
3. Of all such pairs it has the fewest differences in options, model and batch size; between equals
   the one whose numbers (widths and batch size together) differ least.
4. No other pair with one of the two is just as near. Where one is, neither is made: the workloads
   stay *missing* and *new*.

Pairs are made in this order, the nearest first, so a whole suite whose batch doubled is paired.
Names of another form, such as those of tests, are never paired.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import groupby, product

_NAME = re.compile(
    r"(?P<algorithm>[^\s\[\]]+)(?P<options>\[.*?\])? (?P<model>\S+) (?P<data>\S.*?) b(?P<batch>\d+)"
    r"(?P<rest>( seed=\d+)?( unshuffled)?)"
)
_PARTS = ("options", "model", "batch", "rest")
_SPOKEN = {"options": "options", "model": "model", "batch": "batch size", "rest": "seed or order"}


@dataclass(frozen=True)
class Pair:
    """Two names of one workload.

    Attributes:
        old: As the golden has it.
        new: As the run has it.
        what: What differs, in words: ``batch size 32 -> 64``.
    """

    old: str
    new: str
    what: str


def pair_up(old: Iterable[str], new: Iterable[str]) -> dict[str, Pair]:
    """Pairs by the rule above, by the name that the golden has."""
    befores, afters = _parsed(old), _parsed(new)
    costs = {
        (before, after): _cost(befores[before], afters[after])
        for before, after in product(befores, afters)
        if _same_kind(befores[before], afters[after])
    }
    pairs: dict[str, Pair] = {}
    taken: set[str] = set()
    for _, group in groupby(sorted(costs, key=lambda pair: (costs[pair], pair)), costs.__getitem__):
        nearest = [pair for pair in group if taken.isdisjoint(pair)]
        times = Counter(name for pair in nearest for name in pair)
        for before, after in nearest:
            if times[before] == times[after] == 1:
                pairs[before] = Pair(before, after, _what(befores[before], afters[after]))
        taken.update(times)  # ambiguous ones too: they are left alone
    return pairs


def _parsed(names: Iterable[str]) -> dict[str, re.Match[str]]:
    found = {name: _NAME.fullmatch(name) for name in sorted(names)}
    return {name: match for name, match in found.items() if match}


def _same_kind(old: re.Match[str], new: re.Match[str]) -> bool:
    return old.group("algorithm", "data") == new.group("algorithm", "data") and (
        old["model"].partition("-")[0] == new["model"].partition("-")[0]
    )


def _cost(old: re.Match[str], new: re.Match[str]) -> tuple[int, int]:
    differing = sum(old[part] != new[part] for part in _PARTS)
    return differing, abs(_size(old) - _size(new))


def _size(name: re.Match[str]) -> int:
    return int(name["batch"]) + sum(int(number) for number in re.findall(r"\d+", name["model"]))


def _what(old: re.Match[str], new: re.Match[str]) -> str:
    changes = [
        f"{_SPOKEN[part]} {_text(old[part])} -> {_text(new[part])}"
        for part in _PARTS
        if old[part] != new[part]
    ]
    return ", ".join(changes)


def _text(part: str | None) -> str:
    return (part or "").strip() or "none"
