"""Quantisation-aware training: an INT8 forward pass, gradients of float32 weights.

Jacob et al., Quantization and Training of Neural Networks for Efficient Integer-Arithmetic-Only
Inference, CVPR 2018 (arXiv 1712.05877), section 3: weights and activations are rounded in the
forward pass, and gradients move float weights as if nothing had been rounded (straight through)::

    forward as in trainfit.algorithms.int8.net       dz_L = dL/dz_L, float32
    dh_{l-1} = dz_l w^_l                    w^_l = s_w q_w, the weights that were used
    dw_l = dz_l^T h^_{l-1}                  h^ = s_h q_h      dz_{l-1} = dh_{l-1} . 1[q_h > 0]

Rounding by the largest magnitude clips nothing, so no gradient is cut; none flows through a scale.
Decisions: the forward pass is computed with the integers themselves, not with floats that have few
values, and integers are kept for the gradient, too. For its products, weights become float32 a
tile at a time and activations one layer at a time. Scales are those of the current batch, where
the paper smooths them over steps.

Nets of units are trained by :mod:`trainfit.algorithms.int8.units`, with batch normalisation in
float32 between the products; the paper folds it into the weights before they are rounded.

Shape suffixes: B batch, I inputs and O outputs of a layer, C classes.
"""

from __future__ import annotations

from typing import Any, ClassVar

import torch

from trainfit.algorithms.contract import Algorithm
from trainfit.algorithms.int8.net import Int8Net, relu_backward_
from trainfit.algorithms.int8.options import QAT_INT8, Int8Options
from trainfit.algorithms.int8.units import QatInt8OnUnits
from trainfit.algorithms.models import Mlp, Model, UnitNet
from trainfit.algorithms.numerics.int8.scaled import Quantised, tile_height
from trainfit.algorithms.numerics.losses import logit_gradient_
from trainfit.algorithms.phases import Category, phase, tag
from trainfit.algorithms.tiling import in_tiles


class QatInt8(Int8Net[Int8Options], about=QAT_INT8):
    """Straight-through gradients of the net in its deployed form."""

    models: ClassVar[tuple[type[Model], ...]] = (Mlp, UnitNet)
    forms: ClassVar[tuple[type[Algorithm[Any]], ...]] = (QatInt8OnUnits,)

    def step(self, x: torch.Tensor, y: torch.Tensor) -> None:
        """One update of every layer, the last one first."""
        self._optimiser.begin_step()
        with torch.no_grad():
            with phase("forward"):
                kept, logits_BC = self._forward(x)
            with phase("gradient"):
                dz_BO = logit_gradient_(logits_BC, y, self.options.loss)
                del logits_BC
            for number in range(len(self.model.layers), 0, -1):
                h = kept.pop()
                with phase("gradient"):
                    below_BI = self._pass_down(number, dz_BO, h) if number > 1 else dz_BO
                    h_BI = tag(h.q.to(torch.float32), Category.WORKSPACE, "float activation")
                    h_BI.mul_(h.scale)
                    del h
                self._apply(number, dz_BO, h_BI)
                with phase("update"):
                    self._requantise(number)
                dz_BO = below_BI
                del h_BI, below_BI

    def _pass_down(self, number: int, dz_BO: torch.Tensor, h: Quantised) -> torch.Tensor:
        """``dz w^ . 1[q_h > 0]``, a tile of rows of the weights at a time."""
        q_OI, scale = self._weights[number - 1]
        dh_BI = dz_BO.new_zeros(len(dz_BO), q_OI.shape[1])
        for rows in in_tiles(len(q_OI), tile_height(*q_OI.shape)):
            tile = tag(q_OI[rows].to(torch.float32), Category.WORKSPACE, "tile of integers")
            dh_BI.addmm_(dz_BO[:, rows], tile)
            del tile  # otherwise two of them would be alive in the next iteration
        return relu_backward_(dh_BI.mul_(scale), h)
