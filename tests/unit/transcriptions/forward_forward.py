"""Forward-Forward: Hinton (arXiv 2212.13345), sections 2 and 3.

Eq. 1 with a sum of squares as goodness, p = sigmoid(G - theta), and the logistic loss of both
passes; SymBa (Lee & Song, arXiv 2303.08418) has softplus(-alpha (G_pos - G_neg)) instead::

    L = softplus(theta - G_pos) + softplus(G_neg - theta)      dL/dz = dL/dG 2 z

as means over the batch. Rows of the input and of every output are scaled to a mean square of 1.

Section 3.3 and Hinton's ffnew.m: a softmax on the normalised activities of all layers but the
first, for a neutral label, learns on its own; negative labels are drawn in proportion to it (a
race: the largest p / t, with t from Exp(1)).

Peer normalisation, ffnew.m: every unit has a running mean of its activity on positive rows,
m <- 0.9 m + 0.1 mean, from 0.5, and its input is pulled by lambdamean (mean(m) - m), whether it is
active or not. There the gradient of z is (1 - p) z; here it is twice that, and so is the pull.

Binary: scales and straight-through gradients as in ``test_backprop``, G = sum of h^2, and
dL/dz = dL/dG 2 s 1[0 < z < 1].

Shape suffixes: R rows of a pass, B batch, I inputs and O outputs of a layer, C classes.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from tests.unit.transcriptions.arithmetic import (
    Array,
    Arrays,
    Optimiser,
    Sgd,
    Transcription,
    mean_abs,
    output_error,
    product,
    sigmoid,
    sign,
    softmax,
)


def unit_rows(h_RO: Array) -> Array:
    """Rows with a mean square of 1; a row of zeros stays one."""
    length_R1 = np.sqrt((h_RO**2).mean(1, keepdims=True))
    return h_RO / np.where(length_R1 > 0, length_R1, 1.0)


class ForwardForward(Transcription):
    """Hidden layers ``w1, b1, ...``; a draw is the wrong labels, or the race that decides them."""

    def __init__(
        self, parameters: Arrays, optimiser: Optimiser, classes: int, options: dict[str, Any]
    ) -> None:
        super().__init__(parameters, optimiser)
        self.options, self.classes = options, classes
        self.joint = options.get("passes") == "joint"
        self.binary_weights = options.get("weights") == "binary"
        self.binary_activations = options.get("activations") == "binary"
        self.means: list[Array] = []
        self.head = Sgd(options.get("head_lr", 0.01), options.get("momentum", 0.9))
        self.classifiers: Arrays = {}
        if options.get("peer"):
            self.means = [np.full(len(self.p[f"b{n}"]), 0.5) for n in range(1, self.layers + 1)]
        if options.get("score") == "head" or options.get("negatives") == "hard":
            for number in range(min(2, self.layers), self.layers + 1):
                name = f"classifier{number}"
                self.classifiers[name] = np.zeros((classes, len(self.p[f"b{number}"])))
                self.head.add(name, self.classifiers[name])

    # ---- a layer

    def read_weight(self, number: int) -> Array:
        w_OI = self.p[f"w{number}"]
        return mean_abs(w_OI) * sign(w_OI) if self.binary_weights else w_OI

    def output(self, h_RI: Array, number: int) -> tuple[Array, Array]:
        """The output, and the derivative of its sum of squares by z."""
        z_RO = product(h_RI, self.read_weight(number)) + self.p[f"b{number}"]
        if not self.binary_activations:
            return np.maximum(z_RO, 0.0), 2 * np.maximum(z_RO, 0.0)
        s = mean_abs(z_RO)
        return s * (z_RO > 0), 2 * s * ((z_RO > 0) & (z_RO < 1))

    def share(self, width: int) -> float:
        return 1 / width if self.options.get("goodness") == "mean" else 1.0

    def theta(self, width: int) -> float:
        """By default the goodness of a mean square of 1."""
        return self.options.get("threshold", self.share(width) * width)

    def loss_by_goodness(self, good_R: Array, width: int, batch: int, positive: Any) -> Array:
        """dL/dG; ``positive`` is which pass it is, None for both, the positive rows first."""
        if self.options.get("loss") == "symba":
            alpha = self.options.get("symba_scale", 4.0)
            slope_B = alpha * sigmoid(-alpha * (good_R[:batch] - good_R[batch:])) / batch
            return np.concatenate([-slope_B, slope_B])
        excess_R = good_R - self.theta(width)
        is_positive = np.full(len(good_R), positive)
        if positive is None:
            is_positive = np.arange(len(good_R)) < batch
        return np.where(is_positive, -sigmoid(-excess_R), sigmoid(excess_R)) / batch

    def pull(self, number: int, h_BO: Array) -> Array:
        """Gradient of z of every unit, for each positive row."""
        m_O = self.means[number - 1]
        m_O[...] = 0.9 * m_O + 0.1 * h_BO.mean(0)
        return 2 * self.options["peer"] * (m_O - m_O.mean()) / len(h_BO)

    # ---- a pass

    def train(self, x_RI: Array, batch: int, positive: Any) -> None:
        h_RI = unit_rows(x_RI)
        for number in range(1, self.layers + 1):
            y_RO, slope_RO = self.output(h_RI, number)
            width = y_RO.shape[1]
            good_R = self.share(width) * (y_RO**2).sum(1)
            factor_R = self.loss_by_goodness(good_R, width, batch, positive) * self.share(width)
            dz_RO = factor_R[:, None] * slope_RO
            if self.means and positive is not False:
                dz_RO[:batch] += self.gated(self.pull(number, y_RO[:batch]), y_RO[:batch])
            self.update(f"w{number}", dz_RO.T @ h_RI * self.cut(self.p[f"w{number}"]))
            self.update(f"b{number}", dz_RO.sum(0))
            self.clip(self.p[f"w{number}"])
            self.clip(self.p[f"b{number}"])
            h_RI = self.passed_on(y_RO)

    def cut(self, w_OI: Array) -> Array | float:
        return np.abs(w_OI) < 1 if self.binary_weights else 1.0

    def clip(self, t: Array) -> None:
        if self.binary_weights:
            np.clip(t, -1, 1, out=t)

    def gated(self, pull_O: Array, y_BO: Array) -> Array:
        """Not at all: the pull has to revive units that are always off."""
        return np.broadcast_to(pull_O, y_BO.shape)

    def passed_on(self, y_RO: Array) -> Array:
        return unit_rows(y_RO)

    # ---- a step

    def labelled(self, x_BI: Array, label_BC: Array) -> Array:
        return np.concatenate(
            [self.options.get("label_scale", 1.0) * label_BC, x_BI[:, self.classes :]], 1
        )

    def learn_classifier(self, x_BI: Array, y_B: Array) -> Array:
        """One step of the classifier; the probabilities before it."""
        h_BI = unit_rows(self.labelled(x_BI, np.full((len(x_BI), self.classes), 1 / self.classes)))
        activities = {}
        for number in range(1, self.layers + 1):
            h_BI = unit_rows(self.output(h_BI, number)[0])
            if f"classifier{number}" in self.classifiers:
                activities[f"classifier{number}"] = h_BI
        logits_BC = sum(h @ self.classifiers[name].T for name, h in activities.items())
        for name, h in activities.items():
            self.head.update(name, self.classifiers[name], output_error(logits_BC, y_B).T @ h)
        return softmax(logits_BC)

    def step(self, x_BI: Array, y_B: Array, *draws: Array) -> None:
        self.optimiser.begin_step()
        (wrong_B,) = draws
        if self.classifiers:
            p_BC = self.learn_classifier(x_BI, y_B)
            if self.options.get("negatives") == "hard":
                race_BC = p_BC / wrong_B
                race_BC[np.arange(len(y_B)), y_B] = -1.0
                wrong_B = race_BC.argmax(1)
        true_BI, false_BI = (self.labelled(x_BI, np.eye(self.classes)[of]) for of in (y_B, wrong_B))
        if self.joint:
            self.train(np.concatenate([true_BI, false_BI]), len(x_BI), None)
        else:
            self.train(true_BI, len(x_BI), True)
            self.train(false_BI, len(x_BI), False)

    def values(self) -> Arrays:
        means = {f"mean activity {n}": m for n, m in enumerate(self.means, start=1)}
        return super().values() | means | self.classifiers | self.head.state
