"""The source of the input of TinyFoA's active layer: the layers below, or storage.

Layers below the active one no longer change, so their outputs for the training set can be kept:
with ``features=cached`` their packed outputs for every sample are written to storage when a stage
begins, one bit per unit, and a step reads those of its batch. Then only the active layer's weights
are in RAM, and nothing below it is computed.

One difference from ``features=recomputed``: there, the scale of a layer's output is a mean over a
batch, which does not exist for samples that are kept individually. Here it is the mean over the
whole training set, one number per layer, in training and in prediction.

Shape suffixes: S samples, B batch, I inputs, M groups of inputs, b bytes of packed bits.
"""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from typing import ClassVar

import torch

from trainfit.algorithms.contract import StaticTensor
from trainfit.algorithms.phases import Category
from trainfit.algorithms.tinyfoa.options import FeatureSource, Kernel
from trainfit.algorithms.tinyfoa.slice_turns import TurnTaking
from trainfit.algorithms.tinyfoa.variant import AdamSettings

_ROWS = 500  # samples whose features are computed at a time, between steps: no influence on a peak


@dataclass
class Features:
    """Input of a layer.

    Attributes:
        values: The batch itself, (B, I), or packed bits by group of inputs, (M, B, ...).
        scale: Value of a bit; None for the batch itself.
    """

    values: torch.Tensor
    scale: torch.Tensor | None = None


class FeatureRule(TurnTaking):
    """A rule whose layers below the active one are run for each batch, or once per stage."""

    _reads_in_place: ClassVar[bool]
    """Whether products read groups of inputs in the batch's layout, sample by sample."""

    def __init__(
        self, adam: AdamSettings, kernel: Kernel, slices: int, layers: int, source: FeatureSource
    ) -> None:
        super().__init__(adam, kernel)
        self._slices = slices
        self._cached = source is FeatureSource.CACHED
        self._output_scales = [torch.ones(()) for _ in range(layers)] if self._cached else []

    @abstractmethod
    def _advance(self, index: int, features: Features, *, training: bool) -> None:
        """Replace the input of layer ``index`` by its output, with the batch's scale."""

    def _features(self, x_BI: torch.Tensor, *, training: bool) -> Features:
        """Input of the active layer, from samples."""
        features = Features(x_BI)
        for index in range(self._active):
            self._advance(index, features, training=training)
            if self._cached:
                features.scale = self._output_scales[index]
        return features

    def _step_input(self, x: torch.Tensor) -> Features:
        """Input of the active layer, from a step's input."""
        return self._read(x, self._active) if self._cached else self._features(x, training=True)

    def _read(self, x: torch.Tensor, index: int) -> Features:
        """Input of layer ``index`` from rows of ``stage_data``."""
        if index == 0:
            return Features(x)
        bits = x.transpose(0, 1)
        scale = self._output_scales[index - 1]
        return Features(bits if self._reads_in_place else bits.contiguous(), scale)

    def stage_data(self, x_SI: torch.Tensor) -> torch.Tensor:
        """The samples, or the packed features of each, (S, M, ...)."""
        if not self._cached:
            return x_SI
        rows = x_SI
        with torch.no_grad():
            for index in range(self._active):
                made, total = [], 0.0
                for part in rows.split(_ROWS):
                    features = self._read(part, index)
                    self._advance(index, features, training=False)
                    assert features.scale is not None
                    total += float(features.scale) * len(part)
                    made.append(features.values.transpose(0, 1).contiguous())
                self._output_scales[index].fill_(total / len(rows))
                rows = torch.cat(made)
        return rows

    def _above_or_cached(self, index: int) -> bool:
        """Whether a step does not use the parameters of a layer, so that they are in storage."""
        return index > self._active or (self._cached and index < self._active)

    def _scale_tensors(self) -> list[StaticTensor]:
        """The scales of cached features; a step needs that of the layer just below."""
        return [
            StaticTensor(
                f"output_scale{index + 1}",
                scale,
                Category.PARAMETERS,
                storage=index != self._active - 1,
            )
            for index, scale in enumerate(self._output_scales)
        ]

    @abstractmethod
    def _inputs(self) -> int:
        """Features of a sample."""
