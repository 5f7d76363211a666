"""What belongs to a paper is there, and its suite makes the data of its figures."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.builders.gate import write_run
from tests.builders.runs import record, workload
from trainfit._text import layer_sizes
from trainfit.algorithms import algorithm_names
from trainfit.bench.claims.listed import read_claims
from trainfit.bench.frames.workloads import identity
from trainfit.bench.papers.drawing import Drawing
from trainfit.bench.papers.paper import PAPERS, PaperError, find_paper, index, its_runs, origins
from trainfit.bench.records.schema import Measurement
from trainfit.bench.suite.suite import load_suite
from trainfit.plots import figure_names, table_names
from trainfit.plots.figures.ff_int8.operations import RULES as COUNTED
from trainfit.plots.figures.ff_int8.table_v import RULES, SIZES
from trainfit.plots.figures.tinyfoa import memory as tinyfoa_memory
from trainfit.plots.papers.published import TABLE_I, TABLE_IV_BATCH


@pytest.mark.parametrize("name", PAPERS)
def test_figures_tables_suite_and_claims_exist(name: str) -> None:
    paper = find_paper(name)
    assert set(paper.figures) <= set(figure_names())
    assert set(paper.tables) <= set(table_names())
    assert {*paper.rules} <= {*algorithm_names()}
    assert load_suite(paper.suite).measure == [
        Measurement.MEMORY,
        Measurement.LATENCY,
        Measurement.ACCURACY,
    ]
    assert any(claim.paper.name == name for claim in read_claims())


def test_the_suite_of_ff_int8_measures_what_its_tables_have() -> None:
    workloads = load_suite("paper-ff-int8").workloads
    of_table_v = {
        (w.algorithm, w.options.get("lookahead", "off"))
        for w in workloads
        if layer_sizes(w.model) == SIZES and w.batch_size == 32
    }
    for algorithm, modes, _ in RULES.values():
        assert {(algorithm, mode) for mode in modes[:1] or ("off",)} <= of_table_v
    counted = {w.algorithm for w in workloads if w.batch_size == TABLE_IV_BATCH}
    assert counted == set(COUNTED.values())
    seeds = {
        (w.algorithm, len(layer_sizes(w.model)) - 2, w.seed)
        for w in workloads
        if w.batch_size == 100 and w.epochs
    }
    assert seeds == {
        (algorithm, depth, seed)
        for algorithm in ("backprop", "backprop_int8")
        for depth in TABLE_I
        for seed in range(3)
    }


def test_the_suite_of_tinyfoa_has_every_row_of_its_figure() -> None:
    import pandas as pd

    known = {"run": "run", "static_bytes": 1, "peak_dynamic_bytes": 1, "evidence": "allocator"}
    rows = [known | identity(w) for w in load_suite("paper-tinyfoa").workloads]
    peaks = [
        row | {"stage": "all", "phase": phase, "quantity": "peak_bytes", "value": 1}
        for row in rows
        for phase in ("forward", "gradient", "update")
    ]

    found = tinyfoa_memory.numbers(pd.DataFrame(rows), pd.DataFrame(peaks))

    assert set(found["row"]) == {*tinyfoa_memory.ROWS, tinyfoa_memory.CLAIMED}
    assert len(found) == 3 * (len(tinyfoa_memory.ROWS) + 1)


def test_an_unknown_paper_is_said_with_the_nearest() -> None:
    with pytest.raises(PaperError, match="unknown paper 'tiny': did you mean tinyfoa"):
        find_paper("tiny")


def test_a_run_with_none_of_its_rules_is_none_of_a_papers(tmp_path: Path) -> None:
    ours = write_run(tmp_path / "ours", [record(), record(workload=workload(algorithm="drtp"))])
    other = write_run(tmp_path / "other", [record()])
    assert its_runs(find_paper("tinyfoa"), [other, ours]) == [ours]
    assert its_runs(find_paper("ff-int8"), [other, ours]) == [other, ours]


def test_a_figure_says_which_runs_it_is_from(tmp_path: Path) -> None:
    csv = tmp_path / "numbers.csv"
    drawing = Drawing("figure", "f", "F", (csv,))
    runs = [tmp_path / "a", tmp_path / "b", tmp_path / "c"]
    csv.write_text('runs,x\n"c, a",1\n,2\n')
    assert origins(drawing, runs) == ["`a`", "`c`"]
    csv.write_text("x\n1\n")
    assert origins(drawing, runs) == ["`a`", "`b`", "`c`"]


def test_the_index_names_versions_and_what_is_missing(tmp_path: Path) -> None:
    environment = {
        "versions": {"trainfit": "1.2.3", "torch": "9.9"},
        "git": {"commit": "0123456789abcdef", "dirty": True},
    }
    run = write_run(tmp_path / "a", [record(), record()], environment=environment)
    missing = Drawing("table", "t", "T", missing="no x | y; measure it")
    page = index(find_paper("tinyfoa"), [run], [Path("a")], [missing], None)
    assert "| `a` | 2 | 1.2.3 | 9.9 | not known | 0123456789ab with changes | not known |" in page
    assert "| table t | no x / y; measure it |" in page
    assert "## Claims" not in page
