"""Shapes of results that torch's own functions for tensors without data are slow to find.

Many operators know the shapes of their results in compiled code. Others do it in Python, and the
first call of one imports torch's compiler, which takes longer than hundreds of traces; and some
that draw numbers refuse a generator. Those that rules use are listed here, with the functions of
:mod:`~trainfit.algorithms.memory.results`. Everything else is asked of torch.

``tests/contract/test_on_meta.py`` compares the operators of every rule's step with those of the
same step on data, results' shapes and types included.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cache
from typing import Any

import torch

from trainfit.algorithms.memory import results

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
    stand_in = _stand_in_of(func)
    result = stand_in(*args, **kwargs) if stand_in and _on_meta(args, kwargs) else NotImplemented
    return func(*args, **kwargs) if result is NotImplemented else result


def _on_meta(args: Sequence[Any], kwargs: Mapping[str, Any]) -> bool:
    """Whether what an operator is given, or what it makes of nothing, has no data."""
    given = args[0] if args else None
    if isinstance(given, (list, tuple)) and given:
        given = given[0]
    if isinstance(given, torch.Tensor):
        return given.is_meta
    device = kwargs.get("device")
    return device is not None and torch.device(device).type == "meta"


@cache
def _stand_in_of(func: Any) -> Callable[..., Any] | None:
    """What is called in place of an operator; without data, one that gives nothing does nothing."""
    gives_nothing = not func._schema.returns and func.namespace != "profiler"
    return _STAND_INS.get(func, _nothing if gives_nothing else None)


def _nothing(*_: Any, **__: Any) -> None:
    return None


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
            aten.fill_.Scalar,
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
            aten.pow_.Scalar,
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
            aten.zero_.default,
        ],
        results.itself,
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
            aten.neg.out,
            aten.softplus.out,
            aten.sub.out,
            aten.sum.IntList_out,
            aten.where.self_out,
            aten.rsqrt.out,
        ],
        results.in_out,
    ),
    **dict.fromkeys(
        [
            aten.hardtanh_backward.grad_input,
            aten.tanh_backward.grad_input,
            aten.threshold_backward.grad_input,
        ],
        results.in_grad_input,
    ),
    **dict.fromkeys(
        [
            aten.abs.default,
            aten.clamp.default,
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
        results.alike,
    ),
    **dict.fromkeys(
        [
            aten.ge.Scalar,
            aten.gt.Scalar,
            aten.le.Scalar,
            aten.logical_not.default,
            aten.lt.Scalar,
        ],
        results.truth,
    ),
    **dict.fromkeys(
        [
            aten.add.Tensor,
            aten.mul.Scalar,
            aten.mul.Tensor,
            aten.rsub.Scalar,
            aten.sub.Tensor,
        ],
        results.together,
    ),
    **dict.fromkeys(
        [aten.amax.default, aten.amin.default, aten.mean.dim, aten.sum.dim_IntList],
        results.along,
    ),
    **dict.fromkeys(
        [aten._log_softmax.default, aten._log_softmax_backward_data.default, aten._softmax.default],
        results.in_rows,
    ),
    **dict.fromkeys(
        [aten.empty_like.default, aten.ones_like.default, aten.zeros_like.default],
        results.in_place_of,
    ),
    **dict.fromkeys([aten.div.Scalar, aten.div.Tensor], results.quotient),
    **dict.fromkeys(
        [
            aten.empty.memory_format,
            aten.ones.default,
            aten.randn.default,
            aten.randn.generator,
            aten.zeros.default,
        ],
        results.of_size,
    ),
    **dict.fromkeys(
        [aten.new_empty.default, aten.new_ones.default, aten.new_zeros.default],
        results.new_of_size,
    ),
    **dict.fromkeys([aten.arange.start, aten.arange.start_step], results.counted),
    aten._to_copy.default: results.converted,
    aten.addcmul.default: results.three_together,
    aten.addmm.default: results.sum_and_product,
    aten.argmax.default: results.place_along,
    aten.binary_cross_entropy_with_logits.default: results.loss_of_logits,
    aten.bmm.default: results.products,
    aten.cat.default: results.joined,
    aten.clone.default: results.copied,
    aten.dot.default: results.scalar,
    aten.full.default: results.filled,
    aten.gather.default: results.gathered,
    aten.index_select.default: results.selected,
    aten.linalg_vector_norm.default: results.norm,
    aten.mean.default: results.scalar,
    aten.mm.default: results.product,
    aten.multinomial.default: results.choices,
    aten.mv.default: results.with_vector,
    aten.native_batch_norm.default: results.batch_norm,
    aten.nll_loss_backward.default: results.of_second,
    aten.nll_loss_forward.default: results.log_loss,
    aten.sum.default: results.total,
}
