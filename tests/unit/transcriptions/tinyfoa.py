"""TinyFoA: Huang & Aminifar (AAAI 2025), section 2 and figure 1, and its released code.

Hidden layers one after the other, each with a fixed classifier B and binary weights and
activations; with scales s_t = mean(abs(t)), over the layer's weights or the batch's activations::

    z = s_w sign(W) h + b    h' = s_z 1[z > 0]    a = B h'    da = (softmax(a) - y*) / B
    dz = (B^T da) 1[0 < z < 1]    dW = dz^T h 1[abs(W) <= 1]    then Adam, then clipped to [-1, 1]

Described: only slice (i, j) of the M x M changes, with the biases of its outputs, and Adam starts
again with each slice. Released: all but diagonal block p mod M of pass p (from 1); Adam starts
again with each layer. With cached features the scale of a layer below is its mean over the training
set.

Unbinarised: with float weights W stands for s_w sign(W), nothing is cut or clipped; with float
activations the rectifier stands for h', and dz = (B^T da) 1[z > 0].

Shape suffixes: B batch, I inputs and O outputs of a layer, C classes.
"""

from __future__ import annotations

import numpy as np

from tests.unit.transcriptions.arithmetic import (
    Adam,
    Array,
    Arrays,
    Transcription,
    mean_abs,
    output_error,
    product,
    sign,
)


