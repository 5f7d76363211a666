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


def test_factors_are_counted_as_the_code_counts_them():
    # inputs of 784 and 1000 twice, 32 rows; rank 1: 32 + I + 1 elements each
    assert counted_factor("mlp-784-1000-1000-10", 32) == pytest.approx(
        32 * 2784 / (817 + 1033 + 1033)
    )
    assert counted_factor("mlp-784-2000x4-10", 100, rank=4) == pytest.approx(
        100 * 8784 / (4 * (5 * 104 + 8784))
    )
    assert "for mlp-784-2000x4-10 in batches of 100" in low_rank.WASI.claims[0].remark
