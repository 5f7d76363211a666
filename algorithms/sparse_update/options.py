"""The options of sparse updates; see :mod:`trainfit.algorithms.sparse_update.rule`."""

from __future__ import annotations

from enum import StrEnum

from pydantic import Field

from trainfit.algorithms.options import Description, LossOptions, TrainingOptions

CHOSEN = "chosen"


class Part(StrEnum):
    """Part of a chosen weight that is trained, if not all of it."""

    INPUTS = "inputs"  # the columns of the first inputs: only these inputs are stored
    OUTPUTS = "outputs"  # the rows of the first outputs


class Frozen(StrEnum):
    """Memory of the parameters that are never written."""

    RAM = "ram"
    FLASH = "flash"


class SparseUpdateOptions(LossOptions, TrainingOptions):
    """Options of ``sparse_update``."""

    layers: str = "last:2"
    """Weights to train: ``last:N``, ``all``, ``none`` or numbers from 1, such as ``1,3``."""
    biases: str = CHOSEN
    """Biases to train: as ``layers``, or ``chosen`` for all from the lowest chosen weight up."""
    ratio: float = Field(default=1.0, gt=0, le=1)
    """Fraction of the inputs or outputs of every chosen weight that is trained."""
    part: Part = Part.INPUTS
    """Dimension of a chosen weight to which ``ratio`` applies: inputs, as in the released code of
    Lin et al. (2022), or outputs."""
    frozen: Frozen = Frozen.RAM
    """Memory of the parameters that are never written."""


SPARSE_UPDATE = Description(
    "sparse_update",
    "backpropagation into chosen layers or biases only, storing no more",
    "Lin et al., NeurIPS 35, 2022; Cai et al., NeurIPS 33, 2020",
    SparseUpdateOptions,
)
