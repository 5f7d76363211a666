"""Local heads against a NumPy transcription in float64, 20 steps.

The equations, and where they are from:

* pred: cross-entropy of a linear classifier on every layer (Nokland & Eidnes, ICML 2019;
  Huang & Aminifar, MLSys 2025, whose classifiers are fixed and whose layers are trained one after
  the other, each with a new Adam).
* sim: mean over pairs of (R - T)^2, R and T the cosines between samples of the mapped outputs and
  of the one-hot labels, means over features subtracted. Here the chain rule through each of these
  in turn, without the short cuts of the implementation. predsim: (1 - beta) pred + beta sim.
* batch normalisation: Ioffe & Szegedy, ICML 2015, the six gradients of section 3; running
  statistics with momentum 0.1, the variance unbiased.
* SGD with momentum, Adam (Kingma & Ba, ICLR 2015, algorithm 1).

Compared is every tensor that the rule keeps, after every step: the deviation relative to how far
it has moved. Where similarities are compared without batch normalisation, rates are small: the
gradient of a nearly silent sample grows with the reciprocal of its length, and so does rounding.
"""

from __future__ import annotations

import numpy as np
import pytest
import torch

from trainfit.algorithms import build_algorithm

MODEL, CLASSES, ROWS, STEPS = "mlp-12-16-24-20-4", 4, 16, 20
CLOSE, NOTICED = 1e-4, 1e-2


def one_hot(y_B):
    return np.eye(CLASSES)[y_B]


# ---- the pieces -----------------------------------------------------------------------------


class Sgd:
    def __init__(self, lr, momentum):
        self.lr, self.momentum, self.state = lr, momentum, {}

    def begin_step(self):
        pass

    def update(self, name, parameter, gradient):
        if self.momentum:
            m = self.state.setdefault(f"{name}.momentum", np.zeros_like(parameter))
            gradient = m[...] = self.momentum * m + gradient
        parameter -= self.lr * gradient


class Adam:
    def __init__(self, lr):
        self.lr, self.t, self.state = lr, 0, {}

    def begin_step(self):
        self.t += 1

    def update(self, name, parameter, gradient):
        m = self.state.setdefault(f"{name}.mean", np.zeros_like(parameter))
        v = self.state.setdefault(f"{name}.square", np.zeros_like(parameter))
        m[...] = 0.9 * m + 0.1 * gradient
        v[...] = 0.999 * v + 0.001 * gradient**2
        step = m / (1 - 0.9**self.t) / (np.sqrt(v / (1 - 0.999**self.t)) + 1e-8)
        parameter -= self.lr * step


def cosines(features_BP):
    """Cosine similarities; centred features, their lengths and directions."""
    centred_BP = features_BP - features_BP.mean(1, keepdims=True)
    length_B1 = np.sqrt((centred_BP**2).sum(1, keepdims=True)) + 1e-8
    return centred_BP / length_B1 @ (centred_BP / length_B1).T, centred_BP, length_B1


def similarity_gradient(features_BP, y_B):
    r_BB, centred_BP, length_B1 = cosines(features_BP)
    dr_BB = 2 * (r_BB - cosines(one_hot(y_B))[0]) / r_BB.size
    n_BP = centred_BP / length_B1
    dn_BP = dr_BB @ n_BP + dr_BB.T @ n_BP  # R = n n^T has n twice
    dlength_B1 = -(dn_BP * centred_BP).sum(1, keepdims=True) / length_B1**2
    dcentred_BP = dn_BP / length_B1 + dlength_B1 * centred_BP / length_B1
    return dcentred_BP - dcentred_BP.mean(1, keepdims=True)


def normalise(z_BO, epsilon=1e-5):
    mean_O, variance_O = z_BO.mean(0), z_BO.var(0)
    return (z_BO - mean_O) / np.sqrt(variance_O + epsilon), mean_O, variance_O


def normalisation_gradient(z_BO, dn_BO, epsilon=1e-5):
    rows = len(z_BO)
    mean_O, variance_O = z_BO.mean(0), z_BO.var(0)
    inverse_O = 1 / np.sqrt(variance_O + epsilon)
    dvariance_O = (dn_BO * (z_BO - mean_O)).sum(0) * -0.5 * inverse_O**3
    dmean_O = -dn_BO.sum(0) * inverse_O - 2 * dvariance_O * (z_BO - mean_O).mean(0)
    return dn_BO * inverse_O + dvariance_O * 2 * (z_BO - mean_O) / rows + dmean_O / rows


# ---- the rule -------------------------------------------------------------------------------


