"""Sparse updates: backpropagation whose gradient reaches chosen parameters only.

Lin et al. (NeurIPS 2022, arXiv 2206.15472), section 3.2: dW = dz^T h for the chosen layers and for
a part of their inputs, db for a range of layers; what is not chosen neither changes nor has a
state. Cai et al. (NeurIPS 2020), eq. 2: biases need no stored activations.
"""

from __future__ import annotations

import numpy as np
import pytest

from tests.unit.transcriptions.arithmetic import Arrays, Transcription, optimiser, output_error
from tests.unit.transcriptions.comparison import (
    CLOSE,
    NOTICED,
    deviations,
    held,
    largest,
    start,
)

MODEL = "mlp-12-16-8-10-4"


class SparseUpdate(Transcription):
    """``trained`` has the part of each trained parameter that changes, as an index."""

    def __init__(self, parameters, optimiser, trained):
        self.p = {name: np.array(t, np.float64) for name, t in parameters.items()}
        self.optimiser, self.trained = optimiser, trained
        for name, part in trained.items():
            optimiser.add(name, self.p[name][part])

    def gate(self, h_BI):
        return h_BI > 0

    def step(self, x_BI, y_B, *draws):
        self.optimiser.begin_step()
        h = [x_BI]
        for number in range(1, self.layers + 1):
            z_BO = h[-1] @ self.p[f"w{number}"].T + self.p[f"b{number}"]
            h.append(np.maximum(z_BO, 0.0))
        dz_BO, gradients = output_error(z_BO, y_B), {}
        for number in range(self.layers, 0, -1):
            gradients[f"w{number}"] = dz_BO.T @ h[number - 1]
            gradients[f"b{number}"] = dz_BO.sum(0)
            dz_BO = dz_BO @ self.p[f"w{number}"] * self.gate(h[number - 1])
        for name, part in self.trained.items():
            self.optimiser.update(name, self.p[name][part], gradients[name][part])


ALL = np.s_[:]
CASES = [
    ({}, {"w3": ALL, "w4": ALL, "b3": ALL, "b4": ALL}),
    (
        {"layers": "all", "biases": "all", "momentum": 0.0},
        {name: ALL for n in "1234" for name in (f"w{n}", f"b{n}")},
    ),
    ({"layers": "1", "biases": "none", "optimizer": "adam"}, {"w1": ALL}),
    ({"layers": "none", "biases": "all"}, {f"b{n}": ALL for n in "1234"}),
    (
        {"layers": "2", "ratio": 0.4},  # of 16 inputs, rounded down
        {"w2": np.s_[:, :6], "b2": ALL, "b3": ALL, "b4": ALL},
    ),
    (
        {"layers": "1,3", "ratio": 0.55, "part": "outputs", "biases": "last:1"},
        {"w1": np.s_[:8], "w3": np.s_[:5], "b4": ALL},
    ),
    (
        {"layers": "last:2", "ratio": 0.5, "frozen": "flash", "optimizer": "adam"},
        {"w3": np.s_[:, :4], "w4": np.s_[:, :5], "b3": ALL, "b4": ALL},
    ),
]


def whole(found: Arrays, part: str) -> Arrays:
    """Weights that are trained in part as one matrix."""
    axis = 0 if part == "outputs" else 1
    frozen = {n.removesuffix(".frozen"): t for n, t in found.items() if n.endswith(".frozen")}
    return {
        name: np.concatenate([t, frozen[name]], axis) if name in frozen else t
        for name, t in found.items()
        if not name.endswith(".frozen")
    }


def compared(options, trained, kind=SparseUpdate):
    options = {"lr": 0.02 if options.get("optimizer") == "adam" else 0.5} | options
    algorithm = start("sparse_update", MODEL, options)

    def read(algorithm):
        return whole(held(algorithm), options.get("part", "inputs"))

    parameters = {name: t for name, t in read(algorithm).items() if "." not in name}
    theirs = kind(parameters, optimiser(options), trained)
    return deviations(algorithm, theirs, read=read)


@pytest.mark.parametrize(("options", "trained"), CASES, ids=str)
def test_sparse_update(options, trained):
    assert largest(compared(options, trained)) < CLOSE


# ---- slips that have to be noticed --------------------------------------------------------------


class Ungated(SparseUpdate):
    def gate(self, h_BI):
        return 1.0


@pytest.mark.parametrize(
    ("options", "trained", "kind"),
    [
        ({"layers": "1", "biases": "none"}, {"w1": ALL}, Ungated),
        ({"layers": "1", "biases": "none", "ratio": 0.5}, {"w1": np.s_[:, 1:7]}, SparseUpdate),
    ],
    ids=["no gate", "other inputs"],
)
def test_a_slip_is_noticed(options, trained, kind):
    assert largest(compared(options, trained, kind)) > NOTICED
