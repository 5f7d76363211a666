"""The classifier of Forward-Forward on binary activities: rows of bits, each with a factor.

Shape suffixes: B batch, O units of a layer, C classes.
"""

from __future__ import annotations

from typing import cast

import torch

from trainfit.algorithms.forward_forward.head import Activities, FeatureHead
from trainfit.algorithms.numerics.binary.activations import (
    Bits,
    weight_gradient,
)
from trainfit.algorithms.numerics.binary.weights import FloatWeights
from trainfit.algorithms.phases import Category, tag


class BitFeatureHead(FeatureHead):
    """Float weights; bits are unpacked a tile at a time."""

    def logits(self, activities: Activities) -> torch.Tensor:
        """Class scores of shape (B, C): a layer's product first, then the factors of its rows."""
        bits = cast("dict[int, Bits]", activities)
        rows = len(next(iter(bits.values())).scale)
        logits_BC = torch.zeros(rows, self._classes)
        for number, h in bits.items():
            part_BC = torch.zeros_like(logits_BC)
            FloatWeights(self._weights[number][None]).add_product(h, part_BC)
            logits_BC.addcmul_(part_BC, h.scale)
            del part_BC
        return logits_BC

    def learn(self, error_BC: torch.Tensor, activities: Activities) -> None:
        """One step of every layer's part of the classifier; activities are overwritten."""
        for number in list(activities):
            name, classifier_CO = f"classifier{number}", self._weights[number]
            h = activities.pop(number)
            scaled_BC = tag(error_BC.clone(), Category.GRADIENTS, "scaled error")
            dw_CO = weight_gradient(scaled_BC, h, 0, classifier_CO.shape[1])
            tag(dw_CO, Category.GRADIENTS, f"d{name}")
            del h, scaled_BC
            self.optimiser.apply(name, classifier_CO, dw_CO)
            del dw_CO
