"""Train a workload and follow its test accuracy; a training that was cut off goes on.

What a training has come to is kept in a file after a pass, at most once a minute
(:mod:`trainfit.bench.training.kept`).

Shape suffixes: S samples, B batch, I inputs, C classes.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from trainfit.algorithms import Algorithm, build_algorithm, complete_name, get_model
from trainfit.algorithms.data import Dataset, absent_classes, batches, check_fits, load_dataset
from trainfit.algorithms.data.augment import augmented, check_images
from trainfit.algorithms.data.standardise import standardise
from trainfit.algorithms.errors import ConfigurationError
from trainfit.bench.processes.child import Message, Send
from trainfit.bench.records.reading import BEGINNING
from trainfit.bench.records.schema import Accuracy, LayerGradients, Pretraining, Workload
from trainfit.bench.training.contract_check import check_finite
from trainfit.bench.training.evaluation import evaluate
from trainfit.bench.training.held_out import hold_out
from trainfit.bench.training.kept import Progress, evaluated, restore, save
from trainfit.bench.training.pretraining import before, check_classes, of_classes, take_over

SAVE_SECONDS = 60.0
"""A training that lasts longer than this is kept between passes, and once in that time at most."""

Probe = Callable[[Algorithm[Any], int], list[LayerGradients]]
"""Looks at the gradients of an algorithm after so many passes, and leaves it as it is."""


def build(workload: Workload) -> Algorithm[Any]:
    """A fresh algorithm; everything that draws without a generator of its own is seeded too."""
    torch.manual_seed(workload.seed)
    return build_algorithm(workload.algorithm, workload.model, workload.options, seed=workload.seed)


def load(workload: Workload, data_root: str | None) -> Dataset:
    """The workload's data, cut and standardised as it says.

    Where samples are held out, they stand in the place of the test half.

    Raises:
        ConfigurationError: It cannot be loaded.
    """
    data = load_dataset(workload.dataset, Path(data_root) if data_root else None)
    if workload.held_out is not None:
        data = hold_out(data, workload.held_out)
        _require_all_classes(data, len(data.train_x))
    samples = workload.train_samples
    if samples is not None:
        if samples > len(data.train_x):
            left = "" if workload.held_out is None else " that are not held out"
            raise ConfigurationError(
                f"train_samples is {samples:,}, but dataset {data.name!r} has"
                f" {len(data.train_x):,} training samples{left}"
            )
        data = replace(data, train_x=data.train_x[:samples], train_y=data.train_y[:samples])
        _require_all_classes(data, samples)
    return standardise(data) if workload.standardise else data


def fitted(workload: Workload, data: Dataset) -> Workload:
    """The workload with its model's full name: a short one leaves some of it to the data.

    Raises:
        ConfigurationError: The model, the batch size or the classes do not fit the data, or it has
            no images that could be augmented.
    """
    if workload.augment is not None:
        check_images(data)
    if workload.pretrained is not None:
        first = before(workload, workload.pretrained)
        check_classes(data, workload.pretrained, first.batch_size)
    name = complete_name(workload.model, data.shape, data.classes)
    model = get_model(name)
    check_fits(
        data, model.inputs, model.classes, workload.batch_size, name, model_shape=model.shape
    )
    return workload.model_copy(update={"model": name})


def _require_all_classes(data: Dataset, samples: int) -> None:
    """A net cannot learn what it is never shown; rules with wrong labels would even unlearn it."""
    absent = absent_classes(data.train_y, data.classes)
    if absent:
        raise ConfigurationError(
            f"the first {samples:,} training samples of dataset {data.name!r} have none of class"
            f" {', '.join(map(str, absent))}; raise train_samples"
        )


def _require_samples(workload: Workload, data: Dataset, staged: Dataset) -> None:
    """What a rule keeps of every sample is of the sample as it is."""
    if workload.augment is not None and staged.train_x is not data.train_x:
        raise ConfigurationError(
            f"{workload.algorithm} keeps something of every sample of {data.name!r} for a stage,"
            f" and augment={workload.augment} makes another sample of it in every pass; leave"
            " augment out, or choose options with which nothing is kept"
        )


def epoch(
    workload: Workload, data: Dataset, number: int
) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    """The batches of pass ``number``; their order is the same whether they are augmented or not."""
    generator = torch.Generator().manual_seed(workload.seed + number)
    found = batches(
        data.train_x, data.train_y, workload.batch_size, generator, shuffle=workload.shuffle
    )
    return found if workload.augment is None else augmented(found, data.shape, generator)


@dataclass(frozen=True)
class Trained:
    """What came of a training.

    Attributes:
        accuracy: On the way and at the end.
        algorithm: As the last pass left it.
        gradients: At every moment at which they were probed.
    """

    accuracy: Accuracy
    algorithm: Algorithm[Any]
    gradients: list[LayerGradients]


def train(workload: Workload, data: Dataset, send: Send, state: Path | None = None) -> Accuracy:
    """Train from scratch, or from where ``state`` says, and measure accuracy on the way.

    Args:
        workload: What to train, for how long, and how often to evaluate.
        data: Its data.
        send: Hears of the progress.
        state: Where the training is kept while it runs; deleted when it is done.

    Raises:
        ContractError: Training diverged, or the algorithm does not predict as it should.
    """
    trained = train_and_keep(workload, data, send, state)
    if state:
        state.unlink(missing_ok=True)
    return trained.accuracy


def train_and_keep(
    workload: Workload,
    data: Dataset,
    send: Send,
    state: Path | None = None,
    probe: Probe | None = None,
    *,
    to_the_end: bool = False,
) -> Trained:
    """``train``, and the algorithm that was trained; ``state`` is left to the caller to delete.

    With ``to_the_end`` the state after the last pass is kept in any case, for others to start from.
    If what follows is interrupted, the algorithm need not be trained again. A probe is asked before
    the first pass and after every pass that the accuracy is measured after. Training, its time
    included, is the same with it and without.
    """
    algorithm = build(workload)
    passes = algorithm.passes(workload.epochs)
    asked = evaluated(workload, algorithm)
    restored = state and restore(state, workload, algorithm, probed=probe is not None)
    progress = restored or Progress()
    if workload.pretrained and not restored:
        take_over(algorithm, _pretrained(workload, workload.pretrained, data, send, state))
        _look(algorithm, data, progress)
    if probe and not progress.probed:
        _ask(probe, algorithm, progress)
    saved = time.monotonic()
    staged: Dataset | None = None
    for number in range(progress.passes, passes):
        send({"doing": f"accuracy {number + 1}/{passes}"})
        started = time.perf_counter()
        algorithm.begin_epoch(number, workload.epochs)
        if staged is None or number % workload.epochs == 0:  # a stage begins, or goes on
            staged = replace(data, train_x=algorithm.stage_data(data.train_x))
            _require_samples(workload, data, staged)
        for x_BF, y_B in epoch(workload, staged, number):
            algorithm.step(x_BF, y_B)
        progress.seconds += time.perf_counter() - started
        progress.passes = number + 1
        check_finite(algorithm, f"after training pass {number + 1} of {passes}")
        if progress.passes in asked:
            _look(algorithm, data, progress)
            if probe:
                _ask(probe, algorithm, progress)
        is_end = to_the_end and progress.passes == passes
        if state and (is_end or time.monotonic() - saved > SAVE_SECONDS):
            save(state, workload, algorithm, progress)
            saved = time.monotonic()
    split = "test_accuracy" if workload.held_out is None else "validation_accuracy"
    accuracy = Accuracy(
        **{split: progress.curve[-1]},
        balanced_accuracy=progress.balanced,
        epochs=passes,
        train_seconds=progress.seconds,
        curve=progress.curve,
        curve_passes=progress.curve_passes,
        data_note=data.note,
    )
    return Trained(accuracy, algorithm, progress.gradients)


def _look(algorithm: Algorithm[Any], data: Dataset, progress: Progress) -> None:
    """Measure the accuracy at this point of a training."""
    scores = evaluate(algorithm, data)
    progress.curve.append(scores.accuracy)
    progress.balanced = scores.balanced
    progress.curve_passes.append(progress.passes)


def _pretrained(
    workload: Workload, pretrained: Pretraining, data: Dataset, send: Send, state: Path | None
) -> Algorithm[Any]:
    """What has learned before.

    It is kept beside the state of the workload under a name that says how it came about: what
    several workloads of a run start from is trained once.
    """
    first = before(workload, pretrained)
    shown = of_classes(data, pretrained, first.batch_size)
    path = None
    if state is not None:
        said = first.model_dump_json() + str(pretrained.classes)
        path = state.with_name(f"{BEGINNING}{hashlib.sha256(said.encode()).hexdigest()[:16]}.pt")

    def heard(message: Message) -> None:
        send(message | {"doing": f"before: {message['doing']}"})

    return train_and_keep(first, shown, heard, path, to_the_end=True).algorithm


def _ask(probe: Probe, algorithm: Algorithm[Any], progress: Progress) -> None:
    progress.gradients += probe(algorithm, progress.passes)
    progress.probed.append(progress.passes)
