"""Backpropagation in INT8 against ``int8_chain``'s equations: the same integers in every step."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from tests.unit.transcriptions.arithmetic import optimiser
from tests.unit.transcriptions.comparison import (
    CLOSE,
    NOTICED,
    STEPS,
    batch,
    deviations,
    held,
    largest,
    same_draws,
    start,
    starting_with,
)
from tests.unit.transcriptions.int8_chain import Dai8, Int8Chain, Qat, Ui8
from tests.unit.transcriptions.rounding import CLEAR, SURE
from tests.unit.transcriptions.test_backprop import Backprop

MODEL = "mlp-12-10-8-9-4"
RULES = {
    "backprop_int8": Int8Chain,
    "backprop_ui8": Ui8,
    "backprop_dai8": Dai8,
    "qat_int8": Qat,
}
MOMENTUM = {"backprop_int8": 0.0}


def draws(algorithm, x, y):
    if getattr(algorithm.options, "rounding", "nearest") == "nearest":
        return ()
    return (int(torch.empty((), dtype=torch.int64).random_(generator=same_draws(algorithm))),)


def read(algorithm):
    """But for the deviations of UI8's candidates: what they lead to is compared."""
    kept = held(algorithm).items()
    return {name: t for name, t in kept if not name.startswith("deviations")}


def compared(name, options, kind=None, seed=0, steps=STEPS):
    """Deviations, and the closest call of all roundings."""
    options = {"lr": 0.01 if options.get("optimizer") == "adam" else 0.1} | options
    algorithm = start(name, MODEL, options, seed)
    kept = {each: t for each, t in read(algorithm).items() if "." not in each}
    rule = optimiser(options, momentum=MOMENTUM.get(name, 0.9))
    theirs = (kind or RULES[name])(kept, rule, options)
    return deviations(
        algorithm, theirs, draws=draws, read=read, first_batch=CLEAR
    ), theirs.borders.closest


FLOATS = {"master": "fp32"}
STOCHASTIC = {"rounding": "stochastic"}
NEAREST = {"rounding": "nearest"}
ADAM = {"optimizer": "adam"}
CASES = [
    ("backprop_int8", {}, 0),
    ("backprop_int8", {"kernel": "torch"}, 0),
    ("backprop_int8", STOCHASTIC | {"weight_gradient": "whole"}, 5),
    ("backprop_int8", FLOATS, 7),
    ("backprop_int8", FLOATS | STOCHASTIC | {"momentum": 0.9}, 10),
    ("backprop_int8", FLOATS | ADAM, 4),
    ("backprop_ui8", {}, 1),
    ("backprop_ui8", NEAREST | {"momentum": 0.0}, 5),
    ("backprop_ui8", {"period": 4, "candidates": 12}, 7),
    ("backprop_ui8", ADAM | {"candidates": 2}, 11),
    ("backprop_dai8", {}, 7),
    ("backprop_dai8", STOCHASTIC, 9),
    ("backprop_dai8", ADAM, 6),
    ("qat_int8", {}, 9),
    ("qat_int8", {"momentum": 0.0, "kernel": "torch"}, 9),
    ("qat_int8", ADAM, 3),
]


@pytest.mark.parametrize(("name", "options", "seed"), CASES, ids=str)
def test_every_integer_is_the_same(name, options, seed):
    found, closest = compared(name, options, seed=seed)
    assert closest > SURE, "choose a seed with which no number is this close to a border"
    assert [found[f"q{n}"] for n in (1, 2, 3, 4)] == [0.0] * 4
    assert largest(found) < CLOSE


def test_ui8_clips_where_that_keeps_the_direction():
    """On layers this small only the finest candidates do; their deviations are close soon."""
    options, few = NEAREST | {"candidates": 100}, 6
    found, closest = compared("backprop_ui8", options, seed=13, steps=few)
    assert closest > SURE
    assert largest(found) < CLOSE
    never, _ = compared("backprop_ui8", options, NeverClipped, seed=13, steps=few)
    assert largest(never) > 50 * CLOSE


