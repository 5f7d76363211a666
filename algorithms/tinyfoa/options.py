"""The options of TinyFoA; see :mod:`trainfit.algorithms.tinyfoa.rule`."""

from __future__ import annotations

from enum import StrEnum

from pydantic import Field

from trainfit.algorithms.options import AlgorithmOptions, Description


class Kernel(StrEnum):
    """Whether products of bits and Adam are compiled; the same bits either way."""

    POPCOUNT = "popcount"
    TILES = "tiles"


class FrozenStatistics(StrEnum):
    """What layers below the active one are normalised by."""

    RUNNING = "running"
    BATCH = "batch"


class FeatureSource(StrEnum):
    """Where a step gets the active layer's input."""

    RECOMPUTED = "recomputed"
    CACHED = "cached"


class Variant(StrEnum):
    """Whose TinyFoA: the paper's description or its released code."""

    DESCRIBED = "described"
    RELEASED = "released"


class SliceUpdate(StrEnum):
    """Whether the slice's gradient is held whole or applied some rows at a time."""

    WHOLE = "whole"
    FUSED = "fused"


class TinyFoAOptions(AlgorithmOptions):
    """Options of ``tinyfoa``."""

    variant: Variant = Variant.DESCRIBED
    slices: int = Field(default=2, ge=1)
    """M: a layer's weight is cut into M x M slices, the first one of ``lc-...`` into M."""
    lr: float = Field(default=1e-3, gt=0)
    update: SliceUpdate = SliceUpdate.WHOLE
    """Only for ``variant=described``."""
    kernel: Kernel = Kernel.POPCOUNT
    """Only for ``variant=described``: population counts and a compiled Adam, or torch operators on
    tiles, unpacked for a float product."""
    frozen_statistics: FrozenStatistics = FrozenStatistics.RUNNING
    """Only for ``variant=described`` on ``lc-...``: what normalises layers below the active one."""
    features: FeatureSource = FeatureSource.RECOMPUTED
    """Only for ``variant=described``: layers below are run for each batch, or once per stage."""


TINYFOA = Description(
    "tinyfoa",
    "TinyFoA: layer-wise, a slice at a time, binary weights, fixed heads",
    "Huang & Aminifar, AAAI 39(16), 2025",
    TinyFoAOptions,
)
