"""What torch's operators for layers compute: normalisation, pooling, activations, losses.

Counted is what is done with every element; what is done once per row or per channel (a logarithm
of a sum, a root of a variance) is left out.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping

from trainfit.algorithms.memory.operations import Kind
from trainfit.bench.trace.operations.contents import Contents
from trainfit.bench.trace.operations.elementwise import argument, per_element
from trainfit.bench.trace.operations.work import Each, Row, Work, nothing
from trainfit.bench.trace.trace import Operand, Operator


def _at(place: int, **kinds: int) -> Row:
    """So many operations of each kind on every element of the operand at ``place``."""

    def row(call: Operator, contents: Contents) -> Iterator[Work]:
        del contents
        for kind, times in kinds.items():
            yield Each(Kind(kind), times * call.args[place].elements)

    return row


def _batch_norm(call: Operator, contents: Contents) -> Iterator[Work]:
    """Mean, differences twice, squares and variance, deviation, gain, shift.

    Without training mean and variance are there.
    """
    del contents
    elements, trains = call.args[0].elements, bool(call.args[5])
    affine = call.args[1] is not None
    yield Each(Kind.ADD, ((4 if trains else 1) + affine) * elements)
    yield Each(Kind.MULTIPLY, ((2 if trains else 1) + affine) * elements)


def _layer_norm(gain: int) -> Row:
    """The same; ``gain`` is the place of the gain."""

    def row(call: Operator, contents: Contents) -> Iterator[Work]:
        del contents
        elements, affine = call.args[0].elements, call.args[gain] is not None
        yield Each(Kind.ADD, (4 + affine) * elements)
        yield Each(Kind.MULTIPLY, (2 + affine) * elements)

    return row


def _window(per_result: int = 0, place: int = 0, **kinds: int) -> Row:
    """For every element of the result (or of an operand) as often as its window has places."""

    def row(call: Operator, contents: Contents) -> Iterator[Work]:
        del contents
        of = call.args[0] if place else call.results[0]
        window = argument(call, 1 + place, "kernel_size")
        assert isinstance(window, tuple)
        for kind, times in kinds.items():
            yield Each(Kind(kind), times * of.elements * math.prod(window))
        yield Each(Kind.DIVIDE, per_result * of.elements)

    return row


def _average(call: Operator, contents: Contents) -> Iterator[Work]:
    """To a given size: every element is added once, every sum divided."""
    del contents
    yield Each(Kind.ADD, call.args[0].elements)
    yield Each(Kind.DIVIDE, call.results[0].elements)


def _cross_entropy_with_logits(call: Operator, contents: Contents) -> Iterator[Work]:
    """``(1 - y) a - log sigmoid(a)``, and their sum."""
    del contents
    elements = call.args[0].elements
    yield Each(Kind.COMPARE, elements)
    yield Each(Kind.TRANSCENDENTAL, 2 * elements)
    yield Each(Kind.ADD, 5 * elements)
    yield Each(Kind.MULTIPLY, elements)
    yield Each(Kind.DIVIDE, 1)


def _squared_error(call: Operator, contents: Contents) -> Iterator[Work]:
    del contents
    elements, reduced = call.args[0].elements, argument(call, 2, "reduction", 1) != 0
    yield Each(Kind.ADD, (1 + reduced) * elements)
    yield Each(Kind.MULTIPLY, elements)


def _dropped(call: Operator, contents: Contents) -> Iterator[Work]:
    del contents
    assert isinstance(call.args[0], Operand)
    for kind in (Kind.RANDOM, Kind.COMPARE, Kind.MULTIPLY):
        yield Each(kind, call.args[0].elements)


ROWS: Mapping[str, Row] = {
    # activations
    "aten.elu": _at(0, compare=1, transcendental=1, add=1),
    "aten.elu_backward": _at(0, compare=1, transcendental=1, multiply=2),
    "aten.gelu": _at(0, transcendental=1, multiply=3, add=1),
    "aten.gelu_backward": _at(0, transcendental=2, multiply=5, add=2),
    "aten.hardsigmoid": _at(0, compare=2, add=1, multiply=1),
    "aten.hardsigmoid_backward": _at(0, compare=2, multiply=1),
    "aten.hardswish": _at(0, compare=2, add=1, multiply=2),
    "aten.hardswish_backward": _at(0, compare=2, add=1, multiply=2),
    "aten.log_sigmoid_forward": _at(0, compare=1, transcendental=2, add=2),
    "aten.log_sigmoid_backward": _at(0, compare=1, transcendental=1, multiply=2, add=1),
    "aten.leaky_relu": _at(0, compare=1, multiply=1),
    "aten.leaky_relu_backward": _at(0, compare=1, multiply=1),
    "aten.silu": _at(0, transcendental=1, multiply=1),
    "aten.silu_backward": _at(0, transcendental=1, multiply=3, add=2),
    # rows of scores
    "aten._safe_softmax": _at(0, compare=1, add=2, transcendental=1, divide=1),
    "aten._softmax": _at(0, compare=1, add=2, transcendental=1, divide=1),
    "aten._softmax_backward_data": _at(0, multiply=2, add=2),
    "aten._log_softmax": _at(0, compare=1, add=3, transcendental=1),
    "aten._log_softmax_backward_data": _at(0, transcendental=1, multiply=1, add=1),
    # losses
    "aten.nll_loss_forward": nothing,
    "aten.nll_loss_backward": nothing,
    "aten.binary_cross_entropy_with_logits": _cross_entropy_with_logits,
    "aten.binary_cross_entropy": _at(0, transcendental=2, add=3, multiply=2),
    "aten.binary_cross_entropy_backward": _at(1, add=2, multiply=2, divide=1),
    "aten.huber_loss": _at(0, compare=1, add=2, multiply=2),
    "aten.huber_loss_backward": _at(1, compare=2, add=1, multiply=1),
    "aten.smooth_l1_loss": _at(0, compare=1, add=2, multiply=2),
    "aten.smooth_l1_loss_backward": _at(1, compare=2, add=1, multiply=1),
    "aten.mse_loss": _squared_error,
    "aten.mse_loss_backward": _at(1, add=1, multiply=2),
    # normalisation
    "aten.native_batch_norm": _batch_norm,
    "aten._native_batch_norm_legit": _batch_norm,
    "aten.cudnn_batch_norm": _batch_norm,
    "aten.native_batch_norm_backward": _at(0, add=4, multiply=3),
    "aten.native_layer_norm": _layer_norm(2),
    "aten.native_layer_norm_backward": _at(0, add=5, multiply=5),
    "aten.native_group_norm": _layer_norm(1),
    "aten.native_group_norm_backward": _at(0, add=5, multiply=5),
    # pooling
    "aten.max_pool2d_with_indices": _window(compare=1),
    "aten.max_pool2d_with_indices_backward": _at(0, add=1),
    "aten.avg_pool2d": _window(1, add=1),
    "aten.avg_pool2d_backward": _window(1, 1, add=1),
    "aten._adaptive_avg_pool2d": _average,
    "aten._adaptive_avg_pool2d_backward": _average,
    # others
    "aten.col2im": _at(0, add=1),
    "aten.im2col": nothing,
    "aten.upsample_bilinear2d": per_element(multiply=4, add=3),
    "aten.upsample_bilinear2d_backward": _at(0, multiply=4, add=4),
    "aten.upsample_nearest1d_backward": _at(0, add=1),
    "aten.upsample_nearest2d_backward": _at(0, add=1),
    "aten.embedding_dense_backward": _at(0, add=1),
    "aten.native_dropout": _dropped,
    "aten.native_dropout_backward": per_element(multiply=2),
}
