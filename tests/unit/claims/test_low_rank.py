"""The claims of low-rank training: records can be made, and what the papers count is counted."""

from __future__ import annotations

import pandas as pd
import pytest

from trainfit.bench.claims import low_rank
from trainfit.bench.claims.low_rank import counted_factor
from trainfit.bench.frames.workloads import identity
from trainfit.bench.suite.suite import load_suite

PAPERS = (low_rank.WASI, low_rank.ASI_PAPER, low_rank.TRAINDEEPLOY)
CHECKS = [(claim, check) for paper in PAPERS for claim in paper.claims for check in claim.checks]


def test_every_side_is_one_workload_of_the_suite():
    frame = pd.DataFrame([{"run": "x", **identity(w)} for w in load_suite("low-rank").workloads])
    assert len(CHECKS) == 20
    for claim, check in CHECKS:
        assert claim.suites == ["low-rank"]
        for side in check.workloads:
            assert side.match(frame).sum() == 1, f"{check.what}: {side.text}"


OTHERS = [
    {"momentum": 0.0},
    {"optimizer": "adam"},
    {"checkpoint": 2},
    {"micro_batch": 10},
    {"weights": "binary"},
]


@pytest.mark.parametrize("options", OTHERS, ids=str)
def test_a_step_with_another_state_or_in_parts_is_no_side(options):
    """Of other experiments: what is held between steps would differ by all weights, or by none."""
    suite = load_suite("low-rank").workloads
    known = [each for each in suite if each.algorithm == "backprop" and not each.options]
    others = [each.model_copy(update={"options": options}) for each in known]
    frame = pd.DataFrame([{"run": "y", **identity(w)} for w in others])
    assert len(frame)
    for _, check in CHECKS:
        assert not any(side.match(frame).any() for side in check.workloads)


def test_factors_are_counted_as_the_code_counts_them():
    # inputs of 784 and 1000 twice, 32 rows; rank 1: 32 + I + 1 elements each
    assert counted_factor("mlp-784-1000-1000-10", 32) == pytest.approx(
        32 * 2784 / (817 + 1033 + 1033)
    )
    assert counted_factor("mlp-784-2000x4-10", 100, rank=4) == pytest.approx(
        100 * 8784 / (4 * (5 * 104 + 8784))
    )
    assert "for mlp-784-2000x4-10 in batches of 100" in low_rank.WASI.claims[0].remark
