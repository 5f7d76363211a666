"""What the units of a net are made of: descriptions of layers, without tensors.

A layer says what shape it gives and how many values of it are trained. How it computes, in which
number format, is said by the blocks (:mod:`trainfit.algorithms.blocks`) that are made of it.

A shape is (channels, height, width) of one sample; a vector of F features is (F, 1, 1).
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum

from trainfit.algorithms.errors import ConfigurationError
from trainfit.algorithms.models.model import Shape

Pair = tuple[int, int]
"""Height and width, of a window or of its steps."""


class Nonlinearity(StrEnum):
    """Functions of one element."""

    RELU = "relu"
    RELU6 = "relu6"
    SILU = "silu"


class Pooling(StrEnum):
    """What a pool makes of a window."""

    MAX = "max"
    AVERAGE = "average"


class Layer(ABC):
    """One layer, by its sizes."""

    @abstractmethod
    def shape_after(self, shape: Shape) -> Shape:
        """The shape of its output for one of its input.

        Raises:
            ConfigurationError: It cannot be put on such an input.
        """

    def parameters(self, shape: Shape) -> int:
        """Trained values, for an input of ``shape``; 0 for most layers."""
        return 0

    @property
    def label(self) -> str:
        """The start of the names of its tensors: ``conv``, ``bn``."""
        return type(self).__name__.lower()


@dataclass(frozen=True)
class Convolution(Layer):
    """A convolution; with as many groups as channels it is depthwise.

    Attributes:
        outputs: Channels of the output.
        kernel: Extent of the window.
        stride: Its steps.
        padding: Zeros at each border.
        groups: Parts of the channels that do not see each other.
        bias: Whether a value per channel is added.
    """

    outputs: int
    kernel: Pair = (3, 3)
    stride: Pair = (1, 1)
    padding: Pair = (0, 0)
    groups: int = 1
    bias: bool = False

    @property
    def label(self) -> str:
        """``conv``."""
        return "conv"

    def shape_after(self, shape: Shape) -> Shape:
        """As many positions as windows fit into the padded input."""
        channels, *extents = shape
        for what, count in (("input", channels), ("output", self.outputs)):
            if count % self.groups:
                raise ConfigurationError(
                    f"a convolution in {self.groups} groups needs a multiple of {self.groups}"
                    f" {what} channels, has {count}"
                )
        return self.outputs, *_windows(
            "a convolution", extents, self.kernel, self.stride, self.padding
        )

    def parameters(self, shape: Shape) -> int:
        """Weights and biases."""
        weights = self.outputs * (shape[0] // self.groups) * math.prod(self.kernel)
        return weights + self.outputs * self.bias


@dataclass(frozen=True)
class Dense(Layer):
    """A fully connected layer on all features of a sample.

    Attributes:
        outputs: Features of the output.
        bias: Whether a value per feature is added.
    """

    outputs: int
    bias: bool = True

    @property
    def label(self) -> str:
        """``fc``."""
        return "fc"

    def shape_after(self, shape: Shape) -> Shape:
        """A vector."""
        return self.outputs, 1, 1

    def parameters(self, shape: Shape) -> int:
        """Weights and biases."""
        return self.outputs * (math.prod(shape) + self.bias)


@dataclass(frozen=True)
class BatchNorm(Layer):
    """Batch normalisation of every channel over batch and positions (Ioffe & Szegedy 2015).

    Attributes:
        epsilon: Added to the variance.
        momentum: Share of a batch's statistics in the running ones.
    """

    epsilon: float = 1e-5
    momentum: float = 0.1

    @property
    def label(self) -> str:
        """``bn``."""
        return "bn"

    def shape_after(self, shape: Shape) -> Shape:
        """The same."""
        return shape

    def parameters(self, shape: Shape) -> int:
        """A gain and a shift per channel."""
        return 2 * shape[0]


@dataclass(frozen=True)
class Activation(Layer):
    """A function of every element.

    Attributes:
        function: Which one.
    """

    function: Nonlinearity = Nonlinearity.RELU

    def shape_after(self, shape: Shape) -> Shape:
        """The same."""
        return shape


@dataclass(frozen=True)
class Pool(Layer):
    """The largest value or the mean of each window.

    Attributes:
        what: Which of both.
        kernel: Extent of the window.
        stride: Its steps.
        padding: Border, which is never the largest; of a mean it is 0.
    """

    what: Pooling = Pooling.MAX
    kernel: Pair = (2, 2)
    stride: Pair = (2, 2)
    padding: Pair = (0, 0)

    def shape_after(self, shape: Shape) -> Shape:
        """As many positions as windows fit."""
        channels, *extents = shape
        return channels, *_windows("a pool", extents, self.kernel, self.stride, self.padding)


@dataclass(frozen=True)
class GlobalAverage(Layer):
    """The mean of every channel over all positions."""

    @property
    def label(self) -> str:
        """``mean``."""
        return "mean"

    def shape_after(self, shape: Shape) -> Shape:
        """A vector."""
        return shape[0], 1, 1


@dataclass(frozen=True)
class SqueezeExcite(Layer):
    """Every channel times a gate that two small dense layers compute from the channels' means.

    Hu, Shen & Sun, CVPR 2018: ``x . sigmoid(W2 f(W1 mean(x) + b1) + b2)``.

    Attributes:
        squeezed: Features between both layers.
        function: Between them.
    """

    squeezed: int
    function: Nonlinearity = Nonlinearity.SILU

    @property
    def label(self) -> str:
        """``se``."""
        return "se"

    def shape_after(self, shape: Shape) -> Shape:
        """The same."""
        return shape

    def parameters(self, shape: Shape) -> int:
        """Weights and biases of both layers."""
        return 2 * shape[0] * self.squeezed + shape[0] + self.squeezed


@dataclass(frozen=True)
class Residual(Layer):
    """The sum of what some layers make of the input and of the input, or of its shortcut.

    He et al., CVPR 2016. The last layer of the body, and of a shortcut, makes a tensor of its own,
    which an activation does not.

    Attributes:
        body: The layers.
        shortcut: Layers on the other way; none if the shapes are equal.
    """

    body: tuple[Layer, ...]
    shortcut: tuple[Layer, ...] = ()

    @property
    def label(self) -> str:
        """None: the tensors are those of its layers."""
        return ""

    def shape_after(self, shape: Shape) -> Shape:
        """That of both ways."""
        through, past = (shape_after(way, shape) for way in (self.body, self.shortcut))
        if through != past:
            raise ConfigurationError(
                f"a residual block adds {_text(through)} and {_text(past)}; both ways have to give"
                " the same shape"
            )
        return through

    def parameters(self, shape: Shape) -> int:
        """Of both ways."""
        return sum(parameters_of(way, shape) for way in (self.body, self.shortcut))


def shape_after(layers: tuple[Layer, ...], shape: Shape) -> Shape:
    """The shape after some layers.

    Raises:
        ConfigurationError: One of them cannot be put on what the ones before it give.
    """
    for layer in layers:
        shape = layer.shape_after(shape)
    return shape


def parameters_of(layers: tuple[Layer, ...], shape: Shape) -> int:
    """Trained values of some layers, for an input of ``shape``."""
    return sum(layer.parameters(before) for layer, before in with_shapes(layers, shape))


def with_shapes(layers: tuple[Layer, ...], shape: Shape) -> Iterator[tuple[Layer, Shape]]:
    """Every layer and the shape of its input."""
    for layer in layers:
        yield layer, shape
        shape = layer.shape_after(shape)


def _windows(
    what: str, extents: list[int], kernel: Pair, stride: Pair, padding: Pair
) -> tuple[int, int]:
    """Positions in both directions."""
    for extent, window, border in zip(extents, kernel, padding, strict=True):
        if extent + 2 * border < window:
            raise ConfigurationError(
                f"{what} of {kernel[0]}x{kernel[1]} does not fit on a map of"
                f" {extents[0]}x{extents[1]}"
            )
    height, width = (
        (extent + 2 * border - window) // step + 1
        for extent, window, step, border in zip(extents, kernel, stride, padding, strict=True)
    )
    return height, width


def _text(shape: Shape) -> str:
    return "x".join(map(str, shape))
