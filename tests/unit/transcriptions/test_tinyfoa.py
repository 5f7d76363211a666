"""TinyFoA on fully connected nets, described and released, against ``tinyfoa``'s equations."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from tests.unit.transcriptions import tinyfoa
from tests.unit.transcriptions.comparison import (
    CLOSE,
    NOTICED,
    ROWS,
    batch,
    deviations,
    enlarge,
    held,
    largest,
    start,
    starting_with,
)

MODEL = "mlp-12-16-8-12-4"
LR = 0.02
PASSES = 5
STEPS_PER_PASS = 4
STAGE = PASSES * STEPS_PER_PASS


def read_described(theirs):
    def read(algorithm):
        found = held(algorithm)
        now = {name: t for name, t in found.items() if name.startswith(("w.", "b."))}
        for number in range(1, theirs.layers + 1):
            now |= {f"w{number}": found[f"latent{number}"], f"b{number}": found[f"b{number}"]}
            if number == theirs.active:  # whose slice is written back after its turn
                now[f"w{number}"][theirs.place] = found["slice"]
            now[f"scale{number}"] = found[f"scale{number}"]
        return now

    return read


def whole(w_MOK):
    """A layer's weights, which lie in groups of columns, as a matrix."""
    return np.concatenate(list(w_MOK), axis=1)


def read_unbinarised(theirs):
    """Float weights are trained where they lie; of binary ones the slice is read."""

    def read(algorithm):
        found, number = held(algorithm), theirs.active
        now = {"w.mean": found[f"w{number}.mean"], "w.square": found[f"w{number}.square"]}
        now |= {"b.mean": found[f"b{number}.mean"], "b.square": found[f"b{number}.square"]}
        for n in range(1, theirs.layers + 1):
            now[f"b{n}"] = found[f"b{n}"]
            now[f"w{n}"] = whole(found[f"w{n}" if theirs.float_weights else f"latent{n}"])
            if not theirs.float_weights:
                now[f"scale{n}"] = found[f"scale{n}"]
        if not theirs.float_weights:
            now[f"w{number}"][theirs.place] = found[f"slice{number}"]
        return now

    return read


def read_released(algorithm):
    names = {"exp_avg": "mean", "exp_avg_sq": "square"}
    found = {}
    for name, t in held(algorithm).items():
        parameter, _, kind = name.partition(".")
        if not name.startswith("head") and kind != "step":
            found[f"{parameter}.{names[kind]}" if kind else parameter] = t
    return found


def features_of(theirs):
    """The batch's rows of what the rule keeps of all samples for a stage."""
    everything = np.concatenate([batch(12, 4, number)[0] for number in range(3 * STAGE)])
    kept = {}

    def stage_input(algorithm, number, x):
        if number % STAGE == 0:
            kept["data"] = algorithm.stage_data(torch.from_numpy(everything))
            theirs.cache(everything.astype(np.float64))
        return kept["data"][number * ROWS : (number + 1) * ROWS]

    return stage_input


def compared(options, kind):
    """All three layers, 20 steps each."""
    algorithm = start("tinyfoa", MODEL, {"lr": LR} | options)
    enlarge(algorithm, 3.0 if "variant" in options else 2.7, "latent", "slice", "scale", "w", "b")
    found = {name.replace("latent", "w"): t for name, t in held(algorithm).items()}
    parameters, heads = starting_with(found, "w", "b"), starting_with(found, "head")
    theirs = kind(parameters, heads, LR, slices=options.get("slices", 2), passes=PASSES)
    cached = options.get("features") == "cached"
    return deviations(
        algorithm,
        theirs,
        read=read_released if issubclass(kind, tinyfoa.Released) else read_described(theirs),
        steps_per_pass=STEPS_PER_PASS,
        passes_per_stage=PASSES,
        stage_input=features_of(theirs) if cached else None,
        steps=3 * STAGE,
    )


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"slices": 1},
        {"slices": 4},
        {"update": "fused"},
        {"kernel": "tiles"},
        {"features": "cached"},
        {"features": "cached", "kernel": "tiles", "update": "fused"},
    ],
    ids=str,
)
def test_described(options):
    assert largest(compared(options, tinyfoa.Described)) < CLOSE


