"""The device view of every rule needs no more than a bound that was written by hand.

``tests/golden/bounds.json`` has, of every choice of options, the bytes of the tensors that the rule
cannot do without, each as wide as it has to be: figures that people wrote down from the rules'
equations before there was a trace. Where the view needs less, it computes results where they are
read or frees them earlier than the bound supposes; where it needs more, that is named below.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from tests.contract.cases import FEW, FEW_IDS, ON_NETS, ON_NETS_IDS
from tests.unit.trace.device.simulation import carry_out
from trainfit.algorithms import build_on_meta
from trainfit.bench.trace.device import device_view
from trainfit.bench.trace.tracing import trace_stage

BOUNDS = json.loads(Path(__file__).parents[1].joinpath("golden", "bounds.json").read_text())
ROWS = (12, 40)
LOOKED_AT = ROWS if os.environ.get("TRAINFIT_SECOND_NETS") else ROWS[:1]


def bound_of(name: str, options: dict[str, Any], model: str, stage: str, rows: int) -> float:
    """What was written down by hand; nothing was for rules that came later, or of others."""
    known = BOUNDS.get(f"{name} {json.dumps(options, sort_keys=True)} {model} {stage}")
    return known[ROWS.index(rows)] if known else float("inf")


ABOVE = [
    (
        "backprop",
        {"update": "product", "optimizer": "adam"},
        1.04,
        "a row of a weight gradient, which Adam reads twice",
    ),
    ("backprop_int8", {"weight_gradient": "whole"}, 1.04, "a weight gradient whole, in INT32"),
    ("backprop_int8", {"master": "fp32"}, 1.04, "a weight gradient whole, in INT32"),
    ("backprop_int8", {"kernel": "torch"}, 1.08, "sums in INT32 before they are rounded"),
    ("backprop_ui8", {"kernel": "torch"}, 1.42, "sums and products in float32 and float64"),
    ("backprop_ui8", {}, 1.04, "a weight gradient whole, in INT32"),
    ("ff_int8", {"kernel": "torch"}, 2.4, "sums in INT32 before they are rounded"),
    ("forward_forward", {"implementation": "autograd"}, 4.0, "autograd holds all layers at once"),
    ("forward_forward", {"passes": "joint", "weights": "binary"}, 1.01, "a bias gradient"),
    ("mem_pepita", {"activations": "binary"}, 1.001, "a row of bits before it is packed"),
    ("pepita", {"activations": "binary"}, 1.001, "a row of bits before it is packed"),
    ("qat_int8", {"optimizer": "adam"}, 1.07, "inputs in INT8; the bound has only their copy"),
    ("qat_int8", {"nesterov": True}, 1.05, "inputs in INT8; the bound has only their copy"),
    ("sparse_update", {"nesterov": True}, 1.01, "a bias gradient that Nesterov's rule reads twice"),
    (
        "tinyfoa",
        {"variant": "released"},
        1.9,
        "autograd: whole gradients, with a copy through sign",
    ),
    ("tinyfoa", {"model": "lc"}, 1.35, "2 or 4 channels as bits in a byte; errors read by sample"),
    ("tinyfoa", {"slices": 4}, 1.02, "rows of 4 bits in a byte"),
    ("tinyfoa", {"features": "cached"}, 1.02, "rows of 4 bits in a byte"),
]
"""Rule, options, how many times the bound at most, and what the bound leaves out."""


def allowance(name: str, options: dict[str, Any], model: str) -> float:
    """How many times the bound a case may need."""
    given = {**options, "model": model.partition("-")[0]}
    for rule, needed, most, _ in ABOVE:
        if rule == name and needed.items() <= given.items():
            return most
    return 1.0


@pytest.mark.parametrize(("name", "options", "model"), ON_NETS, ids=ON_NETS_IDS)
def test_no_more_than_the_bound_by_hand(name: str, options: dict[str, Any], model: str) -> None:
    algorithm = build_on_meta(name, model, options)
    most = allowance(name, options, model)
    for index, stage in enumerate(algorithm.stages):
        algorithm.enter_stage(index)
        for rows in LOOKED_AT:
            trace = trace_stage(algorithm, rows)
            view = device_view(trace)
            bound = bound_of(name, options, model, stage, rows)
            assert view.peak_bytes <= most * bound, (stage, rows)
            assert view.peak_bytes <= trace.torch_view.peak_dynamic_bytes
            assert sum(block.bytes for block in view.at_peak) == view.peak_bytes
            assert max(view.phases.values()) == view.peak_bytes


@pytest.mark.parametrize(("name", "options", "model"), FEW, ids=FEW_IDS)
def test_whatever_is_read_is_there(name: str, options: dict[str, Any], model: str) -> None:
    algorithm = build_on_meta(name, model, options)
    for index in range(len(algorithm.stages)):
        algorithm.enter_stage(index)
        assert carry_out(trace_stage(algorithm, ROWS[0])) > 0


@pytest.mark.parametrize("known", ABOVE, ids=lambda known: f"{known[0]}-{known[1]}")
def test_what_is_above_is_still_above(known: tuple[str, dict[str, Any], float, str]) -> None:
    for name, options, model in ON_NETS:
        if name != known[0] or not known[1].items() <= {**options, "model": model[:2]}.items():
            continue
        algorithm = build_on_meta(name, model, options)
        for index, stage in enumerate(algorithm.stages):
            algorithm.enter_stage(index)
            for rows in ROWS:
                bound = bound_of(name, options, model, stage, rows)
                if device_view(trace_stage(algorithm, rows)).peak_bytes > bound:
                    return
    pytest.fail(f"nothing is above its bound any more: {known}")
