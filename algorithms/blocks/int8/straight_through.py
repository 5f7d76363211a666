"""Convolutions and dense layers that multiply INT8 going forward, with gradients in float32.

With ``x^ = s_x q_x`` and ``w^ = s_w q_w``, the values that were multiplied (Jacob et al. 2018)::

    y = w^ * x^ + b     dw = dy * x^     dx = w^ *^T dy     db = sum of dy over batch and places

What was rounded passes a gradient as if it had not been (straight through), and it moves float32
weights, which are rounded again. Between the forward pass and the gradient, the input is INT8. It
is float32 again while the weight gradient is made. Of a convolution that gradient exists as a whole
beside the gradient of the input, for which the weight is float32 again as a whole, too.
"""

from __future__ import annotations

import torch

from trainfit.algorithms.blocks.block import Tape, placeholder
from trainfit.algorithms.blocks.float32.convolution import gradients_of
from trainfit.algorithms.blocks.int8.convolution import RoundedConvolution
from trainfit.algorithms.blocks.int8.dense import RoundedDense
from trainfit.algorithms.blocks.learning import Learner
from trainfit.algorithms.numerics.int8.scaled import Quantised, tile_height
from trainfit.algorithms.phases import Category, phase, tag
from trainfit.algorithms.tiling import in_tiles


class StraightThroughConvolutionBlock(RoundedConvolution):
    """With gradients in float32."""

    def backward(self, tape: Tape, learner: Learner, *, to_input: bool) -> None:
        """Of bias, weight and input; then the weight moves."""
        dy, scale, q = tape.pop(), tape.pop(), tape.pop()
        shape = q.shape
        if self._bias is not None:
            with phase("gradient"):
                db = dy.sum((0, 2, 3))
            learner.take(f"{self._name}.bias", self._bias, db)
            del db
        with phase("gradient"):
            x = _wide(Quantised(q, scale), "input in float32")
            del q
            dw = self._gradients(dy, x, self._as_placeholder(x), [False, True, False])[1]
            del x
            if to_input:
                w = _wide(self._weight.quantised, "weight in float32")
                tape.append(self._gradients(dy, placeholder(shape, dy), w, [True, False, False])[0])
                del w
            del dy
        self._weight.learn(learner, lambda rows: dw[rows])

    def _as_placeholder(self, like: torch.Tensor) -> torch.Tensor:
        return placeholder(self._weight.q.shape, like)

    def _gradients(
        self, dy: torch.Tensor, x: torch.Tensor, w: torch.Tensor, wanted: list[bool]
    ) -> list[torch.Tensor]:
        stride, padding, groups = self._windows
        windows = list(stride), list(padding), groups
        found: list[torch.Tensor] = gradients_of(dy, x, w, windows, wanted)
        return found


class StraightThroughDenseBlock(RoundedDense):
    """With gradients in float32; the weight and its gradient are float32 some rows at a time."""

    def backward(self, tape: Tape, learner: Learner, *, to_input: bool) -> None:
        """Of bias and input, then of the weight, which moves."""
        dy_NO, scale, q = tape.pop(), tape.pop(), tape.pop()
        if self._bias_O is not None:
            with phase("gradient"):
                db_O = dy_NO.sum(0)
            learner.take(f"{self._name}.bias", self._bias_O, db_O)
            del db_O
        with phase("gradient"):
            if to_input:
                tape.append(self._of_input(dy_NO).view(q.shape))
            x_NC = _wide(Quantised(q.flatten(1), scale), "input in float32")
            del q
        self._weight.learn(learner, lambda rows: dy_NO[:, rows].T @ x_NC)

    def _of_input(self, dy_NO: torch.Tensor) -> torch.Tensor:
        q_OC, scale = self._weight.quantised
        dx_NC = dy_NO.new_zeros(len(dy_NO), q_OC[0].numel())
        for rows in in_tiles(len(q_OC), tile_height(*q_OC.shape)):
            part = tag(q_OC[rows].to(torch.float32), Category.WORKSPACE, "tile of integers")
            dx_NC.addmm_(dy_NO[:, rows], part)
            del part  # otherwise two of them would be alive in the next iteration
        return dx_NC.mul_(scale)


def _wide(of: Quantised, label: str) -> torch.Tensor:
    return tag(of.q.to(torch.float32), Category.WORKSPACE, label).mul_(of.scale)
