"""TinyFoA on locally connected nets: as ``tinyfoa``, with batch normalisation before the rectifier.

    z[b, p, o] = s_w sum_si sign(W)[p, o, s, i] h[b, q(p, s), i] + b[p, o]     q: nine neighbours
    n = (z - mean) / sqrt(variance + 1e-5)    u = gain n + shift    h' = s_u 1[u > 0]
    a = B h' + c    du = (B^T da) 1[0 < u < 1]    s_u = mean(max(0, u))

Batch normalisation and its gradient: Ioffe & Szegedy (ICML 2015), algorithm 1 and section 3; the
running statistics move by a tenth, the variance is the unbiased one (algorithm 2, line 10). All of
weights, biases, gains and shifts are trained by Adam and clipped.

Described: slice (n, m) of N groups of outputs and M of inputs (in the first layer one), with what
belongs to its outputs; layers below use their running statistics. Released: all but output and
input group p mod M; layers below use, and change, those of the batch.

Shape suffixes: B batch, P positions, O outputs, S neighbours, I inputs, C classes.
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
    sign,
)

KINDS = ("w", "b", "gain", "shift")


class LcTinyFoA(Transcription):
    """``w1`` of shape (P, O, S, I), ``b1`` (P, O), the rest (O,); heads (C, P, O)."""

    scales = ("scale", "variance", "mean")

    def __init__(
        self,
        parameters: Arrays,
        heads: Arrays,
        lr: float,
        *,
        side: int,
        slices: int,
        passes: int,
        by_batch: bool = False,
    ) -> None:
        self.p = {name: np.array(t, np.float64) for name, t in parameters.items()}
        self.heads, self.lr, self.side = heads, lr, side
        self.slices, self.passes, self.by_batch = slices, passes, by_batch
        self.cached: dict[int, float] = {}
        self.begin_pass(0)

    def begin_pass(self, number: int) -> None:
        if number % self.passes == 0:
            self.active = number // self.passes + 1
            self.enter_layer()
        self.enter_slice(number % self.passes)

    # ---- the equations

    def neighbours(self, h_BPI: Array) -> Array:
        """Shape (B, P, S, I), zeros beyond the border."""
        batch, _, inputs = h_BPI.shape
        maps = np.pad(
            h_BPI.reshape(batch, self.side, self.side, inputs), ((0, 0), (1, 1), (1, 1), (0, 0))
        )
        shifted = [
            maps[:, y : y + self.side, x : x + self.side] for y in range(3) for x in range(3)
        ]
        return np.stack(shifted, 3).reshape(batch, -1, 9, inputs)

    def normalised(self, h_BPI: Array, number: int, *, by_batch: bool) -> tuple[Array, Array]:
        """n, and 1 / sqrt(variance + eps); the running statistics move if the batch's are used."""
        w = self.p[f"w{number}"]
        bits = np.einsum("bpsi,posi->bpo", self.neighbours(h_BPI), sign(w))
        z_BPO = mean_abs(w) * bits + self.p[f"b{number}"]
        running = [self.p[f"{name}{number}"] for name in ("mean", "variance")]
        mean_O, variance_O = running
        if by_batch:
            rows = z_BPO.shape[0] * z_BPO.shape[1]
            mean_O, variance_O = z_BPO.mean((0, 1)), z_BPO.var((0, 1))
            running[0][...] = 0.9 * running[0] + 0.1 * mean_O
            running[1][...] = 0.9 * running[1] + 0.1 * variance_O * rows / (rows - 1)
        deviation_O = np.sqrt(variance_O + 1e-5)
        return (z_BPO - mean_O) / deviation_O, 1 / deviation_O

    def rectified(self, n_BPO: Array, number: int) -> tuple[Array, Array]:
        """u, and the binary output."""
        u_BPO = self.p[f"gain{number}"] * n_BPO + self.p[f"shift{number}"]
        scale = float(np.maximum(u_BPO, 0.0).mean())
        return u_BPO, self.cached.get(number, scale) * (u_BPO > 0)

    def below(self, x_BI: Array, *, by_batch: bool) -> Array:
        """Input of the active layer, from images of one channel."""
        h_BPI = x_BI[:, :, None]
        for number in range(1, self.active):
            n_BPO, _ = self.normalised(h_BPI, number, by_batch=by_batch)
            h_BPI = self.rectified(n_BPO, number)[1]
        return h_BPI

    def cache(self, x_SI: Array) -> None:
        """The scales of the layers below, from all samples."""
        self.cached, h_SPI = {}, x_SI[:, :, None]
        for number in range(1, self.active):
            n_SPO, _ = self.normalised(h_SPI, number, by_batch=False)
            u_SPO, _ = self.rectified(n_SPO, number)
            self.cached[number] = float(np.maximum(u_SPO, 0.0).mean())
            h_SPI = self.rectified(n_SPO, number)[1]

    def cut(self, w: Array) -> Array | float:
        return 1.0  # weights are clipped before they are read

    def through_normalisation(self, du_BPO: Array, n_BPO: Array) -> Array:
        """The gradient of n's input, up to gain / deviation."""
        mean_O, slope_O = du_BPO.mean((0, 1)), (du_BPO * n_BPO).mean((0, 1))
        return du_BPO - mean_O - n_BPO * slope_O

    def step(self, x_BI: Array, y_B: Array, *draws: Array) -> None:
        self.optimiser.begin_step()
        layer, active = {kind: self.p[f"{kind}{self.active}"] for kind in KINDS}, self.active
        h_BPI = self.below(x_BI, by_batch=self.by_batch)
        n_BPO, inverse_O = self.normalised(h_BPI, active, by_batch=True)
        u_BPO, out_BPO = self.rectified(n_BPO, active)
        head_CPO = self.heads[f"head{active}"]
        logits_BC = np.einsum("bpo,cpo->bc", out_BPO, head_CPO) + self.heads[f"head_bias{active}"]
        du_BPO = np.einsum("bc,cpo->bpo", output_error(logits_BC, y_B), head_CPO)
        du_BPO *= (u_BPO > 0) & (u_BPO < 1)
        dz_BPO = layer["gain"] * inverse_O * self.through_normalisation(du_BPO, n_BPO)
        dw = np.einsum("bpo,bpsi->posi", dz_BPO, self.neighbours(h_BPI)) * self.cut(layer["w"])
        self.change(
            layer,
            {
                "w": dw,
                "b": dz_BPO.sum(0),
                "gain": (du_BPO * n_BPO).sum((0, 1)),
                "shift": du_BPO.sum((0, 1)),
            },
        )
        for t in layer.values():
            np.clip(t, -1, 1, out=t)

    # ---- which part changes

    def enter_layer(self) -> None:
        pass

    def enter_slice(self, turn: int) -> None:
        raise NotImplementedError

    def change(self, layer: Arrays, gradients: Arrays) -> None:
        raise NotImplementedError

    def groups(self, kind: str, of: Array, group: int, column: int | None) -> Array:
        """View of a group of outputs (and inputs, with a column) of w, b, a gain or a shift."""
        outputs = slice(group * self.height, (group + 1) * self.height)
        if kind != "w":
            return of[..., outputs]
        width = of.shape[3] // self.slices
        inputs = slice(None) if column is None else slice(column * width, (column + 1) * width)
        return of[:, outputs, :, inputs]

    @property
    def height(self) -> int:
        return len(self.p[f"gain{self.active}"]) // self.slices


