"""The options of local heads; see :mod:`trainfit.algorithms.local_head.rule`."""

from __future__ import annotations

from enum import StrEnum

from pydantic import Field

from trainfit.algorithms.options import Description, TrainingOptions


class Head(StrEnum):
    """Whether the heads are trained."""

    TRAINED = "trained"
    FIXED = "fixed"


class Predict(StrEnum):
    """Heads that predict the class."""

    LAST = "last"
    SUM = "sum"


class LocalHeadOptions(TrainingOptions):
    """Options of ``local_head``."""

    lr: float = Field(default=0.1, gt=0)
    """Learning rate."""
    head: Head = Head.TRAINED
    """Whether the heads are trained, or fixed at their random initial values."""
    predict: Predict = Predict.LAST
    """Scores that predict the class (Nokland & Eidnes 2019): those of the last head, or the sum
    over all heads."""
    keep: float = Field(default=1.0, gt=0, le=1)
    """Probability that the next layer sees a hidden unit; 1 is no dropout."""
    parts: int = Field(default=1, ge=1)
    """Parts of a layer whose gradients are computed one after the other."""


LOCAL_HEAD = Description(
    "local_head",
    "a linear head and a loss of its own for every hidden layer",
    "Nokland & Eidnes, ICML 2019, arXiv 1901.06656 (pred)",
    LocalHeadOptions,
)
