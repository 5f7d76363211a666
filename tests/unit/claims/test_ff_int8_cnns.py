"""The claims on the convolutional nets of FF-INT8: records can be made, figures are Table V's."""

from __future__ import annotations

from statistics import fmean

import pandas as pd
import pytest

from trainfit.bench.claims import ff_int8_cnns
from trainfit.bench.claims.ff_int8_cnns import NETS, PAPER, SUITES
from trainfit.bench.frames.workloads import identity
from trainfit.bench.suite.suite import load_suite
from trainfit.plots.papers.published import TABLE_V

CLAIMS = {claim.id: claim for claim in PAPER.claims if claim.suites == SUITES}


def test_every_side_is_one_workload_of_the_suite() -> None:
    workloads = load_suite(SUITES[0]).workloads
    frame = pd.DataFrame([{"run": "x", **identity(each)} for each in workloads])

    sides = {
        check.what: [int(side.match(frame).sum()) for side in check.workloads]
        for claim in CLAIMS.values()
        for check in claim.checks
    }

    assert len(sides) == 3 * (2 * 2 + 2 * 2 * 2 + 1 + 2 * 2)
    assert {count for counts in sides.values() for count in counts} == {1}


@pytest.mark.parametrize(
    ("column", "printed"), [("GDAI8", (24.5, 27.0, 23.7)), ("FP32", (32.7, 41.3, 37.8))]
)
def test_what_the_claims_say_is_what_the_table_prints(
    column: str, printed: tuple[float, ...]
) -> None:
    found = [-ff_int8_cnns._change(net, column, "megabytes") for net in NETS]

    assert found == list(printed)
    text = CLAIMS[f"ff-int8-cnns-memory-{column.lower()}"].text
    assert all(f"{figure:g}" in text for figure in printed)


def test_the_headline_is_one_net_not_the_mean() -> None:
    """27.0 % is EfficientNet-B0's; over the four rows the mean is 24.5 %."""
    saved = [-ff_int8_cnns._change(net, "GDAI8", "megabytes") for net in TABLE_V]
    assert max(saved) == 27.0
    assert round(fmean(saved), 1) == 24.5


@pytest.mark.parametrize("net", NETS)
def test_the_order_that_is_tested_is_the_tables(net: str) -> None:
    [check] = [
        check for check in CLAIMS["ff-int8-cnns-memory-order"].checks if check.what.startswith(net)
    ]
    names = {
        "ff_int8": "FF-INT8", "backprop_int8": "INT8", "backprop_dai8": "GDAI8",
        "backprop_ui8": "UI8", "backprop": "FP32",
    }  # fmt: skip
    order = [names[side.algorithm] for side in check.workloads]

    assert order == sorted(TABLE_V[net], key=lambda name: TABLE_V[net][name].megabytes)
