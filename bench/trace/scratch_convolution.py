"""What convolutions allocate inside themselves on the CPU, with one thread and oneDNN off.

torch multiplies matrices: the input is unrolled into columns, one for every place of the kernel
(of the whole batch, or sample by sample), and groups are convolved one after the other::

    group 1    slice of x | columns | part      groups after it ...    all parts | result
                                      kept                             joined

Suffixes: N samples, C channels in, O channels out.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum, auto
from typing import Any

import torch


class Way(Enum):
    """How torch convolves on the CPU."""

    SLOW = auto()
    NNPACK = auto()
    DILATED = auto()
    TRANSPOSED = auto()


@dataclass(frozen=True)
class Convolution:
    """A convolution by its tensors.

    Attributes:
        x: Input, (N, C, ...).
        weight: (O, C / groups, ...), or (C, O / groups, ...) if transposed.
        stride, padding, dilation: As torch is given them.
        transposed: Whether it is a transposed one.
        groups: Number of groups.
        out: Shape of the output beyond its channels.
        channels: O.
    """

    x: torch.Tensor
    weight: torch.Tensor
    stride: Sequence[int]
    padding: Sequence[int]
    dilation: Sequence[int]
    transposed: bool
    groups: int
    out: Sequence[int]
    channels: int

    @property
    def way(self) -> Way:
        """How it is computed."""
        if self.transposed:
            return Way.TRANSPOSED
        if any(each != 1 for each in self.dilation):
            return Way.DILATED
        kernel = self.weight.shape[2:]
        flat = self.x.dim() in (3, 4) and all(each < 17 for each in kernel)
        plain = self.x.dtype is torch.float32 and self.x.shape[0] >= 16
        return Way.NNPACK if flat and plain and torch._nnpack_available() else Way.SLOW

    @property
    def pointwise(self) -> bool:
        """Whether the input is its columns already."""
        return all(
            size == 1 and step == 1 and pad == 0
            for size, step, pad in zip(
                self.weight.shape[2:], self.stride, self.padding, strict=True
            )
        )

    @property
    def column_bytes(self) -> int:
        """Columns of one sample of one group."""
        kernel = math.prod(self.weight.shape[2:])
        if self.transposed:
            rows, places = self.weight.shape[1], math.prod(self.x.shape[2:])
        else:
            rows, places = self.weight.shape[1], math.prod(self.out)
        return rows * kernel * places * self.x.element_size()

    @property
    def channels_last(self) -> bool:
        """Whether it is computed with channels last."""
        return self.way is Way.SLOW and any(map(is_channels_last, (self.x, self.weight)))

    def copies(self, *tensors: torch.Tensor) -> tuple[int, ...]:
        """Of tensors whose elements lie otherwise than wanted."""
        order = torch.channels_last if self.channels_last else torch.contiguous_format
        return tuple(
            each.numel() * each.element_size()
            for each in tensors
            if not each.is_contiguous(memory_format=order)
        )

    def slices(self, *tensors: torch.Tensor) -> tuple[int, ...]:
        """Of one group of tensors with samples; of a single sample they lie in one piece."""
        if self.groups == 1 or self.x.shape[0] == 1:
            return ()
        return tuple(each.numel() // self.groups * each.element_size() for each in tensors)


def is_channels_last(tensor: torch.Tensor) -> bool:
    """Whether elements lie pixel by pixel."""
    return (
        tensor.dim() == 4
        and not tensor.is_contiguous()
        and tensor.is_contiguous(memory_format=torch.channels_last)
    )


def output_shape(x: torch.Tensor, weight: torch.Tensor, *settings: Any) -> tuple[int, ...]:
    """Shape of what a convolution gives.

    Args:
        x: Its input.
        weight: Its weight.
        settings: The rest of what ``aten.convolution`` is given after the bias.
    """
    stride, padding, dilation, transposed, output_padding, groups = settings
    dimensions = x.dim() - 2
    stride, padding, dilation, output_padding = (
        list(each) * dimensions if len(each) == 1 else list(each)
        for each in (stride, padding, dilation, output_padding)
    )
    sizes = zip(
        x.shape[2:], weight.shape[2:], stride, padding, dilation, output_padding, strict=False
    )
    if transposed:
        out = [(n - 1) * s - 2 * p + d * (k - 1) + more + 1 for n, k, s, p, d, more in sizes]
        return (x.shape[0], weight.shape[1] * groups, *out)
    out = [(n + 2 * p - d * (k - 1) - 1) // s + 1 for n, k, s, p, d, _ in sizes]
    return (x.shape[0], weight.shape[0], *out)


def _each(values: Sequence[int], dimensions: int) -> list[int]:
    return list(values) * dimensions if len(values) == 1 else list(values)


def forward(args: Sequence[Any], kwargs: Mapping[str, Any]) -> tuple[int, ...]:
    """Scratch of ``aten.convolution``."""
    del kwargs
    x, weight, bias, stride, padding, dilation, transposed, more, groups = args[:9]
    shape = output_shape(x, weight, stride, padding, dilation, transposed, more, groups)
    dimensions = x.dim() - 2
    how = Convolution(
        x,
        weight,
        _each(stride, dimensions),
        _each(padding, dimensions),
        _each(dilation, dimensions),
        transposed,
        groups,
        shape[2:],
        shape[1],
    )
    size = x.element_size()
    match how.way:
        case Way.NNPACK:
            inside = () if bias is not None else (shape[1] // groups * size,)
        case Way.DILATED:
            inside = (how.column_bytes,)
        case _:
            inside = () if how.pointwise else (x.shape[0] * how.column_bytes,)
    return how.copies(x, weight) + _of_groups(
        how, (*how.slices(x), *inside), (math.prod(shape) * size,)
    )


def backward(args: Sequence[Any], kwargs: Mapping[str, Any]) -> tuple[int, ...]:
    """Scratch of ``aten.convolution_backward``."""
    del kwargs
    grad, x, weight, _, stride, padding, dilation, transposed, _, groups, wanted = args[:11]
    dimensions = x.dim() - 2
    how = Convolution(
        x,
        weight,
        _each(stride, dimensions),
        _each(padding, dimensions),
        _each(dilation, dimensions),
        transposed,
        groups,
        grad.shape[2:],
        grad.shape[1],
    )
    size = x.element_size()
    to_x, to_weight, to_bias = wanted
    to_either = to_x or to_weight
    match how.way:
        case Way.NNPACK | Way.DILATED:
            inside = ((how.column_bytes,) if to_either else ()) + (
                (grad.shape[1] // groups * size,) if to_bias else ()
            )
        case Way.TRANSPOSED:
            rows = weight.shape[1] * math.prod(weight.shape[2:]) * math.prod(x.shape[2:])
            inside = (rows * size,) if to_either else ()
        case Way.SLOW:
            columns = to_weight if dimensions < 3 else to_either
            inside = (x.shape[0] * how.column_bytes,) if columns and not how.pointwise else ()
    results = [
        count * size
        for count, one in (
            (x.numel(), to_x),
            (weight.numel(), to_weight),
            (grad.shape[1], to_bias),
        )
        if one
    ]
    return how.copies(grad, x, weight) + _of_groups(
        how, (*how.slices(grad, x), *inside), tuple(results)
    )


def _of_groups(
    how: Convolution, inside: tuple[int, ...], results: tuple[int, ...]
) -> tuple[int, ...]:
    """What is alive beside the results at the fullest instant.

    Args:
        how: The convolution.
        inside: Bytes while the last group is convolved, when all parts are there.
        results: Bytes of the results, which are there beside all parts in the end.
    """
    if how.groups == 1 or sum(inside) >= sum(results):
        return inside
    return results
