"""Tensors without data, as operators of torch give them: shapes, types and strides of results.

Used by :mod:`~trainfit.algorithms.memory.stand_ins`, which says whose results they are. Where the
answer is ``NotImplemented``, torch is asked. Names of dimensions of shapes: N samples, C classes.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch

META = torch.device("meta")

Shape = Sequence[int]


# ---- what an operator was given ------------------------------------------------------------------


def itself(tensor: torch.Tensor, *_: Any, **__: Any) -> torch.Tensor:
    """The first operand, changed in place."""
    return tensor


def in_out(*_: Any, out: torch.Tensor, **__: Any) -> torch.Tensor:
    """What a result is written into."""
    return out


def in_grad_input(*_: Any, grad_input: torch.Tensor, **__: Any) -> torch.Tensor:
    """The same of some operators of a backward pass."""
    return grad_input


# ---- made of nothing -----------------------------------------------------------------------------


def empty(like: torch.Tensor, *shape: int, dtype: torch.dtype | None = None) -> torch.Tensor:
    """Elements one after the other; of the type of a tensor, unless another one is given."""
    return torch.empty(shape, dtype=like.dtype if dtype is None else dtype, device=META)


def of_size(
    size: Shape,
    *,
    dtype: torch.dtype | None = None,
    memory_format: torch.memory_format | None = None,
    **_: Any,
) -> Any:
    """Of a size, of torch's default type unless another one is given."""
    if memory_format not in (None, torch.contiguous_format):
        return NotImplemented
    return torch.empty(size, dtype=dtype, device=META)


def filled(size: Shape, value: Any, *, dtype: torch.dtype | None = None, **_: Any) -> Any:
    """Of a size, filled with a number, which says the type unless one is given."""
    if dtype is None and not isinstance(value, float):
        return NotImplemented
    return torch.empty(size, dtype=dtype, device=META)


def counted(
    start: float, stop: float, step: float = 1, *, dtype: torch.dtype | None = None, **_: Any
) -> Any:
    """A number after the other, whole ones unless a type is given."""
    if not all(isinstance(each, int) for each in (start, stop, step)):
        return NotImplemented
    length = math.ceil((stop - start) / step)
    return torch.empty(length, dtype=torch.int64 if dtype is None else dtype, device=META)


def new_of_size(
    like: torch.Tensor, size: Shape, *, dtype: torch.dtype | None = None, **_: Any
) -> torch.Tensor:
    """Of a size, of the type of a tensor unless another one is given."""
    return torch.empty(size, dtype=like.dtype if dtype is None else dtype, device=META)


# ---- element by element --------------------------------------------------------------------------


def alike(
    tensor: torch.Tensor, *_: Any, dtype: torch.dtype | None = None, **__: Any
) -> torch.Tensor:
    """Of the same shape, its dimensions in the same order in memory, without gaps."""
    kind = tensor.dtype if dtype is None else dtype
    return _by_element(tensor.shape, [tensor], kind)


def in_place_of(
    tensor: torch.Tensor, *_: Any, dtype: torch.dtype | None = None, **__: Any
) -> torch.Tensor:
    """The same, each element where it is in a tensor that has no gaps."""
    strides = _dense_strides(tensor)
    if strides is None:
        return alike(tensor, dtype=dtype)
    kind = tensor.dtype if dtype is None else dtype
    return torch.empty_strided(tensor.shape, strides, dtype=kind, device=META)


def converted(
    tensor: torch.Tensor,
    *,
    dtype: torch.dtype | None = None,
    device: torch.device | None = None,
    memory_format: torch.memory_format | None = None,
    **_: Any,
) -> Any:
    """A copy of another type."""
    if memory_format not in (None, torch.preserve_format) or device not in (None, META):
        return NotImplemented
    return in_place_of(tensor, dtype=dtype)


def in_rows(tensor: torch.Tensor, *_: Any, **__: Any) -> torch.Tensor:
    """Of the same shape, its elements one after the other."""
    return empty(tensor, *tensor.shape)


def copied(
    tensor: torch.Tensor, *, memory_format: torch.memory_format = torch.preserve_format
) -> torch.Tensor:
    """A copy, in the order in memory that is asked for."""
    if memory_format is torch.preserve_format:
        return in_place_of(tensor)
    return torch.empty(tensor.shape, dtype=tensor.dtype, device=META, memory_format=memory_format)


