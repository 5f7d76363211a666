"""The claims on convolutional nets: records can be made, and the figures are the papers'."""

from __future__ import annotations

from math import prod
from statistics import fmean

import pandas as pd
import pytest

from trainfit.algorithms.models import get_model
from trainfit.algorithms.models.layers import Convolution, Dense, GlobalAverage, with_shapes
from trainfit.bench.claims import audits, pau_aymone
from trainfit.bench.frames.workloads import identity
from trainfit.bench.suite.suite import load_suite

SUITE = "forward-only-cnns"
PAPERS = (pau_aymone.PAPER, audits.SPYRA_DZWINEL, audits.CHEN)
CHECKS = [
    check
    for paper in PAPERS
    for claim in paper.claims
    if SUITE in claim.suites
    for check in claim.checks
    if any("net" in side.columns.get("model", "") or "ds_cnn" in side.text
           for side in check.workloads)
]  # fmt: skip


def test_every_side_is_one_workload_of_the_suite():
    frame = pd.DataFrame([{"run": "x", **identity(each)} for each in load_suite(SUITE).workloads])
    assert len(CHECKS) == 30 + 6 + 2
    for check in CHECKS:
        for side in check.workloads:
            assert side.match(frame).sum() == 1, f"{check.what}: {side.text}"


@pytest.mark.parametrize(
    ("side", "what", "mean"),
    [
        ("FF", "ram", -41.4),
        ("MEMPEPITA", "ram", -33.0),
        ("FF", "activations", -64.6),
        ("MEMPEPITA", "activations", -51.3),
        ("FF", "macs", 39.7),
        ("PEPITA", "macs", 2.7),
        ("MEMPEPITA", "macs", 36.9),
    ],
)
def test_the_figures_of_the_nets_have_the_means_that_are_claimed(side, what, mean):
    """Multiply-accumulates are in tenths of a million, of 7.7 on the smallest net."""
    found = fmean(net.change(side, what) for net in pau_aymone.NETS)
    assert abs(found - mean) < (0.06 if what != "macs" else 0.6)


@pytest.mark.parametrize(
    ("place", "model"), [(0, "ds_cnn-1x49x10-12"), (1, "mobilenet_v1_025-3x96x96-2")]
)
def test_our_nets_are_those_of_the_sheet(place, model):
    """A sample and the outputs of all layers, normalisation left out, are what it counts."""
    net = get_model(model)
    counted = net.inputs
    for unit, given in zip(net.units, net.given, strict=True):
        for layer, shape in with_shapes(unit.layers, given):
            if isinstance(layer, Convolution | Dense | GlobalAverage):
                counted += prod(layer.shape_after(shape))
    assert round(counted / 1000, 1) == pau_aymone.NETS[place].activations["BP"]
