"""TinyFoA on locally connected nets, as its paper describes it: one slice of one layer in RAM.

    z = s_w s_h sign(W) h + b        n = (z - mean) / deviation       u = gain n + shift
    h' = s_u 1[u > 0]                s_u = mean(relu(u))              a = B h' + c
    du = B^T da 1[0 < u < 1]         dz by batch normalisation        dW = dz (s_h h)^T

Batch normalisation, rectifier and binarisation come in this order, as in the released code.
Channels are combined only in the head, so only one group of output channels exists in float32 at a
time. The slice's own group comes last; its n stays, and is overwritten by dz.

Decisions where the paper is silent: those of :mod:`trainfit.algorithms.tinyfoa.described.mlp.rule`;
biases, gains and shifts of a slice's output channels are trained, and clipped, with the slice.
Layers below are in :mod:`trainfit.algorithms.tinyfoa.described.locally_connected.forward`.

Shape suffixes: B batch, R some of its rows, P positions, J outputs of a group, K inputs of a slice
at one position, C classes, M groups of input channels, b bytes of packed bits.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import torch

from trainfit.algorithms.numerics.batch_norm import (
    backward_,
    mean_gradients,
    normalise_by_batch_,
    normalise_by_running_,
)
from trainfit.algorithms.numerics.binary.packing import pack_signs
from trainfit.algorithms.numerics.locally_connected import extent, weight_gradient
from trainfit.algorithms.numerics.losses import cross_entropy_error_
from trainfit.algorithms.phases import Category, phase, tag
from trainfit.algorithms.tiling import in_tiles
from trainfit.algorithms.tinyfoa.described.locally_connected.forward import LcForward


class LcDescribed(LcForward):
    """One slice at a time."""

    def step(self, x: torch.Tensor, y: torch.Tensor) -> None:
        """One Adam step of the active slice."""
        self.check_batch(len(x))
        layer, (group, column) = self._layers[self._active], self._place
        self._adam.begin_step()
        with torch.no_grad():
            with phase("forward"):
                features = self._step_input(x)
                h, scale_h = features.values, features.scale
                del features
                logits_BC = torch.zeros(len(x), self._model.classes)
                total = torch.zeros(())
                for other in range(self._slices):
                    if other != group:
                        self._normalised(other, h, scale_h, logits_BC, total)
                n_BPJ, deviation_J = self._normalised(group, h, scale_h, logits_BC, total)
                self._finish(logits_BC, total)
                del total
            with phase("gradient"):
                error_BC = cross_entropy_error_(logits_BC, y)
                del logits_BC
                dgain_J, dshift_J = self._through_normalisation(error_BC, n_BPJ, deviation_J)
                del error_BC, deviation_J
                dz_BPJ = n_BPJ
                del n_BPJ
                db_PJ = dz_BPJ.sum(0)
                if scale_h is not None:
                    dz_BPJ.mul_(scale_h)
            with phase("update"):
                self._update("b", layer.bias_NPJ[group], db_PJ)
                del db_PJ
                self._update("gain", layer.gain_NJ[group], dgain_J)
                self._update("shift", layer.shift_NJ[group], dshift_J)
                del dgain_J, dshift_J
            self._update_weights(dz_BPJ, self._patches(self._active, h, column))
            with phase("update"):
                del dz_BPJ, h, scale_h
                w_RK = self._slice.view(-1, self._slice.shape[-1]).clamp_(-1, 1)
                packed_Rb = layer.packed_NMPJSb[self._place].view(len(w_RK), -1)
                pack_signs(w_RK, packed_Rb, self._tiles(len(x), self._active).sign_rows)
                self._rescale(layer.scale)

    # ---- forward ----------------------------------------------------------------------------

    def _normalised(
        self,
        group: int,
        h: torch.Tensor,
        scale_h: torch.Tensor | None,
        logits_BC: torch.Tensor,
        total: torch.Tensor,
        *,
        by_batch: bool = True,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Normalised outputs of a group of the active layer, and the reciprocal deviations.

        Adds the group's contribution to the unscaled logits to ``logits_BC``, and the sum of its
        rectified outputs to ``total``.
        """
        layer, grid = self._layers[self._active], self._grids[self._active]
        n_BPJ = self._preactivation(self._active, group, h, scale_h)
        n_RJ = n_BPJ.view(-1, grid.outputs)
        mean_J, variance_J = layer.mean_NJ[group], layer.variance_NJ[group]
        normalise = normalise_by_batch_ if by_batch else normalise_by_running_
        deviation_J = normalise(n_RJ, mean_J, variance_J)
        for rows in self._batch_tiles(len(n_BPJ)):
            u_RPJ = self._shifted(n_BPJ[rows], group).relu_()
            total.add_(u_RPJ.sum())
            logits_BC[rows].addmm_(u_RPJ.sign_().flatten(1), layer.head_NCI[group].T)
            del u_RPJ
        return n_BPJ, deviation_J

    def _shifted(self, n_RPJ: torch.Tensor, group: int) -> torch.Tensor:
        """The values that are rectified, ``u = gain n + shift``, for some samples."""
        layer = self._layers[self._active]
        u_RPJ = torch.addcmul(layer.shift_NJ[group], n_RPJ, layer.gain_NJ[group])
        return tag(u_RPJ, Category.WORKSPACE, "u of some samples")

    def _finish(self, logits_BC: torch.Tensor, total: torch.Tensor) -> None:
        """Scale the logits by s_u and add the head's bias."""
        elements = len(logits_BC) * self._grids[self._active].units * self._slices
        logits_BC.mul_(total.mul_(1.0 / elements))
        logits_BC.add_(self._layers[self._active].head_bias_C)

    # ---- gradient and update ----------------------------------------------------------------

    def _through_normalisation(
        self, error_BC: torch.Tensor, n_BPJ: torch.Tensor, deviation_J: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Overwrite n with dz; returns the gradients of gain and shift.

        The gradient of u is computed twice, some samples at a time: for the sums, then for dz.
        """
        outputs = n_BPJ.shape[2]
        dgain_J, dshift_J = torch.zeros(outputs), torch.zeros(outputs)
        for rows in self._batch_tiles(len(n_BPJ)):
            du_RJ = self._output_gradient(error_BC[rows], n_BPJ[rows])
            dshift_J.add_(tag(du_RJ.sum(0), Category.WORKSPACE, "sum over rows"))
            du_RJ.mul_(n_BPJ[rows].view(-1, outputs))
            dgain_J.add_(tag(du_RJ.sum(0), Category.WORKSPACE, "sum over rows"))
            del du_RJ
        means = mean_gradients(dshift_J, dgain_J, n_BPJ.numel() // outputs)
        deviation_J.mul_(self._layers[self._active].gain_NJ[self._place[0]])
        for rows in self._batch_tiles(len(n_BPJ)):
            du_RJ = self._output_gradient(error_BC[rows], n_BPJ[rows])
            backward_(n_BPJ[rows].view(-1, outputs), du_RJ, means, deviation_J)
            del du_RJ
        return dgain_J, dshift_J

    def _output_gradient(self, error_RC: torch.Tensor, n_RPJ: torch.Tensor) -> torch.Tensor:
        """``du = B^T da 1[0 < u < 1]`` for some samples, shape (samples and positions, J)."""
        group = self._place[0]
        du_RI = error_RC @ self._layers[self._active].head_NCI[group]
        tag(du_RI, Category.WORKSPACE, "du of some samples")
        u_RI = self._shifted(n_RPJ, group).flatten(1)
        torch.ops.aten.hardtanh_backward.grad_input(du_RI, u_RI, 0, 1, grad_input=du_RI)
        return du_RI.view(-1, n_RPJ.shape[2])

    def _update(self, name: str, parameter: torch.Tensor, gradient: torch.Tensor) -> None:
        self._adam.apply(name, parameter, gradient)
        parameter.clamp_(-1, 1)

    def _update_weights(
        self, dz_BPJ: torch.Tensor, patches_of: Callable[[slice], torch.Tensor]
    ) -> None:
        """Adam's step with ``dW = dz h^T``, whole or some positions at a time."""
        size = self._tiles(len(dz_BPJ), self._active).gradient_positions
        positions = self._model.positions
        for rows in in_tiles(positions, size if self._fused else positions):
            with phase("gradient"):
                fan_in = self._grids[self._active].fan_in
                dw_PJK = torch.empty(extent(rows), dz_BPJ.shape[2], fan_in)
                for part in in_tiles(extent(rows), size):
                    tile = slice(rows.start + part.start, rows.start + part.stop)
                    weight_gradient(dz_BPJ, patches_of(tile), tile, dw_PJK[part])
            with phase("update"):
                self._adam.apply_rows("w", self._slice, dw_PJK, rows)
                del dw_PJK

    def _batch_tiles(self, batch: int) -> Iterator[slice]:
        return in_tiles(batch, self._tiles(batch, self._active).batch_rows)

    # ---- the rest ---------------------------------------------------------------------------

    def predict(self, x: torch.Tensor) -> torch.Tensor:
        """Scores of the active layer's head, with running statistics throughout."""
        features = self._features(x, training=False)
        h, scale_h = features.values, features.scale
        logits_BC, total = torch.zeros(len(x), self._model.classes), torch.zeros(())
        for group in range(self._slices):
            self._normalised(group, h, scale_h, logits_BC, total, by_batch=False)
        self._finish(logits_BC, total)
        return logits_BC
