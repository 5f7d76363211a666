"""The checks themselves, one after the other, in the process that is theirs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict

from trainfit.algorithms import ConfigurationError, get_algorithm, get_model
from trainfit.algorithms.contract import check_model, parse_options
from trainfit.bench.processes.child import Message, Send
from trainfit.bench.promises.catalogue import BY_NAME, Promise
from trainfit.bench.promises.checking import Asked
from trainfit.bench.promises.finding import (
    BrokenPromiseError,
    Finding,
    NotApplicableError,
    Standing,
    naming,
    raised_at,
)
from trainfit.bench.promises.subject import Subject
from trainfit.bench.training.contract_check import ContractError

NETS = {
    "mlp": ("mlp-24-16-32-8-4", "mlp-64-128-128-10"),
    "lc": ("lc-1x6x6-4-8-4", "lc-3x5x5-4x2-2"),
    "cnn": ("cnn-1x6x6-c4-i4-r8s2-4", "cnn-3x8x8-c6-p-e6-f8-2"),
}
"""Nets of every family that promises are checked on; ``--quick`` takes the first."""


def run(job: Message, send: Send) -> None:
    """Check promises and send what is found.

    Args:
        job: ``asked``, ``names`` of promises, and findings from ``before``.
        send: Gets ``{"checking": name}`` before every promise and ``{"found": finding}`` after it.

    Raises:
        ConfigurationError: There is no such rule, or it refuses the options, the nets or the batch.
    """
    asked = Asked(**job["asked"])
    subjects = subjects_of(asked)
    standing = {each["promise"]: Standing(each["standing"]) for each in job["before"]}
    for name in job["names"]:
        send({"checking": name})
        finding = judged(BY_NAME[name], subjects, standing)
        standing[name] = finding.standing
        send({"found": asdict(finding)})


def subjects_of(asked: Asked) -> list[Subject]:
    """The rule on every net that it is checked on, all of which it takes.

    Raises:
        ConfigurationError: It does not exist, or refuses something.
    """
    cls = get_algorithm(asked.rule)
    parse_options(cls, asked.options)
    models = asked.models or [
        name
        for names in NETS.values()
        if isinstance(get_model(names[0]), cls.models)
        for name in names[: 1 if asked.quick else None]
    ]
    if not models:
        raise ConfigurationError(
            f"{cls.name} trains no net of the families {', '.join(NETS)}; name one that it trains"
            " with --model"
        )
    for name in models:
        check_model(cls, get_model(name))
    subjects = [Subject(asked.rule, name, asked.options, asked.rows) for name in models]
    for subject in subjects:
        _refuse(subject)
    return subjects


def _refuse(subject: Subject) -> None:
    """Raise what the rule says of the net, the options or the batch; a fault of it is no refusal.

    Raises:
        ConfigurationError: It refuses them.
    """
    try:
        subject.build().check_batch(subject.rows)
    except ConfigurationError as error:
        raise ConfigurationError(
            f"{subject.rule} is not checked on {subject.model} at batch size {subject.rows}:"
            f" {error}; name a net and a batch that it trains (--model, --batch-size)"
        ) from error
    except Exception:  # noqa: S110  (the promise that it can be built says so)
        pass


def judged(promise: Promise, subjects: Sequence[Subject], before: dict[str, Standing]) -> Finding:
    """What is found of one promise.

    Args:
        promise: It.
        subjects: What it is checked on, until it is broken.
        before: What was found of those it rests on.
    """
    missing = [name for name in promise.rests_on if before.get(name) is not Standing.OK]
    if missing:
        return Finding(
            promise.name,
            Standing.NOT_APPLICABLE,
            f"cannot be judged as long as `{missing[0]}` is not ok",
        )
    try:
        for subject in subjects[: 1 if promise.once else None]:
            with naming(subject.model):
                promise.check(subject)
    except NotApplicableError as why:
        return Finding(promise.name, Standing.NOT_APPLICABLE, str(why))
    except (BrokenPromiseError, ContractError) as error:
        return Finding(promise.name, Standing.BROKEN, str(error), _file_and_line(error.where))
    except Exception as error:  # whatever a rule raises breaks what it was asked for
        said = f"{type(error).__name__}: {error}"
        return Finding(promise.name, Standing.BROKEN, " ".join(said.split()), raised_at(error))
    return Finding(promise.name, Standing.OK)


def _file_and_line(where: str | None) -> str:
    return (where or "").partition(" ")[0]
