"""Losses of logits: values and gradients against torch's, and against float64 far from zero."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional

from trainfit.algorithms.memory.operations import Kind, NumberFormat
from trainfit.algorithms.numerics.losses import (
    logit_gradient_,
    mean_loss_,
    terms,
)
from trainfit.algorithms.options import Loss
from trainfit.algorithms.phases import observing, phase
from trainfit.bench.trace.operations import operations_of
from trainfit.bench.trace.recorder import Recorder


def torchs(loss, logits_BC, y_B):
    """The mean loss as torch has it; that of sigmoids is a mean over batch and classes."""
    if loss is Loss.CROSS_ENTROPY:
        return functional.cross_entropy(logits_BC, y_B)
    target_BC = functional.one_hot(y_B, logits_BC.shape[1]).to(logits_BC.dtype)
    return functional.binary_cross_entropy_with_logits(logits_BC, target_BC)


def some(rows, classes, spread):
    generator = torch.Generator().manual_seed(rows)
    logits_BC = torch.randn(rows, classes, generator=generator) * spread
    return logits_BC, torch.randint(0, classes, (rows,), generator=generator)


@pytest.mark.parametrize("loss", Loss)
@pytest.mark.parametrize(("rows", "classes"), [(12, 4), (1, 10), (33, 2)])
def test_the_gradient_is_autograds_and_the_value_is_torchs(loss, rows, classes):
    logits_BC, y_B = some(rows, classes, 3.0)
    leaf_BC = logits_BC.double().requires_grad_()
    value = torchs(loss, leaf_BC, y_B)
    value.backward()
    assert mean_loss_(logits_BC.clone(), y_B, loss) == pytest.approx(
        float(value.detach()), rel=1e-6
    )
    found_BC = logit_gradient_(logits_BC, y_B, loss)
    assert found_BC.data_ptr() == logits_BC.data_ptr()
    one = 2.0**-22 / terms(loss, rows, classes)  # p - 1 is as exact as p
    torch.testing.assert_close(found_BC.double(), leaf_BC.grad, rtol=1e-5, atol=one)


def test_sigmoids_are_averaged_over_the_classes_too():
    """At logits of 0 every sigmoid is a half: 1/2 over B C terms of log 2."""
    y_B = torch.tensor([0, 3, 2])
    error_BC = logit_gradient_(torch.zeros(3, 4), y_B, Loss.BINARY_CROSS_ENTROPY)
    expected_BC = torch.full((3, 4), 0.5 / 12)
    expected_BC[torch.arange(3), y_B] *= -1
    torch.testing.assert_close(error_BC, expected_BC)
    value = mean_loss_(torch.zeros(3, 4), y_B, Loss.BINARY_CROSS_ENTROPY)
    assert value == pytest.approx(0.6931472)
    assert terms(Loss.BINARY_CROSS_ENTROPY, 3, 4) == 12
    assert terms(Loss.CROSS_ENTROPY, 3, 4) == 3


@pytest.mark.parametrize("size", [15.0, 30.0, 80.0, 100.0])
@pytest.mark.parametrize("label", [1.0, -1.0])
def test_large_logits_neither_overflow_nor_cancel(size, label):
    """To 1e-6 of the value itself, even where the sigmoid is 1 in float32 or the error next to 0.

    ``label`` is the sign of the label's logit; the others have the opposite one.
    """
    logits_BC = torch.full((5, 6), -label * size)
    y_B = torch.arange(5)
    logits_BC[y_B, y_B] = label * size
    leaf_BC = logits_BC.double().requires_grad_()
    signs_BC = torch.full_like(leaf_BC, 1.0)
    signs_BC[y_B, y_B] = -1.0
    value = functional.softplus(signs_BC * leaf_BC, threshold=1000.0).mean()  # in double precision
    value.backward()
    tiny = float(torch.finfo(torch.float32).tiny)  # below it, float32 has fewer digits
    found = mean_loss_(logits_BC.clone(), y_B, Loss.BINARY_CROSS_ENTROPY)
    assert found == pytest.approx(float(value.detach()), rel=1e-6, abs=tiny)
    error_BC = logit_gradient_(logits_BC, y_B, Loss.BINARY_CROSS_ENTROPY)
    assert error_BC.isfinite().all()
    torch.testing.assert_close(error_BC.double(), leaf_BC.grad, rtol=2e-6, atol=tiny)


def counted(function):
    logits, labels = torch.empty(12, 4, device="meta"), torch.empty(12, dtype=torch.int64)
    recorder = Recorder()
    with torch.device("meta"), observing(recorder), recorder:
        recorder.begin()
        with phase("gradient"):
            function(logits, labels.to("meta"), Loss.BINARY_CROSS_ENTROPY)
    elementwise = operations_of(recorder.finish()).total().elementwise
    assert {number_format for number_format, _ in elementwise} == {NumberFormat.FP32}
    return {kind: count for (_, kind), count in elementwise.items()}


def test_the_arithmetic_of_sigmoids_by_hand():
    """12 rows of 4 logits: the label's changes sign, before and after 48 sigmoids, and 48 parts."""
    assert counted(logit_gradient_) == {Kind.TRANSCENDENTAL: 48, Kind.MULTIPLY: 12 + 12 + 48}
    # exp and log1p of 48 softplus, 48 sums with what is linear in them, and the 48 added up
    assert counted(mean_loss_) == {
        Kind.MULTIPLY: 12,
        Kind.TRANSCENDENTAL: 96,
        Kind.ADD: 96,
        Kind.DIVIDE: 1,
    }
