"""The words and the Markdown that judged claims are shown in."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.builders.runs import memory, record, workload
from trainfit.bench.claims.claim import Judged, Paper, compare, judge_claims
from trainfit.bench.claims.ff_int8 import SLOPE
from trainfit.bench.claims.quantities import ACCURACY, RAM, STATIC
from trainfit.bench.claims.statistics import RATIO, less, near
from trainfit.bench.claims.text import claimed, markdown, missing
from trainfit.bench.claims.workloads import rule
from trainfit.bench.records.schema import Accuracy

SIDES = rule("drtp"), rule("backprop")
FIRST, SECOND = Paper("first", "First (2026)"), Paper("second", "Second (2026)")
FIRST.claim(
    "memory",
    "It needs half.",
    source="Table 1",
    suites=["small"],
    checks=compare("DRTP | backprop", (RAM, STATIC), RATIO, *SIDES, expected=near(0.5, give=0.01)),
    remark="Bytes of tensors.",
)
SECOND.claim(
    "depth",
    "It loses more with depth.",
    source="quoted at second hand",
    suites=["small", "deep"],
    checks=compare(
        "slope",
        ACCURACY,
        SLOPE,
        *(side.at(model=model) for model in ("mlp-64-10", "mlp-64-8-10") for side in SIDES),
        expected=less(1.0, published=-9.7),
    ),
)
SECOND.claim(
    "energy", "It needs less energy.", source="abstract", not_testable="there is no sensor"
)


@pytest.fixture
def judged(tmp_path: Path) -> list[Judged]:
    records = [
        record(
            workload=workload(algorithm=algorithm, seed=seed),
            memory=memory(static=static),
            accuracy=Accuracy(test_accuracy=0.9, epochs=1, train_seconds=1.0),
        )
        for algorithm, static in (("drtp", 1_000), ("backprop", 3_000))
        for seed in (0, 1)
    ]
    lines = [each.model_dump_json(by_alias=True) + "\n" for each in records]
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "records.jsonl").write_text("".join(lines))
    return judge_claims([tmp_path / "run"], [*FIRST.claims, *SECOND.claims])


def test_a_section_per_paper_with_verdicts_and_numbers(judged: list[Judged]) -> None:
    lines = markdown(judged).splitlines()

    assert [line for line in lines if line.startswith("###")] == [
        "### First (2026)",
        "### Second (2026)",
    ]
    assert (
        r"| `memory`: It needs half. | DRTP \| backprop, static + peak dynamic bytes"
        " | 0.50 times, give or take 0.01 | 0.50 times (2,000 B; 4,000 B)"
        " | **holds in part**, here holds |"
    ) in lines
    assert (
        r"|  | DRTP \| backprop, static bytes | 0.50 times, give or take 0.01"
        " | 0.33 times (1,000 B; 3,000 B) | does not hold |"
    ) in lines
    assert "- `memory`: Source: Table 1. Bytes of tensors." in lines
    assert "| `energy`: It needs less energy. |  |  |  | **not testable here** |" in lines
    assert "- `energy`: Source: abstract. There is no sensor." in lines


def test_what_is_missing_stands_at_the_end_once(judged: list[Judged]) -> None:
    assert missing(judged) == [
        "Records are missing for depth. They are made by",
        "trainfit run small --data-root DATA --out runs/small",
        "trainfit run deep --data-root DATA --out runs/deep",
    ]
    assert markdown(judged).endswith(
        "They are made by:\n\n```sh\ntrainfit run small --data-root DATA --out runs/small\n"
        "trainfit run deep --data-root DATA --out runs/deep\n```"
    )


def test_a_claim_of_a_direction_says_what_is_tested(judged: list[Judged]) -> None:
    assert [claimed(check.check) for each in judged for check in each.checks] == [
        "0.50 times, give or take 0.01",
        "0.50 times, give or take 0.01",
        "-9.70 points per step (tested: less than 0)",
    ]
