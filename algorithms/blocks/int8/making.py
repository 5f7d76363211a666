"""Which block computes a layer where products have INT8 operands.

Convolutions and dense layers multiply integers, and so do their gradients unless these go straight
through. Batch normalisation is in float32 between them, as are rectifiers, pools,
squeeze-and-excitation with its two small products, and the sums of residual blocks.
"""

from __future__ import annotations

import torch

from trainfit.algorithms.blocks.block import Block
from trainfit.algorithms.blocks.float32.activation import ActivationBlock
from trainfit.algorithms.blocks.float32.chain import Maker, ResidualBlock, in_float32
from trainfit.algorithms.blocks.float32.squeeze_excite import SqueezeExciteBlock
from trainfit.algorithms.blocks.int8.arithmetic import Arithmetic
from trainfit.algorithms.blocks.int8.batch_norm import Int8BatchNormBlock
from trainfit.algorithms.blocks.int8.convolution import Int8ConvolutionBlock
from trainfit.algorithms.blocks.int8.dense import Int8DenseBlock
from trainfit.algorithms.blocks.int8.kept import InputInInt8Block, RectifierBlock
from trainfit.algorithms.blocks.int8.straight_through import (
    StraightThroughConvolutionBlock,
    StraightThroughDenseBlock,
)
from trainfit.algorithms.models.layers import (
    Activation,
    BatchNorm,
    Convolution,
    Dense,
    Layer,
    Nonlinearity,
    Residual,
    SqueezeExcite,
)
from trainfit.algorithms.models.model import Shape

_OF_SQUEEZE, _OF_SILU = 5, 1
"""Things that these blocks put on their tapes."""


def in_int8(arithmetic: Arithmetic, *, latent: bool, straight_through: bool = False) -> Maker:
    """Make blocks with INT8 products.

    Args:
        arithmetic: How numbers are rounded.
        latent: Whether float32 weights are kept.
        straight_through: Whether gradients of products are in float32; it needs latent weights.
    """
    convolution = StraightThroughConvolutionBlock if straight_through else Int8ConvolutionBlock
    dense = StraightThroughDenseBlock if straight_through else Int8DenseBlock

    def make(
        layer: Layer,
        shape: Shape,
        name: str,
        generator: torch.Generator,
        *,
        fresh: bool,
        last: bool,
    ) -> Block:
        made: Block
        match layer:
            case Convolution():
                made = convolution(layer, shape, name, generator, arithmetic, latent=latent)
            case Dense():
                made = dense(layer, shape, name, generator, arithmetic, latent=latent)
            case BatchNorm():
                made = Int8BatchNormBlock(layer, shape, name, arithmetic, fresh=fresh, last=last)
            case SqueezeExcite():
                made = SqueezeExciteBlock(layer, shape, name, generator)
                made = InputInInt8Block(made, _OF_SQUEEZE, arithmetic)
            case Activation(function=Nonlinearity.SILU):
                made = ActivationBlock(layer, fresh=fresh)
                made = InputInInt8Block(made, _OF_SILU, arithmetic)
            case Activation():
                made = RectifierBlock(layer.function, fresh=fresh)
            case Residual():
                made = ResidualBlock(layer, shape, name, generator, make)
            case _:
                made = in_float32(layer, shape, name, generator, fresh=fresh, last=last)
        return made

    return make
