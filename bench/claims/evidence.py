"""What a comparison of trained nets rests on, and when that is enough for a verdict.

Bytes and products are the same however a net is trained; one record is enough. What training
reaches differs from seed to seed, with the rate, with passes and samples. Passes, samples, data
set, net and batch agree within an experiment (:mod:`trainfit.bench.claims.pairing`); here it is
asked for the seeds, for how rates were chosen, for moments that stand for a whole training where
one is followed, and for nets as good as each other where that matters.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from trainfit._experiments import in_common
from trainfit.bench.claims.workloads import Operand, Setting

LEAST_SEEDS = 3
"""Of each side; fewer do not say how far apart seeds lie."""


LEAST_MOMENTS = 3
"""Of a training whose course is compared; fewer do not say how it goes."""


class Rates(StrEnum):
    """How the rates of both sides have to have been chosen."""

    SEARCHED = "searched"
    """By the same search on held-out samples: same grid, same budget, same split."""
    SAME = "same"
    """They are the same number, since the claim is about what happens at it."""
    SWEPT = "swept"
    """All of a grid count, with as many rates on each side, spaced alike."""


@dataclass(frozen=True)
class Fair:
    """What has to be equal for a comparison to count.

    Attributes:
        rates: How they have to have been chosen.
        compared: Fields of :data:`trainfit._experiments.SAID` that may differ, being compared.
        within: So many points of accuracy may lie between the nets; None does not ask.
    """

    rates: Rates = Rates.SEARCHED
    compared: frozenset[str] = frozenset()
    within: float | None = None


@dataclass(frozen=True)
class Evidence:
    """What the sides of a check rest on.

    Attributes:
        seeds: That all sides have.
        passes: Over the training data; more than one where they differ.
        rates: How they were chosen, in words.
        lacking: Why that is not enough; empty if it is.
        moments: Of training, at which something was measured; None where only its end counts.
    """

    seeds: tuple[int, ...]
    passes: tuple[str, ...]
    rates: str
    lacking: tuple[str, ...] = ()
    moments: int | None = None

    @property
    def text(self) -> str:
        """In a few words: ``3 seeds, 12 passes, 4 moments, rates by one search``."""
        count = len(self.seeds)
        seeds = "one seed" if count == 1 else f"{count} seeds"
        passes = "/".join(self.passes)
        said = f"{seeds}, {passes} pass{'es' * (passes != '1')}"
        if self.moments is not None:
            said += ", one moment" if self.moments == 1 else f", {self.moments} moments"
        return f"{said}, {self.rates}"


def weigh(sides: Sequence[Operand], fair: Fair) -> Evidence:
    """What the sides of a check rest on, and what is lacking.

    Args:
        sides: Of one experiment, with the seeds that all have.
        fair: What is asked for.
    """
    settings = [setting for side in sides for setting in side.settings]
    seeds = in_common(each.seeds for each in settings)
    rates, wrong = _rates(sides, fair.rates)
    moments = _moments(settings)
    lacking = [
        *_few_seeds(seeds),
        *_few_moments(moments),
        *([wrong] if wrong else []),
        *_unlike(sides, fair.within),
    ]
    passes = dict.fromkeys(each.conditions.passes for each in settings if each.conditions)
    fewest = min(map(len, moments), default=None)
    return Evidence(tuple(seeds), tuple(passes), rates, tuple(lacking), fewest)


def _few_seeds(seeds: Sequence[int]) -> Iterator[str]:
    if len(seeds) < LEAST_SEEDS:
        count = "one seed" if len(seeds) == 1 else f"{len(seeds)} seeds"
        yield f"{count}, {LEAST_SEEDS} are needed"


def _moments(settings: Iterable[Setting]) -> list[list[int]]:
    """After which passes something was measured, once each; of an end alone nothing is said."""
    found = [each.rows["moments"] for each in settings if "moments" in each.rows]
    return [json.loads(each) for each in dict.fromkeys(str(text) for own in found for text in own)]


def _few_moments(moments: Sequence[list[int]]) -> Iterator[str]:
    if len(moments) > 1:
        said = (f"after passes {', '.join(map(str, each))}" for each in moments)
        yield f"moments of training differ: {' against '.join(said)}"
    fewest = min(moments, key=len, default=None)
    if fewest is not None and len(fewest) < LEAST_MOMENTS:
        after = " and ".join(map(str, fewest))
        yield f"measured after pass {after} only, over training takes {LEAST_MOMENTS} moments"


def _rates(sides: Sequence[Operand], asked: Rates) -> tuple[str, str | None]:
    """How rates were chosen, and what is wrong with that."""
    found = [each.conditions for side in sides for each in side.settings if each.conditions]
    texts = list(dict.fromkeys(each.rate for each in found))
    if asked is Rates.SWEPT:
        return _swept(sides)
    searched = all(each.is_searched for each in found)
    if searched and len(texts) == 1:
        return "rates by one search", None
    if asked is Rates.SAME and len(texts) == 1 and not texts[0].endswith("default"):
        return f"rate {texts[0]} on all sides", None
    if searched:
        return "rates by different searches", f"rates by different searches: {'; '.join(texts)}"
    if asked is Rates.SAME:
        return "different rates", f"rates {' against '.join(texts)}, not one rate on all sides"
    return "rates not searched", "rates not chosen by the same search on held-out samples"


def _swept(sides: Sequence[Operand]) -> tuple[str, str | None]:
    grids = [_grid(side.settings) for side in sides]
    said = f"grids of {'/'.join(dict.fromkeys(str(len(each)) for each in grids))} rates"
    shapes = {tuple(round(rate / grid[0], 1) for rate in grid) for grid in grids if grid}
    if len(shapes) == 1 and all(grids):
        return said, None
    return said, "grids of rates that are not spaced alike"


def _grid(settings: Iterable[Setting]) -> list[float]:
    rates: set[float] = set()
    for each in settings:
        if each.conditions is None or each.conditions.number is None:
            return []
        rates.add(each.conditions.number)
    return sorted(rates)


def _unlike(sides: Sequence[Operand], within: float | None) -> Iterator[str]:
    if within is None:
        return
    reached = [max(map(_reached, side.settings)) for side in sides]
    apart = round(100 * (max(reached) - min(reached)), 9)
    if apart > within:
        nets = " against ".join(f"{100 * each:.1f} %" for each in reached)
        yield f"nets not alike: {nets}, more than {within:g} point{'s' * (within != 1)} apart"


def _reached(setting: Setting) -> float:
    """The accuracy of the undisturbed net: of its own column, or the quantity itself."""
    rows: Any = setting.rows
    if "test_accuracy_undisturbed" in rows:
        return float(rows["test_accuracy_undisturbed"].mean())
    return setting.mean[0]
