"""All promises, in the order in which they are checked."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import torch

from trainfit.bench.promises import (
    building,
    keeping,
    learning,
    memory,
    training,
    without_data,
)
from trainfit.bench.promises.finding import BrokenPromiseError, naming
from trainfit.bench.promises.measured import MeasuredStage
from trainfit.bench.promises.subject import Subject
from trainfit.bench.training.contract_check import check_finite, predict_scores

Check = Callable[[Subject], None]


@dataclass(frozen=True)
class Promise:
    """One promise of a rule.

    Attributes:
        name: One word.
        text: What is promised, in a sentence.
        check: Raises BrokenPromiseError if it is broken.
        rests_on: Promises without which it cannot be judged.
        once: It is checked on the first net only.
        quick: ``--quick`` checks it, too.
    """

    name: str
    text: str
    check: Check
    rests_on: tuple[str, ...] = ("steps",)
    once: bool = False
    quick: bool = True


def _options(subject: Subject) -> None:
    building.options_are_checked(subject.cls)


def _steps(subject: Subject) -> None:
    for stage, algorithm in subject.at_every_stage():
        with naming(f"stage {stage}"):
            result: object = algorithm.step(*subject.batch(algorithm))
            if result is not None:
                raise BrokenPromiseError(
                    f"step returned a {type(result).__name__}; it trains at once and returns None",
                    type(algorithm).step,
                )
            check_finite(algorithm, "after one step")


def _phases(subject: Subject) -> None:
    for _, algorithm in subject.at_every_stage():
        training.phases_are_named(algorithm, *subject.batch(algorithm))


def _batch(subject: Subject) -> None:
    for _, algorithm in subject.at_every_stage():
        training.batch_is_left(algorithm, *subject.batch(algorithm))


def _declares(subject: Subject) -> None:
    for stage, algorithm in subject.at_every_stage():
        x, y = subject.batch(algorithm)
        with naming(f"stage {stage}"):
            keeping.named_once(algorithm)
            algorithm.step(x, y)
            before = keeping.hidden(algorithm)
            algorithm.step(x, y)
            growing = keeping.that_grow(before, keeping.hidden(algorithm))
            keeping.all_listed(algorithm, growing)
            keeping.touches_only_listed(algorithm, x, y)


def _trains(subject: Subject) -> None:
    for stage, algorithm in subject.at_every_stage():
        with naming(f"stage {stage}"):
            training.a_step_trains(algorithm, *subject.batch(algorithm))


def _predicts(subject: Subject) -> None:
    for _, algorithm in subject.at_every_stage():
        x, y = subject.samples()
        algorithm.step(algorithm.stage_data(x), y)
        predict_scores(algorithm, x)
        training.predicting_changes_nothing(algorithm, x)


def _leaves(subject: Subject) -> None:
    _each_measured(memory.leaves_nothing, subject)
    for stage, algorithm in subject.at_every_stage():
        with naming(f"stage {stage}"):
            training.nothing_piles_up(algorithm, *subject.batch(algorithm))


def _each_measured(check: Callable[[MeasuredStage], None], subject: Subject) -> None:
    for found in subject.measured:
        with naming(f"stage {found.stage}"):
            check(found)


def _traced(found: MeasuredStage) -> None:
    memory.is_as_traced(found)
    memory.static_is_as_predicted(found.algorithm, found.static, found.storage, found.predicted)


def _on_digits(subject: Subject) -> None:
    with torch.random.fork_rng(devices=()):
        learning.learns(subject)


PROMISES = (
    Promise(
        "options",
        "its options have valid defaults, and no others are taken",
        _options,
        rests_on=(),
        once=True,
    ),
    Promise("builds", "it is built on the nets that it says it trains", building.is_built, ()),
    Promise("steps", "a step trains at once, and leaves finite numbers", _steps, ("builds",)),
    Promise("phases", "a step is divided into forward, gradient and update", _phases),
    Promise("batch", "a step leaves its batch as it found it", _batch),
    Promise("declares", "every tensor that it keeps and uses is listed", _declares),
    Promise("trains", "a step changes what is listed", _trains, ("steps", "declares")),
    Promise("predicts", "there is a score for every sample and class", _predicts),
    Promise("seed", "the same seed gives the same bits", training.seed_decides),
    Promise("resumes", "a training that is read back goes on alike", training.resumes, ("seed",)),
    Promise(
        "refuses",
        "what it cannot train is refused by name",
        building.refuses_by_name,
        once=True,
        quick=False,
    ),
    Promise(
        "repeats",
        "three repeats of a step allocate the same bytes",
        partial(_each_measured, memory.same_every_time),
    ),
    Promise("leaves", "a step leaves no byte behind, nor do ten", _leaves),
    Promise(
        "twin",
        "what a step does depends on shapes only",
        without_data.has_a_twin,
        ("steps", "declares"),
    ),
    Promise(
        "traced",
        "the trace is what is measured, to the byte",
        partial(_each_measured, _traced),
        ("twin", "repeats"),
    ),
    Promise(
        "arena",
        "its blocks lie in one arena, of no more bytes than torch's",
        partial(_each_measured, memory.fits_an_arena),
        ("twin", "repeats"),
    ),
    Promise(
        "counted",
        "it is known what each of its operators computes",
        without_data.arithmetic_is_known,
        ("twin",),
    ),
    Promise(
        "learns",
        "it classifies digits far better than by chance",
        _on_digits,
        ("trains", "predicts"),
        once=True,
        quick=False,
    ),
)
"""Every promise after those that it rests on."""

BY_NAME = {promise.name: promise for promise in PROMISES}
