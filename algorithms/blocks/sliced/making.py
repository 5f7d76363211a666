"""How blocks that are trained in turns are made of layers."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from trainfit.algorithms.blocks.block import Block
from trainfit.algorithms.blocks.float32.activation import ActivationBlock
from trainfit.algorithms.blocks.float32.chain import ResidualBlock
from trainfit.algorithms.blocks.float32.convolution import ConvolutionBlock
from trainfit.algorithms.blocks.float32.dense import DenseBlock
from trainfit.algorithms.blocks.float32.pool import GlobalAverageBlock, PoolBlock
from trainfit.algorithms.blocks.float32.squeeze_excite import SqueezeExciteBlock
from trainfit.algorithms.blocks.sliced.activation import SlicedActivation
from trainfit.algorithms.blocks.sliced.batch_norm import SlicedBatchNorm
from trainfit.algorithms.blocks.sliced.channels import OfSomeChannels, Whole
from trainfit.algorithms.blocks.sliced.layer import SlicedLayer
from trainfit.algorithms.blocks.sliced.products import ConvolutionProduct, DenseProduct
from trainfit.algorithms.errors import ConfigurationError
from trainfit.algorithms.models.layers import (
    Activation,
    BatchNorm,
    Convolution,
    Dense,
    GlobalAverage,
    Layer,
    Nonlinearity,
    Pool,
    Pooling,
    Residual,
    SqueezeExcite,
)
from trainfit.algorithms.models.model import Shape


@dataclass(frozen=True)
class Sliced:
    """Makes them; weights are drawn as those of float32 blocks are.

    Attributes:
        weights: Whether weights of convolutions and dense layers are binary.
        activations: Whether activations are.
    """

    weights: bool
    activations: bool

    def __call__(
        self,
        layer: Layer,
        shape: Shape,
        name: str,
        generator: torch.Generator,
        *,
        fresh: bool,
        last: bool,
    ) -> Block:
        """The block of a layer.

        Raises:
            ConfigurationError: There is none for it.
        """
        del last  # its gradient is overwritten by those only that may not be the last
        found: Block | None = None
        match layer:
            case Convolution():
                conv = ConvolutionBlock(layer, shape, name, generator)
                product = ConvolutionProduct(layer, shape)
                found = SlicedLayer(name, product, conv.weight, conv.bias, binary=self.weights)
            case Dense():
                dense = DenseBlock(layer, shape, name, generator)
                on_all, w_OC = DenseProduct(layer, shape), dense.weight_OC
                found = SlicedLayer(name, on_all, w_OC, dense.bias_O, binary=self.weights)
            case BatchNorm():
                found = SlicedBatchNorm(layer, shape, name, fresh=fresh, clips=self.weights)
            case Activation():
                found = self._activation(layer, shape, fresh=fresh)
            case Pool():
                is_max = layer.what is Pooling.MAX
                found = OfSomeChannels(PoolBlock(layer), shape, keeps_values=is_max)
            case GlobalAverage():
                found = OfSomeChannels(GlobalAverageBlock(), shape)
            case SqueezeExcite():
                found = Whole(SqueezeExciteBlock(layer, shape, name, generator), shape)
            case Residual():
                found = ResidualBlock(layer, shape, name, generator, self)
        if found is None:
            raise ConfigurationError(
                f"{name}: no block computes {type(layer).__name__} a slice at a time"
            )
        return found

    def _activation(self, layer: Activation, shape: Shape, *, fresh: bool) -> Block:
        if self.activations:
            return SlicedActivation(shape, None, fresh=fresh)
        if layer.function is Nonlinearity.SILU:
            return OfSomeChannels(ActivationBlock(layer, fresh=fresh), shape)
        return SlicedActivation(shape, layer.function, fresh=fresh)
