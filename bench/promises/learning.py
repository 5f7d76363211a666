"""The last promise: a rule learns something of the handwritten digits that are at hand."""

from __future__ import annotations

from typing import Any

import torch

from trainfit._text import counted
from trainfit.algorithms import Algorithm, ConfigurationError, get_model
from trainfit.algorithms.data import Dataset, batches, load_dataset
from trainfit.bench.promises.finding import BrokenPromiseError, NotApplicableError
from trainfit.bench.promises.subject import Subject

DIGITS_NETS = {
    "mlp": (("mlp-64-64-64-10", 12), ("mlp-64-10", 12)),
    "lc": (("lc-1x8x8-8-16-10", 6),),
    "cnn": (("cnn-1x8x8-c10-r20s2-p-10", 6),),
}
"""By family, nets for the digits and passes per stage; a rule has to learn with one of them.

The second is for rules that are slow on a deep net, as zeroth-order descent is.
"""

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
    best = 0.0, ""
    for model, epochs in DIGITS_NETS[family]:
        for options in _rates(subject):
            reached = _reached(Subject(subject.rule, model, options), epochs)
            if reached > LEAST:
                return
            rate = f", lr={options['lr']:g}" if "lr" in options else ""
            best = max(best, (reached, f"{model} in {counted(epochs, 'epoch')}{rate}"))
    raise BrokenPromiseError(
        f"of the digits it has {best[0]:.0%} right at best ({best[1]}); at least {LEAST:.0%} are"
        " expected, chance is 10%",
        subject.cls.step,
    )


def _reached(subject: Subject, epochs: int) -> float:
    """The share that is right; 0 of a net that the rule refuses."""
    try:
        algorithm = subject.build()
    except ConfigurationError:
        return 0.0
    return trained_on(algorithm, load_dataset("digits", None), epochs, LEAST)


def _rates(subject: Subject) -> list[dict[str, Any]]:
    """Options to try; with a rate that was asked for, that one."""
    fields = subject.cls.options_type.model_fields
    rate = fields["lr"].default if "lr" in fields else None
    if "lr" in subject.options or not isinstance(rate, float):
        return [subject.options]
    return [{**subject.options, "lr": rate * factor} for factor in FACTORS]
