"""Forward-Forward, its variants and binary forms, against ``forward_forward``'s equations."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from tests.unit.transcriptions.arithmetic import optimiser
from tests.unit.transcriptions.comparison import (
    CLOSE,
    NOTICED,
    deviations,
    enlarge,
    held,
    largest,
    same_draws,
    start,
    starting_with,
)
from tests.unit.transcriptions.forward_forward import ForwardForward

MODEL = "mlp-14-12-16-10-4"
JOINT = {"passes": "joint"}
HEAD = {"score": "head"}
HARD = {"negatives": "hard"}
BINARY = {"weights": "binary", "activations": "binary"}


def draws(algorithm, x, y):
    """Wrong labels, or for hard negatives the times of the race."""
    twin = same_draws(algorithm)
    if algorithm.options.negatives == "hard":
        race_BC = torch.empty(len(y), algorithm.model.classes)
        return (race_BC.exponential_(generator=twin).numpy().astype(np.float64),)
    shift_B = torch.empty_like(y).random_(1, algorithm.model.classes, generator=twin)
    return (((y + shift_B) % algorithm.model.classes).numpy(),)


def rate_for(options):
    if options.get("optimizer") == "adam":
        # whose bias correction counts steps, of which each updates twice in the sequential form
        return 0.005
    large = options.get("goodness") == "mean" or "activations" in options
    return 0.2 if large else 0.004


def read(algorithm):
    """Weights of binary layers lie in one group."""
    found = {}
    for name, t in held(algorithm).items():
        found[name] = t[0] if t.ndim == 3 else t
    return found


def compared(options, kind=ForwardForward, model=MODEL, prepare=None, steps=20):
    options = {"lr": rate_for(options), "head_lr": 0.2} | options
    algorithm = start("forward_forward", model, options)
    if options.get("weights") == "binary":
        enlarge(algorithm, 1.5, "w")
    if prepare is not None:
        prepare(algorithm)
    parameters = starting_with(read(algorithm), "w", "b")
    theirs = kind(parameters, optimiser(options), algorithm.model.classes, options)
    return deviations(algorithm, theirs, draws=draws, read=read, steps=steps)


CASES = [
    {},
    {"momentum": 0.0},
    {"optimizer": "adam"},
    {"goodness": "mean"},
    {"threshold": 3.0, "label_scale": 2.5},
    HARD,
    JOINT,
    JOINT | {"optimizer": "adam"},
    JOINT | HEAD,
    JOINT | HARD | {"goodness": "mean"},
    JOINT | {"loss": "symba", "symba_scale": 0.5},
    JOINT | {"loss": "symba", "goodness": "mean"},
]
BINARY_CASES = [
    {"weights": "binary"},
    {"activations": "binary"},
    BINARY,
    BINARY | JOINT,
    BINARY | JOINT | {"optimizer": "adam"},
    BINARY | HARD,
    {"weights": "binary"} | HARD,
    {"activations": "binary", "goodness": "mean"} | JOINT | HEAD,
    BINARY | JOINT | {"threshold": 4.0},
]


@pytest.mark.parametrize("options", CASES, ids=str)
def test_float(options):
    assert largest(compared(options)) < CLOSE


@pytest.mark.parametrize("options", [{}, {"goodness": "mean"}, {"optimizer": "adam"}], ids=str)
def test_autograd_is_the_joint_form(options):
    options = {"implementation": "autograd"} | options

    class BothAtOnce(ForwardForward):
        joint = property(lambda self: True, lambda self, value: None)

    assert largest(compared(options, BothAtOnce)) < CLOSE


def test_with_one_layer_the_classifier_reads_it():
    assert largest(compared(JOINT | HEAD, model="mlp-14-12-4")) < CLOSE


@pytest.mark.parametrize("options", BINARY_CASES, ids=str)
def test_binary(options):
    assert largest(compared(options)) < CLOSE


# ---- peer normalisation -------------------------------------------------------------------------

PEER = [
    {"peer": 0.5},
    {"peer": 0.5} | JOINT | HEAD,
    {"peer": 0.5, "goodness": "mean"} | HARD,
    {"peer": 0.5} | BINARY,
    {"peer": 0.5, "weights": "binary"} | JOINT,
    {"peer": 0.5, "activations": "binary"} | JOINT | HARD,
]


@pytest.mark.parametrize("options", PEER, ids=str)
def test_peer_normalisation_pulls_every_unit(options):
    assert largest(compared(options)) < CLOSE


@pytest.mark.parametrize("formats", [{}, BINARY], ids=str)
def test_peer_normalisation_pulls_a_unit_that_is_silent(formats):
    def silence(algorithm):
        for each in algorithm.static_tensors():
            if each.name in ("w1", "b1"):
                each.tensor.view(-1, each.tensor.shape[-1] if each.name == "w1" else 1)[0] = -0.5

    options = {"peer": 0.5} | formats
    assert largest(compared(options, prepare=silence)) < CLOSE
    assert largest(compared(options, Gated, prepare=silence)) > NOTICED


# ---- slips that have to be noticed --------------------------------------------------------------


class Gated(ForwardForward):
    def gated(self, pull_O, y_BO):
        return pull_O * (y_BO > 0)


class HalfThePull(ForwardForward):
    def pull(self, number, h_BO):
        return super().pull(number, h_BO) / 2


class LengthPassedOn(ForwardForward):
    def passed_on(self, y_RO):
        return y_RO


class SumForMean(ForwardForward):
    def loss_by_goodness(self, good_R, width, batch, positive):
        return super().loss_by_goodness(good_R, width, batch, positive) * batch


class WithoutThreshold(ForwardForward):
    def theta(self, width):
        return 0.0


class NeverClipped(ForwardForward):
    def clip(self, t):
        pass


class Uncut(ForwardForward):
    def cut(self, w_OI):
        return 1.0


class OpenGate(ForwardForward):
    def output(self, h_RI, number):
        y_RO = super().output(h_RI, number)[0]
        return y_RO, 2 * y_RO


class OneUpdate(ForwardForward):
    """The two passes as one."""

    joint = property(lambda self: True, lambda self, value: None)


@pytest.mark.parametrize(
    ("options", "kind"),
    [
        ({}, LengthPassedOn),
        ({}, SumForMean),
        ({}, WithoutThreshold),
        ({}, OneUpdate),
        (JOINT | {"loss": "symba"}, SumForMean),
        (BINARY, OpenGate),
        (BINARY, Uncut),
        (BINARY, NeverClipped),
        ({"peer": 0.5}, Gated),
        ({"peer": 0.5}, HalfThePull),
    ],
)
def test_a_slip_is_noticed(options, kind):
    assert largest(compared(options, kind)) > NOTICED