def test_the_first_integers_are_the_nearest():
    found = held(start("qat_int8", MODEL, {}))
    for n in (1, 2, 3, 4):
        scale = np.abs(found[f"w{n}"]).max() / 127
        np.testing.assert_allclose(found[f"s{n}"], scale, rtol=1e-6)
        assert np.array_equal(found[f"q{n}"], np.rint(found[f"w{n}"] / scale))


# ---- post-training quantisation -----------------------------------------------------------------


def rounded_prediction(p, x_BI, layers=4):
    """Jacob et al. (CVPR 2018), section 2: products of integers, one scale per tensor."""
    h_BI = x_BI
    for n in range(1, layers + 1):
        scales = [np.abs(t).max() / 127 for t in (h_BI, p[f"w{n}"])]
        q_BI, q_OI = (np.rint(t / s) for t, s in zip((h_BI, p[f"w{n}"]), scales, strict=True))
        z_BO = q_BI @ q_OI.T * scales[0] * scales[1] + p[f"b{n}"]
        h_BI = np.maximum(z_BO, 0.0)
    return z_BO


@pytest.mark.parametrize("options", [{}, ADAM, {"update": "fused", "kernel": "torch"}], ids=str)
def test_trained_in_float_and_rounded_for_the_prediction(options):
    options = {"lr": 0.01 if options == ADAM else 0.3} | options
    algorithm = start("ptq_int8", MODEL, options)
    theirs = Backprop(starting_with(held(algorithm), "w", "b"), optimiser(options))
    assert largest(deviations(algorithm, theirs)) < CLOSE
    x_BI, _ = batch(12, 4, 99)
    ours_BC = algorithm.predict(torch.from_numpy(x_BI)).numpy()
    theirs_BC = rounded_prediction(theirs.p, x_BI.astype(np.float64))
    np.testing.assert_allclose(ours_BC, theirs_BC, atol=1e-5)


# ---- slips that have to be noticed --------------------------------------------------------------


class SumForMean(Int8Chain):
    def rounded(self, number, dz_BO, seed):
        d = super().rounded(number, dz_BO, seed)
        return d._replace(for_weights=d.for_weights._replace(s=d.for_weights.s * len(dz_BO)))


class Ungated(Int8Chain):
    def gate(self, h):
        return 1.0


class WithoutTheInputsScale(Int8Chain):
    def weight_gradient(self, d, dz_BO, h):
        return super().weight_gradient(d, dz_BO, h._replace(s=np.ones(1)))


class RateAsItIs(Ui8):
    """Clipping alone."""

    def rate(self, deviation):
        return 1.0


class NeverClipped(Ui8):
    def clipped(self, number, g, nth, seed):
        return super().clipped(number, g, self.options.get("candidates", 10), seed)


class OneRange(Dai8):
    def next_scale(self, number, dz_BO):
        return np.full_like(super().next_scale(number, dz_BO), np.abs(dz_BO).max() / 127)


class AlwaysGaussian(Dai8):
    share = 0.0


class RoundedGradient(Qat):
    """What goes down rounded, as in the rules with INT8 gradients."""

    rounded = Int8Chain.rounded
    pass_down = Int8Chain.pass_down
    weight_gradient = Int8Chain.weight_gradient


@pytest.mark.parametrize(
    ("name", "options", "kind"),
    [
        ("backprop_int8", {}, SumForMean),
        ("backprop_int8", {}, Ungated),
        ("backprop_int8", FLOATS, WithoutTheInputsScale),
        ("backprop_ui8", {}, RateAsItIs),
        ("backprop_dai8", {}, OneRange),
        ("backprop_dai8", {}, AlwaysGaussian),
        ("qat_int8", {}, RoundedGradient),
        ("qat_int8", {}, Ungated),
    ],
)
def test_a_slip_is_noticed(name, options, kind):
    found, _ = compared(name, options, kind)
    assert largest(found) > NOTICED
