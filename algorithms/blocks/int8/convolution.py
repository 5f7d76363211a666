"""Convolution with groups, whose products are those of integers.

With q the integers of a tensor and s their scale::

    z = s_w s_x (q_w * q_x) + b     (q_d, s_d) = Q(dz)     dx = s_d s_w (q_w *^T q_d)
    dw = s_d s_x (q_d * q_x)        db = sum of dz over batch and places, before it is rounded

Input and output are float32; between the forward pass and the gradient, the input is INT8. If sums
over all samples might exceed INT32, a gradient of the weight is made of fewer samples at a time,
and added up in float32. How dz is rounded, for the weight and for what is below, and at which part
of the rate weight and bias move, is its quantiser's affair
(:mod:`trainfit.algorithms.numerics.int8.gradients`).
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
    int8_convolution_input,
    int8_convolution_weight,
    most_rows,
)
from trainfit.algorithms.numerics.int8.convolution.windows import Windows
from trainfit.algorithms.numerics.int8.forward import quantised_convolution, rescaled_maps
from trainfit.algorithms.numerics.int8.scaled import Quantised
from trainfit.algorithms.phases import Category, phase, tag
from trainfit.algorithms.tiling import in_tiles


class RoundedConvolution(Block):
    """``y = w * x + b`` with w and x in INT8; w is drawn as in float32.

    Args:
        layer: Its sizes.
        shape: Of its input.
        name: The start of the names of its tensors.
        generator: Draws the weight.
        arithmetic: How numbers are rounded.
        latent: Whether float32 weights are kept.

    Raises:
        ConfigurationError: INT32 might not hold the sums.
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
        check_sums(layer, shape, name)
        self._name, self._arithmetic = name, arithmetic
        self._windows = Windows(layer.stride, layer.padding, layer.groups)
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
        w = self._weight.quantised
        return quantised_convolution(h, w, self._bias, self._windows, self._arithmetic.kernel)


class Int8ConvolutionBlock(RoundedConvolution):
    """With gradients in INT8."""

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
        _check_sums_of_gradients(layer, shape, name)
        super().__init__(layer, shape, name, generator, arithmetic, latent=latent)
        self._quantiser = arithmetic.quantiser(layer.outputs)

    def held(self) -> Iterator[Held]:
        """Weight and bias, and what the quantiser of gradients keeps."""
        yield from super().held()
        for label, buffer in self._quantiser.buffers():
            yield Held(f"{self._name}.{label}", buffer, Category.BUFFERS)

    def backward(self, tape: Tape, learner: Learner, *, to_input: bool) -> None:
        """Of the bias and the input, then of the weight, which moves."""
        dy, scale, q = tape.pop(), tape.pop(), tape.pop()
        with phase("gradient"):
            db = None if self._bias is None else dy.sum((0, 2, 3))
            d = self._quantiser.quantise(dy, self._arithmetic.next_seed(), to_input=to_input)
            del dy
        rate, own = d.rate, d.for_weights
        if self._bias is not None and db is not None:
            with learner.slowed(rate):
                learner.take(f"{self._name}.bias", self._bias, db)
            del db
        if to_input:
            with phase("gradient"):
                tape.append(self._of_input(d.for_inputs, q.shape))
        del d  # of which only what is for the weights is needed
        with learner.slowed(rate):
            self._weight.learn(learner, lambda rows: self._of_rows(rows, own, Quantised(q, scale)))

    def _of_input(self, d: Quantised, shape: torch.Size) -> torch.Tensor:
        w, kernel = self._weight, self._arithmetic.kernel
        sums = int8_convolution_input(d.q, w.q, shape, self._windows, kernel)
        return rescaled_maps(sums, d.scale, w.scale)

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
        return rescaled_maps(sums, d.scale_of(rows), h.scale)


def check_sums(layer: Convolution, shape: Shape, name: str) -> None:
    """Refuse results that are sums of more products than INT32 can hold, whatever they are.

    Raises:
        ConfigurationError: There are such sums.
    """
    _refuse_more(name, "a result", shape[0] // layer.groups * math.prod(layer.kernel))


def _check_sums_of_gradients(layer: Convolution, shape: Shape, name: str) -> None:
    """The same for the gradients.

    Raises:
        ConfigurationError: There are such sums.
    """
    of_input = layer.outputs // layer.groups * math.prod(layer.kernel)
    _refuse_more(name, "a gradient of the input", of_input)
    of_weight = math.prod(layer.shape_after(shape)[1:])
    _refuse_more(name, "a gradient of a weight, for one sample,", of_weight)


def _refuse_more(name: str, what: str, terms: int) -> None:
    if terms > MOST_TERMS:
        raise ConfigurationError(
            f"{name}: {what} would be a sum of {terms:,} INT8 products, INT32 holds"
            f" {MOST_TERMS:,} whatever they are; use a smaller map, or fewer channels"
        )
