"""The optional classifier of Forward-Forward: a softmax on the activities of a neutral image.

An image with the neutral label (``scale / C`` in every place) goes through the net once; a linear
softmax classifier sees the normalised activities of all hidden layers but the first (or of the only
one). It is trained by its own cross-entropy, which changes no hidden layer, and

* predicts the class in one pass, where goodness needs a pass per class, and
* draws the negative labels: a wrong label is chosen in proportion to its predicted probability
  (Hinton 2022).

Activities are kept until the error is known.

Shape suffixes: B batch, O units of a layer, C classes.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import cast

import torch

from trainfit.algorithms.contract import StaticTensor
from trainfit.algorithms.forward_forward.options import ForwardForwardOptions
from trainfit.algorithms.models import Mlp
from trainfit.algorithms.numerics.binary.activations import Hidden
from trainfit.algorithms.numerics.losses import softmax_
from trainfit.algorithms.numerics.optimisers import Sgd
from trainfit.algorithms.phases import Category

Activities = dict[int, Hidden]
"""Normalised output of the judging layers, by number."""


def judging_layers(model: Mlp) -> range:
    """Numbers (from 1) of the hidden layers that predict the class."""
    hidden = len(model.hidden)
    return range(min(2, hidden), hidden + 1)


class FeatureHead:
    """Weights ``classifier_CO`` per judging layer, and their optimiser."""

    def __init__(self, model: Mlp, options: ForwardForwardOptions) -> None:
        self.optimiser = Sgd(
            options.head_lr,
            options.momentum,
            weight_decay=options.head_weight_decay,
            nesterov=options.nesterov,
        )
        self._classes = model.classes
        self._weights = {
            number: torch.zeros(model.classes, model.sizes[number])
            for number in judging_layers(model)
        }
        for number, classifier_CO in self._weights.items():
            self.optimiser.add(f"classifier{number}", classifier_CO)

    def __contains__(self, number: int) -> bool:
        """Whether the classifier reads layer ``number``."""
        return number in self._weights

    def logits(self, activities: Activities) -> torch.Tensor:
        """Class scores of shape (B, C) from the layers' normalised activities."""
        floats = cast("dict[int, torch.Tensor]", activities)
        first, *others = floats
        logits_BC = floats[first] @ self._weights[first].T
        for number in others:
            logits_BC.addmm_(floats[number], self._weights[number].T)
        return logits_BC

    def probabilities(self, activities: Activities) -> torch.Tensor:
        """Softmax of ``logits``."""
        return softmax_(self.logits(activities))

    def error_(self, p_BC: torch.Tensor, y_B: torch.Tensor) -> torch.Tensor:
        """``(p - onehot(y)) / B`` in place."""
        return p_BC.scatter_(1, y_B[:, None], -1.0, reduce="add").mul_(1.0 / len(y_B))

    def learn(self, error_BC: torch.Tensor, activities: Activities) -> None:
        """One step of every layer's part of the classifier; activities are overwritten."""
        for number in list(activities):
            h_BO = activities.pop(number)
            assert isinstance(h_BO, torch.Tensor)
            self.optimiser.apply_product(
                f"classifier{number}", self._weights[number], error_BC.T, h_BO
            )
            del h_BO

    def static_tensors(self) -> Iterator[StaticTensor]:
        """Weights and optimiser state."""
        for number, classifier_CO in self._weights.items():
            yield StaticTensor(f"classifier{number}", classifier_CO, Category.PARAMETERS)
        for name, state in self.optimiser.states():
            yield StaticTensor(name, state, Category.OPTIMIZER_STATE)
