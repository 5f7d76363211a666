"""Shapes of results of operators that nets of others call, where torch's own are slow or absent.

What :mod:`trainfit.algorithms.memory.stand_ins` knows is asked next, and torch last. All tensors
here are on the meta device. Suffixes: N samples, C channels, H rows, W columns, L labels.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch

from trainfit.algorithms.memory.stand_ins import result_of
from trainfit.bench.trace.scratch_convolution import is_channels_last, output_shape

aten = torch.ops.aten


def shapes_of(func: Any, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
    """What an operator gives, as meta tensors.

    Raises:
        NotImplementedError: Nobody knows.
        RuntimeError: The operator refuses its arguments.
    """
    known = _SHAPES.get(func)
    if known is not None:
        found = known(*args, **kwargs)
        if found is not NotImplemented:
            return found
    return result_of(func, args, kwargs)


def _new(like: torch.Tensor, *shape: int, dtype: torch.dtype | None = None) -> torch.Tensor:
    made: torch.Tensor = aten.empty.memory_format(
        list(shape), dtype=dtype or like.dtype, device="meta"
    )
    return made


def _same(tensor: torch.Tensor, dtype: torch.dtype | None = None) -> torch.Tensor:
    """Of the shape of another; elements in the same order, as far as that is dense."""
    if tensor.is_contiguous():
        return _new(tensor, *tensor.shape, dtype=dtype)
    made: torch.Tensor = aten.empty_like.default(tensor, dtype=dtype, device="meta")
    return made


def _first(tensor: torch.Tensor, *_: Any, **__: Any) -> torch.Tensor:
    return _same(tensor)


def _second(_: torch.Tensor, tensor: torch.Tensor, *__: Any, **___: Any) -> torch.Tensor:
    return _same(tensor)


def _pair(n: Sequence[int]) -> tuple[int, int]:
    return (n[0], n[0]) if len(n) == 1 else (n[0], n[1])


def _ordered(like: torch.Tensor, *shape: int) -> torch.Tensor:
    """Channels last where those of ``like`` are."""
    order = torch.channels_last if is_channels_last(like) else torch.contiguous_format
    made: torch.Tensor = aten.empty.memory_format(
        list(shape), dtype=like.dtype, device="meta", memory_format=order
    )
    return made


def _convolution(
    x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None, *settings: Any
) -> Any:
    del bias
    shape = output_shape(x, weight, *settings)
    dilation, transposed, groups = settings[2], settings[3], settings[5]
    channels = weight.shape[0] if transposed else weight.shape[1] * groups
    if x.shape[1] != channels or min(shape) < 1:
        return NotImplemented  # torch says what is wrong
    last = not transposed and set(dilation) == {1}
    return _ordered(x if not last or is_channels_last(x) else weight, *shape)


def _convolution_backward(
    grad: torch.Tensor, x: torch.Tensor, weight: torch.Tensor, *rest: Any
) -> tuple[torch.Tensor | None, ...]:
    wanted = rest[-1]
    like = x if is_channels_last(x) else weight
    return (
        _ordered(like, *x.shape) if wanted[0] else None,
        _ordered(like, *weight.shape) if wanted[1] else None,
        _new(grad, grad.shape[1]) if wanted[2] else None,
    )


def _batch_norm(
    x: torch.Tensor, weight: Any, _: Any, __: Any, ___: Any, training: bool, *____: Any
) -> Any:
    if weight is not None and weight.shape[0] != x.shape[1]:
        return NotImplemented
    channels = x.shape[1] if training else 0
    return _same(x), _new(x, channels), _new(x, channels)


def _batch_norm_backward(
    grad: torch.Tensor,
    x: torch.Tensor,
    weight: torch.Tensor | None,
    *rest: Any,
) -> tuple[torch.Tensor | None, ...]:
    del grad
    mask = rest[-1]
    channels = x.shape[1]
    like = x if weight is None else weight
    return (
        _same(x) if mask[0] else None,
        _new(like, channels) if mask[1] else None,
        _new(like, channels) if mask[2] else None,
    )


def _layer_norm(
    x: torch.Tensor, shape: Sequence[int], *_: Any
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    rows = [*x.shape[: x.dim() - len(shape)], *[1] * len(shape)]
    return _new(x, *x.shape), _new(x, *rows), _new(x, *rows)


def _layer_norm_backward(
    grad: torch.Tensor, x: torch.Tensor, shape: Sequence[int], *rest: Any
) -> tuple[torch.Tensor | None, ...]:
    del grad
    mask = rest[-1]
    return (
        _new(x, *x.shape) if mask[0] else None,
        _new(x, *shape) if mask[1] else None,
        _new(x, *shape) if mask[2] else None,
    )


def _max_pool(x_NCHW: torch.Tensor, kernel: Sequence[int], *settings: Any) -> Any:
    usual: tuple[Any, ...] = ((), (0,), (1,), False)
    stride, padding, dilation, ceil_mode = (*settings, *usual[len(settings) :])
    if ceil_mode or x_NCHW.dim() != 4 or not x_NCHW.is_contiguous():
        return NotImplemented
    windows = zip(
        x_NCHW.shape[2:],
        _pair(kernel),
        _pair(stride or kernel),
        _pair(padding),
        _pair(dilation),
        strict=True,
    )
    out = [(n + 2 * pad - by * (size - 1) - 1) // step + 1 for n, size, step, pad, by in windows]
    shape = (*x_NCHW.shape[:2], *out)
    return _new(x_NCHW, *shape), _new(x_NCHW, *shape, dtype=torch.int64)


def _adaptive_pool(x: torch.Tensor, size: Sequence[int]) -> Any:
    return _ordered(x, *x.shape[:-2], *size)


def _cat(tensors: Sequence[torch.Tensor], dim: int = 0) -> Any:
    first = tensors[0]
    plain = all(each.is_contiguous() and each.dim() == first.dim() for each in tensors)
    if not plain or any(each.dtype is not first.dtype for each in tensors):
        return NotImplemented
    shape = list(first.shape)
    shape[dim] = sum(each.shape[dim] for each in tensors)
    return _new(first, *shape)


def _index_select(x: torch.Tensor, dim: int, index: torch.Tensor) -> torch.Tensor:
    shape = list(x.shape)
    shape[dim] = index.numel()
    return _new(x, *shape)


def _embedding_backward(
    grad: torch.Tensor, index: torch.Tensor, rows: int, *_: Any
) -> torch.Tensor:
    del index
    return _new(grad, rows, grad.shape[-1])


def _flash(
    q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, *_: Any, **__: Any
) -> tuple[torch.Tensor, torch.Tensor]:
    """The output lies in memory as the queries do."""
    del k, v
    batch, heads, queries, _size = q.shape
    kind = q.dtype if q.dtype is torch.float64 else torch.float32
    out: torch.Tensor = aten.empty_like.default(q)
    return out, _new(q, batch, queries, heads, dtype=kind).transpose(1, 2)


def _flash_backward(
    _: torch.Tensor, q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, *__: Any, **___: Any
) -> tuple[torch.Tensor, ...]:
    return tuple(
        _new(each, each.shape[0], each.shape[2], each.shape[1], each.shape[3]).transpose(1, 2)
        for each in (q, k, v)
    )


def _kept_by_element(x: torch.Tensor, target: torch.Tensor, reduction: int = 1, *_: Any) -> Any:
    """A loss whose number keeps the bytes of the loss of every element."""
    if x.shape != target.shape or x.dtype is not target.dtype:
        return NotImplemented
    every = _new(x, *x.shape)
    return every.as_strided((), ()) if reduction else every


def _bce(x: torch.Tensor, target: torch.Tensor, weight: Any = None, reduction: int = 1) -> Any:
    del weight
    return _kept_by_element(x, target, reduction)


def _made(size: Sequence[int], *_: Any, dtype: torch.dtype | None = None, **__: Any) -> Any:
    made: torch.Tensor = aten.empty.memory_format(
        list(size), dtype=dtype or torch.get_default_dtype(), device="meta"
    )
    return made


_SHAPES: dict[Any, Callable[..., Any]] = {
    **dict.fromkeys(
        [
            aten.hardtanh.default,
            aten.silu.default,
            aten.gelu.default,
            aten.leaky_relu.default,
            aten.elu.default,
            aten.hardswish.default,
            aten.hardsigmoid.default,
            aten.log.default,
            aten.rsqrt.default,
            aten.sin.default,
            aten.cos.default,
            aten.floor.default,
            aten.round.default,
            aten.erf.default,
            aten.log1p.default,
            aten.bernoulli.default,
        ],
        _first,
    ),
    **dict.fromkeys(
        [
            aten.hardtanh_backward.default,
            aten.silu_backward.default,
            aten.gelu_backward.default,
            aten.leaky_relu_backward.default,
            aten.hardswish_backward.default,
            aten.hardsigmoid_backward.default,
            aten.sigmoid_backward.default,
            aten.tanh_backward.default,
            aten.max_pool2d_with_indices_backward.default,
            aten._adaptive_avg_pool2d_backward.default,
            aten.avg_pool2d_backward.default,
        ],
        _second,
    ),
    aten.sigmoid_backward.default: _first,
    aten.tanh_backward.default: _first,
    aten.max_pool2d_with_indices.default: _max_pool,
    aten._adaptive_avg_pool2d.default: _adaptive_pool,
    aten.convolution.default: _convolution,
    aten.convolution_backward.default: _convolution_backward,
    aten.mse_loss.default: _kept_by_element,
    aten.smooth_l1_loss.default: _kept_by_element,
    aten.binary_cross_entropy.default: _bce,
    aten.native_batch_norm.default: _batch_norm,
    aten._native_batch_norm_legit.default: _batch_norm,
    aten.native_batch_norm_backward.default: _batch_norm_backward,
    aten.native_layer_norm.default: _layer_norm,
    aten.native_layer_norm_backward.default: _layer_norm_backward,
    aten.cat.default: _cat,
    aten.index_select.default: _index_select,
    aten.embedding_dense_backward.default: _embedding_backward,
    aten._scaled_dot_product_flash_attention_for_cpu.default: _flash,
    aten._scaled_dot_product_flash_attention_for_cpu_backward.default: _flash_backward,
    aten.empty.memory_format: _made,
}
