"""FF-INT8: Ma, Panda & Reda (DAC 2025, arXiv 2506.22771), section III, algorithms 1 and 2.

    (q_h, s_h) = SUQ(h)    y = max(0, s_h s_w q_h q_w^T + b)    G = sum of y^2
    L = log(1 + exp(theta - G_pos)) + log(1 + exp(G_neg - theta))    g_Y = 2 y dL/dG
    g_W = SUQ(g_Y)^T q_h    look-ahead: L_l + lambda (L_l+1 + ... + L_n), lambda + step per pass

with what the paper leaves open as the docstrings of ``ff_int8.rule``, ``ff_int8.lookahead`` and
``update_int8`` decide: both passes are one batch; every row of activations and every output's
weights have a scale; rows have a mean square of 1; the rate is divided by a layer's inputs; INT8
weights are rounded stochastically, and a row's scale doubles or halves if it has to.

Shape suffixes: R rows of both passes, B batch, I inputs and O outputs of a layer.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import count
from typing import Any, NamedTuple

import numpy as np

from tests.unit.transcriptions.arithmetic import Array, Arrays, Sgd, Transcription, sigmoid
from tests.unit.transcriptions.rounding import LEVELS, Borders, inverse, nth_seed, uniforms


class Rows(NamedTuple):
    """A matrix with a scale per row, ``s q``."""

    q: Array
    s: Array


def unit(y: Rows) -> Rows:
    """Rows with a mean square of 1: only the scale changes."""
    squares_R = np.maximum((y.q**2).sum(1), 1.0)
    return Rows(y.q, np.sqrt(y.q.shape[1] / squares_R))


class FfInt8(Transcription):
    """Layers ``w1, b1``: integers with ``w1.scale``, or floats; draws are a seed and labels."""

    def __init__(self, kept: Arrays, classes: int, options: Mapping[str, Any]) -> None:
        self.p = {name: np.array(t, np.float64) for name, t in kept.items()}
        self.options, self.classes, self.weight = options, classes, 0.0
        self.integer_weights = options.get("master", "int8") == "int8"
        self.stochastic = options.get("rounding", "stochastic") == "stochastic"
        self.borders = Borders()
        self.optimisers = {}
        for number in range(1, len(kept) // (2 + self.integer_weights) + 1):
            rate = options.get("lr", 1.0) / self.p[f"w{number}"].shape[1]
            self.optimisers[number] = Sgd(rate, options.get("momentum", 0.0))
            self.optimisers[number].add(f"b{number}", self.p[f"b{number}"])
            if not self.integer_weights:
                self.optimisers[number].add(f"w{number}", self.p[f"w{number}"])

    @property
    def layers(self) -> int:
        return len(self.optimisers)

    def begin_pass(self, number: int) -> None:
        self.weight = self.options.get("lookahead_step", 0.001) * number

    # ---- rounding

    def u(self, shape: tuple[int, ...], seed: int) -> Array | None:
        return uniforms(shape, seed) if self.stochastic else None

    def by_row(self, t_RO: Array, seed: int) -> Rows:
        s_R = np.abs(t_RO).max(1) / LEVELS
        return Rows(
            self.borders.rounded(t_RO * inverse(s_R)[:, None], self.u(t_RO.shape, seed)), s_R
        )

    def integers(self, number: int) -> Rows:
        w_OI = self.p[f"w{number}"]
        if self.integer_weights:
            return Rows(w_OI, self.p[f"w{number}.scale"])
        s_O = np.abs(w_OI).max(1) / LEVELS
        return Rows(self.borders.rounded(w_OI * inverse(s_O)[:, None]), s_O)

    # ---- forward

    def labelled(self, x_BI: Array, labels: tuple[Array, Array], seed: int) -> Rows:
        """The batch with true labels, then with wrong ones; pixels are rounded alike in both."""
        height = self.options.get("label_scale", 1.0)
        s_B = np.maximum(np.abs(x_BI).max(1), height) / LEVELS
        q_BI = self.borders.rounded(x_BI / s_B[:, None], self.u(x_BI.shape, seed))
        parts = []
        for y_B in labels:
            part_BI = q_BI.copy()
            part_BI[:, : self.classes] = 0
            part_BI[np.arange(len(y_B)), y_B] = self.borders.rounded(height / s_B)
            parts.append(part_BI)
        return unit(Rows(np.concatenate(parts), np.concatenate([s_B, s_B])))

    def output(self, h: Rows, number: int, seed: int) -> Rows:
        w = self.integers(number)
        z_RO = (h.q @ w.q.T) * h.s[:, None] * w.s + self.p[f"b{number}"]
        return self.by_row(np.maximum(z_RO, 0.0), seed)

    # ---- the loss of a layer

    def share(self, width: int) -> float:
        return 1 / width if self.options.get("goodness") == "mean" else 1.0

    def goodness(self, y: Rows) -> Array:
        return self.share(y.q.shape[1]) * y.s**2 * (y.q**2).sum(1)

    def excess(self, y: Rows) -> Array:
        """G - theta."""
        width = y.q.shape[1]
        return self.goodness(y) - self.options.get("threshold", self.share(width) * width)

    def gradient(self, y: Rows, excess_R: Array) -> Rows:
        """g_Y, of the mean over the batch; its integers are those of y."""
        batch = len(y.q) // 2
        true_R = np.arange(2 * batch) < batch
        slope_R = np.where(true_R, -sigmoid(-excess_R), sigmoid(excess_R)) / batch
        return Rows(y.q, slope_R * self.share(y.q.shape[1]) * 2 * y.s)

    # ---- the update of a layer

    def learn(self, number: int, g: Rows, h: Rows, seeds: Iterator[int]) -> None:
        both_R = g.s * h.s
        scale = float(np.abs(both_R).max())
        d_RO = g.q * (both_R * (1 / scale if scale else 0.0))[:, None]
        d_RO = self.borders.rounded(d_RO, self.u(d_RO.shape, next(seeds)))
        sums_OI = d_RO.T @ h.q
        optimiser, seed = self.optimisers[number], next(seeds)
        optimiser.update(f"b{number}", self.p[f"b{number}"], (g.q * g.s[:, None]).sum(0))
        if self.integer_weights:
            self.move(number, -optimiser.lr * scale * sums_OI, seed)
        else:
            optimiser.update(f"w{number}", self.p[f"w{number}"], scale * sums_OI)

    def move(self, number: int, change_OI: Array, seed: int) -> None:
        """INT8 weights and their scales."""
        q_OI, s_O = self.p[f"w{number}"], self.p[f"w{number}.scale"]
        t_OI = q_OI + change_OI / s_O[:, None]
        most_O = np.abs(t_OI).max(1)
        factor_O = np.ones_like(most_O)
        for _ in range(4):
            factor_O[most_O * factor_O > LEVELS] /= 2
        factor_O[(most_O > 0) & (most_O <= LEVELS // 2)] = 2.0
        moved_O = most_O[most_O % 1 > 1e-9]  # the others are integers in float32, too
        self.borders.see(moved_O[:, None], LEVELS * 2.0 ** np.arange(5))
        self.borders.see(moved_O, LEVELS // 2)
        q_OI[...] = self.borders.rounded(t_OI * factor_O[:, None], uniforms(q_OI.shape, seed))
        s_O[...] = s_O / factor_O

    # ---- a step

    def step(self, x_BI: Array, y_B: Array, *draws: Any) -> None:
        seed, wrong_B = draws
        seeds = (nth_seed(seed, number) for number in count())
        h = self.labelled(x_BI, (y_B, wrong_B), next(seeds))
        if self.options.get("lookahead", "off") == "off":
            self.local(h, seeds)
            return
        inputs, outputs = [], []
        for number in range(1, self.layers + 1):
            inputs.append(h)
            outputs.append(self.output(h, number, next(seeds)))
            h = unit(outputs[-1])
        ahead = {"detached": self.detached, "true": self.chained}
        ahead[self.options["lookahead"]](inputs, outputs, seeds)

    def local(self, h: Rows, seeds: Iterator[int]) -> None:
        for number in range(1, self.layers + 1):
            y = self.output(h, number, next(seeds))
            self.learn(number, self.gradient(y, self.excess(y)), h, seeds)
            h = unit(y)

    def detached(self, inputs: list[Rows], outputs: list[Rows], seeds: Iterator[int]) -> None:
        """The excess of later layers enters the logistic factor as a constant."""
        later_R = np.zeros(len(inputs[0].q))
        for number in range(self.layers, 0, -1):
            y = outputs[number - 1]
            g = self.gradient(y, self.excess(y) + self.weight * later_R)
            later_R += self.excess(y)
            self.learn(number, g, inputs[number - 1], seeds)

    def chained(self, inputs: list[Rows], outputs: list[Rows], seeds: Iterator[int]) -> None:
        """The sum as the paper writes it; a layer is updated after the gradient has passed it."""
        e, above = None, None
        for number in range(self.layers, 0, -1):
            y = outputs[number - 1]
            own = self.gradient(y, self.excess(y))
            own_RO = own.q * own.s[:, None]
            later_RO = np.zeros_like(own_RO)
            if e is not None:
                above_RO = (e.q @ self.integers(number + 1).q) * e.s[:, None]
                later_RO = self.through_unit_rows(above_RO, y) * (y.q > 0)
            first, second = (next(seeds), next(seeds)) if self.layers > 1 else (0, 0)
            g = self.by_row(own_RO + self.weight * later_RO, first)
            if number > 1:
                e = self.by_row((own_RO + later_RO) * self.integers(number).s, second)
            if above is not None:
                self.learn(number + 1, above, inputs[number], seeds)
            above = g
        self.learn(1, above, inputs[0], seeds)

    def through_unit_rows(self, above_RO: Array, y: Rows) -> Array:
        """d(unit row) / dy = (r / s) (1 - q q^T / q^2), with r the scale of the unit row."""
        along_R1 = (above_RO * y.q).sum(1, keepdims=True)
        across_RO = above_RO - y.q * along_R1 / np.maximum((y.q**2).sum(1, keepdims=True), 1.0)
        return across_RO * (unit(y).s * inverse(y.s))[:, None]

    def values(self) -> Arrays:
        states = {name: t for each in self.optimisers.values() for name, t in each.state.items()}
        return self.p | states
