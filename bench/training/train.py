"""Train a workload and follow its test accuracy; a training that was cut off goes on.

What a training has come to is kept in a file after a pass, at most once a minute. The file is what
``torch.save`` makes, and behind it the SHA-256 of that, so that a damaged one is noticed. It is
read with ``weights_only``: only tensors, generators, plain containers and the classes of the
algorithm's own package are admitted, so that a file from elsewhere cannot run code.

Shape suffixes: S samples, B batch, I inputs, C classes.
"""

from __future__ import annotations

import hashlib
import inspect
import io
import logging
import os
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import torch

from trainfit.algorithms import Algorithm, build_algorithm, complete_name, get_model
from trainfit.algorithms.data import Dataset, absent_classes, batches, check_fits, load_dataset
from trainfit.algorithms.data.augment import augmented, check_images
from trainfit.algorithms.data.standardise import standardise
from trainfit.algorithms.errors import ConfigurationError
from trainfit.bench.errors import RunFolderError
from trainfit.bench.processes.child import Send
from trainfit.bench.records.own_files import open_own, replace_whole
from trainfit.bench.records.schema import Accuracy, LayerGradients, Workload
from trainfit.bench.training.contract_check import check_finite
from trainfit.bench.training.evaluation import evaluate
from trainfit.bench.training.held_out import hold_out

SAVE_SECONDS = 60.0
"""A training that lasts longer than this is kept between passes, and once in that time at most."""

Probe = Callable[[Algorithm[Any], int], list[LayerGradients]]
"""Looks at the gradients of an algorithm after so many passes, and leaves it as it is."""

_FIXED = ("model", "options")
"""Attributes that the workload says; everything else of an algorithm is its state."""

_DIGEST_BYTES = 32

_log = logging.getLogger(__name__)
"""What it says ends up in the log of the workload."""


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


def _evaluated(workload: Workload, algorithm: Algorithm[Any]) -> list[int]:
    """The passes after which the accuracy is measured, up to the last one."""
    last = algorithm.passes(workload.epochs)
    return [*range(workload.evaluate_every, last, workload.evaluate_every), last]


@dataclass
class Progress:
    """How far a training has come."""

    passes: int = 0
    seconds: float = 0.0
    curve: list[float] = field(default_factory=list)
    curve_passes: list[int] = field(default_factory=list)
    balanced: float | None = None
    """The balanced accuracy at the last point of the curve."""
    gradients: list[LayerGradients] = field(default_factory=list)
    """What the probe found, at all moments so far."""
    probed: list[int] = field(default_factory=list)
    """After how many passes it was asked."""


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
) -> Trained:
    """``train``, and the algorithm that was trained; ``state`` is left to the caller to delete.

    If what follows is interrupted, the algorithm need not be trained again. A probe is asked before
    the first pass and after every pass that the accuracy is measured after. Training, its time
    included, is the same with it and without.
    """
    algorithm = build(workload)
    passes = algorithm.passes(workload.epochs)
    asked = _evaluated(workload, algorithm)
    restored = state and restore(state, workload, algorithm, probed=probe is not None)
    progress = restored or Progress()
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
            scores = evaluate(algorithm, data)
            progress.curve.append(scores.accuracy)
            progress.balanced = scores.balanced
            progress.curve_passes.append(progress.passes)
            if probe:
                _ask(probe, algorithm, progress)
        if state and time.monotonic() - saved > SAVE_SECONDS:
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


def _ask(probe: Probe, algorithm: Algorithm[Any], progress: Progress) -> None:
    progress.gradients += probe(algorithm, progress.passes)
    progress.probed.append(progress.passes)


def save(path: Path, workload: Workload, algorithm: Algorithm[Any], progress: Progress) -> None:
    """Keep a training, whole or not at all; one that cannot be kept starts over when cut off."""
    if any(held.tensor._post_accumulate_grad_hooks for held in algorithm.static_tensors()):
        return  # hooks are code, and code is not kept
    kept = {
        "workload": workload.model_dump_json(),
        "progress": asdict(progress)
        | {"gradients": [each.model_dump(mode="json") for each in progress.gradients]},
        "algorithm": {k: v for k, v in vars(algorithm).items() if k not in _FIXED},
    }
    written = io.BytesIO()
    try:
        torch.save(kept, written)
    except Exception:  # it holds what cannot be written, and that raises whatever it likes
        return
    content = written.getvalue()
    try:
        path.parent.mkdir(exist_ok=True)
        replace_whole(path, content + hashlib.sha256(content).digest())
    except OSError as error:
        _log.warning("the training is not kept, it starts over if it is cut off: %s", error)


def restore(
    path: Path, workload: Workload, algorithm: Algorithm[Any], *, probed: bool = False
) -> Progress | None:
    """Put a kept training into a fresh algorithm; None if there is none that can be used."""
    asked = _evaluated(workload, algorithm)
    try:
        with os.fdopen(open_own(path, os.O_RDONLY), "rb") as stream:
            whole = stream.read()
    except (OSError, RunFolderError):
        if path.exists():
            _log.warning("%s: cannot be read; the training starts over", path)
        return None
    content, digest = whole[:-_DIGEST_BYTES], whole[-_DIGEST_BYTES:]
    if hashlib.sha256(content).digest() != digest:
        _log.warning("%s: is damaged or of another version; the training starts over", path)
        return None
    try:
        with torch.serialization.safe_globals(_classes(algorithm)):
            kept = torch.load(io.BytesIO(content), weights_only=True)
        if kept["workload"] != workload.model_dump_json():
            return None
        progress, state = Progress(**kept["progress"]), kept["algorithm"]
        done = [each for each in asked if each <= progress.passes]
        same = set(state) == {name for name in vars(algorithm) if name not in _FIXED}
        if not same or not 0 < progress.passes <= asked[-1] or progress.curve_passes != done:
            raise ValueError("it is the state of another training")
        progress.curve = [float(each) for each in progress.curve]
        if len(progress.curve) != len(done):
            raise ValueError("its curve has another length")
        if progress.probed != ([0, *done] if probed else []):
            raise ValueError("its gradients were probed at other moments")
        progress.gradients = [LayerGradients.model_validate(each) for each in progress.gradients]
    except Exception as error:  # torch's loader, and what an outsider wrote into the file
        _log.warning("%s: cannot be used (%s); the training starts over", path, error)
        return None
    vars(algorithm).update(state)
    return progress


def _classes(algorithm: Algorithm[Any]) -> list[Any]:
    """The classes that a kept training may hold: those of the algorithm's package and of ours."""
    own = "trainfit.algorithms"
    package = type(algorithm).__module__.split(".", 1)[0]
    prefixes = tuple(f"{name}." for name in {own, *({package} - {"trainfit"})})
    modules = [m for n, m in list(sys.modules.items()) if f"{n}.".startswith(prefixes)]
    return [
        torch.Generator,
        *(frozenset, set, slice, range),  # plain data that torch's own list leaves out
        *{
            each
            for module in modules
            for each in vars(module).values()
            if inspect.isclass(each) and f"{each.__module__}.".startswith(prefixes)
        },
    ]
