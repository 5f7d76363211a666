"""ASI: backpropagation whose weight gradients see inputs projected on an iterated subspace.

Nguyen et al. (ICML 2025, arXiv 2505.05086), subspace iteration with a warm start for one mode of
the activation, that of the features: V <- orth(V h^T h), dW = dz^T (h V^T V). ``orth`` is QR by
NumPy with a positive diagonal.
"""

from __future__ import annotations

import numpy as np
import pytest

from tests.unit.transcriptions.arithmetic import Transcription, optimiser, output_error
from tests.unit.transcriptions.comparison import (
    CLOSE,
    NOTICED,
    deviations,
    held,
    largest,
    start,
)

MODEL = "mlp-12-16-8-10-4"


def orth(v_KI):
    q_IK, r_KK = np.linalg.qr(v_KI.T)
    return (q_IK * np.sign(np.diag(r_KK))).T


class Asi(Transcription):
    """``v`` has the subspaces by layer."""

    def __init__(self, parameters, optimiser, subspaces):
        super().__init__(parameters, optimiser)
        self.v = {int(name[8:]): np.array(t, np.float64) for name, t in subspaces.items()}

    def iterate(self, v_KI, h_BI):
        return orth(v_KI @ h_BI.T @ h_BI)

    def step(self, x_BI, y_B, *draws):
        self.optimiser.begin_step()
        h = [x_BI]
        for number in range(1, self.layers + 1):
            z_BO = h[-1] @ self.p[f"w{number}"].T + self.p[f"b{number}"]
            h.append(np.maximum(z_BO, 0.0))
        dz_BO, gradients = output_error(z_BO, y_B), {}
        for number in range(self.layers, 0, -1):
            seen_BI = h[number - 1]
            if number in self.v:
                self.v[number] = self.iterate(self.v[number], seen_BI)
                seen_BI = seen_BI @ self.v[number].T @ self.v[number]
            gradients[f"w{number}"] = dz_BO.T @ seen_BI
            gradients[f"b{number}"] = dz_BO.sum(0)
            dz_BO = dz_BO @ self.p[f"w{number}"] * (h[number - 1] > 0)
        for name, gradient in gradients.items():
            self.update(name, gradient)

    def values(self):
        return super().values() | {f"subspace{n}": v_KI for n, v_KI in self.v.items()}


def compared(options, kind=Asi):
    options = {"lr": 0.02 if options.get("optimizer") == "adam" else 0.1} | options
    algorithm = start("asi", MODEL, options)
    values = {name: t for name, t in held(algorithm).items() if "." not in name}
    subspaces = {name: values.pop(name) for name in list(values) if name.startswith("subspace")}
    return deviations(algorithm, kind(values, optimiser(options), subspaces))


@pytest.mark.parametrize(
    "options",
    [
        {"rank": 2},
        {"rank": 1, "momentum": 0.0},
        {"rank": 3, "layers": "2,4", "momentum": 0.0},
        {"rank": 2, "optimizer": "adam", "layers": "last:2"},
    ],
    ids=str,
)
def test_asi(options):
    assert largest(compared(options)) < CLOSE


# ---- slips that have to be noticed --------------------------------------------------------------


class Still(Asi):
    """The subspace it starts from is never iterated."""

    def iterate(self, v_KI, h_BI):
        return orth(v_KI)


class Late(Asi):
    """The input is projected on the subspace of the batch before."""

    def step(self, x_BI, y_B, *draws):
        self.next = {}
        super().step(x_BI, y_B)
        self.v = self.next

    def iterate(self, v_KI, h_BI):
        number = next(n for n, v in self.v.items() if v is v_KI)
        self.next[number] = super().iterate(v_KI, h_BI)
        return orth(v_KI)


@pytest.mark.parametrize("kind", [Still, Late])
def test_a_slip_is_noticed(kind):
    found = compared({"rank": 2}, kind)
    assert largest({name: off for name, off in found.items() if name.startswith("w")}) > NOTICED
