"""The page of claims, and the words that judged claims are shown in."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.builders.runs import memory, record, workload
from trainfit.bench.claims import page as claims_page
from trainfit.bench.claims.judge import judge_claims, read_claims
from trainfit.bench.claims.page import BEGIN, END, main, markdown
from trainfit.bench.claims.text import claimed, missing
from trainfit.bench.records.schema import Accuracy

ROOT = Path(__file__).parents[3]

CLAIMS = """
[paper.first]
title = "First (2026)"
[paper.second]
title = "Second (2026)"

[[claim]]
id = "memory"
paper = "first"
text = "It needs half."
source = "Table 1"
suite = "small"
remark = "Bytes of tensors."
[[claim.check]]
what = "DRTP | backprop"
statistic = "ratio"
quantity = ["ram_bytes", "static_bytes"]
expect = "near"
published = 0.5
tolerance = 0.01
left = { algorithm = "drtp" }
right = { algorithm = "backprop" }

[[claim]]
id = "depth"
paper = "second"
text = "It loses more with depth."
source = "quoted at second hand"
suite = ["small", "deep"]
[[claim.check]]
what = "slope"
statistic = "slope_points"
expect = "less"
published = -9.7
tolerance = 1.0
left = { algorithm = "drtp" }
right = { algorithm = "backprop" }
along = [{ model = "mlp-64-10" }, { model = "mlp-64-8-10" }]

[[claim]]
id = "energy"
paper = "second"
text = "It needs less energy."
source = "abstract"
not_testable = "there is no sensor"
"""


@pytest.fixture
def judged(tmp_path: Path) -> Any:
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
    (tmp_path / "claims.toml").write_text(CLAIMS)
    return judge_claims([tmp_path / "run"], read_claims(tmp_path / "claims.toml"))


def test_a_section_per_paper_with_verdicts_and_numbers(judged: Any) -> None:
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


def test_what_is_missing_stands_at_the_end_once(judged: Any) -> None:
    assert missing(judged) == [
        "Records are missing for depth. They are made by",
        "trainfit run small --data-root DATA --out runs/small",
        "trainfit run deep --data-root DATA --out runs/deep",
    ]
    assert markdown(judged).endswith(
        "They are made by:\n\n```sh\ntrainfit run small --data-root DATA --out runs/small\n"
        "trainfit run deep --data-root DATA --out runs/deep\n```"
    )


def test_a_claim_of_a_direction_says_what_is_tested(judged: Any) -> None:
    assert [claimed(check.check) for each in judged for check in each.checks] == [
        "0.50 times, give or take 0.01",
        "0.50 times, give or take 0.01",
        "-9.70 points per step (tested: less than 0)",
    ]


def test_a_page_is_written_and_checked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(claims_page, "document", lambda runs: f"from {runs.name}")
    page = tmp_path / "claims.md"
    page.write_text(f"before\n{BEGIN}\nold\n{END}\nafter\n")

    assert main([str(tmp_path), "--check"]) == 1
    assert "claims.md: is outdated" in capsys.readouterr().err
    assert main([str(tmp_path)]) == 0
    assert page.read_text() == f"before\n{BEGIN}\n\nfrom runs\n\n{END}\nafter\n"
    assert main([str(tmp_path), "--check"]) == 0


def test_the_page_of_this_project_is_what_the_records_say() -> None:
    assert main([str(ROOT / "docs"), "--check"]) == 0
