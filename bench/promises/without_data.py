"""Promises about a step without data: it can be traced, and what it computes is known."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from trainfit.algorithms import Algorithm, ConfigurationError
from trainfit.bench.promises.finding import BrokenPromiseError, raised_at
from trainfit.bench.promises.subject import Subject
from trainfit.bench.trace.operations.counting import base_name
from trainfit.bench.trace.prediction import Prediction, predict


def traces(subject: Subject) -> Iterator[tuple[str, Prediction]]:
    """(stage, what its step needs) from a rule that was built without values.

    Raises:
        ConfigurationError: It cannot be built or traced without values.
    """
    sketch = subject.sketch()
    for index, stage in enumerate(sketch.stages):
        sketch.enter_stage(index)
        yield stage, predict(sketch, subject.rows)


def has_a_twin(subject: Subject) -> None:
    """Without values it holds tensors of the same shapes, and its step does the same.

    Raises:
        BrokenPromiseError: It depends on values, or holds something else.
    """
    for _ in _asking(subject):
        pass
    sketch = subject.sketch()
    for index, (stage, algorithm) in enumerate(subject.at_every_stage()):
        sketch.enter_stage(index)
        real, twins = _shapes(algorithm), _shapes(sketch)
        differing = sorted(name for name in {*real, *twins} if real.get(name) != twins.get(name))
        if differing:
            name = differing[0]
            raise BrokenPromiseError(
                f"stage {stage}: {name} is {_shown(real.get(name))}, and built without values"
                f" {_shown(twins.get(name))}; its shape and type may depend on model and options"
                " only",
                type(algorithm).__init__,
            )


def _asking(subject: Subject) -> Iterator[Prediction]:
    """Its traces; who refuses them says where."""
    try:
        for _, prediction in traces(subject):
            yield prediction
    except ConfigurationError as error:
        where = raised_at(error.__cause__) if error.__cause__ else ""
        raise BrokenPromiseError(
            f"{error}; what is allocated may depend on shapes only", where or subject.cls.step
        ) from error


def _shapes(algorithm: Algorithm[Any]) -> dict[str, tuple[Any, ...]]:
    return {
        held.name: (tuple(held.tensor.shape), held.tensor.dtype, held.category, held.storage)
        for held in algorithm.static_tensors()
    }


def _shown(shape: tuple[Any, ...] | None) -> str:
    return "not there" if shape is None else f"{shape[1]} {shape[0]} ({shape[2]})"


def arithmetic_is_known(subject: Subject) -> None:
    """Every operator of a step has a row in the table of what operators compute.

    Raises:
        BrokenPromiseError: Some have none; the message says what to add, and where.
    """
    for stage, prediction in traces(subject):
        if prediction.uncounted:
            names = ", ".join(prediction.uncounted)
            rows = ", ".join(repr(base_name(each)) for each in prediction.uncounted)
            raise BrokenPromiseError(
                f"stage {stage}: what {names} computes is not known, so its time and energy cannot"
                f" be modelled; add a row for {rows} to a table in bench/trace/operations"
                " (`nothing`, if it only moves data)",
                subject.cls.step,
            )