class TinyFoA(Transcription):
    """Layers ``w1, b1, ...`` and ``heads``, of which layer ``active`` is trained, from 1."""

    def __init__(
        self, parameters: Arrays, heads: Arrays, lr: float, *, slices: int, passes: int
    ) -> None:
        self.p = {name: np.array(t, np.float64) for name, t in parameters.items()}
        self.heads, self.lr, self.slices, self.passes = heads, lr, slices, passes
        self.cached: dict[int, float] = {}  # of the features, if they are cached
        self.begin_pass(0)

    def begin_pass(self, number: int) -> None:
        if number % self.passes == 0:
            self.enter_layer(number // self.passes + 1)
        self.enter_slice(number % self.passes)

    def enter_layer(self, number: int) -> None:
        self.active = number

    def enter_slice(self, turn: int) -> None:
        raise NotImplementedError

    # ---- the equations

    def preactivation(self, h_BI: Array, number: int) -> Array:
        w_OI = self.p[f"w{number}"]
        return product(h_BI, mean_abs(w_OI) * sign(w_OI)) + self.p[f"b{number}"]

    def output(self, h_BI: Array, number: int) -> Array:
        z_BO = self.preactivation(h_BI, number)
        return self.cached[number] * (z_BO > 0) if number in self.cached else self.activation(z_BO)

    def activation(self, z_BO: Array) -> Array:
        return mean_abs(z_BO) * (z_BO > 0)

    def cache(self, x_SI: Array) -> None:
        """The scales of the layers below, from all samples."""
        self.cached, h_SI = {}, x_SI
        for number in range(1, self.active):
            self.cached[number] = mean_abs(self.preactivation(h_SI, number))
            h_SI = self.output(h_SI, number)

    def gate(self, z_BO: Array) -> Array:
        return (z_BO > 0) & (z_BO < 1)

    def cut(self, w_OI: Array) -> Array | float:
        return np.abs(w_OI) <= 1

    def clip(self, t: Array) -> None:
        np.clip(t, -1, 1, out=t)

    def gradients(self, x_BI: Array, y_B: Array) -> tuple[Array, Array]:
        h_BI = x_BI
        for number in range(1, self.active):
            h_BI = self.output(h_BI, number)
        z_BO, head_CO = self.preactivation(h_BI, self.active), self.heads[f"head{self.active}"]
        error_BC = output_error(self.activation(z_BO) @ head_CO.T, y_B)
        dz_BO = error_BC @ head_CO * self.gate(z_BO)
        return dz_BO.T @ h_BI * self.cut(self.p[f"w{self.active}"]), dz_BO.sum(0)

    def step(self, x_BI: Array, y_B: Array, *draws: Array) -> None:
        self.optimiser.begin_step()
        dw_OI, db_O = self.gradients(x_BI, y_B)
        w_OI, b_O = self.p[f"w{self.active}"], self.p[f"b{self.active}"]
        self.change(w_OI, b_O, dw_OI, db_O)
        self.clip(w_OI)
        self.clip(b_O)

    def change(self, w_OI: Array, b_O: Array, dw_OI: Array, db_O: Array) -> None:
        raise NotImplementedError


class Described(TinyFoA):
    """One slice at a time."""

    def values(self) -> Arrays:
        scales = {
            f"scale{n}": np.array(mean_abs(self.p[f"w{n}"])) for n in range(1, self.layers + 1)
        }
        return super().values() | scales

    def enter_slice(self, turn: int) -> None:
        outputs, inputs = self.p[f"w{self.active}"].shape
        i, j = divmod(turn % self.slices**2, self.slices)
        height, width = outputs // self.slices, inputs // self.slices
        self.rows = slice(i * height, (i + 1) * height)
        self.place = self.rows, slice(j * width, (j + 1) * width)
        self.optimiser = Adam(self.lr)
        self.optimiser.add("w", self.p[f"w{self.active}"][self.place])
        self.optimiser.add("b", self.p[f"b{self.active}"][self.rows])

    def change(self, w_OI: Array, b_O: Array, dw_OI: Array, db_O: Array) -> None:
        self.optimiser.update("w", w_OI[self.place], dw_OI[self.place])
        self.optimiser.update("b", b_O[self.rows], db_O[self.rows])


class Unbinarised(Described):
    """Float weights, float activations, or both; the rest as described."""

    float_weights = False
    float_activations = False

    def values(self) -> Arrays:
        found = super().values()
        kept = {name: t for name, t in found.items() if not name.startswith("scale")}
        return kept if self.float_weights else found

    def preactivation(self, h_BI: Array, number: int) -> Array:
        if not self.float_weights:
            return super().preactivation(h_BI, number)
        return h_BI @ self.p[f"w{number}"].T + self.p[f"b{number}"]

    def activation(self, z_BO: Array) -> Array:
        return np.maximum(z_BO, 0) if self.float_activations else super().activation(z_BO)

    def gate(self, z_BO: Array) -> Array:
        return z_BO > 0 if self.float_activations else super().gate(z_BO)

    def cut(self, w_OI: Array) -> Array | float:
        return 1.0 if self.float_weights else super().cut(w_OI)

    def clip(self, t: Array) -> None:
        if not self.float_weights:
            super().clip(t)


class FloatWeights(Unbinarised):
    float_weights = True


class FloatActivations(Unbinarised):
    float_activations = True


class Float(Unbinarised):
    float_weights = float_activations = True


class Released(TinyFoA):
    """All but a diagonal block. A gradient is cut at 1, too, where clipping leaves weights."""

    def cut(self, w_OI: Array) -> Array | float:
        return np.abs(w_OI) < 1

    def enter_layer(self, number: int) -> None:
        self.optimiser = Adam(self.lr)
        for name in "wb":
            self.optimiser.add(name, self.p[f"{name}{number}"])
        super().enter_layer(number)

    def enter_slice(self, turn: int) -> None:
        outputs, inputs = (extent // self.slices for extent in self.p[f"w{self.active}"].shape)
        i = (turn + 1) % self.slices
        self.place = slice(i * outputs, (i + 1) * outputs), slice(i * inputs, (i + 1) * inputs)

    def change(self, w_OI: Array, b_O: Array, dw_OI: Array, db_O: Array) -> None:
        kept = w_OI[self.place].copy()
        self.optimiser.update("w", w_OI, dw_OI)
        self.optimiser.update("b", b_O, db_O)
        w_OI[self.place] = kept
