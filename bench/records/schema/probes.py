"""The parts of a record that say how gradients are distributed and what noise does to a net."""

from __future__ import annotations

from pydantic import Field

from trainfit.bench.records.schema.base import Block, Count, Evidence, Share

HISTOGRAM_BINS = 24
"""Bins of :attr:`LayerGradients.histogram`, each a factor of two wide."""


class QuantisationError(Block):
    """What rounding a tensor to INT8 would do to it: one scale, to the nearest.

    It is computed from the tensor itself (:attr:`evidence` is ``analytic``): nothing was trained
    with it.
    """

    relative_rms: float
    """Root of the mean square of the error over that of the tensor."""
    cosine: float
    """Of the angle between the tensor and what is left of it."""
    rounded_to_zero: float
    """Share of the values that are not 0 of which nothing is left."""
    evidence: Evidence = Evidence.ANALYTIC


class LayerGradients(Block):
    """How the gradient of one weight tensor is distributed at one moment, for one batch.

    The gradient is the change of the weights in one step of plain descent, negated, per unit of the
    learning rate; see :mod:`trainfit.bench.probes.gradients`. ``evidence`` is ``analytic``, or
    ``unavailable`` with a ``reason`` and no figure.
    """

    tensor: str
    stage: str
    passes: Count | None = None
    """Over the training data before that moment, of all stages together; 0 is before training. None
    in records from before there were several moments: after the last one."""
    evidence: Evidence
    shape: tuple[int, ...] = ()
    count: Count | None = None
    zeros: Count | None = None
    """Exact ones: inputs that are 0 in the whole batch, units that no sample opens."""
    max_abs: float | None = None
    rms: float | None = None
    mean_abs: float | None = None
    excess_kurtosis: float | None = None
    """Of the values that are not 0; 0 for a Gaussian, 3 for a Laplacian distribution."""
    histogram: list[Count] = Field(default_factory=list)
    """Bin k counts the values with ``2**-(k+1) < abs(g) / max_abs <= 2**-k``."""
    histogram_below: Count | None = None
    """Values that are smaller still, and not 0."""
    int8: QuantisationError | None = None
    reason: str | None = None


class QuantisedAccuracy(Block):
    """Test accuracy with every weight tensor rounded to so many bits."""

    bits: Count
    test_accuracy: Share


class NoisyAccuracy(Block):
    """Test accuracy with even noise in ``+-amplitude max abs(w)`` on every weight."""

    amplitude: float
    seed: Count
    test_accuracy: Share


class Noise(Block):
    """What is left of the test accuracy when the trained weights are disturbed.

    Without a figure there is a ``reason``.
    """

    samples: Count | None = None
    """Of the test half, evenly spread; the same ones in every figure of this block."""
    tensors: list[str] = Field(default_factory=list)
    """What was disturbed: the weights that the prediction reads, biases left as they are."""
    undisturbed_accuracy: Share | None = None
    quantised: list[QuantisedAccuracy] = Field(default_factory=list)
    noisy: list[NoisyAccuracy] = Field(default_factory=list)
    reason: str | None = None
