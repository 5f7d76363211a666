"""The arithmetic an algorithm states is the arithmetic its step does."""

from __future__ import annotations

import math

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from tests.contract.cases import (
    ON_NETS,
    ON_NETS_IDS,
    ONE_EACH,
    ONE_EACH_IDS,
    at_every_stage,
    batch_for,
)
from trainfit.algorithms import build_algorithm
from trainfit.algorithms.memory.operations import (
    Call,
    Kind,
    NumberFormat,
    Operations,
    PhaseOperations,
)
from trainfit.bench.trace.prediction import predict

COMPILED = {NumberFormat.INT8, NumberFormat.BINARY}
"""Formats whose products run in kernels of our own, which torch's counter does not see."""


def _accumulated(own, left, right, *, out_shape=None, **_):
    return 2 * left[0] * left[1] * right[1]


def _accumulated_batch(own, left, right, *, out_shape=None, **_):
    return 2 * left[0] * left[1] * left[2] * right[2]


def _convolved_back(dy, x, weight, *rest, out_shape=None, **_):
    """Every gradient that is wanted takes each weight once per place of the output."""
    places, wanted = dy[0] * math.prod(dy[2:]), rest[-1]
    return 2 * places * math.prod(weight) * sum(wanted[:2])


COUNTED = {
    torch.ops.aten.addmm_: _accumulated,
    torch.ops.aten.baddbmm_: _accumulated_batch,
    torch.ops.aten.convolution_backward: _convolved_back,
}
"""torch's counter has no formula for products in place, and forgets the groups of a convolution."""


def in_torch(name, options, model):
    """Whether even packed or INT8 operands meet in torch's float products."""
    if options.get("kernel") == "torch":
        return True
    if model.startswith("cnn-"):
        return name == "tinyfoa" or "binary" in options.values()
    return name == "tinyfoa" and bool({"tiles", "released"} & set(options.values()))


@pytest.mark.parametrize(("name", "options", "model"), ON_NETS, ids=ON_NETS_IDS)
def test_products_are_those_that_torch_counts(name, options, model):
    for stage, algorithm in at_every_stage(name, model, options):
        x, y = batch_for(algorithm, 12)
        algorithm.step(x, y)
        with FlopCounterMode(display=False, custom_mapping=COUNTED) as counter:
            algorithm.step(x, y)
        macs = predict(algorithm, 12).operations.total().macs
        hidden = set() if in_torch(name, options, model) else COMPILED
        seen = sum(count for number_format, count in macs.items() if number_format not in hidden)
        assert counter.get_total_flops() == 2 * seen, (stage, macs)


@pytest.mark.parametrize(("name", "options", "model"), ONE_EACH, ids=ONE_EACH_IDS)
def test_every_phase_states_its_arithmetic(name, options, model):
    for _, algorithm in at_every_stage(name, model, options):
        plan = predict(algorithm, 12)
        operations = plan.operations.phases
        assert set(operations) == set(plan.phases) - {"outside"}
        for tally in operations.values():
            assert all(count > 0 for count in tally.macs.values())
        for phase, tally in operations.items():
            parts = [p for n, p in operations.items() if n.startswith(phase + ".")]
            if parts:
                assert sum(p.macs.total() for p in parts) <= tally.macs.total()
        assert plan.operations.total().macs.total() > 0


# --- by hand


FP32, INT8 = NumberFormat.FP32, NumberFormat.INT8


def test_a_product_reads_both_operands_and_writes_its_result_once():
    operations = Operations()
    operations.enter(["forward"])

    # (3, 5) times (5, 7)
    operations.product(["forward"], 3, 5, 7, INT8)

    tally = operations.phases["forward"]
    assert tally.macs == {INT8: 3 * 5 * 7}
    assert tally.operands == {INT8: 3 * 5 + 5 * 7}
    assert tally.results == {INT8: 3 * 7}
    assert tally.calls == {Call.PRODUCT: 1}
    assert tally.elementwise == {}


