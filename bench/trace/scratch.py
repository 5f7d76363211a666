"""What operators of torch allocate inside themselves, on the CPU, with one thread and oneDNN off.

A Python number as an operand becomes a tensor of 8 bytes, and then one of the type that is computed
in; an operand of another type than that is copied into it. ``tests/unit/trace/test_scratch.py``
runs operators alone and lists what the allocator gives. That nothing is missing for a rule is seen
by ``tests/contract/test_trace.py``, for small programs by ``test_against_allocator.py``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch

from trainfit.bench.trace import scratch_convolution as convolution
from trainfit.bench.trace.scratch_layers import LAYERS, NOTHING, first_in_rows

Rule = Callable[[Sequence[Any], Mapping[str, Any]], tuple[int, ...]]

NUMBER_BYTES = 8
"""A Python number as a tensor: a double, or a 64-bit integer."""


def scratch_bytes(
    func: torch._ops.OpOverload, args: Sequence[Any], kwargs: Mapping[str, Any]
) -> tuple[int, ...]:
    """Bytes of the blocks that an operator makes for itself, all alive at one instant of its run.

    Args:
        func: The operator.
        args: What it is called with by place; only shapes and types are looked at.
        kwargs: The same by name.
    """
    rule = rule_of(func.overloadpacket.__name__)
    return rule(args, kwargs) if rule else ()


def rule_of(name: str) -> Rule | None:
    """What tells the bytes of an operator of this name; None where there are none, or unknown."""
    found = _TABLE.get(name)
    return _TABLE.get(name[:-1]) if found is None and name.endswith("_") else found


def is_known(func: torch._ops.OpOverload) -> bool:
    """Whether it is known what an operator makes for itself, if only that it is nothing."""
    return is_known_by_name(func.overloadpacket.__name__)


def is_known_by_name(name: str) -> bool:
    """The same of an operator by its name: ``add_``, or ``aten.add_.Tensor`` as a trace has it."""
    parts = name.split(".")
    base = parts[1] if len(parts) > 1 else name
    return any(each in _TABLE or each in NOTHING for each in (base, base.removesuffix("_")))


def _is_number(value: object) -> bool:
    return isinstance(value, (bool, int, float))


def _operands(args: Sequence[Any], kwargs: Mapping[str, Any]) -> tuple[int, ...]:
    """Of two operands: numbers as tensors, and copies in the type that is computed in."""
    left, right = args[0], args[1] if len(args) > 1 else kwargs["other"]
    common = _common(left, right)
    return tuple(size for each in (left, right) for size in _converted(each, common))


def _common(left: Any, right: Any) -> torch.dtype:
    """The type that is computed in; torch is asked only where it is not plain to see."""
    for one, other in ((left, right), (right, left)):
        if isinstance(one, torch.Tensor) and _is_number(other):
            whole = isinstance(other, int) and one.dtype is torch.int64
            if one.dtype.is_floating_point or whole:
                return one.dtype
    if (
        isinstance(left, torch.Tensor)
        and isinstance(right, torch.Tensor)
        and left.dtype is right.dtype
    ):
        return left.dtype
    return torch.result_type(left, right)


def _quotient(args: Sequence[Any], kwargs: Mapping[str, Any]) -> tuple[int, ...]:
    """The same of a division, which is computed in floats."""
    left, right = args[0], args[1]
    common = _common(left, right)
    if not common.is_floating_point and not kwargs.get("rounding_mode"):
        common = torch.get_default_dtype()
    return tuple(size for each in (left, right) for size in _converted(each, common))


def _converted(value: Any, common: torch.dtype) -> tuple[int, ...]:
    if _is_number(value):
        own = torch.float64 if isinstance(value, float) else torch.int64
        own = torch.bool if isinstance(value, bool) else own
        size = 1 if own is torch.bool else NUMBER_BYTES
        return (size,) if common is own else (size, common.itemsize)
    if isinstance(value, torch.Tensor) and value.dtype is not common:
        return (value.numel() * common.itemsize,)
    return ()


def _mean(args: Sequence[Any], kwargs: Mapping[str, Any]) -> tuple[int, ...]:
    """A sum, divided by a number."""
    return _converted(1, kwargs.get("dtype") or args[0].dtype)


def _bce_with_logits(args: Sequence[Any], kwargs: Mapping[str, Any]) -> tuple[int, ...]:
    """Two tensors of the size of the logits, and the number by which a mean divides."""
    del kwargs
    size = args[0].numel() * args[0].element_size()
    return size, size, NUMBER_BYTES, args[0].element_size()


def _repeat(args: Sequence[Any], kwargs: Mapping[str, Any]) -> tuple[int, ...]:
    """Sizes, strides and windows of the copy, as lists of 64-bit numbers."""
    dimensions = len(args[1] if len(args) > 1 else kwargs["repeats"])
    return 8 * dimensions, 8 * dimensions, 16 * dimensions


_TABLE: dict[str, Rule] = {
    **dict.fromkeys(
        [
            "add",
            "sub",
            "rsub",
            "mul",
            "remainder",
            "bitwise_and",
            "bitwise_or",
            "bitwise_xor",
            "bitwise_right_shift",
            "bitwise_left_shift",
            "eq",
            "ne",
            "lt",
            "le",
            "gt",
            "ge",
            "maximum",
            "minimum",
        ],
        _operands,
    ),
    "div": _quotient,
    "mean": _mean,
    "binary_cross_entropy_with_logits": _bce_with_logits,
    "repeat": _repeat,
    "_softmax": first_in_rows,
    "_log_softmax": first_in_rows,
    "convolution": convolution.forward,
    "convolution_backward": convolution.backward,
    **LAYERS,
}