def truth(tensor: torch.Tensor, *_: Any, **__: Any) -> torch.Tensor:
    """Of every element, whether it is so."""
    return alike(tensor, dtype=torch.bool)


def of_second(_: torch.Tensor, tensor: torch.Tensor, *__: Any, **___: Any) -> torch.Tensor:
    """Like the second operand."""
    return alike(tensor)


def together(left: torch.Tensor, right: Any, *_: Any, **__: Any) -> torch.Tensor:
    """Two operands, of which the second may be a number; further numbers change nothing."""
    kind = torch.result_type(left, right)
    if not isinstance(right, torch.Tensor):
        return alike(left, dtype=kind)
    return _by_element(broadcast(left.shape, right.shape), [left, right], kind)


def quotient(left: torch.Tensor, right: Any, **_: Any) -> Any:
    """The same of a division, which is computed in floats."""
    if not torch.result_type(left, right).is_floating_point:
        return NotImplemented
    return together(left, right)


def three_together(first: torch.Tensor, left: torch.Tensor, right: torch.Tensor, **_: Any) -> Any:
    """Three operands of one type."""
    if not first.dtype is left.dtype is right.dtype:
        return NotImplemented
    shape = broadcast(broadcast(first.shape, left.shape), right.shape)
    return _by_element(shape, [first, left, right], first.dtype)


def broadcast(left: Shape, right: Shape) -> list[int]:
    """The shape of two operands together (torch's own function for it imports the compiler)."""
    rank = max(len(left), len(right))
    padded = ([1] * (rank - len(shape)) + list(shape) for shape in (left, right))
    return [b if a == 1 else a for a, b in zip(*padded, strict=True)]


def _by_element(shape: Shape, operands: Sequence[torch.Tensor], dtype: torch.dtype) -> torch.Tensor:
    """A result without gaps, its dimensions in the order in memory that those of operands have."""
    if len(shape) < 2 or (1 not in shape and all(each.is_contiguous() for each in operands)):
        return torch.empty(tuple(shape), dtype=dtype, device=META)
    strides, room = [0] * len(shape), 1
    for place in _from_the_fastest(shape, [_broadcast_strides(shape, each) for each in operands]):
        strides[place], room = room, room * shape[place]
    return torch.empty_strided(tuple(shape), strides, dtype=dtype, device=META)


def _dense_strides(tensor: torch.Tensor) -> tuple[int, ...] | None:
    """Its strides, if its elements lie without gaps and each once."""
    room = 1
    for stride, size in sorted(zip(tensor.stride(), tensor.shape, strict=True)):
        if size != 1:
            if stride != room:
                return None
            room *= size
    return tensor.stride()


def _broadcast_strides(shape: Shape, tensor: torch.Tensor) -> list[int]:
    """Strides of an operand in a larger shape: 0 where it is repeated."""
    missing = len(shape) - tensor.dim()
    own = zip(tensor.stride(), tensor.shape, shape[missing:], strict=True)
    return [0] * missing + [0 if size == 1 != whole else stride for stride, size, whole in own]


def _from_the_fastest(shape: Shape, strides: Sequence[Sequence[int]]) -> list[int]:
    """Dimensions in the order in memory that torch chooses: an insertion sort of its own."""
    order = list(reversed(range(len(shape))))
    for last in range(1, len(order)):
        at = last
        for before in reversed(range(last)):
            which = _slower(shape, strides, order[before], order[at])
            if which > 0:
                order[before], order[at] = order[at], order[before]
                at = before
            elif which < 0:
                break
    return order


def _slower(shape: Shape, strides: Sequence[Sequence[int]], one: int, other: int) -> int:
    """1 if the first of two dimensions goes in larger strides than the second, -1 if in smaller."""
    for own in strides:
        if own[one] and own[other]:
            if own[one] != own[other]:
                return 1 if own[one] > own[other] else -1
            if shape[one] > shape[other]:
                return 1
    return 0


# ---- products ------------------------------------------------------------------------------------


def product(left: torch.Tensor, right: torch.Tensor) -> Any:
    """Of two matrices."""
    if left.shape[1] != right.shape[0]:
        return NotImplemented  # torch says what is wrong
    return empty(left, left.shape[0], right.shape[1])


def products(left: torch.Tensor, right: torch.Tensor) -> Any:
    """Of a list of matrices with another."""
    if left.shape[2] != right.shape[1] or left.shape[0] != right.shape[0]:
        return NotImplemented
    return empty(left, left.shape[0], left.shape[1], right.shape[2])