def test_products_of_a_kind_add_up():
    operations = Operations()
    operations.enter(["forward"])

    operations.product(["forward"], 3, 5, 7, FP32, times=4)
    operations.product(["forward"], 2, 1, 1, FP32)

    tally = operations.phases["forward"]
    assert tally.macs == {FP32: 4 * 105 + 2}
    assert tally.operands == {FP32: 4 * 50 + 3}
    assert tally.results == {FP32: 4 * 21 + 2}
    assert tally.calls == {Call.PRODUCT: 5}


def test_element_operations_are_calls_over_whole_tensors():
    operations = Operations()
    operations.enter(["update"])

    operations.each(["update"], Kind.ADD, 10, FP32, times=2)
    operations.each(["update"], Kind.ADD, 1, INT8)

    tally = operations.phases["update"]
    assert tally.elementwise == {(FP32, Kind.ADD): 20, (INT8, Kind.ADD): 1}
    assert tally.calls == {Call.ELEMENTWISE: 3}
    assert not tally.operands
    assert not tally.results


def test_a_step_is_the_sum_over_phases_that_refine_no_other():
    # GIVEN a refined phase, which counts in the one around it
    operations = Operations()
    operations.enter(["forward", "forward.positive", "update"])
    operations.product(["forward", "forward.positive"], 2, 3, 4, FP32)
    operations.each(["update"], Kind.MULTIPLY, 5, FP32)

    total = operations.total()

    assert operations.phases["forward"] == operations.phases["forward.positive"]
    assert total.macs == {FP32: 24}
    assert total.operands == {FP32: 2 * 3 + 3 * 4}
    assert total.results == {FP32: 8}
    assert total.calls == {Call.PRODUCT: 1, Call.ELEMENTWISE: 1}
    assert total.elementwise == {(FP32, Kind.MULTIPLY): 5}


def test_a_total_is_a_tally_of_its_own():
    operations = Operations()
    operations.enter(["forward"])
    operations.product(["forward"], 1, 1, 1, FP32)

    operations.total().add(operations.phases["forward"])

    assert operations.total().macs == {FP32: 1}
    assert operations.phases["forward"].macs == {FP32: 1}


def test_adding_leaves_the_other_tally_as_it_was():
    one, other = PhaseOperations(), PhaseOperations()
    other.macs[FP32] = 3
    other.calls[Call.PRODUCT] = 1

    one.add(other)
    one.add(other)

    assert (one.macs, one.calls) == ({FP32: 6}, {Call.PRODUCT: 2})
    assert (other.macs, other.calls) == ({FP32: 3}, {Call.PRODUCT: 1})


def test_backpropagation_of_a_small_net_by_hand():
    # 6 inputs, 5 hidden units, 4 classes, 3 samples
    algorithm = build_algorithm("backprop", "mlp-6-5-4", {"momentum": 0.0})

    operations = predict(algorithm, 3).operations
    forward, gradient = operations.phases["forward"], operations.phases["gradient"]

    assert forward.macs == {FP32: 3 * 6 * 5 + 3 * 5 * 4}
    assert forward.operands == {FP32: (3 * 6 + 6 * 5) + (3 * 5 + 5 * 4)}
    assert forward.results == {FP32: 3 * 5 + 3 * 4}
    assert forward.calls[Call.PRODUCT] == 2
    # of the last layer's weights, of the hidden units, of the first layer's weights
    assert gradient.macs == {FP32: 5 * 3 * 4 + 3 * 4 * 5 + 6 * 3 * 5}
    assert gradient.operands == {FP32: (5 * 3 + 3 * 4) + (3 * 4 + 4 * 5) + (6 * 3 + 3 * 5)}
    assert gradient.results == {FP32: 5 * 4 + 3 * 5 + 6 * 5}
    assert gradient.calls[Call.PRODUCT] == 3
    # every weight and bias: times the learning rate, and away
    update = operations.phases["update"]
    assert update.macs == {}
    weights = 6 * 5 + 5 + 5 * 4 + 4
    assert update.elementwise == {(FP32, Kind.MULTIPLY): weights, (FP32, Kind.ADD): weights}
    assert operations.total().calls[Call.PRODUCT] == 5
