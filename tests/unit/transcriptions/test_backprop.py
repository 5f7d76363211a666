"""Backpropagation, whole, in slices and with binary weights and activations.

The equations are those of Rumelhart, Hinton & Williams (Nature 323, 1986), eqs. 6 to 8, for
rectifiers and a softmax with cross-entropy: dz_L = (softmax(z_L) - y*) / B, dW = dz^T h,
db = sum dz, dz_{l-1} = (dz_l W_l) f'(z_{l-1}).

Binary: Courbariaux et al. (arXiv 1602.02830), eqs. 1 and 4 and algorithm 1, with the scales of
TinyFoA's released code: W is read as mean(abs(W)) sign(W), a hidden activation is
mean(abs(z)) 1[z > 0], gradients pass straight through both, without the scales, where
abs(W) < 1 and 0 < z < 1, and parameters are clipped to [-1, 1].

Slices: TinyFoA's figure 1 (one slice of the M x M of every hidden layer per pass) and its code
(all but diagonal block p mod M). See the docstring of ``backprop.binary``.
"""

from __future__ import annotations

import numpy as np
import pytest

from tests.unit.transcriptions.arithmetic import (
    Array,
    Arrays,
    Optimiser,
    Transcription,
    mean_abs,
    optimiser,
    output_error,
    product,
    sign,
)
from tests.unit.transcriptions.comparison import (
    CLOSE,
    NOTICED,
    deviations,
    enlarge,
    held,
    largest,
    start,
    starting_with,
)

MODEL = "mlp-12-16-8-16-4"
BINARY_WEIGHTS = {"weights": "binary"}
BINARY_ACTIVATIONS = {"activations": "binary"}
BINARY = BINARY_WEIGHTS | BINARY_ACTIVATIONS


class Backprop(Transcription):
    """Layers ``w1, b1, ...``, the classifier last."""

    def __init__(self, parameters: Arrays, optimiser: Optimiser, *, weights="", activations=""):
        super().__init__(parameters, optimiser)
        self.binary_weights = weights == "binary"
        self.binary_activations = activations == "binary"

    # ---- the equations

    def read_weight(self, number: int) -> Array:
        w_OI = self.p[f"w{number}"]
        if self.binary_weights and number < self.layers:
            return mean_abs(w_OI) * sign(w_OI)
        return w_OI

    def activation(self, z_BO: Array) -> Array:
        if self.binary_activations:
            return mean_abs(z_BO) * (z_BO > 0)
        return np.maximum(z_BO, 0.0)

    def gate(self, z_BO: Array) -> Array:
        return (z_BO > 0) & (z_BO < 1) if self.binary_activations else z_BO > 0

    def cut(self, number: int) -> Array | float:
        if self.binary_weights and number < self.layers:
            return np.abs(self.p[f"w{number}"]) < 1
        return 1.0

    def through(self, dz_BO: Array, number: int, gradient_OI: Array) -> Array:
        return dz_BO @ self.read_weight(number)

    def gradients(self, x_BI: Array, y_B: Array) -> Arrays:
        h, z = [x_BI], []
        for number in range(1, self.layers + 1):
            z.append(product(h[-1], self.read_weight(number)) + self.p[f"b{number}"])
            h.append(self.activation(z[-1]))
        dz_BO, found = output_error(z[-1], y_B), {}
        for number in range(self.layers, 0, -1):
            found[f"w{number}"] = dz_BO.T @ h[number - 1] * self.cut(number)
            found[f"b{number}"] = dz_BO.sum(0)
            if number > 1:
                dz_BO = self.through(dz_BO, number, found[f"w{number}"]) * self.gate(z[number - 2])
        return found

    def clip(self, *names: str) -> None:
        for name in names if self.binary_weights else ():
            np.clip(self.p[name], -1, 1, out=self.p[name])

    def step(self, x_BI: Array, y_B: Array, *draws: Array) -> None:
        self.optimiser.begin_step()
        for name, gradient in self.gradients(x_BI, y_B).items():
            self.update(name, gradient)
            self.clip(name)


