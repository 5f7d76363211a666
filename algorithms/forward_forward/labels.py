"""Labels in the first inputs, as used by Forward-Forward rules.

The batch belongs to the caller: the values under a label are saved and restored after the pass. A
board would keep these inputs free instead.

Shape suffixes: B batch, I inputs, C classes.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from trainfit.algorithms.errors import ConfigurationError
from trainfit.algorithms.models import Mlp
from trainfit.algorithms.numerics.operators import operator
from trainfit.algorithms.phases import Category, phase, tag


def check_room_for_labels(name: str, model: Mlp) -> None:
    """Refuse a net with no layer to train or no room for a label.

    Args:
        name: The rule, for the message.
        model: The net; its last width is the number of classes and has no weights.

    Raises:
        ConfigurationError: The message says what would be right.
    """
    if not model.hidden:
        raise ConfigurationError(
            f"{name} trains hidden layers, {model.name!r} has none;"
            f" use for instance mlp-{model.inputs}-128-{model.classes}"
        )
    if model.inputs < model.classes:
        raise ConfigurationError(
            f"{name} writes the label into the first {model.classes} inputs, but"
            f" {model.name!r} has {model.inputs}"
        )


def write_labels(x_BI: torch.Tensor, y_B: torch.Tensor, classes: int, scale: float) -> None:
    """Write one-hot labels of height ``scale`` over the first inputs, in place."""
    place_BC = x_BI[:, :classes]
    place_BC.zero_()
    place_BC.scatter_(1, y_B[:, None], scale)


@contextmanager
def labelled(
    x_BI: torch.Tensor, y_B: torch.Tensor | None, classes: int, scale: float, name: str
) -> Iterator[None]:
    """Put labels into ``x_BI`` for the duration of a block, written in phase ``name``.

    ``y_B=None`` writes the neutral label: ``scale / C`` for every class.
    """
    place_BC = x_BI[:, :classes]
    with phase(name):
        saved_BC = tag(place_BC.clone(), Category.INPUTS, "pixels under the label")
        if y_B is None:
            place_BC.fill_(scale / classes)
        else:
            write_labels(x_BI, y_B, classes, scale)
    try:
        yield
    finally:
        place_BC.copy_(saved_BC)


def random_wrong_labels(
    y_B: torch.Tensor, classes: int, generator: torch.Generator
) -> torch.Tensor:
    """For every label a different one, drawn uniformly."""
    wrong_B = torch.empty_like(y_B).random_(1, classes, generator=generator)
    wrong_B += y_B
    return tag(wrong_B.remainder_(classes), Category.INPUTS, "wrong labels")


def sample_hard_negatives(
    p_BC: torch.Tensor, y_B: torch.Tensor, generator: torch.Generator
) -> torch.Tensor:
    """For every label a different one, drawn in proportion to a classifier's probabilities.

    An exponential race: the class with the largest ``p / t``, ``t`` drawn from Exp(1), is chosen
    with probability p. The true class is excluded.

    Args:
        p_BC: Class probabilities; unchanged.
        y_B: True labels.
        generator: Source of the random numbers.
    """
    race_BC = tag(torch.empty_like(p_BC), Category.WORKSPACE, "race")
    draw_exponential(race_BC, generator)
    race_BC.reciprocal_().mul_(p_BC).scatter_(1, y_B[:, None], -1.0)
    return tag(race_BC.argmax(1), Category.INPUTS, "wrong labels")


@operator("draw_exponential(Tensor(a!) out, Generator generator) -> ()")
def draw_exponential(out: torch.Tensor, generator: torch.Generator) -> None:
    """Fill with draws from Exp(1); torch's own operator has no generator on the meta device."""
    out.exponential_(generator=generator)
