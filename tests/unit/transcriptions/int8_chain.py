"""Backpropagation in INT8, with plain rounding, as UI8 and as DAI8; quantisation-aware training.

    z_l = s_h s_w (q_h q_w^T) + b    h_l = max(0, z_l)    (q_t, s_t) = SUQ(t), by max abs(t)
    dw_l = s_d s_h (q_d^T q_h)    db_l = sum dz    dz_{l-1} = s_d s_w (q_d q_w) 1[q_h > 0]

* naive, the baseline of Ma, Panda & Reda (DAC 2025), table I: w <- SUQ(w - lr dw), or float32
  weights that are rounded after every update.
* UI8: Zhu et al. (CVPR 2020, arXiv 1912.12607), direction-sensitive clipping, c = argmin d_c with
  d_c = 1 - cos(g, g^), and deviation-counteractive scaling, lr max(exp(-alpha d_c), beta). c is one
  of n equal parts of max abs(g).
* DAI8: Zhao et al. (AAAI 2021, arXiv 2102.04782): a range per output, s = max abs(g) if
  P(abs(g) > sigma) > lambda, else (1 - k A) s_{t-1} + A max abs(g); one range for what goes down.
* Jacob et al. (CVPR 2018, arXiv 1712.05877), section 3: the INT8 forward pass, float gradients of
  float weights, straight through.

What the papers leave open is as in the docstrings of ``int8``.

Shape suffixes: B batch, I inputs and O outputs of a layer.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from tests.unit.transcriptions.arithmetic import (
    Array,
    Arrays,
    Optimiser,
    Transcription,
    output_error,
)
from tests.unit.transcriptions.rounding import LEVELS, Borders, inverse, nth_seed, uniforms


class Quantised(NamedTuple):
    """``s q``: one scale, or one per column."""

    q: Array
    s: Array

    @property
    def value(self) -> Array:
        return self.q * self.s


class Gradient(NamedTuple):
    """In INT8, for the weights and for the layer below; and the factor on the rate."""

    for_weights: Quantised
    for_inputs: Quantised
    rate: float = 1.0


class Int8Chain(Transcription):
    """Biases ``b1``, integers ``q1`` with scale ``s1`` and perhaps ``w1``; a draw is the seed."""

    scales = ("s", "clip")

    def __init__(self, kept: Arrays, optimiser: Optimiser, options: Mapping[str, Any]) -> None:
        super().__init__({}, optimiser)
        self.p = {name: np.array(t, np.float64) for name, t in kept.items()}
        self.borders, self.options = Borders(), options
        for name, parameter in self.p.items():
            if name[0] in "wb":
                optimiser.add(name, parameter)
        self.steps = 0

    @property
    def layers(self) -> int:
        return sum(name.startswith("b") for name in self.p)

    # ---- rounding

    def suq(self, t: Array, seed: int | None = None, s: Array | None = None) -> Quantised:
        """To the nearest without a seed."""
        if s is None:
            s = np.array([np.abs(t).max() / LEVELS])
        u = None if seed is None else uniforms(t.shape, seed)
        return Quantised(self.borders.rounded(t * inverse(s), u), s)

    def seed_of(self, seed: int, number: int) -> int | None:
        """The seed of a tensor of gradients or weights, if rounding is stochastic."""
        return nth_seed(seed, number) if self.stochastic else None

    @property
    def stochastic(self) -> bool:
        return self.options.get("rounding", "nearest") == "stochastic"

    def weight(self, number: int) -> Quantised:
        return Quantised(self.p[f"q{number}"], self.p[f"s{number}"])

    def set_weight(self, number: int, w: Quantised) -> None:
        self.p[f"q{number}"][...], self.p[f"s{number}"][...] = w

    # ---- a step

    def forward(self, x_BI: Array) -> tuple[list[Quantised], Array]:
        """The inputs of all layers, and the logits."""
        h = [self.suq(x_BI)]
        for number in range(1, self.layers + 1):
            w = self.weight(number)
            z_BO = (h[-1].q @ w.q.T) * h[-1].s * w.s + self.p[f"b{number}"]
            if number < self.layers:
                h.append(self.suq(np.maximum(z_BO, 0.0)))
        return h, z_BO

    def rounded(self, number: int, dz_BO: Array, seed: int) -> Gradient:
        d = self.suq(dz_BO, self.seed_of(seed, 2 * number))
        return Gradient(d, d)

    def pass_down(self, number: int, d: Gradient, dz_BO: Array) -> Array:
        del dz_BO  # which in INT8 nobody has any more
        w = self.weight(number)
        return (d.for_inputs.q @ w.q) * d.for_inputs.s * w.s

    def gate(self, h: Quantised) -> Array:
        return h.q > 0

    def weight_gradient(self, d: Gradient, dz_BO: Array, h: Quantised) -> Array:
        del dz_BO
        of = d.for_weights
        return (of.q.T @ h.q) * of.s[:, None] * h.s  # s_d is one, or one per output

    def step(self, x_BI: Array, y_B: Array, *draws: Any) -> None:
        self.optimiser.begin_step()
        self.steps += 1
        seed = draws[0] if draws else 0
        h, logits_BC = self.forward(x_BI)
        dz_BO = output_error(logits_BC, y_B)
        for number in range(self.layers, 0, -1):
            d = self.rounded(number, dz_BO, seed)
            dw_OI = self.weight_gradient(d, dz_BO, h[number - 1])
            below_BI = self.pass_down(number, d, dz_BO) * self.gate(h[number - 1])
            self.learn(number, dw_OI, dz_BO.sum(0), d.rate, seed)
            dz_BO = below_BI

    def learn(self, number: int, dw_OI: Array, db_O: Array, rate: float, seed: int) -> None:
        lr = self.optimiser.lr
        self.optimiser.lr = lr * rate
        self.update(f"b{number}", db_O)
        if f"w{number}" in self.p:
            self.update(f"w{number}", dw_OI)
            self.set_weight(number, self.suq(self.p[f"w{number}"]))
        else:
            moved_OI = self.weight(number).value - self.optimiser.lr * dw_OI
            self.set_weight(number, self.suq(moved_OI, self.seed_of(seed, 2 * number + 1)))
        self.optimiser.lr = lr


class Ui8(Int8Chain):
    """One range per tensor, the one that best keeps its direction."""

    alpha, beta = 20.0, 0.1

    @property
    def stochastic(self) -> bool:
        return self.options.get("rounding", "stochastic") == "stochastic"

    def deviation(self, g: Array, d: Quantised) -> float:
        size = np.sqrt((g**2).sum() * (d.q**2).sum())
        return max(0.0, 1.0 - float((g * d.q).sum() / size)) if size else 0.0

    def clipped(self, number: int, g: Array, nth: int, seed: int) -> Quantised:
        parts = self.options.get("candidates", 10)
        s = np.array([np.abs(g).max() / LEVELS * nth / parts])
        return self.suq(g, self.seed_of(seed, 2 * number), s)

    def rounded(self, number: int, dz_BO: Array, seed: int) -> Gradient:
        parts, period = self.options.get("candidates", 10), self.options.get("period", 1)
        if self.steps == 1:
            self.found = getattr(self, "found", {}) | {number: np.full(parts + 1, np.inf)}
        found, borders = self.found[number], self.borders
        self.borders = Borders()  # a number on a border is as far from either neighbour
        for nth in range((self.steps - 1) % period + 1, parts + 1, period):
            found[nth] = self.deviation(dz_BO, self.clipped(number, dz_BO, nth, seed))
        self.borders = borders
        best = max(np.flatnonzero(found == found.min()))
        others = found[np.isfinite(found) & (found != found.min())]
        if len(others):  # d_c is near 0 and in float32 good to 1e-7
            self.borders.see(others.min(), found.min(), span=1.0)
        d = self.clipped(number, dz_BO, best, seed)
        return Gradient(d, d, self.rate(self.deviation(dz_BO, d)))

    def rate(self, deviation: float) -> float:
        return max(np.exp(-self.alpha * deviation), self.beta)


class Dai8(Int8Chain):
    """A range per output."""

    share, k, a = 0.3, 1.0, 0.8

    def rounded(self, number: int, dz_BO: Array, seed: int) -> Gradient:
        own = self.seed_of(seed, 2 * number)
        by_output = self.suq(dz_BO, own, self.next_scale(number, dz_BO))
        below = None if own is None else nth_seed(own, 0)
        return Gradient(by_output, self.suq(dz_BO, below))

    def next_scale(self, number: int, dz_BO: Array) -> Array:
        largest_O, s_O = np.abs(dz_BO).max(0) / LEVELS, self.p[f"clip{number}"]
        if self.steps == 1:
            s_O[...] = largest_O
        sigma_O = np.sqrt((dz_BO**2).mean(0))
        gaussian_O = (np.abs(dz_BO) > sigma_O).mean(0) > self.share
        # a unit of which all rows have the same gradient is on the border
        relative = np.abs(dz_BO) / np.where(sigma_O > 0, sigma_O, 1.0)
        self.borders.see(relative, 1.0, span=1.0)
        s_O[...] = np.where(gaussian_O, largest_O, (1 - self.k * self.a) * s_O + self.a * largest_O)
        return s_O.copy()


class Qat(Int8Chain):
    """Straight through: the operands of the forward pass, and gradients that nobody rounds."""

    def rounded(self, number: int, dz_BO: Array, seed: int) -> Gradient:
        nothing = Quantised(dz_BO, np.ones(1))
        return Gradient(nothing, nothing)

    def pass_down(self, number: int, d: Gradient, dz_BO: Array) -> Array:
        return dz_BO @ self.weight(number).value

    def weight_gradient(self, d: Gradient, dz_BO: Array, h: Quantised) -> Array:
        return dz_BO.T @ h.value