class LocalHead:
    """Parameters and running statistics by the names that the project has for them."""

    def __init__(self, held, options):
        self.p = {n: t.astype(np.float64) for n, t in held.items() if "." not in n}
        self.options = options
        self.layers = sum(name.startswith("w") for name in self.p)
        self.greedy = options.get("schedule") == "greedy"
        self.enter(1)

    def enter(self, number):
        """A stage: an optimiser without history."""
        self.active = number
        lr = self.options["lr"]
        adam = self.options.get("optimizer") == "adam"
        self.optimiser = Adam(lr) if adam else Sgd(lr, self.options.get("momentum", 0.9))

    def weights(self, number):
        """Shares of pred and sim in the loss of a layer."""
        loss, beta = self.options.get("loss", "pred"), self.options.get("beta", 0.99)
        return {"pred": (1.0, 0.0), "sim": (0.0, 1.0), "predsim": (1 - beta, beta)}[loss]

    def step(self, x_BI, y_B, masks):
        self.optimiser.begin_step()
        h_BI = x_BI
        for number in range(1, self.layers + 1):
            if self.greedy and number > self.active:
                return
            if not self.greedy or number == self.active:
                if number > 1:
                    h_BI = h_BI * masks[number - 2]
                h_BI = self.train(h_BI, y_B, number)
            else:
                h_BI = self.frozen(h_BI, number)

    def frozen(self, h_BI, number):
        z_BO = h_BI @ self.p[f"w{number}"].T
        if f"gain{number}" in self.p:
            mean_O, variance_O = self.p[f"mean{number}"], self.p[f"variance{number}"]
            n_BO = (z_BO - mean_O) / np.sqrt(variance_O + 1e-5)
            return np.maximum(self.p[f"gain{number}"] * n_BO + self.p[f"shift{number}"], 0)
        return np.maximum(z_BO + self.p[f"b{number}"], 0)

    def train(self, h_BI, y_B, number):
        z_BO = h_BI @ self.p[f"w{number}"].T
        if f"gain{number}" in self.p:
            n_BO, mean_O, variance_O = normalise(z_BO)
            u_BO = self.p[f"gain{number}"] * n_BO + self.p[f"shift{number}"]
            self.p[f"mean{number}"] += 0.1 * (mean_O - self.p[f"mean{number}"])
            unbiased_O = variance_O * len(z_BO) / (len(z_BO) - 1)
            self.p[f"variance{number}"] += 0.1 * (unbiased_O - self.p[f"variance{number}"])
        else:
            u_BO = z_BO + self.p[f"b{number}"]
        h_BO = np.maximum(u_BO, 0)
        dh_BO, found = self.losses(h_BO, y_B, number)
        du_BO = dh_BO * (u_BO > 0)
        if f"gain{number}" in self.p:
            found[f"gain{number}"] = (du_BO * n_BO).sum(0)
            found[f"shift{number}"] = du_BO.sum(0)
            dz_BO = normalisation_gradient(z_BO, du_BO * self.p[f"gain{number}"])
        else:
            found[f"b{number}"] = du_BO.sum(0)
            dz_BO = du_BO
        found[f"w{number}"] = dz_BO.T @ h_BI
        for name, gradient in found.items():
            self.optimiser.update(name, self.p[name], gradient)
        return h_BO

    def losses(self, h_BO, y_B, number):
        """The gradient with respect to h, and those of head and map."""
        of_pred, of_sim = self.weights(number)
        dh_BO, found = np.zeros_like(h_BO), {}
        fixed = f"head{number}" in self.p
        if fixed or f"v{number}" in self.p:
            v_CO = self.p[f"head{number}" if fixed else f"v{number}"]
            scores_BC = h_BO @ v_CO.T + (0 if fixed else self.p[f"c{number}"])
            e_BC = np.exp(scores_BC - scores_BC.max(1, keepdims=True))
            e_BC = (e_BC / e_BC.sum(1, keepdims=True) - one_hot(y_B)) / len(y_B)
            dh_BO += of_pred * e_BC @ v_CO
            if not fixed:
                found |= {f"v{number}": e_BC.T @ h_BO, f"c{number}": e_BC.sum(0)}
        if of_sim:
            u_OO = self.p.get(f"u{number}", np.eye(h_BO.shape[1]))
            dg_BO = of_sim * similarity_gradient(h_BO @ u_OO.T, y_B)
            dh_BO += dg_BO @ u_OO
            if f"u{number}" in self.p:
                found[f"u{number}"] = dg_BO.T @ h_BO
        return dh_BO, found

    def values(self):
        return self.p | self.optimiser.state


# ---- side by side ---------------------------------------------------------------------------


def held(algorithm):
    return {each.name: each.tensor.numpy().copy() for each in algorithm.static_tensors()}