class Released(Backprop):
    """All but one diagonal block of every hidden layer change; its momentum does."""

    slices = 2
    passes_before_the_first = 1  # that code counts from 1

    def begin_pass(self, number: int) -> None:
        self.block = (number + self.passes_before_the_first) % self.slices

    def update(self, name: str, gradient: Array) -> None:
        part = self.p[name]
        if name.startswith("w") and name != f"w{self.layers}":
            height, width = (extent // self.slices for extent in part.shape)
            row, column = self.block * height, self.block * width
            part = part[row : row + height, column : column + width]
        else:
            part = part[:0]
        kept = part.copy()
        super().update(name, gradient)
        part[...] = kept


class Described(Backprop):
    """Slice (i, j) of every hidden layer and the biases of its outputs, with a state of theirs."""

    slices = 2

    def __init__(self, parameters, optimiser, options, **formats):
        self.options = options
        super().__init__(parameters, optimiser, **formats)
        self.begin_pass(0)

    def begin_pass(self, number: int) -> None:
        self.i, self.j = divmod(number % self.slices**2, self.slices)
        fresh = optimiser(self.options)
        for n in range(1, self.layers):
            fresh.add(f"w{n}", self.part(f"w{n}"))
            fresh.add(f"b{n}", self.part(f"b{n}"))
        self.hidden = fresh
        kept = f"w{self.layers}.", f"b{self.layers}."
        self.optimiser.state = {
            name: t for name, t in self.optimiser.state.items() if name.startswith(kept)
        }

    def part(self, name: str, of: Array | None = None) -> Array:
        whole = self.p[name] if of is None else of
        rows = slice(self.i * len(whole) // self.slices, (self.i + 1) * len(whole) // self.slices)
        if whole.ndim == 1:
            return whole[rows]
        width = whole.shape[1] // self.slices
        return whole[rows, self.j * width : (self.j + 1) * width]

    def step(self, x_BI: Array, y_B: Array, *draws: Array) -> None:
        self.hidden.begin_step()
        super().step(x_BI, y_B)

    def update(self, name: str, gradient: Array) -> None:
        if name in {f"w{self.layers}", f"b{self.layers}"}:
            super().update(name, gradient)
        else:
            self.hidden.update(name, self.part(name), self.part(name, gradient))

    def values(self) -> Arrays:
        return super().values() | self.hidden.state


# ---- the rule, under these names and in these shapes --------------------------------------------


def compared(options, kind=Backprop, seed=0):
    """Deviations of the rule with these options from a transcription."""
    options = {"lr": 0.01 if options.get("optimizer") == "adam" else 0.5} | options
    algorithm = start("backprop", MODEL, options, seed)
    if options.get("weights") == "binary":
        enlarge(algorithm, 2.5, "w", "latent", "slice", "scale")
    formats = {key: options[key] for key in ("weights", "activations") if key in options}
    parameters = starting_with(whole(held(algorithm)), "w", "b")
    more = [options] if issubclass(kind, Described) else []
    theirs = kind(parameters, optimiser(options), *more, **formats)

    def read(algorithm):
        found = whole(held(algorithm))
        for number in range(1, len(algorithm.model.layers) if "slice1" in found else 1):
            theirs.part(f"w{number}", found[f"w{number}"])[...] = found.pop(f"slice{number}")
            scale = found.pop(f"scale{number}")
            np.testing.assert_allclose(scale, mean_abs(found[f"w{number}"]), rtol=1e-6)
            del found[f"packed{number}"]
        return found

    slices = "slices" in options
    return deviations(algorithm, theirs, read=read, steps_per_pass=4 if slices else 0)


def whole(found: Arrays) -> Arrays:
    """Weights that lie in groups of columns as matrices; in storage or not."""
    return {
        name.replace("latent", "w"): np.concatenate(list(t), axis=1) if t.ndim == 3 else t
        for name, t in found.items()
    }


FLOAT = [
    {},
    {"momentum": 0.0},
    {"optimizer": "adam"},
    {"checkpoint": 2},
    {"micro_batch": 3},
    {"update": "fused"},
    {"checkpoint": 3, "micro_batch": 4, "optimizer": "adam"},
    {"update": "product"},
    {"update": "product", "momentum": 0.0, "checkpoint": 2},
    {"update": "product", "optimizer": "adam", "checkpoint": 3},
]
BINARY_FORMS = [BINARY_WEIGHTS, BINARY_ACTIVATIONS, BINARY]


@pytest.mark.parametrize("options", FLOAT, ids=str)
def test_float(options):
    assert largest(compared(options)) < CLOSE


@pytest.mark.parametrize("formats", BINARY_FORMS, ids=str)
@pytest.mark.parametrize("optimiser", [{}, {"optimizer": "adam"}, {"update": "fused"}], ids=str)
def test_binary(formats, optimiser):
    assert largest(compared(formats | optimiser)) < CLOSE


@pytest.mark.parametrize("formats", [{}, *BINARY_FORMS], ids=str)
@pytest.mark.parametrize("optimiser", [{}, {"optimizer": "adam"}], ids=str)
@pytest.mark.parametrize(("rule", "kind"), [("described", Described), ("released", Released)])
def test_slices(formats, optimiser, rule, kind):
    options = formats | optimiser | {"slices": 2, "slice_rule": rule}
    assert largest(compared(options, kind)) < CLOSE


# ---- slips that have to be noticed --------------------------------------------------------------


class Ungated(Backprop):
    def gate(self, z_BO):
        return np.ones_like(z_BO)


class SumForMean(Backprop):
    def gradients(self, x_BI, y_B):
        return {name: g * len(x_BI) for name, g in super().gradients(x_BI, y_B).items()}


class Uncut(Backprop):
    def cut(self, number):
        return 1.0


class NeverClipped(Backprop):
    def clip(self, *names):
        pass


class ScaledGradient(Backprop):
    """The scale of the activations in their gradient, as the derivative would have it."""

    def gate(self, z_BO):
        return super().gate(z_BO) * mean_abs(z_BO)


class MovedFirst(Backprop):
    """A weight takes its step (the first one's, without momentum) before the gradient passes it."""

    def through(self, dz_BO, number, gradient_OI):
        return dz_BO @ (self.read_weight(number) - self.optimiser.lr * gradient_OI)


class OtherBlock(Released):
    passes_before_the_first = 0


class KeptState(Described):
    """The state of a slice goes over to the next."""

    def begin_pass(self, number):
        before = self.hidden.state if hasattr(self, "hidden") else {}
        super().begin_pass(number)
        self.hidden.state |= before


@pytest.mark.parametrize(
    ("options", "kind"),
    [
        ({}, Ungated),
        ({}, SumForMean),
        ({"update": "product", "lr": 0.1}, MovedFirst),
        (BINARY, Ungated),
        (BINARY, ScaledGradient),
        (BINARY, Uncut),
        (BINARY, NeverClipped),
        ({"slices": 2, "slice_rule": "released"}, OtherBlock),
        ({"slices": 2}, KeptState),
    ],
)
def test_a_slip_is_noticed(options, kind):
    assert largest(compared(options, kind)) > NOTICED