def sum_and_product(_: torch.Tensor, left: torch.Tensor, right: torch.Tensor, **__: Any) -> Any:
    """Of two matrices, added to something."""
    return product(left, right)


def with_vector(matrix: torch.Tensor, _: torch.Tensor) -> torch.Tensor:
    """Of a matrix and a vector."""
    return empty(matrix, matrix.shape[0])


# ---- sums and choices ----------------------------------------------------------------------------


def scalar(tensor: torch.Tensor, *_: Any, dtype: torch.dtype | None = None) -> torch.Tensor:
    """One number of the same type."""
    return empty(tensor, dtype=dtype)


def total(tensor: torch.Tensor, *, dtype: torch.dtype | None = None) -> Any:
    """The sum of all elements, in the same type; of whole numbers it is of another."""
    if dtype is None and not tensor.is_floating_point():
        return NotImplemented
    return empty(tensor, dtype=dtype)


def norm(
    tensor: torch.Tensor,
    _: float = 2,
    dim: Shape | int | None = None,
    keepdim: bool = False,
    *,
    dtype: torch.dtype | None = None,
) -> torch.Tensor:
    """Lengths of vectors along some dimensions."""
    return along(tensor, dim, keepdim, dtype=dtype)


def along(
    tensor: torch.Tensor,
    dim: Shape | int | None = None,
    keepdim: bool = False,
    *,
    dtype: torch.dtype | None = None,
) -> torch.Tensor:
    """A reduction along some dimensions, of all where none is named."""
    places = range(tensor.dim()) if not dim and dim != 0 else [dim] if isinstance(dim, int) else dim
    gone = {place % tensor.dim() for place in places} if tensor.dim() else set()
    shape = [1 if k in gone else n for k, n in enumerate(tensor.shape) if keepdim or k not in gone]
    return empty(tensor, *shape, dtype=dtype)


def place_along(
    tensor: torch.Tensor, dim: int | None = None, keepdim: bool = False
) -> torch.Tensor:
    """Where along a dimension something is."""
    return along(tensor, dim, keepdim, dtype=torch.int64)


def joined(tensors: Sequence[torch.Tensor], dim: int = 0) -> Any:
    """Tensors one after the other along a dimension."""
    first = tensors[0]
    alike = all(each.dtype is first.dtype and each.dim() == first.dim() for each in tensors)
    if not (alike and first.dim() and all(each.is_contiguous() for each in tensors)):
        return NotImplemented
    shape = list(first.shape)
    shape[dim] = sum(each.shape[dim] for each in tensors)
    return empty(first, *shape)


def gathered(tensor: torch.Tensor, _: int, index: torch.Tensor, **__: Any) -> torch.Tensor:
    """An element for every one of an index."""
    return empty(tensor, *index.shape)


def selected(tensor: torch.Tensor, dim: int, index: torch.Tensor) -> torch.Tensor:
    """A row (or whatever a dimension counts) for every element of an index."""
    shape = list(tensor.shape)
    shape[dim] = index.numel()
    return empty(tensor, *shape)


def choices(weights: torch.Tensor, samples: int, *_: Any, **__: Any) -> torch.Tensor:
    """Places that are drawn."""
    return empty(weights, *weights.shape[:-1], samples, dtype=torch.int64)


def batch_norm(
    x: torch.Tensor,
    gain: torch.Tensor | None,
    _: torch.Tensor | None,
    __: torch.Tensor | None,
    ___: torch.Tensor | None,
    training: bool,
    *____: Any,
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Of a batch's statistics torch keeps two rows; of running ones it keeps empty tensors."""
    kept = x.shape[1] if training else 0
    return alike(x), empty(x, kept), empty(x, kept)


# ---- losses --------------------------------------------------------------------------------------


def log_loss(
    scores_NC: torch.Tensor, labels_N: torch.Tensor, _: Any, reduction: int, __: int
) -> tuple[torch.Tensor, torch.Tensor]:
    """A loss per sample or their mean, and the sum of weights."""
    return empty(scores_NC, *([] if reduction else labels_N.shape)), empty(scores_NC)


def loss_of_logits(
    logits: torch.Tensor, _: torch.Tensor, __: Any = None, ___: Any = None, reduction: int = 1
) -> torch.Tensor:
    """A loss per element, or their mean or sum."""
    return empty(logits) if reduction else alike(logits)
