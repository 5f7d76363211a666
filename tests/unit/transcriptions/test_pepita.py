"""PEPITA: Dellaferrera & Kreiman (ICML 2022, arXiv 2201.11665), algorithm 1.

    e = softmax(a) - y*         x' = x + F e          (the sign as in the authors' code)
    dW_1 = (h_1 - h'_1) x'^T    dW_l = (h_l - h'_l) h'_{l-1}^T    dW_L = e' h'_{L-1}^T

as means over the batch, with the same units dropped in both passes, and no biases.
``output_error=standard`` has e instead of e' (Srinivasan et al., arXiv 2302.05440). MEM-PEPITA (Pau
& Aymone, COINS 2023) is the same rule in other memory.

Binary, as in the code of TinyFoA's authors: W is read as mean(abs(W)) sign(W), an activation is
mean(abs(z)) 1[z > 0] before dropout, with a scale per pass; no gradient is cut, parameters are
clipped to [-1, 1].
"""

from __future__ import annotations

import numpy as np
import pytest
import torch

from tests.unit.transcriptions.arithmetic import (
    Array,
    Transcription,
    mean_abs,
    one_hot,
    optimiser,
    product,
    sign,
    softmax,
)
from tests.unit.transcriptions.comparison import (
    CLOSE,
    NOTICED,
    ROWS,
    deviations,
    enlarge,
    held,
    largest,
    same_draws,
    start,
    starting_with,
)
from trainfit.algorithms.numerics.dropout import Dropout

MODEL = "mlp-12-16-8-16-4"


class Pepita(Transcription):
    """A draw is the mask of a hidden layer: 1 / keep, or 0."""

    def __init__(self, parameters, optimiser, feedback_CI, *, formats=(), standard_error=False):
        super().__init__(parameters, optimiser)
        self.feedback_CI = feedback_CI
        self.binary_weights = "weights" in formats
        self.binary_activations = "activations" in formats
        self.standard_error = standard_error

    def passed(self, x_BI: Array, masks) -> list[Array]:
        """Activations of a pass, the input first and the logits last."""
        h = [x_BI]
        for number in range(1, self.layers + 1):
            w_OI = self.p[f"w{number}"]
            if self.binary_weights and number < self.layers:
                w_OI = mean_abs(w_OI) * sign(w_OI)
            z_BO = product(h[-1], w_OI)
            if number == self.layers:
                return [*h, z_BO]
            binary_BO = mean_abs(z_BO) * (z_BO > 0)
            rectified_BO = binary_BO if self.binary_activations else np.maximum(z_BO, 0.0)
            h.append(rectified_BO * masks[number - 1])
        raise AssertionError

    def modulated(self, x_BI, e_BC):
        return x_BI + e_BC @ self.feedback_CI

    def second_masks(self, masks):
        return masks

    def step(self, x_BI, y_B, *draws):
        self.optimiser.begin_step()
        h = self.passed(x_BI, draws)
        e_BC = softmax(h[-1]) - one_hot(y_B, h[-1].shape[1])
        m = self.passed(self.modulated(x_BI, e_BC), self.second_masks(draws))
        last_BC = e_BC if self.standard_error else softmax(m[-1]) - one_hot(y_B, m[-1].shape[1])
        for number in range(1, self.layers + 1):
            own_BO = last_BC if number == self.layers else h[number] - m[number]
            self.update(f"w{number}", own_BO.T @ m[number - 1] / len(x_BI))
            self.clip(self.p[f"w{number}"])

    def clip(self, w_OI):
        if self.binary_weights:
            np.clip(w_OI, -1, 1, out=w_OI)


def masks(algorithm, x, y):
    """The rule's dropout, on ones."""
    dropout = Dropout(algorithm.options.keep, same_draws(algorithm))
    dropout.begin_step()
    return tuple(
        dropout.apply_(torch.ones(ROWS, width), number).numpy().astype(np.float64)
        for number, width in enumerate(algorithm.model.hidden, start=1)
    )


def compared(name, options, kind=Pepita):
    rate = 0.01 if options.get("optimizer") == "adam" else 0.3 if "momentum" in options else 0.05
    options = {"lr": rate} | options
    # a modulation that is seen
    algorithm = start(name, MODEL, {"feedback_scale": 0.3} | options)
    if options.get("weights") == "binary":
        enlarge(algorithm, 1.3, "w")
    found = held(algorithm)
    theirs = kind(
        starting_with(found, "w"),
        optimiser(options),
        found["feedback"],
        formats=[key for key in ("weights", "activations") if options.get(key) == "binary"],
        standard_error=options.get("output_error") == "standard",
    )

    def read(algorithm):
        now = held(algorithm)
        assert np.array_equal(now.pop("feedback"), theirs.feedback_CI)
        return now

    return deviations(algorithm, theirs, draws=masks, read=read)


FORMS = [
    {},
    {"keep": 1.0, "momentum": 0.0},
    {"optimizer": "adam"},
    {"output_error": "standard"},
    {"weights": "binary"},
    {"activations": "binary", "keep": 1.0},
    {"weights": "binary", "activations": "binary"},
    {"weights": "binary", "activations": "binary", "output_error": "standard"},
]


@pytest.mark.parametrize("options", FORMS, ids=str)
@pytest.mark.parametrize("name", ["pepita", "mem_pepita"])
def test_pepita(name, options):
    assert largest(compared(name, options)) < CLOSE


def test_masks_keep_as_many_units_as_they_should():
    algorithm = start("pepita", "mlp-12-2000-4", {"keep": 0.7})
    (mask_BO,) = masks(algorithm, None, None)
    assert set(np.unique(mask_BO)) == {0.0, np.float64(np.float32(1 / 0.7))}
    assert abs((mask_BO > 0).mean() - 0.7) < 0.02


# ---- slips that have to be noticed --------------------------------------------------------------


class UnmodulatedInput(Pepita):
    def modulated(self, x_BI, e_BC):
        return x_BI


class OtherSign(Pepita):
    def modulated(self, x_BI, e_BC):
        return x_BI - e_BC @ self.feedback_CI


class MeanError(Pepita):
    """The error as the mean's gradient, a batch smaller."""

    def modulated(self, x_BI, e_BC):
        return super().modulated(x_BI, e_BC / len(x_BI))


class OtherMasks(Pepita):
    """Other units dropped in the second pass."""

    def second_masks(self, masks):
        return [mask[::-1] for mask in masks]


class NeverClipped(Pepita):
    def clip(self, w_OI):
        pass


class CutGradient(Pepita):
    """Straight through: with a cut, as other rules have it."""

    def update(self, name, gradient):
        super().update(name, gradient * (np.abs(self.p[name]) < 1))


@pytest.mark.parametrize(
    ("options", "kind"),
    [
        ({}, UnmodulatedInput),
        ({}, OtherSign),
        ({}, MeanError),
        ({}, OtherMasks),
        ({"weights": "binary"}, NeverClipped),
        ({"weights": "binary"}, CutGradient),
    ],
)
def test_a_slip_is_noticed(options, kind):
    assert largest(compared("pepita", options, kind)) > NOTICED
