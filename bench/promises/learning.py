"""The last promise: a rule learns something of the handwritten digits that are at hand."""

from __future__ import annotations

from typing import Any

import torch

from trainfit.algorithms import Algorithm, get_model
from trainfit.algorithms.data import Dataset, batches, load_dataset
from trainfit.bench.promises.finding import BrokenPromiseError, NotApplicableError
from trainfit.bench.promises.subject import Subject

DIGITS_NETS = {"mlp": ("mlp-64-64-64-64-10", 12), "lc": ("lc-1x8x8-8-16-10", 6)}
"""By family, a net for the digits and passes per stage."""

LEAST = 0.25
"""Share of the test digits that has to be right; chance is a tenth, give or take 0.02."""

FACTORS = (1.0, 0.1, 10.0)
"""Of the default learning rate; one of them has to do."""

ROWS = 64


def trained_on(
    algorithm: Algorithm[Any], data: Dataset, epochs: int, least: float, *, margin: float = 0.2
) -> float:
    """Train, and return the share of the test half that is right in the end.

    What is ``margin`` above ``least`` after a pass and after the next has shown that it learns, and
    is not trained to the end.
    """
    draws = torch.Generator().manual_seed(0)
    accuracies = [0.0]
    for epoch in range(algorithm.passes(epochs)):
        algorithm.begin_epoch(epoch, epochs)
        if epoch % epochs == 0:
            taken = algorithm.stage_data(data.train_x)
        for x, y in batches(taken, data.train_y, ROWS, draws):
            algorithm.step(x, y)
        right = algorithm.predict(data.test_x).argmax(1) == data.test_y
        accuracies.append(float(right.float().mean()))
        if min(accuracies[-2:]) > least + margin:
            break
    return accuracies[-1]


def learns(subject: Subject) -> None:
    """It classifies digits far better than by chance, at its own learning rate or near it.

    Raises:
        BrokenPromiseError: It does not.
        NotApplicableError: No net for the digits is known of this family.
    """
    family = get_model(subject.model).family
    if family not in DIGITS_NETS:
        raise NotApplicableError(f"no net of the family {family} for the digits is known here")
    model, epochs = DIGITS_NETS[family]
    found = {}
    for options in _rates(subject):
        algorithm = Subject(subject.rule, model, options).build()
        try:
            reached = trained_on(algorithm, load_dataset("digits", None), epochs, LEAST)
        except ArithmeticError:  # a rate of ten times the default may go too far
            continue
        found[options.get("lr", "none")] = reached
        if reached > LEAST:
            return
    tried = ", ".join(f"{reached:.0%} at lr={rate}" for rate, reached in found.items())
    raise BrokenPromiseError(
        f"after {epochs} passes over the digits on {model} it has {tried} of them right; at least"
        f" {LEAST:.0%} are expected (chance is 10%)",
        subject.cls.step,
    )


def _rates(subject: Subject) -> list[dict[str, Any]]:
    """Options to try; with a rate that was asked for, that one."""
    fields = subject.cls.options_type.model_fields
    rate = fields["lr"].default if "lr" in fields else None
    if "lr" in subject.options or not isinstance(rate, float):
        return [subject.options]
    return [{**subject.options, "lr": rate * factor} for factor in FACTORS]