def deviation(options, kind=LocalHead):
    """The largest of any tensor after any step; a greedy stage has 7 steps."""
    options = {"lr": 0.02 if options.get("optimizer") == "adam" else 0.5} | options
    algorithm = build_algorithm("local_head", MODEL, options)
    theirs = kind(held(algorithm), options)
    first, worst = {n: t.copy() for n, t in theirs.p.items()}, 0.0
    source = np.random.default_rng(0)
    for number in range(STEPS):
        if theirs.greedy and number % 7 == 0:
            algorithm.begin_epoch(number // 7, 1)
            theirs.enter(number // 7 + 1)
        x_BI, y_B = source.random((ROWS, 12), np.float32), source.integers(CLASSES, size=ROWS)
        algorithm.step(torch.from_numpy(x_BI), torch.from_numpy(y_B))
        masks = [
            algorithm._dropout.apply_(torch.ones(ROWS, width), nth).numpy().astype(np.float64)
            for nth, width in enumerate(algorithm.model.hidden[:-1], start=1)
        ]
        theirs.step(x_BI.astype(np.float64), y_B, masks)
        ours, expected = held(algorithm), theirs.values()
        assert set(ours) == set(expected)
        for name, value in expected.items():
            moved = np.linalg.norm(value - first.get(name, np.zeros_like(value)))
            off = np.linalg.norm(value - ours[name])
            assert moved or not off, name
            worst = max(worst, off / moved if moved else 0.0)
    return worst


ADAM = {"optimizer": "adam"}
SMALL = {"optimizer": "adam", "lr": 0.005}
NORM = {"batch_norm": True, "lr": 0.3}
FORMS = [
    {},
    {"momentum": 0.0},
    ADAM | {"keep": 0.8},
    ADAM | {"head": "fixed"},
    ADAM | {"head_init": "zeros", "keep": 0.8},
    {"head_init": "normal", "lr": 0.1},
    ADAM | {"head": "fixed", "head_init": "normal", "schedule": "greedy"},
    {"head": "fixed", "head_init": "sign", "schedule": "greedy", "lr": 0.1},
    {"schedule": "greedy", "keep": 0.8},
    NORM,
    NORM | SMALL | {"keep": 0.8},
    NORM | {"schedule": "greedy"},
    NORM | SMALL | {"loss": "sim"},
    NORM | {"loss": "sim", "projection": "none"},
    SMALL | {"loss": "sim", "projection": "none"},
    NORM | {"loss": "predsim"},
    NORM | SMALL | {"loss": "predsim", "head_init": "zeros", "keep": 0.9},
    SMALL | {"loss": "predsim", "beta": 0.5, "projection": "none", "head": "fixed"},
    SMALL | {"loss": "predsim", "beta": 0.7, "schedule": "greedy"},
]


@pytest.mark.parametrize("options", FORMS, ids=str)
def test_local_head(options):
    assert deviation(options) < CLOSE


# ---- slips that have to be noticed ----------------------------------------------------------


class HeadFollowsItsShare(LocalHead):
    def losses(self, h_BO, y_B, number):
        dh_BO, found = super().losses(h_BO, y_B, number)
        share = self.weights(number)[0]
        return dh_BO, {n: g * (share if n[0] in "vc" else 1) for n, g in found.items()}


class SumOverPairs(LocalHead):
    def weights(self, number):
        of_pred, of_sim = super().weights(number)
        return of_pred, of_sim * ROWS


class OldOptimiser(LocalHead):
    """A stage goes on with the step count of the one before."""

    def enter(self, number):
        steps = self.optimiser.t if number > 1 else 0
        super().enter(number)
        self.optimiser.t = steps


class FrozenByBatch(LocalHead):
    """Layers below the active one normalise by their batch."""

    def frozen(self, h_BI, number):
        z_BO = h_BI @ self.p[f"w{number}"].T
        return np.maximum(
            normalise(z_BO)[0] * self.p[f"gain{number}"] + self.p[f"shift{number}"], 0
        )


class BiasedVariance(LocalHead):
    def train(self, h_BI, y_B, number):
        before = self.p[f"variance{number}"].copy()
        h_BO = super().train(h_BI, y_B, number)
        unbiased = (self.p[f"variance{number}"] - 0.9 * before) / 0.1
        self.p[f"variance{number}"] = 0.9 * before + 0.1 * unbiased * (ROWS - 1) / ROWS
        return h_BO


@pytest.mark.parametrize(
    ("kind", "options"),
    [
        (HeadFollowsItsShare, NORM | {"loss": "predsim"}),
        (SumOverPairs, NORM | {"loss": "sim"}),
        (OldOptimiser, ADAM | {"schedule": "greedy"}),
        (FrozenByBatch, NORM | {"schedule": "greedy"}),
        (BiasedVariance, NORM),
    ],
)
def test_a_slip_is_noticed(kind, options):
    assert deviation(options, kind) > NOTICED
