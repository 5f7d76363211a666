"""What layers and losses allocate inside themselves; see :mod:`~trainfit.bench.trace.scratch`.

Suffixes: N samples, C channels.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch

Rule = Callable[[Sequence[Any], Mapping[str, Any]], tuple[int, ...]]

_MEAN = 1
_COUNT_BYTES = 8


def bytes_of(tensor: torch.Tensor) -> int:
    """Bytes of its elements, those counted again that strides of 0 repeat."""
    return tensor.numel() * tensor.element_size()


def copies(*tensors: torch.Tensor) -> tuple[int, ...]:
    """Of tensors whose elements do not lie one after the other."""
    return tuple(bytes_of(each) for each in tensors if not each.is_contiguous())


def first_in_rows(args: Sequence[Any], kwargs: Mapping[str, Any]) -> tuple[int, ...]:
    """A copy of the first operand where its elements do not lie one after the other."""
    del kwargs
    return copies(args[0])


def _pixel_by_pixel(*tensors: torch.Tensor) -> bool:
    return all(
        each.dim() == 2
        or (each.dim() == 4 and each.is_contiguous(memory_format=torch.channels_last))
        for each in tensors
    )


def batch_norm(args: Sequence[Any], kwargs: Mapping[str, Any]) -> tuple[int, ...]:
    """Sums per channel: two, and of samples that lie pixel by pixel a third while they are made."""
    del kwargs
    x, training = args[0], args[5]
    one = x.shape[1] * x.element_size()
    rows = _pixel_by_pixel(x) and not (x.dim() == 4 and x.is_contiguous())
    return (one,) * (3 if training and rows else 2)


def batch_norm_backward(args: Sequence[Any], kwargs: Mapping[str, Any]) -> tuple[int, ...]:
    """The gradient of the input, which is made twice; of other layouts sums per channel."""
    del kwargs
    grad, x = args[0], args[1]
    channels = x.shape[1] * x.element_size()
    rows = _pixel_by_pixel(grad, x)
    if rows or (grad.is_contiguous() and x.is_contiguous()):
        return (max(bytes_of(grad), 2 * channels if rows else 0),)
    return (channels,)


def layer_norm_backward(args: Sequence[Any], kwargs: Mapping[str, Any]) -> tuple[int, ...]:
    """Sums for the gradients of weight and bias, and copies of what does not lie in rows."""
    del kwargs
    grad, x, shape = args[:3]
    return (2 * math.prod(shape) * x.element_size(), *copies(grad, x))


def group_norm_backward(args: Sequence[Any], kwargs: Mapping[str, Any]) -> tuple[int, ...]:
    """Two sums per sample and channel."""
    del kwargs
    x = args[1]
    one = x.shape[0] * x.shape[1] * x.element_size()
    return one, one


def _reduction(args: Sequence[Any], kwargs: Mapping[str, Any], place: int) -> int:
    given = args[place] if place < len(args) else kwargs.get("reduction", _MEAN)
    return int(given)


def _mean_of(tensor: torch.Tensor) -> tuple[int, int]:
    return _COUNT_BYTES, tensor.element_size()


def loss_by_element(args: Sequence[Any], kwargs: Mapping[str, Any]) -> tuple[int, ...]:
    """The loss element by element, and the number by which a mean divides."""
    x = args[0]
    reduction = _reduction(args, kwargs, 2)
    if not reduction:
        return ()
    return (bytes_of(x), *(_mean_of(x) if reduction == _MEAN else ()))


def loss_in_place(args: Sequence[Any], kwargs: Mapping[str, Any]) -> tuple[int, ...]:
    """The sum, and the number by which a mean divides."""
    x = args[0]
    reduction = _reduction(args, kwargs, 3)
    if not reduction:
        return ()
    return (x.element_size(), *(_mean_of(x) if reduction == _MEAN else ()))


def loss_in_place_backward(args: Sequence[Any], kwargs: Mapping[str, Any]) -> tuple[int, ...]:
    """The number by which a mean divides."""
    return _mean_of(args[1]) if _reduction(args, kwargs, 4) == _MEAN else ()


def _splits(queries: int, keys: int) -> tuple[int, int]:
    """How many queries and keys a thread takes at a time."""
    many, some = 768, 192
    most = 256 if queries >= many else 64 if queries >= some else 32
    return min(most, queries), min(512, keys)


def attention(args: Sequence[Any], kwargs: Mapping[str, Any]) -> tuple[int, ...]:
    """A block of scores with its sums and its part of the output."""
    del kwargs
    q, k = args[:2]
    rows, columns = _splits(q.shape[2], k.shape[2])
    return ((rows * columns + 2 * rows + rows * q.shape[3]) * 4,)


def attention_backward(args: Sequence[Any], kwargs: Mapping[str, Any]) -> tuple[int, ...]:
    """Two blocks of scores, sums, and the gradient in the order of the output."""
    del kwargs
    grad, q, k = args[:3]
    rows, columns = _splits(q.shape[2], k.shape[2])
    by_head = not grad.transpose(1, 2).is_contiguous()
    return ((bytes_of(grad),) if by_head else ()) + (2 * rows * columns * 4, rows * 4)


def _multiplies(matrix: torch.Tensor) -> bool:
    """Whether a matrix can be multiplied as it lies: by rows or by columns."""
    (rows, columns), (down, right) = matrix.shape[-2:], matrix.stride()[-2:]
    return (right == 1 and down >= max(1, columns)) or (down == 1 and right >= max(1, rows))


def product(args: Sequence[Any], kwargs: Mapping[str, Any]) -> tuple[int, ...]:
    """Copies of matrices that lie otherwise."""
    del kwargs
    return tuple(bytes_of(each) for each in args[-2:] if not _multiplies(each))


def sum_and_product(args: Sequence[Any], kwargs: Mapping[str, Any]) -> tuple[int, ...]:
    """The same with a tensor that is added."""
    return product(args[1:3], kwargs)


_SMALL = 400
"""Multiplications below which products of a batch are computed without a library."""


def products(args: Sequence[Any], kwargs: Mapping[str, Any]) -> tuple[int, ...]:
    """Copies of matrices of one sample at a time."""
    del kwargs
    left, right = args[-2:]
    if left.shape[1] * left.shape[2] * right.shape[2] < _SMALL:
        return ()
    size = left.element_size()
    return tuple(
        each.shape[1] * each.shape[2] * size for each in (left, right) if not _multiplies(each)
    )


_TILE = 60
"""Rows and columns that are transposed at a time; smaller matrices are copied directly."""


def copied(args: Sequence[Any], kwargs: Mapping[str, Any]) -> tuple[int, ...]:
    """A tile, where a matrix is copied into its transpose."""
    del kwargs
    target, source = args[:2]
    transposes = (
        source.dim() == 2
        and target.is_contiguous()
        and target.shape == source.shape
        and target.dtype is source.dtype
        and source.stride() == (1, source.shape[0])
        and target.numel() >= _TILE * _TILE
    )
    tile = 2 * _TILE if target.element_size() == 1 else _TILE
    return (tile * tile * target.element_size(),) if transposes else ()


def summed(args: Sequence[Any], kwargs: Mapping[str, Any]) -> tuple[int, ...]:
    """A copy in the type that is summed in."""
    x = args[0]
    kind = kwargs.get("dtype") or (x.dtype if x.is_floating_point() else torch.int64)
    same = kind is x.dtype or x.is_floating_point() or x.is_complex()
    return () if same else (x.numel() * kind.itemsize,)


def sorted_rows(args: Sequence[Any], kwargs: Mapping[str, Any]) -> tuple[int, ...]:
    """Indices of one row."""
    dim = kwargs.get("dim", args[1] if len(args) > 1 else -1)
    return (args[0].shape[dim] * 8,)


def log_sum_exp(args: Sequence[Any], kwargs: Mapping[str, Any]) -> tuple[int, ...]:
    """The exponentials, and the largest of each row."""
    dims = kwargs.get("dim", args[1] if len(args) > 1 else ())
    summed = math.prod(args[0].shape[dim] for dim in dims)
    return bytes_of(args[0]), bytes_of(args[0]) // max(summed, 1)


def one_number(args: Sequence[Any], kwargs: Mapping[str, Any]) -> tuple[int, ...]:
    """One integer."""
    del args, kwargs
    return (8,)


def power(args: Sequence[Any], kwargs: Mapping[str, Any]) -> tuple[int, ...]:
    """A base that is a number."""
    del kwargs
    return () if isinstance(args[0], torch.Tensor) else _mean_of(args[1])


LAYERS: dict[str, Rule] = {
    "native_batch_norm": batch_norm,
    "native_batch_norm_backward": batch_norm_backward,
    "native_layer_norm_backward": layer_norm_backward,
    "native_group_norm_backward": group_norm_backward,
    "_softmax_backward_data": first_in_rows,
    "_log_softmax_backward_data": first_in_rows,
    "mse_loss": loss_by_element,
    "smooth_l1_loss": loss_by_element,
    "huber_loss": loss_by_element,
    "binary_cross_entropy": loss_in_place,
    "binary_cross_entropy_backward": loss_in_place_backward,
    "_scaled_dot_product_flash_attention_for_cpu": attention,
    "_scaled_dot_product_flash_attention_for_cpu_backward": attention_backward,
    "mm": product,
    "addmm": sum_and_product,
    "bmm": products,
    "baddbmm": products,
    "copy_": copied,
    "sum": summed,
    "sort": sorted_rows,
    "logsumexp": log_sum_exp,
    "randperm": one_number,
    "pow": power,
}

_NAMES = """
    native_layer_norm native_group_norm max_pool2d_with_indices
    max_pool2d_with_indices_backward avg_pool2d avg_pool2d_backward _adaptive_avg_pool2d
    _adaptive_avg_pool2d_backward embedding_dense_backward index_select nll_loss_forward
    nll_loss_backward nll_loss2d_forward nll_loss2d_backward mse_loss_backward
    smooth_l1_loss_backward huber_loss_backward silu silu_backward gelu gelu_backward
    hardtanh hardtanh_backward hardswish hardswish_backward hardsigmoid
    hardsigmoid_backward leaky_relu leaky_relu_backward elu elu_backward mish softplus
    softplus_backward log_sigmoid_forward log_sigmoid_backward sigmoid sigmoid_backward
    tanh tanh_backward relu threshold_backward exp log log1p log2 sqrt rsqrt abs sign
    neg sin cos erf floor ceil round trunc reciprocal clamp clamp_min clamp_max where
    masked_fill isneginf var_mean var std linalg_vector_norm argmax argmin max min amax amin
    topk any all mv addmv dot cat bernoulli normal uniform exponential randint random
    arange fill zero empty empty_strided scatter scatter_add gather index index_put
    _index_put_impl index_add flip roll constant_pad_nd tril triu lerp addcmul addcdiv
    glu _prelu_kernel cumsum cumprod _fused_adam_ _fused_adamw_ _fused_sgd_
    _fused_adagrad_ logical_not logical_and logical_or bitwise_not isnan isinf
    _cdist_forward scalar_tensor resize set
"""

NOTHING = frozenset(_NAMES.split())
"""Operators that make nothing for themselves, found by running them alone."""
