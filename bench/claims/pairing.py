"""Which records of the sides of a check are compared: those of one experiment, or none.

:mod:`trainfit._experiments` says what one experiment is. Where records of several experiments could
be compared, the one counts whose grids are the largest (where grids are compared), whose rates were
searched for, that has the most seeds, passes, samples, in this order: never the one that suits a
claim. Where the records of no experiment have all sides, nothing is compared, and the fields that
differ are named.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from trainfit._experiments import BYTES, Conditions, in_common, latest, seeds_in_words
from trainfit.bench.claims.evidence import Fair, Rates
from trainfit.bench.claims.quantities import Quantity, Tables
from trainfit.bench.claims.workloads import Cited, Operand, Setting, Side, Workloads

if TYPE_CHECKING:
    import pandas as pd

_SETTING = ["label", "epochs", "shuffle", "search", "bits", "amplitude"]
"""What two rows of one setting have in common."""


@dataclass(frozen=True)
class Paired:
    """The sides of a check, or why there are none.

    Attributes:
        sides: Of one experiment and of the same seeds; empty if there are none.
        missing: What there is no record of.
        refused: There are records, but not of one experiment.
    """

    sides: tuple[Operand, ...] = ()
    missing: tuple[str, ...] = ()
    refused: tuple[str, ...] = ()


def pair(
    tables: Tables, quantity: Quantity, sides: Sequence[Side], fair: Fair, *, grid: bool
) -> Paired:
    """The settings of all sides that belong to one experiment.

    A figure that is cited belongs to every experiment.

    Args:
        tables: The frames of the runs.
        quantity: What is compared; a failed workload has none and does not count.
        sides: The workloads of each side, or a figure of others.
        fair: What may differ between them.
        grid: A side is all its settings in an experiment, not one.
    """
    cited = {place: _cited(each) for place, each in enumerate(sides) if isinstance(each, Cited)}
    own = [each for each in sides if isinstance(each, Workloads)]
    found = _paired(tables, quantity, own, fair, grid=grid) if own else Paired()
    if found.missing or found.refused:
        return found
    rest = iter(found.sides)
    return Paired(tuple(cited.get(place) or next(rest) for place in range(len(sides))))


def _cited(side: Cited) -> Operand:
    import pandas as pd  # noqa: PLC0415

    row = {"seed": 0, "low": side.value, "high": side.value}
    return Operand(side, [Setting(side.text, 0, pd.DataFrame([row]))])


def _paired(
    tables: Tables, quantity: Quantity, wanted: Sequence[Workloads], fair: Fair, *, grid: bool
) -> Paired:
    sides, missing = [], []
    for workloads in wanted:
        settings, problem = settings_of(tables, quantity, workloads)
        sides.append(settings)
        missing += [problem] if problem else []
    if missing:
        return Paired(missing=tuple(missing))
    # One rate is a condition like any other; how different ones were chosen is weighed later.
    compared = set(fair.compared) | (set() if fair.rates is Rates.SAME else {"rate"})
    compared |= set() if quantity.varies else BYTES
    shared = [_by_experiment(settings, compared) for settings in sides]
    keys = [key for key in shared[0] if all(key in each for each in shared)]
    if not keys:
        return Paired(refused=(_nothing_shared(wanted, sides, compared),))
    found, refused = [], []
    for key in keys:
        chosen = [each[key] if grid else _one(each[key]) for each in shared]
        unclear = [_unclear(w, s[key]) for w, s, c in zip(wanted, shared, chosen, strict=True)
                   if not c]  # fmt: skip
        if unclear:
            refused += unclear
            continue
        seeds = in_common(setting.seeds for settings in chosen for setting in settings)
        if not seeds:
            refused.append(_no_seed(chosen))
            continue
        operands = [Operand(*each) for each in zip(wanted, chosen, strict=True)]
        found.append(tuple(each.with_seeds(seeds) for each in operands))
    if not found:
        return Paired(refused=tuple(dict.fromkeys(refused)))
    best = max(map(_weight, found))
    ranked = [operands for operands in found if _weight(operands) == best]
    if len({_values(sides) for sides in ranked}) > 1:
        return Paired(refused=(_several(ranked),))
    return Paired(ranked[0])


def settings_of(
    tables: Tables, quantity: Quantity, workloads: Workloads
) -> tuple[list[Setting], str | None]:
    """All settings of some workloads that have a quantity, or what is missing."""
    frame = tables.of(quantity)
    rows = frame[workloads.match(frame)]
    if rows.empty:
        return [], f"no record of {workloads.text}"
    rows = rows.dropna(subset=["low", "high"])
    if rows.empty:
        return [], f"the records of {workloads.text} have no {quantity.key}"
    same = [name for name in _SETTING if name in rows]
    groups = [latest(group) for _, group in rows.groupby(same, sort=False, dropna=False)]
    return [_setting(group) for group in groups], None


def _setting(group: pd.DataFrame) -> Setting:
    first: dict[Any, Any] = group.iloc[0].to_dict()
    return Setting(str(first["label"]), int(first["epochs"]), group, Conditions.of(first))


def _conditions(setting: Setting) -> Conditions:
    assert setting.conditions is not None
    return setting.conditions


def _by_experiment(
    settings: Iterable[Setting], compared: set[str]
) -> dict[tuple[str, ...], list[Setting]]:
    found: dict[tuple[str, ...], list[Setting]] = {}
    for each in settings:
        found.setdefault(_conditions(each).without(compared), []).append(each)
    return found


def _is_searched(setting: Setting) -> bool:
    return _conditions(setting).is_searched


def _one(settings: Sequence[Setting]) -> list[Setting]:
    """The one that is meant: what says the same as all, or the only one that was searched for."""
    if len({each.mean for each in settings}) == 1:
        return [*sorted(settings, key=lambda each: -len(each.seeds))[:1]]
    searched = [each for each in settings if _is_searched(each)]
    return searched if len(searched) == 1 else []


def _weight(sides: Sequence[Operand]) -> tuple[int, bool, int, int, int]:
    settings = list(_all(sides))
    conditions = [_conditions(each) for each in settings]
    return (
        min(len(each.settings) for each in sides),
        all(each.is_searched for each in conditions),
        len(settings[0].seeds),
        min(each.count("passes") for each in conditions),
        min(each.count("train_samples") for each in conditions),
    )


def _all(sides: Iterable[Operand]) -> Iterator[Setting]:
    return (setting for side in sides for setting in side.settings)


def _values(sides: Sequence[Operand]) -> tuple[Any, ...]:
    return tuple(each.mean for each in _all(sides))


# ---- why not -------------------------------------------------------------------------------------


def _nothing_shared(
    wanted: Sequence[Workloads], sides: Sequence[Sequence[Setting]], compared: set[str]
) -> str:
    """What tells the sides apart that come nearest to each other."""
    nearest: list[str] | None = None
    where = ""
    for other, settings in list(zip(wanted, sides, strict=True))[1:]:
        pairs = [
            _conditions(left).differences(_conditions(right), compared)
            for left in sides[0]
            for right in settings
        ]
        closest = min(pairs, key=len)
        if closest and (nearest is None or len(closest) > len(nearest)):
            nearest, where = closest, other.algorithm
    said = ", ".join(nearest or ["no conditions that all sides share"])
    return f"no one experiment of {wanted[0].algorithm} and {where or 'the others'}: {said}"


def _unclear(workloads: Workloads, settings: Sequence[Setting]) -> str:
    return (
        f"{len(settings)} settings match {workloads.text} and differ"
        f" ({settings[0].label}, {settings[1].label}, ...): give one run with --from"
    )


def _no_seed(sides: Sequence[Sequence[Setting]]) -> str:
    own = [seeds_in_words(in_common(each.seeds for each in settings)) for settings in sides]
    return f"no seed in common: {' against '.join(dict.fromkeys(own))}"


def _several(ranked: Sequence[Sequence[Operand]]) -> str:
    first, second = (_conditions(sides[0].settings[0]) for sides in ranked[:2])
    said = ", ".join(first.differences(second))
    return f"{len(ranked)} experiments say different things ({said}): give one run with --from"
