"""The options of TinyFoA; see :mod:`trainfit.algorithms.tinyfoa.rule`."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import ClassVar

from pydantic import Field

from trainfit.algorithms.options import AlgorithmOptions, Description, Precision


class Kernel(StrEnum):
    """Whether products with bits and Adam are compiled; the same sums either way.

    Products of bits are exact. Floats are added in an order of our own if compiled, in the order of
    torch's products otherwise.
    """

    POPCOUNT = "popcount"
    TILES = "tiles"


class FrozenStatistics(StrEnum):
    """Statistics by which layers below the active one are normalised."""

    RUNNING = "running"
    BATCH = "batch"


class FeatureSource(StrEnum):
    """Source of the active layer's input in a step."""

    RECOMPUTED = "recomputed"
    CACHED = "cached"


class Variant(StrEnum):
    """Source of the rule: the paper's description or its released code."""

    DESCRIBED = "described"
    RELEASED = "released"


class SliceUpdate(StrEnum):
    """Whether the slice's gradient is held whole or applied some rows at a time."""

    WHOLE = "whole"
    FUSED = "fused"


class TinyFoAOptions(AlgorithmOptions):
    """Options of ``tinyfoa``."""

    refused: ClassVar[Mapping[str, str]] = {
        "loss": "every layer is trained by the cross-entropy of its fixed head's softmax"
    }

    variant: Variant = Variant.DESCRIBED
    """Source of the rule: the paper's description or its released code."""
    slices: int = Field(default=2, ge=1)
    """M: a layer's weight is cut into M x M slices, in the first layer of ``lc-...`` and in
    convolutional nets by outputs only, into M."""
    lr: float = Field(default=1e-3, gt=0)
    """Learning rate of Adam."""
    weight_decay: float = Field(default=0.0, ge=0)
    """Factor of every parameter that a step trains, biases too, that is added to its gradient (L2
    penalty, as in ``torch.optim.Adam``); neither the paper nor its code has any."""
    update: SliceUpdate = SliceUpdate.WHOLE
    """Slice's gradient held whole, or applied some rows at a time; for ``variant=described``."""
    kernel: Kernel = Kernel.POPCOUNT
    """Population counts, tables of sums and a compiled Adam, or torch operators on tiles that are
    unpacked for a float product; for ``variant=described``."""
    frozen_statistics: FrozenStatistics = FrozenStatistics.RUNNING
    """Statistics of batch normalisation below the active layer: running, or those of the batch, as
    in TinyFoA's released code; for ``variant=described`` on ``lc-...`` and convolutional nets."""
    features: FeatureSource = FeatureSource.RECOMPUTED
    """Layers below the active one run for each batch, or once per stage with their outputs kept in
    storage; for ``variant=described``."""
    weights: Precision = Precision.BINARY
    """Number format of weights in products; ``float`` for ``variant=described``, not on
    ``lc-...``."""
    activations: Precision = Precision.BINARY
    """Number format of activations; ``float`` for ``variant=described``, not on ``lc-...``."""
    head_features: int = Field(default=1024, ge=1)
    """Most features that a head sees of a convolutional unit, whose maps are averaged over windows
    to that end."""


TINYFOA = Description(
    "tinyfoa",
    "TinyFoA: layer-wise, a slice at a time, binary weights, fixed heads",
    "Huang & Aminifar, AAAI 39(16), 2025",
    TinyFoAOptions,
)
