"""Promises about what a rule can be made of: options, nets, batches; and what it refuses."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from trainfit.algorithms import Algorithm, AlgorithmOptions, ConfigurationError, get_model
from trainfit.algorithms.contract import parse_options
from trainfit.bench.promises.finding import (
    BrokenPromiseError,
    NotApplicableError,
    naming,
    raised_at,
)
from trainfit.bench.promises.subject import Subject

ODD_NETS = {
    "mlp": ("mlp-5-3", "mlp-7-5-3", "mlp-1-1-2", "mlp-16-9-8-2"),
    "lc": ("lc-1x1x1-2-2", "lc-3x5x4-3-5-3", "lc-2x4x7-8x3-4"),
    "cnn": ("cnn-1x1x1-c1-2", "cnn-3x5x4-c3k5-p-3", "cnn-2x4x7-d8s2-r8-g-4"),
}
"""By family: without hidden layers, with odd and with the smallest widths."""

UNKNOWN = "an_option_that_no_rule_has"


def options_are_checked(cls: type[Algorithm[Any]]) -> None:
    """Options have defaults, which they take themselves, and none but those there are is taken.

    Raises:
        BrokenPromiseError: Something is not so.
    """
    kind = cls.options_type
    if not (isinstance(kind, type) and issubclass(kind, AlgorithmOptions)):
        raise BrokenPromiseError(
            f"options_type is {kind!r}; it has to be a subclass of AlgorithmOptions", cls.__init__
        )
    required = [name for name, each in kind.model_fields.items() if each.is_required()]
    if required:
        raise BrokenPromiseError(
            f"option {required[0]} of {cls.name} has no default, so the rule cannot be named alone",
            cls.__init__,
        )
    try:
        parse_options(cls, kind().model_dump(mode="json"))
    except ValueError as error:
        raise BrokenPromiseError(f"its own defaults are refused: {error}", cls.__init__) from error
    try:
        parse_options(cls, {UNKNOWN: 1})
    except ConfigurationError:
        return
    raise BrokenPromiseError(
        f'an option that it does not have is taken; {kind.__name__} needs extra="forbid", as'
        " AlgorithmOptions has it",
        cls.__init__,
    )


def is_built(subject: Subject) -> None:
    """It is built on the net, at every stage, and has a name for each.

    Raises:
        BrokenPromiseError: It is not, or two stages have one name.
    """
    algorithm = subject.build()
    stages = algorithm.stages
    if not stages or len(set(stages)) != len(stages):
        raise BrokenPromiseError(
            f"stages are {stages}; at least one is needed, each with a name of its own",
            type(algorithm).__init__,
        )
    if algorithm.model != get_model(subject.model) or not isinstance(
        algorithm.options, AlgorithmOptions
    ):
        raise BrokenPromiseError(
            "model and options are not those it was given; call super().__init__(model, options,"
            " seed=seed)",
            type(algorithm).__init__,
        )
    for _, staged in subject.at_every_stage():
        staged.check_batch(subject.rows)


def odd_nets_are_refused_by_name(subject: Subject) -> None:
    """A small or odd net is trained, or refused with ConfigurationError.

    Raises:
        BrokenPromiseError: Another error is raised.
        NotApplicableError: No such net of the family is known.
    """
    family = get_model(subject.model).family
    if family not in ODD_NETS:
        raise NotApplicableError(f"no odd net of the family {family} is known here")
    for model in ODD_NETS[family]:
        odd = Subject(subject.rule, model, subject.options)
        _trained_or_refused(odd, model, odd.rows)


def odd_batches_are_refused_by_name(subject: Subject) -> None:
    """A batch of one sample is trained, or refused with ConfigurationError.

    Raises:
        BrokenPromiseError: Another error is raised.
    """
    _trained_or_refused(subject, "a batch of one sample", 1)


def _trained_or_refused(subject: Subject, what: str, rows: int) -> None:
    def train() -> None:
        for _, algorithm in subject.at_every_stage():
            algorithm.check_batch(rows)
            algorithm.step(*subject.batch(algorithm, rows=rows))

    error = _raised(train)
    if error is not None:
        raise BrokenPromiseError(
            f"{what}: {type(error).__name__}: {error}; train it, or raise ConfigurationError in"
            " __init__ (a net) or check_batch (a batch)",
            raised_at(error),
        )


def stages_there_are_not_are_refused(subject: Subject) -> None:
    """A stage that there is not is refused with ConfigurationError.

    Raises:
        BrokenPromiseError: It is entered, or another error is raised.
    """
    stages = len(subject.build().stages)
    for index in (stages, -1):
        try:
            subject.build().enter_stage(index)
        except ConfigurationError:
            continue
        except Exception as error:
            raise BrokenPromiseError(
                f"enter_stage({index}) raises {type(error).__name__}: {error}; call"
                " super().enter_stage(index) first, which refuses it",
                subject.cls.enter_stage,
            ) from error
        raise BrokenPromiseError(
            f"enter_stage({index}) is taken, of {stages} stages; call super().enter_stage(index)"
            " first, which refuses it",
            subject.cls.enter_stage,
        )


def refuses_by_name(subject: Subject) -> None:
    """What it cannot train is refused with ConfigurationError: nets, batches, stages.

    Raises:
        BrokenPromiseError: Something else is raised.
    """
    stages_there_are_not_are_refused(subject)
    with naming(subject.model):
        odd_batches_are_refused_by_name(subject)
    odd_nets_are_refused_by_name(subject)


def _raised(train: Callable[[], None]) -> Exception | None:
    """What is raised, if it is not the error with which something is refused."""
    try:
        train()
    except ConfigurationError:
        return None
    except Exception as error:
        return error
    return None
