"""A net that has learned something before the rule of a workload goes on with it.

``pretrained`` of a workload says what was learned: by which rule, for how many passes, from which
classes. The rule of the workload then starts from those tensors in place of drawn ones, as a device
does that gets a trained net and adapts it to what it sees.

What goes over are parameters and fixed tensors, running statistics among them, by their names; no
state of an optimiser. So the net of both rules has to consist of the same tensors.

Shape suffixes: S samples.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch

from trainfit.algorithms import Algorithm, Category
from trainfit.algorithms.data import Dataset
from trainfit.algorithms.errors import ConfigurationError
from trainfit.bench.records.schema import Pretraining, Workload

_GOES_OVER = (Category.PARAMETERS, Category.BUFFERS)


def before(workload: Workload, pretrained: Pretraining) -> Workload:
    """The training that comes before: same net, data, order and augmentation, the other rule."""
    changes = {
        "algorithm": pretrained.algorithm,
        "options": pretrained.options,
        "batch_size": pretrained.batch_size or workload.batch_size,
        "epochs": pretrained.epochs,
        "evaluate_every": pretrained.epochs,
        "pretrained": None,
        "tuned": None,
    }
    return workload.model_copy(update=changes)


def of_classes(data: Dataset, pretrained: Pretraining, batch_size: int) -> Dataset:
    """The data without samples of other classes, in both halves.

    Raises:
        ConfigurationError: As :func:`check_classes` does.
    """
    check_classes(data, pretrained, batch_size)
    if pretrained.classes is None:
        return data
    train_S, test_S = (_are_of(half, pretrained.classes) for half in (data.train_y, data.test_y))
    return replace(
        data,
        train_x=data.train_x[train_S],
        train_y=data.train_y[train_S],
        test_x=data.test_x[test_S],
        test_y=data.test_y[test_S],
    )


def check_classes(data: Dataset, pretrained: Pretraining, batch_size: int) -> None:
    """Make sure that there are samples to learn from and to be judged by; nothing is copied.

    Raises:
        ConfigurationError: There is no such class, or fewer samples than a batch.
    """
    wanted = pretrained.classes
    if wanted is None:
        return
    strange = [each for each in wanted if each >= data.classes]
    if strange:
        raise ConfigurationError(
            f"pretrained.classes: dataset {data.name!r} has no class"
            f" {', '.join(map(str, strange))}; they are counted from 0 to {data.classes - 1}"
        )
    halves = (("training", data.train_y, batch_size), ("test", data.test_y, 1))
    for half, y_S, needed in halves:
        samples = int(_are_of(y_S, wanted).sum())
        if samples < needed:
            raise ConfigurationError(
                f"pretrained.classes: {samples} {half} samples of dataset {data.name!r}"
                f" are of class {', '.join(map(str, wanted))}, at least {needed} are needed"
            )


def _are_of(y_S: torch.Tensor, classes: Sequence[int]) -> torch.Tensor:
    return torch.isin(y_S, torch.tensor(classes))


def take_over(algorithm: Algorithm[Any], source: Algorithm[Any]) -> None:
    """Put what ``source`` has learned into ``algorithm``.

    Raises:
        ConfigurationError: A tensor of ``algorithm`` is no tensor of ``source``.
    """
    learned = {each.name: each.tensor for each in source.static_tensors()}
    places = [each for each in algorithm.static_tensors() if each.category in _GOES_OVER]
    strange = [each.name for each in places if not _is_same(learned.get(each.name), each.tensor)]
    if strange:
        raise ConfigurationError(
            f"pretrained: {algorithm.name} holds its net in other tensors than {source.name}:"
            f" {', '.join(strange[:3])}{', ...' if len(strange) > 3 else ''} are none of those;"
            f" take options with which both keep the same, or pretrain with {algorithm.name}"
        )
    with torch.no_grad():
        for each in places:
            each.tensor.copy_(learned[each.name])


def _is_same(learned: torch.Tensor | None, own: torch.Tensor) -> bool:
    return learned is not None and learned.shape == own.shape and learned.dtype == own.dtype
