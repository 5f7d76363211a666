"""Does an algorithm keep its contract well enough to be measured?

A third party's algorithm is checked on its first steps, so that a broken one gives a clear record
in place of wrong figures. The full contract is in ``tests/contract``.

Shape suffixes: B batch, I inputs, F what a stage takes in their place, C classes.
"""

from __future__ import annotations

from typing import Any

import torch

from trainfit.algorithms import Algorithm, Category
from trainfit.algorithms.phases import observing
from trainfit.bench.processes.child import short_path


class ContractError(Exception):
    """An algorithm does not keep the contract of ``trainfit.algorithms.contract.Algorithm``.

    Args:
        message: What it did, and what is expected.
        method: Where it did so; ``where`` is made of it.
    """

    def __init__(self, message: str, method: object) -> None:
        super().__init__(message)
        code = getattr(method, "__code__", None)
        self.where = (
            f"{short_path(code.co_filename)}:{code.co_firstlineno} {code.co_name}" if code else None
        )


class PhasesSeen:
    """An observer that only notes which phases were entered."""

    def __init__(self) -> None:
        self.seen: dict[str, None] = {}

    def enter(self, name: str) -> None:
        """A phase begins."""
        self.seen[name] = None

    def leave(self, name: str) -> None:
        """It ends."""

    def tag(self, tensor: torch.Tensor, category: Category, label: str) -> None:
        """Purposes do not matter here."""


def check_contract(algorithm: Algorithm[Any], x_BI: torch.Tensor, y_B: torch.Tensor) -> None:
    """Run one step of every stage and one prediction, and hold them against the contract.

    Args:
        algorithm: A fresh one; it is trained a little, so throw it away.
        x_BI: One batch of inputs.
        y_B: Its labels.

    Raises:
        ContractError: Naming the algorithm, what it did, and what is expected.
    """
    step = type(algorithm).step
    who = f"{type(algorithm).__name__}.step"
    for index, stage in enumerate(algorithm.stages):
        algorithm.enter_stage(index)
        x_BF = algorithm.stage_data(x_BI)
        x_before, y_before = x_BF.clone(), y_B.clone()
        phases = PhasesSeen()
        with observing(phases):
            result: object = algorithm.step(x_BF, y_B)
        if result is not None:
            raise ContractError(
                f"{who} returned a {type(result).__name__}; a step trains at once and returns None",
                step,
            )
        declared = type(algorithm).phases
        strange = [name for name in phases.seen if name not in declared]
        if strange or not phases.seen:
            raise ContractError(
                f"{who} entered {_names(strange) if strange else 'no phase'}; "
                f"declared are {_names(declared)}",
                step,
            )
        if not (torch.equal(x_BF, x_before) and torch.equal(y_B, y_before)):
            raise ContractError(f"{who} changed its batch; x and y have to be left as found", step)
        check_finite(algorithm, f"after one step of stage {stage!r}")
    predict_scores(algorithm, x_BI)


def predict_scores(
    algorithm: Algorithm[Any], x_BI: torch.Tensor, *, disturbed: bool = False
) -> torch.Tensor:
    """The class scores of a batch, known to be numbers of shape (batch, classes).

    Args:
        algorithm: What predicts.
        x_BI: The batch.
        disturbed: Its weights were changed on purpose, so its scores may be NaN.

    Raises:
        ContractError: They are not a tensor of that shape, or some are NaN, which is no score:
            which class is right would be a matter of chance.
    """
    scores: object = algorithm.predict(x_BI)
    expected = (len(x_BI), algorithm.model.classes)
    who, method = f"{type(algorithm).__name__}.predict", type(algorithm).predict
    if not isinstance(scores, torch.Tensor) or tuple(scores.shape) != expected:
        got = (
            f"shape {tuple(scores.shape)}"
            if isinstance(scores, torch.Tensor)
            else f"a {type(scores).__name__}"
        )
        raise ContractError(f"{who} returned {got}; expected shape {expected}", method)
    rows = 0 if disturbed else int(scores.isnan().any(1).sum())
    if rows:
        raise ContractError(
            f"{who} returned NaN for {rows} of {len(x_BI)} samples; a score is a number, infinite "
            "at most",
            method,
        )
    return scores


def check_finite(algorithm: Algorithm[Any], when: str) -> None:
    """Make sure that training has not diverged.

    Raises:
        ContractError: A tensor holds NaN or infinity; the message names it.
    """
    for static in algorithm.static_tensors():
        if not torch.isfinite(static.tensor).all():
            raise ContractError(
                f"{type(algorithm).__name__}: {static.name} holds NaN or infinity {when}; "
                "a smaller learning rate may help",
                type(algorithm).step,
            )


def _names(names: Any) -> str:
    return ", ".join(repr(name) for name in names)
