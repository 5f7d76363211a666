"""FF-INT8 against ``ff_int8``'s equations: the same integers in every step."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from tests.unit.transcriptions.comparison import (
    CLOSE,
    NOTICED,
    deviations,
    held,
    largest,
    same_draws,
    start,
)
from tests.unit.transcriptions.ff_int8 import FfInt8, unit
from tests.unit.transcriptions.rounding import CLEAR, LEVELS, SURE, inverse

MODEL = "mlp-12-10-8-9-4"
TRUE = {"lookahead": "true", "lookahead_step": 0.2}
DETACHED = {"lookahead": "detached", "lookahead_step": 0.2}
FP32 = {"master": "fp32"}
NEAREST = {"rounding": "nearest"}


def draws(algorithm, x, y):
    """The seed of the step, then the wrong labels."""
    twin = same_draws(algorithm)
    seed = int(torch.empty((), dtype=torch.int64).random_(generator=twin))
    shift_B = torch.empty_like(y).random_(1, algorithm.model.classes, generator=twin)
    return seed, ((y + shift_B) % algorithm.model.classes).numpy()


def compared(options, kind=FfInt8, seed=0, model=MODEL):
    """Deviations, and the closest call of all roundings."""
    algorithm = start("ff_int8", model, options, seed)
    kept = {name: t for name, t in held(algorithm).items() if "momentum" not in name}
    theirs = kind(kept, algorithm.model.classes, options)
    return deviations(
        algorithm, theirs, draws=draws, steps_per_pass=4, first_batch=CLEAR
    ), theirs.borders.closest


CASES = [
    (NEAREST, 1),
    ({}, 6),
    (NEAREST | FP32, 6),
    (FP32 | {"momentum": 0.9}, 2),
    (DETACHED, 7),
    (DETACHED | FP32 | NEAREST, 5),
    (TRUE, 6),
    (TRUE | NEAREST, 4),
    (TRUE | FP32 | NEAREST, 6),
    (TRUE | {"kernel": "torch"}, 6),
    (NEAREST | {"goodness": "mean", "lr": 8.0}, 7),
    ({"threshold": 2.0, "label_scale": 2.0}, 1),
]


@pytest.mark.parametrize(("options", "seed"), CASES, ids=str)
def test_every_integer_is_the_same(options, seed):
    found, closest = compared(options, seed=seed)
    assert closest > SURE, "choose a seed with which no number is this close to a border"
    if options.get("master") != "fp32":
        assert {name: t for name, t in found.items() if name.startswith("w")} == dict.fromkeys(
            [f"w{n}{part}" for n in (1, 2, 3) for part in ("", ".scale")], 0.0
        )
    assert largest(found) < CLOSE


def test_one_layer_has_nothing_ahead():
    found, closest = compared(TRUE, model="mlp-12-10-4")
    assert closest > SURE
    assert largest(found) < CLOSE


def test_the_first_integers_are_the_nearest():
    floats = held(start("ff_int8", MODEL, FP32))
    for name, q in held(start("ff_int8", MODEL, {})).items():
        if name in ("w1", "w2", "w3"):
            scale_O1 = np.abs(floats[name]).max(1, keepdims=True) / LEVELS
            assert np.array_equal(q, np.rint(floats[name] / scale_O1))


# ---- slips that have to be noticed --------------------------------------------------------------


class WithoutTheInputsScale(FfInt8):
    """All rows of the input count alike, whatever their integers stand for."""

    def learn(self, number, g, h, seeds):
        super().learn(number, g, h._replace(s=np.full_like(h.s, h.s.mean())), seeds)


class SumForMean(FfInt8):
    def gradient(self, y, excess_R):
        return y._replace(s=super().gradient(y, excess_R).s * len(y.q) / 2)


class PaperThreshold(FfInt8):
    def excess(self, y):
        return self.goodness(y) - 2.0


class OtherRandomNumbers(FfInt8):
    def move(self, number, change_OI, seed):
        super().move(number, change_OI, seed + 1)


class NothingAhead(FfInt8):
    def begin_pass(self, number):
        self.weight = 0.0


class LengthSeen(FfInt8):
    """As if the length of a row were not normalised away."""

    def through_unit_rows(self, above_RO, y):
        return above_RO * (unit(y).s * inverse(y.s))[:, None]


@pytest.mark.parametrize(
    ("options", "kind"),
    [
        (NEAREST, WithoutTheInputsScale),
        (NEAREST, SumForMean),
        (NEAREST, PaperThreshold),
        (NEAREST, OtherRandomNumbers),
        (DETACHED, NothingAhead),
        (TRUE, NothingAhead),
        (TRUE, LengthSeen),
    ],
)
def test_a_slip_is_noticed(options, kind):
    found, _ = compared(options, kind)
    assert largest(found) > NOTICED
    assert max(found["w1"], found["w2"], found["w3"]) > NOTICED
