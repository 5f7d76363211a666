"""What one experiment is: the conditions that two trainings share before they may be compared.

Whatever picks records to set one beside another (claims, figures of a paper, tables) asks here. A
leaf: it imports the leaf of texts and nothing heavy; frames are those of
:mod:`trainfit.bench.frames.sources`.

Two trainings belong to one experiment if every field of :class:`Conditions` agrees, but for those
that are compared: a comparison of rules leaves out nothing (the rule is no field), one of depths
leaves out ``model``. A rate agrees if it is the same number, if both are the default of one rule,
or if both were chosen by the same search. Seeds have to be the same ones; of different sets only
those that all sides have count.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import TYPE_CHECKING, Any

from trainfit._text import layer_sizes

if TYPE_CHECKING:
    import pandas as pd

SAID: Mapping[str, str] = {
    "dataset": "data set",
    "train_samples": "training samples",
    "held_out": "samples held out",
    "standardise": "standardised",
    "shuffle": "shuffled",
    "augment": "augmented",
    "pretrained": "trained before",
    "model": "net",
    "batch_size": "batch size",
    "passes": "passes",
    "rate": "rate",
}
"""The fields that have to agree, and what a message calls them."""

BYTES = frozenset(SAID) - {"model", "batch_size"}
"""What need not agree where bytes or products of a step are compared: they depend on none of it."""


@dataclass(frozen=True)
class Conditions:
    """Under which a net was trained.

    Attributes:
        dataset: Its name.
        train_samples: Only the first so many; ``all`` where there is no limit.
        held_out: So many of the training half were kept for validation; ``none``.
        standardise: Whether samples were standardised.
        shuffle: Whether every pass had an order of its own.
        augment: What was done to images before a step; ``no``.
        pretrained: What the net had learned before; ``no``.
        model: The net.
        batch_size: Samples of a step.
        passes: Over the training data, of all stages together.
        rate: What two rates have in common if they agree; see :func:`rate_of`.
        number: The rate itself; None is the rule's default.
        is_searched: Whether it was chosen by held-out samples.
    """

    dataset: str
    train_samples: str
    held_out: str
    standardise: str
    shuffle: str
    augment: str
    pretrained: str
    model: str
    batch_size: str
    passes: str
    rate: str
    number: float | None = None
    is_searched: bool = False

    @classmethod
    def of(cls, row: Mapping[str, Any]) -> Conditions:
        """Of a row of any frame of records."""
        passes = _known(row.get("passes")) or _known(row.get("epochs")) or 0
        return cls(
            dataset=str(row["dataset"]),
            train_samples=_whole(row.get("train_samples"), "all"),
            held_out=_whole(row.get("held_out"), "none"),
            standardise=_yes(row.get("standardise", False)),
            shuffle=_yes(row.get("shuffle", True)),
            augment=str(_known(row.get("augment")) or "no"),
            pretrained=str(_known(row.get("pretrained")) or "no"),
            model=net(str(row["model"])),
            batch_size=_whole(row.get("batch_size"), "none"),
            passes=_whole(passes, "none"),
            rate=rate_of(row),
            number=_lr(row),
            is_searched=bool(_known(row.get("search"))),
        )

    def differences(self, other: Conditions, compared: Collection[str] = ()) -> list[str]:
        """Which fields do not agree, in words: ``passes 50 against 5``.

        Args:
            other: The conditions of the other side.
            compared: Fields that may differ, since they are what is compared.
        """
        pairs = ((name, getattr(self, name), getattr(other, name)) for name in SAID)
        return [
            f"{SAID[name]} {left} against {right}"
            for name, left, right in pairs
            if left != right and name not in compared
        ]

    def without(self, compared: Collection[str]) -> tuple[str, ...]:
        """What trainings of one experiment have in common, for grouping them."""
        return tuple(getattr(self, name) for name in SAID if name not in compared)

    def count(self, name: str) -> int:
        """A field as a number; without a limit the largest there is."""
        text: str = getattr(self, name).replace(",", "")
        return int(text) if text.isdigit() else sys.maxsize


def rate_of(row: Mapping[str, Any]) -> str:
    """Two rates agree if these texts do.

    The search by which the rate was chosen, if there was one; else the number; else whose default
    it is.
    """
    search = _known(row.get("search"))
    if search:
        return f"chosen by a search of {searched(str(search))}"
    rate = _lr(row)
    return f"{row['algorithm']}'s default" if rate is None else f"{rate:g}"


def _lr(row: Mapping[str, Any]) -> float | None:
    options = json.loads(row["options"]) if isinstance(row.get("options"), str) else {}
    rate = options.get("lr")
    return None if rate is None else float(rate)


def searched(search: str) -> str:
    """A search in words, as the column ``search`` of a frame has it.

    Two searches with the same words are the same: same grid, same budget, same split.
    """
    said: dict[str, Any] = json.loads(search)
    grid = ", ".join(
        f"{name} {'/'.join(f'{value:g}' for value in values)}"
        for name, values in said["grid"].items()
    )
    seeds = len(said["seeds"])
    samples = said["train_samples"]
    trained = "all other samples" if samples is None else f"{samples:,} samples"
    return (
        f"{grid}; {said['passes']} pass{'es' * (said['passes'] != 1)} over {trained},"
        f" {seeds} seed{'s' * (seeds != 1)}, {said['held_out']:,} samples held out"
    )


def net(model: str) -> str:
    """One name for one net: ``mlp-64-32x2-10`` for ``mlp-64-32-32-10``, too."""
    runs = [(size, len(list(same))) for size, same in groupby(layer_sizes(model))]
    parts = [f"{size}x{count}" if count > 1 else f"{size}" for size, count in runs]
    return f"mlp-{'-'.join(parts)}" if parts else model


def _known(value: Any) -> Any:
    """The value, None where a frame has nothing (None, NaN or pandas' NA)."""
    return None if value is None or str(value) in ("<NA>", "nan") else value


def _whole(value: Any, nothing: str) -> str:
    return nothing if _known(value) is None else f"{int(value):,}"


def _yes(value: Any) -> str:
    return "yes" if value else "no"


# ---- frames --------------------------------------------------------------------------------------


def with_conditions(frame: pd.DataFrame) -> pd.DataFrame:
    """The frame and a column ``conditions``."""
    rows = frame.astype({name: object for name in frame if str(frame[name].dtype) == "category"})
    names = [name for name in _READ if name in rows]
    columns = (list(rows[name]) for name in names)
    found: list[Any] = [
        Conditions.of(dict(zip(names, values, strict=True)))
        for values in zip(*columns, strict=True)
    ]
    made = frame.copy()
    made["conditions"] = found
    return made


_READ = (
    *("algorithm", "options", "dataset", "train_samples", "held_out", "standardise", "shuffle"),
    *("augment", "pretrained", "model", "batch_size", "passes", "epochs", "search"),
)


def experiments(frame: pd.DataFrame, compared: Collection[str] = ()) -> list[pd.DataFrame]:
    """The rows of every experiment by themselves, each with its ``conditions``.

    Args:
        frame: One or several rows per training.
        compared: Fields that differ within an experiment, since they are compared.
    """
    if frame.empty:
        return []
    known = with_conditions(frame)
    keys = known["conditions"].map(lambda each: each.without(compared))
    return [part for _, part in known.groupby(keys, sort=False)]


def latest(frame: pd.DataFrame) -> pd.DataFrame:
    """Of a workload that several runs have with one seed, the rows of the last of these runs.

    Args:
        frame: Rows of one workload.
    """
    if "run" not in frame or frame["run"].nunique() < 2:
        return frame
    last = frame.groupby("seed")["run"].transform("last")
    return frame[frame["run"].astype(object) == last.astype(object)]


def in_common(sides: Iterable[Iterable[int]]) -> list[int]:
    """The seeds that all sides have."""
    sets = [set(each) for each in sides]
    return sorted(set.intersection(*sets)) if sets else []


def seeds_in_words(seeds: Sequence[int]) -> str:
    """``seed 0`` or ``seeds 0, 1, 2``."""
    return f"seed{'s' * (len(seeds) != 1)} {', '.join(map(str, sorted(seeds)))}"
