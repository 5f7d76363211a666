"""Shapes of results that torch's own functions for tensors without data are slow to find.

Many operators know the shapes of their results in compiled code. Others do it in Python, and the
first call of one imports torch's compiler, which takes longer than a whole trace; and some that
draw numbers refuse a generator. Those that rules use are written here, where a result is an
operand, has the shape of one, or is a product. Everything else is asked of torch.

``tests/contract/test_on_meta.py`` compares the operators of every rule's step with those of the
same step on data, results' shapes and types included.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch

aten = torch.ops.aten

READ = aten._local_scalar_dense.default
"""The operator that gives Python a tensor's value (``float(loss)``)."""


def value_of(tensor: torch.Tensor) -> bool | int | float:
    """What a tensor without data says its value is."""
    if tensor.dtype is torch.bool:
        return True
    return 1.0 if tensor.is_floating_point() else 1


def other_value_of(tensor: torch.Tensor) -> bool | int | float:
    """Another answer: a step that does the same with both does not depend on its data."""
    if tensor.dtype is torch.bool:
        return False
    return 2.5 if tensor.is_floating_point() else 3


def result_of(func: Any, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
    """What an operator gives for tensors without data."""
    stand_in = _STAND_INS.get(func)
    given = args[0] if args else None
    on_meta = (
        given.is_meta if isinstance(given, torch.Tensor) else str(kwargs.get("device")) == "meta"
    )
    result = stand_in(*args, **kwargs) if stand_in and on_meta else NotImplemented
    return func(*args, **kwargs) if result is NotImplemented else result


def _itself(tensor: torch.Tensor, *_: Any, **__: Any) -> torch.Tensor:
    return tensor


def _out(*_: Any, out: torch.Tensor, **__: Any) -> torch.Tensor:
    return out


def _grad_input(*_: Any, grad_input: torch.Tensor, **__: Any) -> torch.Tensor:
    return grad_input


def _alike(
    tensor: torch.Tensor, *_: Any, dtype: torch.dtype | None = None, **__: Any
) -> torch.Tensor:
    """Of the same shape, its dimensions in the same order in memory, without gaps."""
    sizes, strides = list(tensor.shape), list(tensor.stride())
    if 0 not in strides and not tensor.is_contiguous():
        room = 1
        for place in sorted(range(len(sizes)), key=lambda k: (strides[k], -k)):
            strides[place], room = room, room * sizes[place]
        kind = tensor.dtype if dtype is None else dtype
        alike: torch.Tensor = aten.empty_strided.default(sizes, strides, dtype=kind, device="meta")
        return alike
    return _empty(tensor, *sizes, dtype=dtype)


def _in_rows(tensor: torch.Tensor, *_: Any, **__: Any) -> torch.Tensor:
    """Of the same shape, its elements one after the other."""
    return _empty(tensor, *tensor.shape)


def _clone(
    tensor: torch.Tensor, *, memory_format: torch.memory_format = torch.preserve_format
) -> torch.Tensor:
    if memory_format is torch.preserve_format:
        return _alike(tensor)
    clone: torch.Tensor = aten.empty.memory_format(
        list(tensor.shape), dtype=tensor.dtype, device="meta", memory_format=memory_format
    )
    return clone


def _broadcast(left: Sequence[int], right: Sequence[int]) -> list[int]:
    """The shape of two operands together (torch's own function for it imports the compiler)."""
    rank = max(len(left), len(right))
    padded = ([1] * (rank - len(shape)) + list(shape) for shape in (left, right))
    return [b if a == 1 else a for a, b in zip(*padded, strict=True)]


def _truth(tensor: torch.Tensor, *_: Any, **__: Any) -> torch.Tensor:
    return _alike(tensor, dtype=torch.bool)


def _empty(like: torch.Tensor, *shape: int, dtype: torch.dtype | None = None) -> torch.Tensor:
    kind = like.dtype if dtype is None else dtype
    return torch.empty(shape, dtype=kind, device="meta")


def _mm(left: torch.Tensor, right: torch.Tensor) -> Any:
    if left.shape[1] != right.shape[0]:
        return NotImplemented  # torch says what is wrong
    return _empty(left, left.shape[0], right.shape[1])


def _bmm(left: torch.Tensor, right: torch.Tensor) -> Any:
    if left.shape[2] != right.shape[1] or left.shape[0] != right.shape[0]:
        return NotImplemented
    return _empty(left, left.shape[0], left.shape[1], right.shape[2])


def _addmm(_: torch.Tensor, left: torch.Tensor, right: torch.Tensor, **__: Any) -> Any:
    return _mm(left, right)


def _mv(matrix: torch.Tensor, _: torch.Tensor) -> torch.Tensor:
    return _empty(matrix, matrix.shape[0])


def _dot(left: torch.Tensor, *_: Any, dtype: torch.dtype | None = None) -> torch.Tensor:
    return _empty(left, dtype=dtype)


def _together(left: torch.Tensor, right: Any, **_: Any) -> Any:
    """Two operands, element by element, of which one may be a number; torch is asked of strides."""
    kind = torch.result_type(left, right)
    if not isinstance(right, torch.Tensor):
        return _alike(left, dtype=kind)
    if left.is_contiguous() and right.is_contiguous():
        return _empty(left, *_broadcast(left.shape, right.shape), dtype=kind)
    return NotImplemented


def _norm(
    tensor: torch.Tensor,
    _: float = 2,
    dim: Sequence[int] | int | None = None,
    keepdim: bool = False,
    *,
    dtype: torch.dtype | None = None,
) -> torch.Tensor:
    return _along(tensor, dim, keepdim, dtype=dtype)


def _along(
    tensor: torch.Tensor,
    dim: Sequence[int] | int | None = None,
    keepdim: bool = False,
    *,
    dtype: torch.dtype | None = None,
) -> torch.Tensor:
    """A reduction along some dimensions, of all where none is named."""
    along = range(tensor.dim()) if not dim and dim != 0 else [dim] if isinstance(dim, int) else dim
    gone = {place % tensor.dim() for place in along} if tensor.dim() else set()
    shape = [1 if k in gone else n for k, n in enumerate(tensor.shape) if keepdim or k not in gone]
    return _empty(tensor, *shape, dtype=dtype)


def _drawn(size: Sequence[int], *, dtype: torch.dtype | None = None, **_: Any) -> torch.Tensor:
    kind = torch.get_default_dtype() if dtype is None else dtype
    return torch.empty(size, dtype=kind, device="meta")


def _gathered(tensor: torch.Tensor, _: int, index: torch.Tensor, **__: Any) -> torch.Tensor:
    return _empty(tensor, *index.shape)


def _choices(weights: torch.Tensor, samples: int, *_: Any, **__: Any) -> torch.Tensor:
    return _empty(weights, *weights.shape[:-1], samples, dtype=torch.int64)


def _nll_loss(
    scores: torch.Tensor, labels: torch.Tensor, _: Any, reduction: int, __: int
) -> tuple[torch.Tensor, torch.Tensor]:
    return _empty(scores, *([] if reduction else labels.shape)), _empty(scores)


def _batch_norm(
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
    return _alike(x), _empty(x, kept), _empty(x, kept)


def _of_second(_: torch.Tensor, tensor: torch.Tensor, *__: Any, **___: Any) -> torch.Tensor:
    return _alike(tensor)


_STAND_INS: dict[Any, Callable[..., Any]] = {
    **dict.fromkeys(
        [
            aten.abs_.default,
            aten.add_.Tensor,
            aten.addcdiv_.default,
            aten.addcmul_.default,
            aten.addmm_.default,
            aten.addmv_.default,
            aten.addr_.default,
            aten.baddbmm_.default,
            aten.bernoulli_.float,
            aten.bitwise_and_.Scalar,
            aten.bitwise_right_shift_.Tensor_Scalar,
            aten.bitwise_xor_.Scalar,
            aten.bitwise_xor_.Tensor,
            aten.clamp_.default,
            aten.copy_.default,
            aten.div_.Scalar,
            aten.div_.Tensor,
            aten.exp_.default,
            aten.floor_.default,
            aten.gt_.Scalar,
            aten.lerp_.Scalar,
            aten.log_.default,
            aten.logical_and_.default,
            aten.masked_fill_.Scalar,
            aten.mul_.Scalar,
            aten.mul_.Tensor,
            aten.neg_.default,
            aten.normal_.default,
            aten.random_.default,
            getattr(aten.random_, "from"),
            aten.random_.to,
            aten.reciprocal_.default,
            aten.relu_.default,
            aten.remainder_.Scalar,
            aten.round_.default,
            aten.scatter_.value,
            aten.scatter_.src,
            aten.scatter_.value_reduce,
            aten.rsqrt_.default,
            aten.sigmoid_.default,
            aten.sign_.default,
            aten.sqrt_.default,
            aten.sub_.Tensor,
            aten.tanh_.default,
            aten.threshold_.default,
            aten.trunc_.default,
            aten.uniform_.default,
        ],
        _itself,
    ),
    **dict.fromkeys(
        [
            aten.add.out,
            aten.addmm.out,
            aten.bitwise_right_shift.Tensor_Scalar_out,
            aten.bmm.out,
            aten.div.out,
            aten.ge.Scalar_out,
            aten.gt.Scalar_out,
            aten.gt.Tensor_out,
            aten.maximum.out,
            aten.mean.out,
            aten.mm.out,
            aten.mul.out,
            aten.sub.out,
            aten.where.self_out,
            aten.rsqrt.out,
        ],
        _out,
    ),
    **dict.fromkeys(
        [
            aten.hardtanh_backward.grad_input,
            aten.tanh_backward.grad_input,
            aten.threshold_backward.grad_input,
        ],
        _grad_input,
    ),
    **dict.fromkeys(
        [
            aten.abs.default,
            aten.clamp.default,
            aten.empty_like.default,
            aten.ones_like.default,
            aten.zeros_like.default,
            aten.clamp_min.default,
            aten.exp.default,
            aten.neg.default,
            aten.pow.Tensor_Scalar,
            aten.reciprocal.default,
            aten.relu.default,
            aten.sigmoid.default,
            aten.sign.default,
            aten.softplus.default,
            aten.softplus_backward.default,
            aten.sqrt.default,
            aten.tanh.default,
            aten.threshold_backward.default,
        ],
        _alike,
    ),
    **dict.fromkeys(
        [
            aten.ge.Scalar,
            aten.gt.Scalar,
            aten.le.Scalar,
            aten.logical_not.default,
            aten.lt.Scalar,
        ],
        _truth,
    ),
    **dict.fromkeys(
        [aten.add.Tensor, aten.div.Tensor, aten.mul.Tensor, aten.sub.Tensor, aten.rsub.Scalar],
        _together,
    ),
    **dict.fromkeys(
        [aten.amax.default, aten.amin.default, aten.mean.dim, aten.sum.dim_IntList],
        _along,
    ),
    **dict.fromkeys(
        [aten._log_softmax.default, aten._log_softmax_backward_data.default, aten._softmax.default],
        _in_rows,
    ),
    aten.addmm.default: _addmm,
    aten.bmm.default: _bmm,
    aten.clone.default: _clone,
    aten.dot.default: _dot,
    aten.gather.default: _gathered,
    aten.linalg_vector_norm.default: _norm,
    aten.mean.default: _dot,
    aten.mm.default: _mm,
    aten.multinomial.default: _choices,
    aten.randn.default: _drawn,
    aten.randn.generator: _drawn,
    aten.mv.default: _mv,
    aten.native_batch_norm.default: _batch_norm,
    aten.nll_loss_backward.default: _of_second,
    aten.nll_loss_forward.default: _nll_loss,
}
