"""The three products of a weighted layer with floats: a convolution's, and a dense layer's."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

import torch
from torch.nn import functional

from trainfit.algorithms.blocks.block import placeholder
from trainfit.algorithms.models.layers import Convolution, Dense
from trainfit.algorithms.models.model import Shape

_FLAT = ([1, 1], False, [0, 0])
"""No dilation, not transposed, no padding of the output."""


class Product(ABC):
    """Products of a layer's weight, or of some of its output channels, with samples.

    Attributes:
        groups: Parts of the channels that do not see each other.
    """

    groups: int = 1

    @abstractmethod
    def output(self, samples: int) -> tuple[int, ...]:
        """The shape of the output."""

    @abstractmethod
    def forward(
        self, x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None
    ) -> torch.Tensor:
        """The output, of the channels whose weights these are."""

    @abstractmethod
    def add_of_weight(self, dw: torch.Tensor, dy: torch.Tensor, x: torch.Tensor) -> None:
        """Add the gradient of the weights of dy's channels, which see all of x."""

    @abstractmethod
    def of_input(self, dy: torch.Tensor, weight: torch.Tensor, shape: torch.Size) -> torch.Tensor:
        """The part of the input's gradient, of that shape, that is dy's channels'."""

    @abstractmethod
    def seen_by(self, weight: torch.Tensor, channels: slice) -> torch.Tensor:
        """What a weight has for some input channels, contiguous."""


class ConvolutionProduct(Product):
    """A convolution's.

    Args:
        layer: Its sizes.
        shape: Of its input.
    """

    def __init__(self, layer: Convolution, shape: Shape) -> None:
        self.groups = layer.groups
        self._windows = list(layer.stride), list(layer.padding)
        self._shape = layer.shape_after(shape)
        self._per_group = shape[0] // layer.groups

    def output(self, samples: int) -> tuple[int, ...]:
        """(N, O, H', W')."""
        return samples, *self._shape

    def forward(
        self, x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None
    ) -> torch.Tensor:
        """The convolution of torch."""
        stride, padding = self._windows
        y: torch.Tensor = torch.ops.aten.convolution(
            x, weight, bias, stride, padding, *_FLAT, self._groups_of(x)
        )
        return y

    def add_of_weight(self, dw: torch.Tensor, dy: torch.Tensor, x: torch.Tensor) -> None:
        """By way of a tensor like it."""
        dw.add_(self._gradients(dy, x, dw, [False, True, False])[1])

    def of_input(self, dy: torch.Tensor, weight: torch.Tensor, shape: torch.Size) -> torch.Tensor:
        """torch's, which sees but the shape of the input."""
        x = placeholder(shape, dy)
        dx: torch.Tensor = self._gradients(dy, x, weight, [True, False, False])[0]
        return dx

    def seen_by(self, weight: torch.Tensor, channels: slice) -> torch.Tensor:
        """Its second dimension."""
        return weight[:, channels].contiguous()

    def _groups_of(self, x: torch.Tensor) -> int:
        """How many groups the channels of x are."""
        return 1 if self.groups == 1 else x.shape[1] // self._per_group

    def _gradients(
        self, dy: torch.Tensor, x: torch.Tensor, weight: torch.Tensor, wanted: list[bool]
    ) -> Any:
        stride, padding = self._windows
        return torch.ops.aten.convolution_backward(
            dy, x, weight, None, stride, padding, *_FLAT, self._groups_of(x), wanted
        )


class DenseProduct(Product):
    """A dense layer's on all features of a sample.

    Args:
        layer: Its sizes.
        shape: Of its input.
    """

    def __init__(self, layer: Dense, shape: Shape) -> None:
        self._outputs, self._positions = layer.outputs, shape[1] * shape[2]

    def output(self, samples: int) -> tuple[int, ...]:
        """(N, O)."""
        return samples, self._outputs

    def forward(
        self, x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None
    ) -> torch.Tensor:
        """``x W^T + b``."""
        return functional.linear(x.flatten(1), weight, bias)

    def add_of_weight(self, dw: torch.Tensor, dy: torch.Tensor, x: torch.Tensor) -> None:
        """``dy^T x``."""
        dw.addmm_(dy.T, x.flatten(1))

    def of_input(self, dy: torch.Tensor, weight: torch.Tensor, shape: torch.Size) -> torch.Tensor:
        """``dy W``."""
        return (dy @ weight).view(shape)

    def seen_by(self, weight: torch.Tensor, channels: slice) -> torch.Tensor:
        """A channel is as many features as it has positions."""
        start, stop = (self._positions * each for each in (channels.start, channels.stop))
        return weight[:, start:stop].contiguous()
