"""INT8 convolutions: exact in INT32, alike in both kernels, with columns that stay small."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional

from trainfit.algorithms.numerics.int8.convolution.products import (
    MOST_TERMS,
    int8_convolution,
    int8_convolution_input,
    int8_convolution_weight,
    most_rows,
)
from trainfit.algorithms.numerics.int8.convolution.windows import Windows
from trainfit.algorithms.options import Int8Kernel
from trainfit.bench.profiler import profile_step
from trainfit.bench.trace.strangers.prediction import predict_step

KERNELS = list(Int8Kernel)

CASES = {
    "one place": ((1, 1, 1, 1), (1, (1, 1)), Windows()),
    "pointwise": ((2, 16, 9, 11), (24, (1, 1)), Windows()),
    "pointwise in steps": ((2, 16, 9, 11), (5, (1, 1)), Windows((2, 2))),
    "small": ((3, 3, 7, 9), (5, (3, 3)), Windows((1, 1), (1, 1))),
    "in steps": ((2, 7, 12, 9), (9, (3, 3)), Windows((2, 2), (1, 1))),
    "oblong": ((2, 4, 5, 20), (6, (1, 5)), Windows((1, 3), (0, 4))),
    "wide border": ((1, 3, 2, 3), (6, (5, 5)), Windows((2, 2), (3, 4))),
    "border of a row": ((2, 2, 1, 40), (3, (7, 1)), Windows((3, 1), (6, 0))),
    "several tiles": ((2, 32, 24, 20), (20, (3, 3)), Windows((1, 1), (1, 1))),
    "tile of a row": ((1, 70, 5, 130), (11, (3, 3)), Windows((1, 1), (1, 1))),
    "channels in parts": ((1, 60, 6, 6), (37, (3, 3)), Windows((1, 1), (1, 1))),
    "in larger steps": ((1, 6, 10, 11), (17, (2, 4)), Windows((3, 3), (1, 2))),
    "groups": ((2, 12, 9, 8), (18, (3, 3)), Windows((1, 1), (1, 1), 3)),
    "groups of two": ((2, 8, 9, 8), (4, (3, 3)), Windows((2, 1), (1, 1), 4)),
    "depthwise": ((3, 10, 11, 9), (10, (3, 3)), Windows((1, 1), (1, 1), 10)),
    "depthwise in steps": ((2, 6, 12, 9), (6, (5, 3)), Windows((2, 2), (2, 1), 6)),
    "depthwise, wider": ((2, 4, 8, 8), (12, (3, 3)), Windows((1, 2), (1, 1), 4)),
    "one input channel": ((2, 1, 10, 10), (8, (4, 10)), Windows((2, 2), (5, 1))),
}
"""Shape of the input, output channels and window, where windows lie."""


def operands(case, seed=0):
    """Maps, weight and gradient of every INT8 number, and the same as int64 with gradients."""
    shape, (outputs, window), windows = CASES[case]
    generator = torch.Generator().manual_seed(seed)

    def drawn(*of):
        return torch.randint(-127, 128, of, dtype=torch.int8, generator=generator)

    x, w = drawn(*shape), drawn(outputs, shape[1] // windows.groups, *window)
    return x, w, drawn(*windows.result(x, w)), windows


def columns_of(x, w, windows):
    """int64, (N, groups, K, places): by slicing a padded copy, place by place."""
    above, beside = windows.padding
    padded = functional.pad(x.long(), (beside, beside, above, above))
    places = [
        padded[:, :, p : p + w.shape[2], q : q + w.shape[3]].reshape(len(x), windows.groups, -1)
        for p in range(0, padded.shape[2] - w.shape[2] + 1, windows.stride[0])
        for q in range(0, padded.shape[3] - w.shape[3] + 1, windows.stride[1])
    ]
    return torch.stack(places, dim=3)


def in_groups(maps, windows):
    return maps.long().reshape(len(maps), windows.groups, maps.shape[1] // windows.groups, -1)


@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize("case", CASES)
def test_the_product_is_that_of_int64(case, kernel):
    x, w, d, windows = operands(case)
    w_GOK = w.long().reshape(windows.groups, len(w) // windows.groups, -1)
    expected = (w_GOK @ columns_of(x, w, windows)).reshape(d.shape)
    found = int8_convolution(x, w, windows, kernel)
    assert found.dtype is torch.int32
    assert torch.equal(found.long(), expected)


@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize("case", CASES)
def test_the_gradient_of_the_input_is_that_of_int64(case, kernel):
    """Float64 holds these integers exactly."""
    x, w, d, windows = operands(case)
    expected = torch.nn.grad.conv2d_input(x.shape, w.double(), d.double(), *windows_of(windows))
    found = int8_convolution_input(d, w, x.shape, windows, kernel)
    assert found.dtype is torch.int32
    assert torch.equal(found.double(), expected)


@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize("case", CASES)
def test_the_gradient_of_the_weight_is_that_of_int64(case, kernel):
    x, w, d, windows = operands(case)
    columns = columns_of(x, w, windows)
    expected = (in_groups(d, windows) @ columns.transpose(2, 3)).sum(0).reshape(w.shape)
    for channels in (slice(0, len(w)), slice(len(w) // 3, max(len(w) // 3 + 1, len(w) - 1))):
        found = int8_convolution_weight(d, x, tuple(w.shape[2:]), channels, windows, kernel)
        assert found.dtype is torch.int32
        assert torch.equal(found.long(), expected[channels])


def windows_of(windows):
    """Stride, padding, dilation and groups, as torch takes them."""
    return windows.stride, windows.padding, 1, windows.groups


@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize("sign", [1, -1])
def test_as_many_products_as_are_stated_do_not_wrap(sign, kernel):
    """2^17 of the largest: of a window, of filters, and of places."""
    most = sign * MOST_TERMS * 127 * 127
    x = torch.full((1, MOST_TERMS // 16, 4, 4), 127, dtype=torch.int8)
    w = torch.full((1, *x.shape[1:]), sign * 127, dtype=torch.int8)
    assert int8_convolution(x, w, Windows(), kernel).item() == most

    d = torch.full((1, MOST_TERMS // 16, 1, 1), 127, dtype=torch.int8)
    w = torch.full((d.shape[1], 2, 1, 1), sign * 127, dtype=torch.int8)
    found = int8_convolution_input(d, w, torch.Size((1, 2, 1, 1)), Windows(), kernel)
    assert (found == most // 16).all()

    rows = most_rows(64 * 64)
    for channels in (1, 2):
        x = torch.full((rows, channels, 64, 64), 127, dtype=torch.int8)
        d = torch.full((rows, 1, 64, 64), sign * 127, dtype=torch.int8)
        found = int8_convolution_weight(d, x, (1, 1), slice(0, 1), Windows(), kernel)
        assert (found == most).all()


def test_several_threads_give_the_same(monkeypatch):
    monkeypatch.setattr("trainfit.algorithms.numerics.threads.LEAST", 1)
    for case in ("several tiles", "groups", "depthwise"):
        x, w, d, windows = operands(case)
        found = []
        for count in (1, 2):
            monkeypatch.setattr(torch, "get_num_threads", lambda count=count: count)
            found.append(
                (
                    int8_convolution(x, w, windows),
                    int8_convolution_input(d, w, x.shape, windows),
                    int8_convolution_weight(d, x, (3, 3), slice(0, len(w)), windows),
                )
            )
        assert all(torch.equal(one, two) for one, two in zip(*found, strict=True))


def products_of(case, kernel):
    """A function that computes all three, the weight's gradient in two parts."""
    x, w, d, windows = operands(case)
    half = max(1, len(w) // 2)

    def step():
        for channels in (slice(0, half), slice(half, len(w))):
            if channels.stop > channels.start:
                int8_convolution_weight(d, x, tuple(w.shape[2:]), channels, windows, kernel)
        int8_convolution_input(d, w, x.shape, windows, kernel)
        int8_convolution(x, w, windows, kernel)

    return step


@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize("case", ["several tiles", "groups", "depthwise in steps", "oblong"])
def test_the_trace_predicts_the_bytes(case, kernel):
    step = products_of(case, kernel)
    predicted = predict_step(step)
    assert (
        profile_step(step, warmup=1, repeats=2).peak_dynamic_bytes == predicted.peak_dynamic_bytes
    )


@pytest.mark.parametrize(("channels", "extent", "outputs"), [(32, 32, 16), (512, 4, 8)])
def test_scratch_is_of_bounded_size(channels, extent, outputs):
    """Columns would be 294,912 and 73,728 bytes; those of a gradient, four times as many."""
    windows = Windows((1, 1), (1, 1))
    x = torch.ones(1, channels, extent, extent, dtype=torch.int8)
    w = torch.ones(outputs, channels, 3, 3, dtype=torch.int8)
    d = torch.ones(1, outputs, extent, extent, dtype=torch.int8)
    every = slice(0, outputs)
    for step, result in (
        (lambda: int8_convolution(x, w, windows), 4 * d.numel()),
        (lambda: int8_convolution_input(d, w, x.shape, windows), 4 * x.numel()),
        (lambda: int8_convolution_weight(d, x, (3, 3), every, windows), 4 * w.numel()),
    ):
        profile = profile_step(step, warmup=1, repeats=2)
        assert 0 < profile.peak_dynamic_bytes - result < 26_000