def compared_unbinarised(options, kind):
    """All three layers, 20 steps each; binary weights reach 1, float ones are beyond it."""
    form = {
        "weights": "float" if kind.float_weights else "binary",
        "activations": "float" if kind.float_activations else "binary",
    }
    algorithm = start("tinyfoa", MODEL, {"lr": LR, **form, **options})
    enlarge(algorithm, 3.5 if kind.float_weights else 2.7, "latent", "slice", "scale", "w", "b")
    found = held(algorithm)
    matrices = "w" if kind.float_weights else "latent"
    parameters = starting_with(found, "b") | {
        f"w{n}": whole(found[f"{matrices}{n}"]) for n in (1, 2, 3)
    }
    heads = starting_with(found, "head")
    theirs = kind(parameters, heads, LR, slices=options.get("slices", 2), passes=PASSES)
    return deviations(
        algorithm,
        theirs,
        read=read_unbinarised(theirs),
        steps_per_pass=STEPS_PER_PASS,
        passes_per_stage=PASSES,
        steps=3 * STAGE,
    )


@pytest.mark.parametrize("kind", [tinyfoa.FloatWeights, tinyfoa.FloatActivations, tinyfoa.Float])
@pytest.mark.parametrize(
    "options",
    [{}, {"slices": 1}, {"slices": 4, "update": "fused"}, {"kernel": "tiles"}],
    ids=str,
)
def test_unbinarised(options, kind):
    assert largest(compared_unbinarised(options, kind)) < CLOSE


@pytest.mark.parametrize("slices", [2, 4])
def test_released(slices):
    options = {"variant": "released", "slices": slices}
    assert largest(compared(options, tinyfoa.Released)) < CLOSE


# ---- slips that have to be noticed --------------------------------------------------------------


class NoUpperCut(tinyfoa.Described):
    def gate(self, z_BO):
        return z_BO > 0


class FrozenMoments(tinyfoa.Released):
    """The moments of the block that is left as it is stay as they are."""

    def change(self, w_OI, b_O, dw_OI, db_O):
        states = [t for name, t in self.optimiser.state.items() if name.startswith("w.")]
        kept = [t[self.place].copy() for t in states]
        super().change(w_OI, b_O, dw_OI, db_O)
        for t, before in zip(states, kept, strict=True):
            t[self.place] = before


class NeverClipped(tinyfoa.Described):
    def clip(self, t):
        pass


class Uncut(tinyfoa.Released):
    def cut(self, w_OI):
        return 1.0


class ByColumn(tinyfoa.Described):
    """Slices take turns column by column."""

    def enter_slice(self, turn):
        super().enter_slice(self.slices * (turn % self.slices) + turn // self.slices)


class CountedFromZero(tinyfoa.Released):
    def enter_slice(self, turn):
        super().enter_slice(turn + 1)


class ScaleOfTheBatch(tinyfoa.Described):
    def cache(self, x_SI):
        self.cached = {}


class ClippedFloats(tinyfoa.Float):
    """Float weights clipped as if they were binary."""

    def clip(self, t):
        np.clip(t, -1, 1, out=t)


class RectifierWithAnUpperCut(tinyfoa.FloatActivations):
    def gate(self, z_BO):
        return (z_BO > 0) & (z_BO < 1)


class BitsWithoutAnUpperCut(tinyfoa.FloatWeights):
    def gate(self, z_BO):
        return z_BO > 0


class SignsNeverClipped(tinyfoa.FloatActivations):
    def clip(self, t):
        pass


@pytest.mark.parametrize(
    "kind", [ClippedFloats, RectifierWithAnUpperCut, BitsWithoutAnUpperCut, SignsNeverClipped]
)
def test_a_slip_of_the_unbinarised_is_noticed(kind):
    assert largest(compared_unbinarised({}, kind)) > NOTICED


@pytest.mark.parametrize(
    ("options", "kind"),
    [
        ({}, NoUpperCut),
        ({}, NeverClipped),
        ({"variant": "released"}, Uncut),
        ({}, ByColumn),
        ({"features": "cached"}, ScaleOfTheBatch),
        ({"variant": "released"}, FrozenMoments),
        ({"variant": "released"}, CountedFromZero),
    ],
)
def test_a_slip_is_noticed(options, kind):
    assert largest(compared(options, kind)) > NOTICED
