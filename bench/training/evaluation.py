"""How well a trained net classifies samples that it was not trained on.

Shape suffixes: B batch, C classes.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import torch

from trainfit.algorithms import Algorithm
from trainfit.algorithms.data import Dataset
from trainfit.bench.training.contract_check import predict_scores

EVALUATION_ROWS = 500
"""Rows predicted at once when accuracy is measured."""


class Scores(NamedTuple):
    """Of the samples that a net is judged by.

    Attributes:
        accuracy: Share that is classified rightly.
        balanced: The mean over the classes that there are of the share of each that is.
    """

    accuracy: float
    balanced: float


def evaluate(algorithm: Algorithm[Any], data: Dataset, *, disturbed: bool = False) -> Scores:
    """Classify the test half, which is what was held out where samples were.

    Args:
        algorithm: What is tested.
        data: Its data.
        disturbed: Its weights were changed on purpose; a sample whose scores are then NaN is not
            classified rightly.

    Raises:
        ContractError: A score is not what it should be.
    """
    right_C = torch.zeros(data.classes, dtype=torch.int64)
    for start in range(0, len(data.test_x), EVALUATION_ROWS):
        rows = slice(start, start + EVALUATION_ROWS)
        scores_BC = predict_scores(algorithm, data.test_x[rows], disturbed=disturbed)
        y_B = data.test_y[rows]
        hits_B = (scores_BC.argmax(1) == y_B) & ~scores_BC.isnan().any(1)
        right_C += torch.bincount(y_B[hits_B], minlength=data.classes)
    there_C = torch.bincount(data.test_y, minlength=data.classes)
    shares_C = right_C[there_C > 0] / there_C[there_C > 0]
    return Scores(int(right_C.sum()) / len(data.test_y), float(shares_C.double().mean()))
