"""Convolution with groups, whose products are those of integers.

With q the integers of a tensor and s their scale::

    z = s_w s_x (q_w * q_x) + b     (q_d, s_d) = Q(dz)     dx = s_d s_w (q_w *^T q_d)
    dw = s_d s_x (q_d * q_x)        db = sum of dz over batch and places, before it is rounded

Input and output are float32; between the forward pass and the gradient, the input is INT8. If sums
over all samples might exceed INT32, a gradient of the weight is made of fewer samples at a time,
and added up in float32.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import torch

from trainfit.algorithms.blocks.block import Block, Held, Pass, Tape
from trainfit.algorithms.blocks.int8.arithmetic import Arithmetic
from trainfit.algorithms.blocks.int8.weight import Weight
from trainfit.algorithms.blocks.learning import Learner
from trainfit.algorithms.errors import ConfigurationError
from trainfit.algorithms.models.layers import Convolution
from trainfit.algorithms.models.model import Shape
from trainfit.algorithms.numerics.int8.convolution.products import (
    MOST_TERMS,
    int8_convolution,
    int8_convolution_input,
    int8_convolution_weight,
    most_rows,
)
from trainfit.algorithms.numerics.int8.convolution.windows import Windows
from trainfit.algorithms.numerics.int8.scaled import Quantised, rescale_
from trainfit.algorithms.phases import Category, phase, tag
from trainfit.algorithms.tiling import in_tiles


class Int8ConvolutionBlock(Block):
    """``y = w * x + b``; w is drawn as in float32.

    Args:
        layer: Its sizes.
        shape: Of its input.
        name: The start of the names of its tensors.
        generator: Draws the weight.
        arithmetic: How numbers are rounded.
        latent: Whether float32 weights are kept.
    """

    def __init__(
        self,
        layer: Convolution,
        shape: Shape,
        name: str,
        generator: torch.Generator,
        arithmetic: Arithmetic,
        *,
        latent: bool,
    ) -> None:
        self._name, self._arithmetic = name, arithmetic
        self._windows = Windows(layer.stride, layer.padding, layer.groups)
        _check_sums(layer, shape, name)
        inputs = shape[0] // layer.groups
        deviation = math.sqrt(2.0 / (inputs * math.prod(layer.kernel)))
        w = torch.empty(layer.outputs, inputs, *layer.kernel)
        w.normal_(0.0, deviation, generator=generator)
        self._weight = Weight(f"{name}.weight", w, arithmetic, latent=latent)
        self._bias = torch.zeros(layer.outputs) if layer.bias else None

    def held(self) -> Iterator[Held]:
        """Weight and bias."""
        yield from self._weight.held()
        if self._bias is not None:
            yield Held(f"{self._name}.bias", self._bias, Category.PARAMETERS)

    def forward(self, x: torch.Tensor, way: Pass) -> torch.Tensor:
        """(N, C, H, W) to (N, O, H', W')."""
        h = self._arithmetic.activations(x, way)
        del x
        way.keep(h.q, h.scale)
        w, kernel = self._weight, self._arithmetic.kernel
        y = _rescaled(int8_convolution(h.q, w.q, self._windows, kernel), h.scale, w.scale)
        return y if self._bias is None else y.add_(self._bias[:, None, None])

    def backward(self, tape: Tape, learner: Learner, *, to_input: bool) -> None:
        """Of the bias and the input, then of the weight, which moves."""
        dy, scale, q = tape.pop(), tape.pop(), tape.pop()
        if self._bias is not None:
            with phase("gradient"):
                db = dy.sum((0, 2, 3))
            learner.take(f"{self._name}.bias", self._bias, db)
            del db
        with phase("gradient"):
            d = self._arithmetic.gradients(dy)
            del dy
            if to_input:
                tape.append(self._of_input(d, q.shape))
        self._weight.learn(learner, lambda rows: self._of_rows(rows, d, Quantised(q, scale)))

    def _of_input(self, d: Quantised, shape: torch.Size) -> torch.Tensor:
        w, kernel = self._weight, self._arithmetic.kernel
        sums = int8_convolution_input(d.q, w.q, shape, self._windows, kernel)
        return _rescaled(sums, d.scale, w.scale)

    def _of_rows(self, rows: slice, d: Quantised, h: Quantised) -> torch.Tensor:
        """The gradient of some output channels' weights."""
        found: list[torch.Tensor] = []
        for some in in_tiles(len(d.q), most_rows(d.q[0, 0].numel())):
            part = self._of_samples(some, rows, d, h)
            if found:
                found[0].add_(tag(part, Category.WORKSPACE, "gradient of some samples"))
            else:
                found.append(part)
            del part  # otherwise two of them would be alive in the next iteration
        return found.pop()

    def _of_samples(self, some: slice, rows: slice, d: Quantised, h: Quantised) -> torch.Tensor:
        window, kernel = self._weight.q.shape[2:], self._arithmetic.kernel
        extent = window[0], window[1]
        sums = int8_convolution_weight(d.q[some], h.q[some], extent, rows, self._windows, kernel)
        return _rescaled(sums, d.scale, h.scale)


def _check_sums(layer: Convolution, shape: Shape, name: str) -> None:
    """Refuse sums of more products than INT32 can hold, whatever they are.

    Raises:
        ConfigurationError: There are such sums.
    """
    window = math.prod(layer.kernel)
    for what, terms in (
        ("a result", shape[0] // layer.groups * window),
        ("a gradient of the input", layer.outputs // layer.groups * window),
        ("a gradient of a weight, for one sample,", math.prod(layer.shape_after(shape)[1:])),
    ):
        if terms > MOST_TERMS:
            raise ConfigurationError(
                f"{name}: {what} would be a sum of {terms:,} INT8 products, INT32 holds"
                f" {MOST_TERMS:,} whatever they are; use a smaller map, or fewer channels"
            )


def _rescaled(sums: torch.Tensor, scale: torch.Tensor, other: torch.Tensor) -> torch.Tensor:
    """Sums as float32, in their memory."""
    return rescale_(sums.flatten(1), scale, other).view(sums.shape)
