"""Batch normalisation in float32 between INT8 products, which keeps its output in INT8.

With m values per channel and x^ the normalised input, of which the way back is given integers q
with one scale s::

    x^ = (x - mean) / sqrt(variance + epsilon)     y = gain x^ + shift     (q, s) = Q(x^)
    dshift = sum dy     dgain = s sum q dy
    dx = gain / sqrt(variance + epsilon) (dy - (dshift + s q dgain) / m)

It is not folded into the product before it, whose statistics it takes. Both ways are in place where
nobody else reads the tensor, and go through q some samples at a time.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch

from trainfit.algorithms.blocks.block import Block, Held, Pass, Statistics, Tape
from trainfit.algorithms.blocks.int8.arithmetic import Arithmetic
from trainfit.algorithms.blocks.learning import Learner
from trainfit.algorithms.models.layers import BatchNorm
from trainfit.algorithms.models.model import Shape
from trainfit.algorithms.numerics.int8.scaled import tile_height
from trainfit.algorithms.numerics.sums import channel_squares
from trainfit.algorithms.phases import Category, phase, tag
from trainfit.algorithms.tiling import in_tiles


class Int8BatchNormBlock(Block):
    """``y = gain (x - mean) / sqrt(variance + epsilon) + shift`` per channel.

    Args:
        layer: Its constants.
        shape: Of its input.
        name: The start of the names of its tensors.
        arithmetic: How what is kept is rounded.
        fresh: Whether its input is a tensor that nobody else reads.
        last: Whether others may read the gradient of its output.
    """

    def __init__(
        self,
        layer: BatchNorm,
        shape: Shape,
        name: str,
        arithmetic: Arithmetic,
        *,
        fresh: bool,
        last: bool,
    ) -> None:
        self._name, self._layer, self._arithmetic = name, layer, arithmetic
        self._fresh, self._last = fresh, last
        self._gain_C, self._shift_C = torch.ones(shape[0]), torch.zeros(shape[0])
        self._mean_C, self._variance_C = torch.zeros(shape[0]), torch.ones(shape[0])

    def held(self) -> Iterator[Held]:
        """Gain and shift, and the running statistics."""
        yield Held(f"{self._name}.gain", self._gain_C, Category.PARAMETERS)
        yield Held(f"{self._name}.shift", self._shift_C, Category.PARAMETERS)
        yield Held(f"{self._name}.mean", self._mean_C, Category.BUFFERS)
        yield Held(f"{self._name}.variance", self._variance_C, Category.BUFFERS)

    def forward(self, x: torch.Tensor, way: Pass) -> torch.Tensor:
        """Of the same shape."""
        y = x if self._fresh else x.clone()
        del x
        if way.statistics is Statistics.RUNNING:
            y.sub_(_map(self._mean_C, y))
            inverse_C = (self._variance_C + self._layer.epsilon).rsqrt_()
            return y.mul_(_map(inverse_C.mul_(self._gain_C), y)).add_(_map(self._shift_C, y))
        inverse_C = self._normalise_(y, moves=way.statistics is Statistics.BATCH)
        y.mul_(_map(inverse_C, y))
        if way.tape is not None:
            way.keep(*self._arithmetic.activations(y, way), inverse_C)
        return y.mul_(_map(self._gain_C, y)).add_(_map(self._shift_C, y))

    def _normalise_(self, y: torch.Tensor, *, moves: bool) -> torch.Tensor:
        """Take off the mean, in place; returns the inverse deviation of every channel."""
        axes, count = _axes(y), y.numel() // y.shape[1]
        mean_C = tag(y.mean(axes), Category.WORKSPACE, "mean")
        y.sub_(_map(mean_C, y))
        variance_C = channel_squares(y).mul_(1.0 / count)
        if moves:
            share = self._layer.momentum
            self._mean_C.lerp_(mean_C, share)
            unbiased = share * count / (count - 1)
            self._variance_C.mul_(1.0 - share).add_(variance_C, alpha=unbiased)
        return variance_C.add_(self._layer.epsilon).rsqrt_()

    def backward(self, tape: Tape, learner: Learner, *, to_input: bool) -> None:
        """Of gain and shift, and of the input through the batch's statistics."""
        with phase("gradient"):
            dy, inverse_C, scale, q = (tape.pop() for _ in range(4))
            dshift_C = dy.sum(_axes(dy))
            dgain_C = self._of_gain(dy, q).mul_(scale)
            if to_input:
                dx = dy.clone() if self._last else dy
                count = dy.numel() // dy.shape[1]
                share_C = tag(dgain_C * scale, Category.WORKSPACE, "share of a channel")
                self._take_off_(dx, q, share_C.mul_(1.0 / count))
                mean_C = tag(dshift_C * (1.0 / count), Category.WORKSPACE, "mean of a gradient")
                factor_C = tag(inverse_C * self._gain_C, Category.WORKSPACE, "factor")
                dx.sub_(_map(mean_C, dx)).mul_(_map(factor_C, dx))
                tape.append(dx)
                del dx, share_C, mean_C, factor_C
            del dy, q, inverse_C, scale
        learner.take(f"{self._name}.gain", self._gain_C, dgain_C)
        learner.take(f"{self._name}.shift", self._shift_C, dshift_C)

    def _of_gain(self, dy: torch.Tensor, q: torch.Tensor) -> torch.Tensor:
        """``sum q dy`` of every channel."""
        dgain_C = torch.zeros_like(self._gain_C)
        for rows in _tiles(q):
            part = _wide(q[rows]).mul_(dy[rows])
            dgain_C.add_(tag(part.sum(_axes(part)), Category.WORKSPACE, "sum of a tile"))
            del part  # otherwise two of them would be alive in the next iteration
        return dgain_C

    def _take_off_(self, dx: torch.Tensor, q: torch.Tensor, share_C: torch.Tensor) -> None:
        """``dx -= share q``, some samples at a time."""
        for rows in _tiles(q):
            part = _wide(q[rows])
            dx[rows].sub_(part.mul_(_map(share_C, part)))
            del part


def _axes(t: torch.Tensor) -> list[int]:
    """All but that of channels."""
    return [0, *range(2, t.dim())]


def _map(of_C: torch.Tensor, like: torch.Tensor) -> torch.Tensor:
    """A value per channel, as it is multiplied with maps or with vectors of features."""
    return of_C.view(-1, *[1] * (like.dim() - 2))


def _tiles(q: torch.Tensor) -> Iterator[slice]:
    return in_tiles(len(q), tile_height(len(q), q[0].numel()))


def _wide(q: torch.Tensor) -> torch.Tensor:
    return tag(q.to(torch.float32), Category.WORKSPACE, "tile of integers")
