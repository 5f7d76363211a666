"""Layers, losses and convolutions run alone: the allocator gives results and scratch as tabled."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
import torch

from trainfit.bench.profiler.determinism import pinned
from trainfit.bench.profiler.session import _nodes, record
from trainfit.bench.trace.scratch import is_known, scratch_bytes

aten = torch.ops.aten
R = torch.rand
ALL = [True, True, True]


def peak_beside(results: list[torch.Tensor], program: Callable[[], Any]) -> int:
    """The largest sum alive while a program runs, less the storages of its results."""
    level = peak = 0

    def run() -> None:
        made = program()
        results.extend(made if isinstance(made, (tuple, list)) else [made])

    for node in _nodes(record(run)):
        level += node.size
        peak = max(peak, level)
    kept = {each.untyped_storage().data_ptr(): each for each in results if each is not None}
    return peak - sum(each.untyped_storage().nbytes() for each in kept.values())


def check(func: Any, *args: Any, **kwargs: Any) -> None:
    with pinned():
        found = peak_beside([], lambda: func(*args, **kwargs))
        assert is_known(func)
        assert sum(scratch_bytes(func, args, kwargs)) == found


ROWS, PIXELS = R(4, 3), R(4, 3, 8, 8)
LAST = R(4, 8, 8, 3).permute(0, 3, 1, 2)
HEADS = R(2, 4, 10, 8)
MATRIX, LABELS = R(6, 5), torch.randint(0, 5, (6,))
C = [R(3) for _ in range(6)]

CASES: list[tuple[Any, ...]] = [
    (aten.native_batch_norm.default, PIXELS, *C[:4], True, 0.1, 1e-5),
    (aten.native_batch_norm.default, PIXELS, *C[:4], False, 0.1, 1e-5),
    (aten.native_batch_norm.default, LAST, *C[:4], True, 0.1, 1e-5),
    (aten.native_batch_norm.default, ROWS, *C[:4], True, 0.1, 1e-5),
    (aten.native_batch_norm_backward.default, PIXELS, PIXELS, *C[:5], True, 1e-5, ALL),
    (aten.native_batch_norm_backward.default, LAST, LAST, *C[:5], True, 1e-5, ALL),
    (aten.native_batch_norm_backward.default, ROWS, ROWS, *C[:5], True, 1e-5, ALL),
    (
        aten.native_batch_norm_backward.default,
        *(R(4, 3, 1, 1).expand(4, 3, 8, 8), PIXELS, *C[:5], True, 1e-5, ALL),
    ),
    (aten.native_layer_norm.default, R(4, 10, 32), [32], R(32), R(32), 1e-5),
    (
        aten.native_layer_norm_backward.default,
        *(R(10, 4, 32).transpose(0, 1), R(4, 10, 32), [32]),
        *(R(4, 10, 1), R(4, 10, 1), R(32), R(32), ALL),
    ),
    (aten.native_group_norm.default, R(4, 6, 8, 8), R(6), R(6), 4, 6, 64, 2, 1e-5),
    (
        aten.native_group_norm_backward.default,
        *(R(4, 6, 8, 8), R(4, 6, 8, 8), R(4, 2), R(4, 2), R(6), 4, 6, 64, 2, ALL),
    ),
    (aten.max_pool2d_with_indices.default, PIXELS, [2, 2]),
    (aten.avg_pool2d.default, PIXELS, [2, 2]),
    (aten._adaptive_avg_pool2d.default, PIXELS, [2, 2]),
    (aten._adaptive_avg_pool2d_backward.default, R(4, 3, 2, 2), PIXELS),
    (aten._scaled_dot_product_flash_attention_for_cpu.default, HEADS, HEADS, HEADS),
    (aten._scaled_dot_product_flash_attention_for_cpu.default, *[R(2, 4, 600, 8)] * 3),
    (aten._scaled_dot_product_flash_attention_for_cpu.default, *[R(1, 2, 800, 8)] * 3),
    (aten.mse_loss.default, MATRIX, MATRIX),
    (aten.mse_loss.default, MATRIX, MATRIX, 0),
    (aten.mse_loss.default, MATRIX, MATRIX, 2),
    (aten.smooth_l1_loss.default, MATRIX, MATRIX),
    (aten.huber_loss.default, MATRIX, MATRIX),
    (aten.binary_cross_entropy.default, MATRIX, MATRIX),
    (aten.binary_cross_entropy_backward.default, R(()), MATRIX, MATRIX, None, 1),
    (aten.nll_loss_forward.default, MATRIX, LABELS, None, 1, -100),
    (aten.embedding_dense_backward.default, R(5, 3, 8), torch.randint(0, 9, (5, 3)), 9, -1, False),
    (aten.index_select.default, R(9, 8), 0, LABELS),
    (aten._softmax_backward_data.default, R(5, 6).t(), MATRIX, 1, torch.float32),
    (aten._log_softmax_backward_data.default, MATRIX, MATRIX, 1, torch.float32),
    (aten.mm.default, MATRIX, R(5, 4)),
    (aten.mm.default, MATRIX, torch.ones(1).expand(5, 6)),
    (aten.mm.default, R(6, 10)[:, ::2], R(5, 4)),
    (aten.addmm.default, R(4), MATRIX, R(4, 5).t()),
    (aten.bmm.default, R(2, 60, 50), R(2, 40, 50).transpose(1, 2)),
    (aten.bmm.default, R(2, 60, 50), torch.ones(1).expand(2, 50, 40)),
    (aten.bmm.default, R(2, 6, 5), torch.ones(1).expand(2, 5, 4)),
    (aten.sum.default, MATRIX > 0.5),
    (aten.sum.default, MATRIX),
    (aten.sort.default, MATRIX),
    (aten.logsumexp.default, MATRIX, [1]),
    (aten.logsumexp.default, PIXELS, [0, 3], True),
    (aten.pow.Scalar, 2.0, MATRIX),
    (aten.pow.Tensor_Scalar, MATRIX, 2),
    (aten.isneginf.default, MATRIX),
    (aten.cat.default, [MATRIX, MATRIX]),
    (aten.silu.default, MATRIX),
    (aten.gelu_backward.default, MATRIX, MATRIX),
    (aten.linalg_vector_norm.default, MATRIX, 2, [1]),
    (aten.cumsum.default, MATRIX, 1),
    (aten.gather.default, MATRIX, 1, LABELS[:, None]),
    (aten.topk.default, MATRIX, 2),
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: str(case[0]).removeprefix("aten."))
def test_layers(case: tuple[Any, ...]) -> None:
    check(case[0], *case[1:])


def test_a_matrix_is_transposed_tile_by_tile() -> None:
    for size, tile in ((59, 0), (60, 14_400), (100, 14_400)):
        source, target = R(size, size).t(), torch.empty(size, size)
        args = (target, source)
        with pinned():
            found = peak_beside([], partial(target.copy_, source)) + target.nbytes
        assert sum(scratch_bytes(aten.copy_.default, args, {})) == tile == found


CONVOLUTIONS = [
    # samples, channels in, out, size, kernel, stride, padding, dilation, groups, transposed
    (2, 3, 4, 8, 3, 1, 1, 1, 1, False),
    (2, 3, 4, 8, 1, 1, 0, 1, 1, False),
    (2, 3, 4, 8, 1, 2, 0, 1, 1, False),
    (1, 3, 4, 8, 3, 2, 1, 1, 1, False),
    (2, 4, 4, 8, 3, 1, 1, 1, 4, False),
    (1, 4, 4, 8, 3, 1, 1, 1, 4, False),
    (2, 4, 8, 8, 3, 1, 1, 1, 2, False),
    (3, 64, 64, 2, 3, 1, 1, 1, 64, False),
    (2, 3, 4, 8, 3, 1, 1, 2, 1, False),
    (20, 3, 4, 8, 3, 1, 1, 1, 1, False),
    (20, 3, 4, 8, 3, 2, 1, 1, 1, False),
    (20, 4, 4, 8, 3, 1, 1, 1, 4, False),
    (2, 3, 4, 8, 3, 2, 1, 1, 1, True),
    (2, 4, 4, 8, 3, 2, 1, 1, 4, True),
]


ORDERED = [
    *((shape, "rows") for shape in CONVOLUTIONS),
    *(
        (shape, order)
        for shape in CONVOLUTIONS[:4]
        for order in ("pixels", "pixels of x", "turned")
    ),
]


@pytest.mark.parametrize(("shape", "order"), ORDERED, ids=str)
@pytest.mark.parametrize("biased", [True, False])
def test_convolutions(shape: tuple[Any, ...], biased: bool, order: str) -> None:
    samples, given, made, size, kernel, stride, padding, dilation, groups, transposed = shape
    x = R(samples, given, size, size)
    weight = R(given, made // groups, kernel, kernel) if transposed else None
    weight = R(made, given // groups, kernel, kernel) if weight is None else weight
    if order.startswith("pixels"):
        x = x.contiguous(memory_format=torch.channels_last)
    if order == "pixels":
        weight = weight.contiguous(memory_format=torch.channels_last)
    if order == "turned":
        x = R(given, samples, size, size).transpose(0, 1)
    bias = R(made) if biased else None
    how = ([stride] * 2, [padding] * 2, [dilation] * 2, transposed, [0, 0], groups)
    check(aten.convolution.default, x, weight, bias, *how)
    grad = R(*aten.convolution.default(x, weight, bias, *how).shape)
    for wanted in ([True, True, biased], [False, True, biased], [True, False, False]):
        args = (grad, x, weight, [made] if biased else None, *how, wanted)
        check(aten.convolution_backward.default, *args)
