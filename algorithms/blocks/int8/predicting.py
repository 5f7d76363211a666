"""Blocks in float32 that predict by INT8 products: what remains of a net when it is rounded.

Where running statistics normalise, that is in prediction, a convolution or a dense layer rounds its
weight and its input to INT8 with one scale each, by the largest magnitude and to the nearest, and
multiplies these. In training nothing is rounded. Everything else is in float32 on both ways.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch

from trainfit.algorithms.blocks.block import Block, Held, Pass, Statistics, Tape
from trainfit.algorithms.blocks.float32.chain import Maker, ResidualBlock, in_float32
from trainfit.algorithms.blocks.float32.convolution import ConvolutionBlock
from trainfit.algorithms.blocks.float32.dense import DenseBlock
from trainfit.algorithms.blocks.int8.convolution import check_sums
from trainfit.algorithms.blocks.learning import Learner
from trainfit.algorithms.models.layers import Convolution, Dense, Layer, Residual
from trainfit.algorithms.models.model import Shape
from trainfit.algorithms.numerics.int8.convolution.windows import Windows
from trainfit.algorithms.numerics.int8.forward import quantised_convolution, quantised_linear
from trainfit.algorithms.numerics.int8.quantise import quantise
from trainfit.algorithms.numerics.int8.scaled import Quantised
from trainfit.algorithms.options import Int8Kernel, Rounding


class PredictingInInt8Block(Block):
    """A convolution or a dense layer in float32 that predicts in INT8.

    Args:
        block: The layer in float32.
        windows: Of a convolution; None for a dense layer.
        kernel: Implementation; no influence on the result.
    """

    def __init__(
        self, block: ConvolutionBlock | DenseBlock, windows: Windows | None, kernel: Int8Kernel
    ) -> None:
        self._block, self._windows, self._kernel = block, windows, kernel

    def held(self) -> Iterator[Held]:
        """Those of the block: the integers of a weight are not kept."""
        return self._block.held()

    @property
    def keeps_input(self) -> bool:
        """As the block does."""
        return self._block.keeps_input

    def forward(self, x: torch.Tensor, way: Pass) -> torch.Tensor:
        """As the block does, rounded in prediction."""
        block = self._block
        if way.statistics is not Statistics.RUNNING:
            return block.forward(x, way)
        if isinstance(block, ConvolutionBlock):
            assert self._windows is not None
            both = self._round(x), self._round(block.weight)
            return quantised_convolution(*both, block.bias, self._windows, self._kernel)
        both = self._round(x.flatten(1)), self._round(block.weight_OC)
        return quantised_linear(*both, block.bias_O, self._kernel)

    def _round(self, t: torch.Tensor) -> Quantised:
        q, scale = quantise(t.flatten(1), rounding=Rounding.NEAREST, kernel=self._kernel)
        return Quantised(q.view(t.shape), scale)

    def backward(self, tape: Tape, learner: Learner, *, to_input: bool) -> None:
        """As the block does."""
        self._block.backward(tape, learner, to_input=to_input)


def predicting_in_int8(kernel: Int8Kernel) -> Maker:
    """Make blocks in float32 of which those that multiply predict in INT8."""

    def make(
        layer: Layer,
        shape: Shape,
        name: str,
        generator: torch.Generator,
        *,
        fresh: bool,
        last: bool,
    ) -> Block:
        match layer:
            case Convolution():
                check_sums(layer, shape, name)
                windows = Windows(layer.stride, layer.padding, layer.groups)
                convolution = ConvolutionBlock(layer, shape, name, generator)
                return PredictingInInt8Block(convolution, windows, kernel)
            case Dense():
                dense = DenseBlock(layer, shape, name, generator)
                return PredictingInInt8Block(dense, None, kernel)
            case Residual():
                return ResidualBlock(layer, shape, name, generator, make)
            case _:
                return in_float32(layer, shape, name, generator, fresh=fresh, last=last)

    return make