class LcDescribed(LcTinyFoA):
    """One slice at a time."""

    def enter_slice(self, turn: int) -> None:
        columns = 1 if self.active == 1 else self.slices
        group, column = divmod(turn % (self.slices * columns), columns)
        self.place = group, (None if self.active == 1 else column)
        self.optimiser = Adam(self.lr)
        for kind in KINDS:
            self.optimiser.add(kind, self.groups(kind, self.p[f"{kind}{self.active}"], *self.place))

    def change(self, layer: Arrays, gradients: Arrays) -> None:
        for kind, t in layer.items():
            part, gradient = (self.groups(kind, each, *self.place) for each in (t, gradients[kind]))
            self.optimiser.update(kind, part, gradient)

    def values(self) -> Arrays:
        numbers = range(1, self.layers + 1)
        return super().values() | {
            f"scale{n}": np.array(mean_abs(self.p[f"w{n}"])) for n in numbers
        }


class LcReleased(LcTinyFoA):
    """All but a diagonal block; biases, gains and shifts are never restored."""

    def enter_layer(self) -> None:
        self.optimiser = Adam(self.lr)
        for kind in KINDS:
            self.optimiser.add(kind, self.p[f"{kind}{self.active}"])

    def enter_slice(self, turn: int) -> None:
        self.block = (turn + 1) % self.slices

    def cut(self, w: Array) -> Array | float:
        return np.abs(w) < 1

    def change(self, layer: Arrays, gradients: Arrays) -> None:
        column = None if self.active == 1 else self.block
        frozen = self.groups("w", layer["w"], self.block, column)
        kept = frozen.copy()
        for kind, t in layer.items():
            self.optimiser.update(kind, t, gradients[kind])
        frozen[...] = kept
