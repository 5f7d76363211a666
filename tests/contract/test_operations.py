"""The arithmetic an algorithm states is the arithmetic its step does."""

from __future__ import annotations

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from algorithms.operations import NumberFormat

from .cases import ON_NETS, ON_NETS_IDS, at_every_stage, batch_for

COMPILED = {NumberFormat.INT8, NumberFormat.BINARY}
"""Formats whose products run in kernels of our own, which torch's counter does not see."""


def _accumulated(own, left, right, *, out_shape=None, **_):
    return 2 * left[0] * left[1] * right[1]


def _accumulated_batch(own, left, right, *, out_shape=None, **_):
    return 2 * left[0] * left[1] * left[2] * right[2]


IN_PLACE = {
    torch.ops.aten.addmm_: _accumulated,
    torch.ops.aten.baddbmm_: _accumulated_batch,
}
"""torch's counter has a formula for the product that makes a tensor, none for the one in place."""


def in_torch(name, options):
    """Whether even packed or INT8 operands meet in torch's float products."""
    if options.get("kernel") == "torch":
        return True
    return name == "tinyfoa" and bool({"tiles", "released"} & set(options.values()))


@pytest.mark.parametrize(("name", "options", "model"), ON_NETS, ids=ON_NETS_IDS)
def test_products_are_those_that_torch_counts(name, options, model):
    for stage, algorithm in at_every_stage(name, model, options):
        x, y = batch_for(algorithm, 12)
        algorithm.step(x, y)
        with FlopCounterMode(display=False, custom_mapping=IN_PLACE) as counter:
            algorithm.step(x, y)
        macs = algorithm.memory_model(12).operations.total().macs
        hidden = set() if in_torch(name, options) else COMPILED
        seen = sum(count for number_format, count in macs.items() if number_format not in hidden)
        assert counter.get_total_flops() == 2 * seen, (stage, macs)


@pytest.mark.parametrize(("name", "options", "model"), ON_NETS, ids=ON_NETS_IDS)
def test_every_phase_states_its_arithmetic(name, options, model):
    for _, algorithm in at_every_stage(name, model, options):
        plan = algorithm.memory_model(12)
        operations = plan.operations.phases
        assert set(operations) == set(plan.phases) - {"outside"}
        for tally in operations.values():
            assert all(count > 0 for count in tally.macs.values())
        for phase, tally in operations.items():
            parts = [p for n, p in operations.items() if n.startswith(phase + ".")]
            if parts:
                assert sum(p.macs.total() for p in parts) <= tally.macs.total()
        assert plan.operations.total().macs.total() > 0
