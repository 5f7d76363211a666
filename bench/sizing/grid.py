"""The grid that is searched: algorithms in several forms, on nets of every size, in batches.

It begins where small boards begin. Of one algorithm in one form on one net, batches are tried from
the largest to the smallest; nets grow until one exceeds the device with the smallest batch.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from trainfit.algorithms import Mlp, describe_algorithm
from trainfit.algorithms.errors import ConfigurationError
from trainfit.bench.records.schema import Workload
from trainfit.bench.sizing.predicted_workload import PredictedWorkload, predicted_workload
from trainfit.bench.sizing.trained import Trained

WIDTHS = (8, 12, 16, 24, 32, 48, 64, 96, 128, 192, 256, 512)
DEPTHS = (1, 2, 3, 4)
BATCHES = (1, 2, 4, 8, 16, 32)

FRUGAL: tuple[Mapping[str, Any], ...] = (
    {"momentum": 0.0, "update": "fused"},
    {"momentum": 0.0, "update": "fused", "slices": 8},
)
"""Options that save bytes; of each set, an algorithm is given those that it has.

Slices only where it trains in slices anyway: otherwise they are another rule.
"""


@dataclass(frozen=True)
class Choice:
    """An algorithm in one form.

    Attributes:
        algorithm: Its name.
        options: What differs from its defaults.
        epochs: Passes per stage for a training that nobody has tried.
    """

    algorithm: str
    options: Mapping[str, Any]
    epochs: int


EPOCHS = 10
"""Passes per stage where no record says how many served well."""

SMALL_BATCH = 32
"""A learning rate that served a batch beyond this is not offered for those of the grid."""


def choices(algorithms: Iterable[str], in_hand: Iterable[Trained] = ()) -> list[Choice]:
    """Every algorithm as it was trained best, with its default options, and frugally.

    Args:
        algorithms: Their names.
        in_hand: What has been trained, the most accurate first.
    """
    best: dict[str, Trained] = {}
    for each in in_hand:
        if each.workload.train_samples is None and each.workload.batch_size <= SMALL_BATCH:
            best.setdefault(each.workload.algorithm, each)
    found: list[Choice] = []
    for name in algorithms:
        fields = describe_algorithm(name).options_type.model_fields
        defaults = {option: field.default for option, field in fields.items()}
        tuned = best[name].workload if name in best else None
        base: Mapping[str, Any] = tuned.options if tuned else {}
        forms = [base, {}]
        for options in FRUGAL:
            changed = {**base, **{k: v for k, v in options.items() if _saves(k, v, defaults)}}
            forms.append(changed)
        epochs = tuned.epochs if tuned else EPOCHS
        seen: dict[str, Choice] = {}
        for form in forms:
            seen.setdefault(json.dumps(form, sort_keys=True), Choice(name, form, epochs))
        found += seen.values()
    return found


def _saves(option: str, value: Any, defaults: Mapping[str, Any]) -> bool:
    """The rule has this option, and another default."""
    if option == "slices" and defaults.get(option) == 1:
        return False
    return option in defaults and defaults[option] != value


@dataclass(frozen=True)
class Family:
    """One choice on nets of one depth, from the narrowest to the widest.

    Attributes:
        algorithm: Its name.
        depth: Hidden layers.
        nets: For every width the workloads, the largest batch first.
    """

    algorithm: str
    depth: int
    nets: Sequence[Sequence[Workload]]


def grid(
    chosen: Iterable[Choice],
    features: int,
    classes: int,
    *,
    dataset: str,
    batches: Sequence[int] = BATCHES,
    widths: Sequence[int] = WIDTHS,
    depths: Sequence[int] = DEPTHS,
) -> list[Family]:
    """Every choice on fully connected nets of every size, in every batch."""
    return [
        Family(
            algorithm=choice.algorithm,
            depth=depth,
            nets=[
                [
                    Workload(
                        algorithm=choice.algorithm,
                        options=dict(choice.options),
                        model=Mlp.uniform(features, width, depth, classes).name,
                        dataset=dataset,
                        batch_size=batch,
                        epochs=choice.epochs,
                    )
                    for batch in sorted(set(batches), reverse=True)
                ]
                for width in sorted(set(widths))
            ],
        )
        for choice in chosen
        for depth in sorted(set(depths))
    ]


def key(workload: Workload) -> str:
    """What decides about bytes: algorithm, options, model and batch size."""
    parts = (workload.algorithm, workload.options, workload.model, workload.batch_size)
    return json.dumps(parts, sort_keys=True)


class Forms:
    """Predictions, each made once, by :func:`key`.

    Args:
        with_operations: The arithmetic of all of them is wanted, which is counted best while the
            trace is there.
    """

    def __init__(self, *, with_operations: bool = False) -> None:
        self._with_operations = with_operations
        self._made: dict[str, PredictedWorkload | None] = {}
        self._refused: dict[str, str] = {}

    def __len__(self) -> int:
        return sum(form is not None for form in self._made.values())

    def of(self, workload: Workload) -> PredictedWorkload | None:
        """The prediction; None for a workload that cannot be built."""
        name = key(workload)
        if name not in self._made:
            try:
                made = self._made[name] = predicted_workload(workload)
                if self._with_operations:
                    made.operations  # noqa: B018  (which keeps them)
            except ConfigurationError as error:
                self._made[name], self._refused[name] = None, str(error)
        return self._made[name]

    def why_not(self, workload: Workload) -> str | None:
        """Why a workload that was asked for has none: no such net, or not with this rule."""
        return self._refused.get(key(workload))
