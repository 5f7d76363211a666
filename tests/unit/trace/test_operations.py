"""Rows of the table of operators: what a call computes, by hand and as torch's counter has it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn
from torch.nn import functional
from torch.utils.flop_counter import FlopCounterMode

from trainfit.algorithms import algorithm_names, get_algorithm
from trainfit.algorithms.memory.operations import Call, Kind, NumberFormat, PhaseOperations
from trainfit.algorithms.numerics import operators
from trainfit.algorithms.phases import observing, phase
from trainfit.algorithms.tiling import in_tiles
from trainfit.bench.trace.operations import (
    UncountedOperatorError,
    elementwise,
    kernels,
    known_operations_of,
    layers,
    operations_of,
    products,
)
from trainfit.bench.trace.recorder import Recorder
from trainfit.bench.trace.trace import Trace

FP32, INT8 = NumberFormat.FP32, NumberFormat.INT8
BINARY, FP32_BINARY = NumberFormat.BINARY, NumberFormat.FP32_BINARY


def traced(step: Callable[[], object]) -> Trace:
    recorder = Recorder()
    with observing(recorder), torch.device("meta"), recorder:
        recorder.begin()
        step()
        return recorder.finish()


def total(step: Callable[[], object]) -> PhaseOperations:
    return operations_of(traced(step)).total()


def meta(*shape: int, dtype: torch.dtype = torch.float32) -> torch.Tensor:
    return torch.empty(shape, dtype=dtype, device="meta")


# ---- products -------------------------------------------------------------------------------


def test_a_product_reads_its_operands_and_writes_its_result() -> None:
    found = total(lambda: meta(3, 5) @ meta(5, 7))

    assert found.macs == {FP32: 3 * 5 * 7}
    assert found.operands == {FP32: 3 * 5 + 5 * 7}
    assert found.results == {FP32: 3 * 7}
    assert found.calls == {Call.PRODUCT: 1}
    assert not found.elementwise


def test_a_bias_is_added_and_what_accumulates_is_not() -> None:
    bias, left, right, sums = meta(7), meta(3, 5), meta(5, 7), meta(3, 7)

    assert total(lambda: torch.addmm(bias, left, right)).elementwise == {(FP32, Kind.ADD): 21}
    assert not total(lambda: sums.addmm_(left, right)).elementwise
    assert total(lambda: sums.addmm_(left, right, beta=0.9)).elementwise == {
        (FP32, Kind.ADD): 21,
        (FP32, Kind.MULTIPLY): 21,
    }
    assert total(lambda: sums.addmm_(left, right, beta=0.9, alpha=0.1)).elementwise == {
        (FP32, Kind.ADD): 21,
        (FP32, Kind.MULTIPLY): 42,
    }
    assert not total(lambda: sums.addmm_(left, right, beta=0)).elementwise


def test_a_product_with_a_vector_is_counted_by_element() -> None:
    found = total(lambda: meta(3, 5) @ meta(5))

    assert not found.macs
    assert found.elementwise == {(FP32, Kind.MULTIPLY): 15, (FP32, Kind.ADD): 15}
    assert found.calls == {Call.ELEMENTWISE: 1}


def test_products_in_batches_have_operands_of_their_own() -> None:
    found = total(lambda: torch.bmm(meta(4, 3, 5), meta(4, 5, 7)))

    assert found.macs == {FP32: 4 * 3 * 5 * 7}
    assert found.operands == {FP32: 4 * (3 * 5 + 5 * 7)}
    assert found.results == {FP32: 4 * 3 * 7}


# ---- number formats -------------------------------------------------------------------------


def test_floats_copied_from_int8_are_multiplied_as_int8() -> None:
    def step() -> None:
        left, right = meta(3, 5, dtype=torch.double), meta(5, 7, dtype=torch.double)
        left.copy_(meta(3, 5, dtype=torch.int8))
        right.copy_(meta(5, 7, dtype=torch.int8))
        torch.mm(left, right)

    assert total(step).macs == {INT8: 105}


@pytest.mark.parametrize(
    ("left", "right", "expected"),
    [
        (lambda: meta(3, 5), lambda: meta(5, 7, dtype=torch.bool).float(), FP32_BINARY),
        (
            lambda: meta(3, 5),
            lambda: meta(5, 7, dtype=torch.uint8).clamp_(max=1).float(),
            FP32_BINARY,
        ),
        (lambda: meta(3, 5, dtype=torch.uint8).float(), lambda: meta(5, 7), FP32),
        (lambda: meta(3, 5).sign(), lambda: meta(5, 7), FP32_BINARY),
        (lambda: meta(3, 5).sign().mul_(0.5), lambda: meta(5, 7) * 2.0, FP32_BINARY),
        ((meta(3, 5) > 0).float, lambda: meta(5, 7).sign(), BINARY),
        (lambda: meta(3, 5).sign() * meta(3, 1), lambda: meta(5, 7), FP32),
        (lambda: meta(3, 5).sign().copy_(meta(3, 5)), lambda: meta(5, 7), FP32),
    ],
)
def test_signs_and_bits_are_known_until_something_else_is_written(
    left: Callable[[], torch.Tensor], right: Callable[[], torch.Tensor], expected: NumberFormat
) -> None:
    assert total(lambda: left() @ right()).macs == {expected: 105}


def test_a_part_that_holds_bits_makes_no_bits_of_the_whole() -> None:
    def step(filled: torch.Tensor) -> torch.Tensor:
        filled[:, :2].copy_(meta(3, 2) > 0)
        return filled @ meta(5, 7)

    there_before = meta(3, 5)
    assert total(lambda: step(there_before)).macs == {FP32: 105}
    assert total(lambda: step(meta(3, 5).sign())).macs == {FP32: 105}
    assert total(lambda: step(torch.zeros(3, 5))).macs == {FP32: 105}


def test_tiles_of_bits_that_fill_one_buffer_are_bits() -> None:
    def step() -> None:
        buffer = torch.empty(4, 5)
        buffer.copy_(meta(4, 5) > 0)
        torch.mm(buffer, meta(5, 7))
        buffer[:2].copy_(meta(2, 5) > 0)  # the last tile is smaller
        torch.mm(buffer[:2], meta(5, 7))

    assert total(step).macs == {FP32_BINARY: 4 * 5 * 7 + 2 * 5 * 7}


def test_pixels_are_numbers() -> None:
    found = total(lambda: meta(3, 5, dtype=torch.uint8).float() / 255.0)
    assert found.elementwise == {(FP32, Kind.DIVIDE): 15}


def test_unpacking_is_none_of_a_rules_arithmetic() -> None:
    def step() -> None:
        wide = meta(3, 2, dtype=torch.uint8).to(torch.int64)
        wide.mul_(3).bitwise_and_(1)
        wide.view(torch.uint8).clamp_(max=1).to(torch.float32).mul_(2.0).sub_(1.0)

    found = total(step)
    assert not found.elementwise
    assert not found.calls


# ---- parts of products ----------------------------------------------------------------------


def test_tiles_of_a_product_read_a_shared_operand_once() -> None:
    def step() -> None:
        x, weight, sums = meta(4, 6), meta(10, 6, dtype=torch.bool), meta(4, 10)
        for first in (0, 5):
            sums[:, first : first + 5].addmm_(x, weight[first : first + 5].float().T)

    found = total(step)
    assert found.macs == {FP32_BINARY: 4 * 6 * 10}
    assert found.operands == {FP32_BINARY: 4 * 6 + 6 * 10}
    assert found.results == {FP32_BINARY: 4 * 10}
    assert found.calls == {Call.PRODUCT: 2}


def test_tiles_along_the_sum_write_one_result() -> None:
    def step() -> None:
        x, weight, sums = meta(4, 6), meta(6, 10), meta(4, 10)
        for first in (0, 3):
            sums.addmm_(x[:, first : first + 3], weight[first : first + 3])

    found = total(step)
    assert found.operands == {FP32: 4 * 6 + 6 * 10}
    assert found.results == {FP32: 4 * 10}


def test_products_of_others_that_are_added_are_not_parts() -> None:
    sums = meta(4, 10)

    def step() -> None:
        sums.addmm_(meta(4, 6), meta(6, 10))
        sums.addmm_(meta(4, 2), meta(2, 10))

    assert total(step).results == {FP32: 2 * 4 * 10}


def test_an_operand_that_has_changed_is_read_again() -> None:
    def step() -> None:
        x, weight, sums = meta(4, 6), meta(6, 10), meta(4, 10)
        sums.addmm_(x, weight)
        x.mul_(2.0)
        sums.addmm_(x, weight)

    assert total(step).operands == {FP32: 2 * 4 * 6 + 6 * 10}


def test_a_result_that_is_overwritten_is_of_another_product() -> None:
    x, weight, made = meta(4, 6), meta(6, 10), meta(4, 10)

    def step() -> None:
        torch.mm(x, weight, out=made)
        torch.mm(x, weight, out=made)

    found = total(step)
    assert found.operands == {FP32: 2 * (4 * 6 + 6 * 10)}
    assert found.results == {FP32: 2 * 4 * 10}


def test_a_tile_that_stands_for_others_counts_as_often() -> None:
    def step() -> None:
        x, weight, sums = meta(4, 6), meta(100, 6), meta(4, 100)
        for rows in in_tiles(100, 7):
            sums[:, rows].addmm_(x, weight[rows].T)
            sums[:, rows].exp_()

    found = total(step)
    assert found.macs == {FP32: 4 * 6 * 100}
    assert found.operands == {FP32: 4 * 6 + 6 * 100}
    assert found.results == {FP32: 4 * 100}
    assert found.elementwise == {(FP32, Kind.TRANSCENDENTAL): 400}
    assert found.calls == {Call.PRODUCT: 1, Call.ELEMENTWISE: 1}  # each over all of it


# ---- phases ---------------------------------------------------------------------------------


def test_phases_count_in_those_they_refine_and_are_there_if_empty() -> None:
    def step() -> None:
        with phase("forward.positive"):
            meta(2, 3).exp()
        with phase("forward"):
            meta(4).exp()
        with phase("update"):
            meta(4).zero_()

    found = operations_of(traced(step))
    assert list(found.phases) == ["forward", "forward.positive", "update"]
    assert found.phases["forward"].elementwise.total() == 10
    assert found.phases["forward.positive"].elementwise.total() == 6
    assert not found.phases["update"].elementwise
    assert found.total().elementwise.total() == 10


def test_what_is_in_no_phase_is_outside() -> None:
    assert set(operations_of(traced(lambda: meta(4).exp())).phases) == {"outside"}
    assert not operations_of(traced(lambda: meta(4).zero_())).phases


# ---- operators without a row ----------------------------------------------------------------


def without_a_row() -> None:
    with phase("forward"):
        torch.linalg.det(meta(2, 4, 4))
        meta(3).exp()


def test_an_operator_without_a_row_is_an_error_that_names_it() -> None:
    with pytest.raises(UncountedOperatorError, match=r"what aten\._linalg_det\.default computes"):
        operations_of(traced(without_a_row))
    with pytest.raises(UncountedOperatorError, match=r"add a row for 'aten\._linalg_det'"):
        operations_of(traced(without_a_row))


def test_the_rest_can_be_counted_without_it() -> None:
    found = known_operations_of(traced(without_a_row))

    assert found.uncounted == {"aten._linalg_det.default": 1}
    assert found.operations.total().elementwise == {(FP32, Kind.TRANSCENDENTAL): 3}


def test_every_kernel_of_ours_has_a_row() -> None:
    for name in algorithm_names():
        get_algorithm(name)  # which imports the kernels
    defined = {
        f"trainfit.{schema.partition('(')[0]}"
        for module, schema in operators._defined
        if module.startswith("trainfit.")
    }
    assert set(kernels.ROWS) == defined


def packed(*shape: int) -> torch.Tensor:
    return meta(*shape, dtype=torch.uint8)


def bytes_of(*shape: int) -> torch.Tensor:
    return meta(*shape, dtype=torch.int8)


def sums(*shape: int) -> torch.Tensor:
    return meta(*shape, dtype=torch.int32)


IN_TWO = [1, 1], [0, 0], 2, 3, 8, 4, [], [], []
"""Stride, padding, groups, what is done at a time, and no workspace."""

BY_KERNEL: list[tuple[str, Callable[[Any], object], tuple[NumberFormat, int, int, int]]] = [
    # number format, multiply-accumulates, operands, results
    (
        "add_binary_product",
        lambda run: run(packed(3, 2), packed(7, 2), meta(3, 7), 13),
        (BINARY, 3 * 13 * 7, 3 * 13 + 13 * 7, 21),
    ),
    (
        "add_sign_product",
        lambda run: run(packed(3, 2), packed(7, 2), meta(3, 7), 13),
        (BINARY, 3 * 13 * 7, 3 * 13 + 13 * 7, 21),
    ),
    (
        "add_binary_patches",
        lambda run: run(packed(3, 4, 1), packed(4, 7, 9, 1), meta(3, 4, 7), packed(9), 2, 5),
        (BINARY, 4 * 3 * 45 * 7, 4 * (3 * 45 + 45 * 7), 4 * 21),
    ),
    (
        "add_by_lookup",
        lambda run: run(meta(3, 20), 8, 12, packed(7, 2), meta(3, 7), meta(1), packed(1)),
        (FP32_BINARY, 3 * 12 * 7, 3 * 12 + 12 * 7, 21),
    ),
    (
        "gradient_by_lookup",
        lambda run: run(meta(3, 20), 8, packed(3, 2), meta(7, 13), meta(1), packed(1)),
        (FP32_BINARY, 7 * 3 * 13, 7 * 3 + 3 * 13, 91),
    ),
    (
        "rectified_linear",
        lambda run: run(meta(3, 16), meta(32, 16), meta(3, 32)),
        (FP32, 3 * 16 * 32, 3 * 16 + 16 * 32, 96),
    ),
    (
        "add_rectified_product",
        lambda run: run(meta(3, 5), meta(3, 7), meta(5, 7), 0.1),
        (FP32, 5 * 3 * 7, 5 * 3 + 3 * 7, 35),
    ),
    (
        "descend_rectified",
        lambda run: run(meta(3, 5), meta(3, 7), meta(5, 7), meta(5, 7), 0.9, 0.1, 0.1),
        (FP32, 5 * 3 * 7, 5 * 3 + 3 * 7, 35),
    ),
    (
        "int8_convolution",
        lambda run: run(bytes_of(2, 6, 5, 5), bytes_of(4, 3, 3, 3), sums(2, 4, 3, 3), *IN_TWO),
        (INT8, 72 * 27, 300 + 108, 72),
    ),
    (
        "int8_convolution_input",
        lambda run: run(bytes_of(2, 4, 3, 3), bytes_of(4, 3, 3, 3), sums(2, 6, 5, 5), *IN_TWO),
        (INT8, 72 * 27, 72 + 108, 300),
    ),
    (
        "int8_convolution_weight",  # of one of four channels
        lambda run: run(
            bytes_of(2, 4, 3, 3), bytes_of(2, 6, 5, 5), sums(1, 3, 3, 3), 2, *IN_TWO, []
        ),
        (INT8, 18 * 27, 18 + 300, 27),
    ),
]


@pytest.mark.parametrize(("name", "call", "expected"), BY_KERNEL, ids=[e[0] for e in BY_KERNEL])
def test_products_of_our_kernels(
    name: str, call: Callable[[Any], object], expected: tuple[NumberFormat, int, int, int]
) -> None:
    number_format, macs, read, written = expected
    found = total(lambda: call(getattr(torch.ops.trainfit, name)))

    assert found.macs == {number_format: macs}
    assert found.operands == {number_format: read}
    assert found.results == {number_format: written}


def test_bits_of_a_row_are_counted_with_a_row_of_ones() -> None:
    count = torch.ops.trainfit.add_binary_product
    found = total(lambda: count(packed(3, 2), packed(1, 2), meta(3, 1), 13))

    assert not found.macs
    assert found.elementwise == {(FP32, Kind.ADD): 3 * 13}


def test_no_operator_has_two_rows() -> None:
    tables = [elementwise.ROWS, layers.ROWS, products.ROWS, kernels.ROWS]
    assert len(set[str]().union(*tables)) == sum(map(len, tables))


# ---- elements -------------------------------------------------------------------------------

X = (3, 4)  # 12 elements
ELEMENTS: list[tuple[Callable[[torch.Tensor], Any], dict[str, int]]] = [
    (lambda x: x + x, {"add": 12}),
    (lambda x: torch.add(x, x, alpha=0.5), {"add": 12, "multiply": 12}),
    (lambda x: x.sub_(1.0), {"add": 12}),
    (lambda x: x * x[:1], {"multiply": 12}),
    (lambda x: x / 2.0, {"divide": 12}),
    (lambda x: x.sqrt(), {"divide": 12}),
    (lambda x: x.rsqrt(), {"divide": 24}),
    (lambda x: x.rsqrt_().reciprocal_(), {"divide": 12}),
    (lambda x: x.reciprocal(), {"divide": 12}),
    (lambda x: x.relu(), {"compare": 12}),
    (lambda x: x.clamp(min=0.0), {"compare": 12}),
    (lambda x: x.clamp(-1.0, 1.0), {"compare": 24}),
    (lambda x: x > 0, {"compare": 12}),
    (lambda x: x.tanh(), {"transcendental": 12}),
    (lambda x: x**2, {"multiply": 12}),
    (lambda x: x**3, {"multiply": 24}),
    (lambda x: x**1.5, {"transcendental": 24, "multiply": 12}),
    (lambda x: x.lerp_(x, 0.1), {"add": 24, "multiply": 12}),
    (lambda x: x.addcmul_(x, x), {"add": 12, "multiply": 12}),
    (lambda x: x.addcmul_(x, x, value=0.1), {"add": 12, "multiply": 24}),
    (lambda x: x.addcdiv_(x, x, value=0.1), {"add": 12, "multiply": 12, "divide": 12}),
    (lambda x: x.sum(), {"add": 12}),
    (lambda x: x.sum(0), {"add": 12}),
    (lambda x: x.mean(1), {"add": 12, "divide": 3}),
    (lambda x: x.amax(1), {"compare": 12}),
    (lambda x: x.argmax(1), {"compare": 12}),
    (lambda x: torch.linalg.vector_norm(x, dim=1), {"add": 12, "multiply": 12, "divide": 3}),
    (lambda x: torch.linalg.vector_norm(x, ord=torch.inf), {"compare": 12}),
    (lambda x: x.bernoulli_(0.5), {"random": 12}),
    (
        lambda x: torch.randn(x.shape),
        {"random": 12, "transcendental": 18, "divide": 6, "multiply": 12},
    ),
    (lambda x: x.normal_(), {"random": 12, "transcendental": 18, "divide": 6, "multiply": 12}),
    (lambda x: x.softmax(1), {"compare": 12, "add": 24, "transcendental": 12, "divide": 12}),
    (
        lambda x: x.scatter_(
            1, torch.empty(3, 1, dtype=torch.int64, device="meta"), -1.0, reduce="add"
        ),
        {"add": 3},
    ),
    # what moves data, or finds places
    (lambda x: x.clone().zero_().fill_(1.0), {}),
    (lambda x: x.neg().abs(), {}),
    (lambda x: x.T.contiguous(), {}),
    (lambda x: torch.arange(5, device=x.device) + 3, {}),
    (lambda x: x[:1, :1] * 2.0 + 1.0, {}),
    (lambda x: x[:1, :1].exp(), {"transcendental": 1}),
]


@pytest.mark.parametrize(("call", "expected"), ELEMENTS, ids=range(len(ELEMENTS)))
def test_operations_on_elements(
    call: Callable[[torch.Tensor], Any], expected: dict[str, int]
) -> None:
    found = total(lambda: call(meta(*X)))
    assert {str(kind): count for (_, kind), count in found.elementwise.items()} == expected
    assert all(number_format is FP32 for number_format, _ in found.elementwise)


# ---- strangers' nets ------------------------------------------------------------------------


class Attending(nn.Module):
    def forward(self, query: torch.Tensor, key: torch.Tensor) -> torch.Tensor:
        return functional.scaled_dot_product_attention(query, key, key)


STRANGERS: dict[str, tuple[Callable[[], nn.Module], list[tuple[int, ...]]]] = {
    "linear": (lambda: nn.Linear(8, 5), [(2, 7, 8)]),
    "convolution": (lambda: nn.Conv2d(8, 12, 3, stride=2, padding=1), [(2, 8, 9, 9)]),
    "dilated": (lambda: nn.Conv2d(8, 4, 3, dilation=2, bias=False), [(2, 8, 9, 9)]),
    "of signals": (lambda: nn.Conv1d(4, 6, 3), [(2, 4, 9)]),
    "transposed": (lambda: nn.ConvTranspose2d(8, 12, 3, stride=2), [(2, 8, 5, 5)]),
    "normalisation": (
        lambda: nn.Sequential(nn.BatchNorm2d(8), nn.GroupNorm(2, 8), nn.LayerNorm((8, 6, 6))),
        [(2, 8, 6, 6)],
    ),
    "pooling": (
        lambda: nn.Sequential(nn.MaxPool2d(2), nn.AvgPool2d(2), nn.AdaptiveAvgPool2d(1)),
        [(2, 8, 9, 9)],
    ),
    "activations": (
        lambda: nn.Sequential(
            *(nn.GELU(), nn.SiLU(), nn.Hardswish(), nn.Hardsigmoid(), nn.ELU(), nn.LeakyReLU()),
            *(nn.ReLU6(), nn.Softplus(), nn.Tanh(), nn.Sigmoid(), nn.LogSigmoid(), nn.Dropout()),
        ),
        [(2, 5)],
    ),
    "attention": (Attending, [(2, 3, 5, 8), (2, 3, 7, 8)]),
    "transformer": (lambda: nn.TransformerEncoderLayer(8, 2, 16, batch_first=True), [(2, 5, 8)]),
    "lstm": (lambda: nn.LSTM(4, 6), [(5, 2, 4)]),
    "gru": (lambda: nn.GRU(4, 6), [(5, 2, 4)]),
}


@pytest.mark.parametrize("name", STRANGERS)
def test_products_of_strangers_nets_are_those_that_torch_counts(name: str) -> None:
    make, shapes = STRANGERS[name]
    with torch.device("meta"):
        net = make()
        inputs = [torch.empty(shape, requires_grad=True) for shape in shapes]

    def step() -> None:
        made = net(*inputs)
        with torch.device("meta"):
            (made[0] if isinstance(made, tuple) else made).sum().backward()

    found = total(step)
    with FlopCounterMode(display=False) as counter:
        step()
    assert 2 * found.macs.total() == counter.get_total_flops()
    assert found.elementwise.total() > 0


def test_words_are_looked_up_and_their_gradients_added() -> None:
    with torch.device("meta"):
        net = nn.Embedding(10, 4)
        words = torch.empty(2, 5, dtype=torch.int64)

    assert not total(lambda: net(words)).elementwise
    backward = total(lambda: net(words).backward(torch.empty(2, 5, 4, device="meta")))
    assert backward.elementwise == {(FP32, Kind.ADD): 40}


def test_a_convolution_in_groups_by_hand() -> None:
    x, weight, bias = meta(2, 8, 9, 9), meta(12, 2, 3, 3), meta(12)  # four groups

    found = total(lambda: functional.conv2d(x, weight, bias, stride=2, padding=1, groups=4))

    assert found.macs == {FP32: (2 * 12 * 5 * 5) * (2 * 3 * 3)}
    assert found.operands == {FP32: 2 * 8 * 9 * 9 + 12 * 2 * 3 * 3}
    assert found.results == {FP32: 2 * 12 * 5 * 5}
    assert found.elementwise == {(FP32, Kind.ADD): 2 * 12 * 5 * 5}


@pytest.mark.parametrize("mask", [[True, True, True], [False, True, False], [True, False, True]])
def test_a_convolution_backward_computes_what_its_mask_says(mask: list[bool]) -> None:
    dy, x, weight = meta(2, 12, 5, 5), meta(2, 8, 9, 9), meta(12, 2, 3, 3)
    places = ([2, 2], [1, 1], [1, 1], False, [0, 0], 4)

    found = total(lambda: torch.ops.aten.convolution_backward(dy, x, weight, [12], *places, mask))

    once = (2 * 12 * 5 * 5) * (2 * 3 * 3)
    assert found.macs == {FP32: once * sum(mask[:2])}
    written = (x.numel() if mask[0] else 0) + (weight.numel() if mask[1] else 0)
    assert found.results == {FP32: written}
    assert found.elementwise == ({(FP32, Kind.ADD): dy.numel()} if mask[2] else {})


def test_attention_in_one_kernel_by_hand() -> None:
    query, key = meta(2, 3, 5, 8), meta(2, 3, 7, 8)
    attend = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu
    through = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu_backward
    once = (2 * 3) * 5 * 7 * 8

    found = total(lambda: attend(query, key, key))
    assert found.macs == {FP32: 2 * once}
    assert found.elementwise[FP32, Kind.TRANSCENDENTAL] == (2 * 3) * 5 * 7

    def backward() -> None:
        made, scores = attend(query, key, key)
        through(torch.empty_like(made), query, key, key, made, scores, 0.0, False)

    assert total(backward).macs == {FP32: 2 * once + 5 * once}  # the scores are computed again


def test_normalisation_without_training_takes_no_statistics() -> None:
    with torch.device("meta"):
        net = nn.BatchNorm2d(8)
    elements = 2 * 8 * 6 * 6

    trained = total(lambda: net.train()(meta(2, 8, 6, 6)))
    used = total(lambda: net.eval()(meta(2, 8, 6, 6)))

    assert trained.elementwise == {
        (FP32, Kind.ADD): 5 * elements,
        (FP32, Kind.MULTIPLY): 3 * elements,
    }
    assert used.elementwise == {
        (FP32, Kind.ADD): 2 * elements,
        (FP32, Kind.MULTIPLY): 2 * elements,
    }


@pytest.mark.parametrize(
    ("optimiser", "expected"),
    [
        # per parameter
        (lambda p: torch.optim.SGD(p, momentum=0.9, weight_decay=0.1), {"add": 3, "multiply": 3}),
        (torch.optim.Adam, {"add": 5, "multiply": 5, "divide": 3}),
        (torch.optim.AdamW, {"add": 5, "multiply": 6, "divide": 3}),
        (
            lambda p: torch.optim.SGD(p, momentum=0.9, weight_decay=0.1, foreach=True),
            {"add": 3, "multiply": 3},
        ),
        (
            lambda p: torch.optim.Adam(p, foreach=True),
            {"add": 5, "multiply": 5, "divide": 3},
        ),
    ],
)
def test_optimisers_of_torch(
    optimiser: Callable[[list[torch.Tensor]], torch.optim.Optimizer], expected: dict[str, int]
) -> None:
    parameter = meta(5, 3).requires_grad_()
    parameter.grad = meta(5, 3)
    made = optimiser([parameter])
    with torch.device("meta"):
        made.step()  # makes its state

    found = total(made.step)

    assert {str(kind): count // 15 for (_, kind), count in found.elementwise.items()} == expected


@pytest.mark.parametrize(("apart", "calls"), [(False, 1), (True, 4)])
def test_a_product_in_tiles_is_one_call_unless_each_is_a_task_of_its_own(
    apart: bool, calls: int
) -> None:
    recorder = Recorder()
    x, w = torch.empty(11, 4, device="meta"), torch.empty(4, 6, device="meta")
    with observing(recorder), recorder:
        recorder.begin()
        with phase("forward"):
            for rows in in_tiles(11, 3, apart=apart):
                torch.mm(x[rows], w)
    found = operations_of(recorder.finish()).phases["forward"]
    assert found.macs == {NumberFormat.FP32: 11 * 4 * 6}
    assert found.calls == {Call.PRODUCT: calls}
