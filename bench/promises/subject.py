"""What is checked: a rule with options on a net, built anew whenever a check needs it fresh."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import torch

from trainfit.algorithms import Algorithm, build_algorithm, build_on_meta, get_algorithm, get_model
from trainfit.bench.promises.measured import MeasuredStage, measure_stage

Batch = tuple[torch.Tensor, torch.Tensor]


@dataclass(frozen=True)
class Subject:
    """A rule on a net.

    Attributes:
        rule: A registered name or ``package.module:Class``.
        model: Full name of the net.
        options: The rule's options by name.
        rows: Samples in a batch.
    """

    rule: str
    model: str
    options: dict[str, Any] = field(default_factory=dict)
    rows: int = 12

    @property
    def cls(self) -> type[Algorithm[Any]]:
        """The class of the rule, of the form that trains the net."""
        return get_algorithm(self.rule).form_for(get_model(self.model))

    def build(self, seed: int = 0) -> Algorithm[Any]:
        """A fresh one; torch's own generator is seeded as well, as a run does."""
        torch.manual_seed(seed)
        return build_algorithm(self.rule, self.model, self.options, seed=seed)

    def sketch(self) -> Algorithm[Any]:
        """The same without values."""
        return build_on_meta(self.rule, self.model, self.options)

    def at_every_stage(self, seed: int = 0) -> Iterator[tuple[str, Algorithm[Any]]]:
        """(name of the stage, a fresh rule at that stage)."""
        for index, stage in enumerate(self.build().stages):
            algorithm = self.build(seed)
            algorithm.enter_stage(index)
            yield stage, algorithm

    def samples(self, seed: int = 0, rows: int | None = None) -> Batch:
        """Random inputs in [0, 1), shape (rows, inputs), and labels, shape (rows,)."""
        model = get_model(self.model)
        rows = self.rows if rows is None else rows
        draws = torch.Generator().manual_seed(seed)
        x = torch.rand(rows, model.inputs, generator=draws)
        return x, torch.randint(0, model.classes, (rows,), generator=draws)

    def batch(self, algorithm: Algorithm[Any], seed: int = 0, rows: int | None = None) -> Batch:
        """The same as the steps of a stage take them."""
        x, y = self.samples(seed, rows)
        return algorithm.stage_data(x), y

    @cached_property
    def measured(self) -> tuple[MeasuredStage, ...]:
        """A step of every stage, measured once for all checks."""
        return tuple(
            measure_stage(stage, algorithm, *self.batch(algorithm))
            for stage, algorithm in self.at_every_stage()
        )
