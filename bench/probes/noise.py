"""What is left of the test accuracy when the weights of a trained net are disturbed.

Two disturbances, each of all weight tensors at once; biases stay as they are:

* ``b`` bits: symmetric uniform quantisation with one scale per tensor,
  ``w <- s round(w / s)``, ``s = max abs(w) / (2**(b - 1) - 1)``: at 8 bits the 255 values from -127
  to 127, at 2 bits three;
* even noise: ``w <- w + u`` with u drawn from ``+-a max abs(w)``, for three fixed seeds.

Float weights are disturbed where they are. Of weights that exist as INT8 the integers are, and keep
the scales they have (``ff_int8`` has one per output); what comes of them is rounded to the integers
that there are. A rule whose prediction makes integers of float weights rounds once more, after the
disturbance.

What the prediction does not read (the latent weights beside integers, say) is found by setting it
to 0, and left alone. One-bit weights have nothing between their two values; those that are kept as
floats and lose all but their sign in the prediction are found by taking that from them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import torch

from trainfit.algorithms import Algorithm, Category
from trainfit.algorithms.data import Dataset
from trainfit.bench.records.schema import Noise, NoisyAccuracy, QuantisedAccuracy
from trainfit.bench.training.contract_check import predict_scores
from trainfit.bench.training.evaluation import evaluate

BITS = (8, 7, 6, 5, 4, 3, 2)
AMPLITUDES = (0.01, 0.02, 0.05, 0.1, 0.2, 0.4)
"""Of the noise, as a share of a tensor's largest weight."""

SEEDS = (0, 1, 2)

TEST_SAMPLES = 2000
"""At most so many samples of the test half are predicted, evenly spread over it."""

PROBE_ROWS = 64
"""Samples on which it is found out what the prediction reads."""

LEVELS = 127

Disturbance = Callable[[torch.Tensor], torch.Tensor]


def probe_noise(trained: Algorithm[Any], data: Dataset) -> Noise:
    """Accuracy at every disturbance; afterwards the weights are what they were.

    Args:
        trained: The trained algorithm.
        data: Its data, as it was trained with.
    """
    part = _spread(data)
    read, reason = _weights(trained, part.test_x[:PROBE_ROWS])
    if reason:
        return Noise(reason=reason)

    def accuracy(disturb: Disturbance) -> float:
        with _disturbed(read.values(), disturb):
            return evaluate(trained, part, disturbed=True).accuracy

    return Noise(
        samples=len(part.test_x),
        tensors=list(read),
        undisturbed_accuracy=evaluate(trained, part).accuracy,
        quantised=[
            QuantisedAccuracy(bits=bits, test_accuracy=accuracy(_rounding(bits))) for bits in BITS
        ],
        noisy=[
            NoisyAccuracy(
                amplitude=amplitude, seed=seed, test_accuracy=accuracy(_noise(amplitude, seed))
            )
            for amplitude in AMPLITUDES
            for seed in SEEDS
        ],
    )


def _spread(data: Dataset) -> Dataset:
    """The data with no more of the test half than is predicted."""
    samples = len(data.test_x)
    if samples <= TEST_SAMPLES:
        return data
    chosen_S = torch.arange(TEST_SAMPLES) * samples // TEST_SAMPLES
    return replace(data, test_x=data.test_x[chosen_S], test_y=data.test_y[chosen_S])


# ---- which weights there are ------------------------------------------------------------------


def _weights(
    trained: Algorithm[Any], x_BI: torch.Tensor
) -> tuple[dict[str, torch.Tensor], str | None]:
    """The weight tensors that the prediction reads, by name; or why they cannot be disturbed."""
    matrices = {
        held.name: held.tensor.detach()
        for held in trained.static_tensors()
        if held.category is Category.PARAMETERS and held.tensor.dim() > 1
    }
    for name, tensor in matrices.items():
        if not (tensor.is_floating_point() or tensor.dtype is torch.int8):
            kind = str(tensor.dtype).removeprefix("torch.")
            return {}, f"{name} is {kind}, packed bits: there is nothing between two values of one"
    scores_BC = predict_scores(trained, x_BI)
    read = {}
    for name, tensor in matrices.items():
        with _disturbed([tensor], torch.zeros_like):
            if torch.equal(predict_scores(trained, x_BI), scores_BC):
                continue
        if tensor.is_floating_point():
            with _disturbed([tensor], _signs):
                signs_BC = predict_scores(trained, x_BI)
            if torch.allclose(signs_BC, scores_BC, rtol=1e-3, atol=1e-5):
                return {}, f"the prediction reads no more than signs of {name}"
        read[name] = tensor
    if not read:
        names = ", ".join(matrices) or "none"
        return {}, f"the prediction reads none of the weight tensors that are kept ({names})"
    return read, None


def _signs(w: torch.Tensor) -> torch.Tensor:
    """What binary weights are read as, the sign of 0 being +1."""
    return torch.where(w >= 0, 1.0, -1.0) * w.abs().mean()


# ---- disturbing them --------------------------------------------------------------------------


@contextmanager
def _disturbed(tensors: Any, disturb: Disturbance) -> Iterator[None]:
    """The tensors with other values for a while, in place, since they are the algorithm's own."""
    kept = [(tensor, tensor.clone()) for tensor in tensors]
    try:
        for tensor, values in kept:
            tensor.copy_(disturb(values))
        yield
    finally:
        for tensor, values in kept:
            tensor.copy_(values)


def _rounding(bits: int) -> Disturbance:
    levels = 2 ** (bits - 1) - 1

    def disturb(w: torch.Tensor) -> torch.Tensor:
        step = w.abs().max().double() / levels
        if not step:
            return w
        return _in_kind((w.double() / step).round() * step, w)

    return disturb


def _noise(amplitude: float, seed: int) -> Disturbance:
    """One stream of noise for all tensors, one after the other."""
    generator = torch.Generator().manual_seed(seed)

    def disturb(w: torch.Tensor) -> torch.Tensor:
        u = torch.empty(w.shape, dtype=torch.float64).uniform_(-1, 1, generator=generator)
        return _in_kind(w.double() + u * (amplitude * float(w.abs().max())), w)

    return disturb


def _in_kind(values: torch.Tensor, like: torch.Tensor) -> torch.Tensor:
    """As ``like`` is kept: integers are rounded and stay within what there is."""
    if like.is_floating_point():
        return values.to(like.dtype)
    return values.round().clamp(-LEVELS, LEVELS).to(like.dtype)
