"""Which rate a search chooses, and the suite that trains with it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.builders.runs import record
from trainfit.bench.errors import SuiteError
from trainfit.bench.records.schema import Accuracy, Record
from trainfit.bench.suite.manifest import to_manifest
from trainfit.bench.suite.suite import Suite, parse_suite
from trainfit.bench.suite.tuned import TuneError, suite_text, tuned

SUITE = """
name = "search"
devices = []
[defaults]
model = "mlp-64-10"
dataset = "digits"
batch_size = 32
epochs = 2
held_out = 200
[[workload]]
algorithm = "drtp"
options = { momentum = 0.0 }
rates = [0.1, 0.01, 1]
seed = [0, 1]
"""


def parse(text: str = SUITE) -> Suite:
    return parse_suite(text, source="s.toml", folder=Path())


def searched(
    path: Path, *reached: float | None, suite: Suite | None = None, stages: int = 1
) -> Path:
    """A run of the suite: an accuracy per workload, None where it failed."""
    suite = suite or parse()
    path.mkdir()
    (path / "suite.json").write_text(json.dumps(to_manifest(suite, [])))
    lines = []
    for workload, value in zip(suite.workloads, reached, strict=False):
        done = value is not None and Accuracy(
            validation_accuracy=value, epochs=workload.epochs * stages, train_seconds=1.0
        )
        made: Record = record(workload=workload, accuracy=done or None)
        lines.append(made.model_dump_json(by_alias=True) + "\n")
    (path / "records.jsonl").write_text("".join(lines))
    return path


def text(run: Path, **changes: Any) -> str:
    given: dict[str, Any] = {
        "name": "fair", "description": "d", "passes": 6, "seeds": 3, "samples": None,
        "evaluate_every": None, "measure": ["accuracy"],
    }  # fmt: skip
    return suite_text(tuned(run), **given | changes)


def test_rates_are_values_of_one_option() -> None:
    found = [(each.options, each.seed) for each in parse().workloads]

    assert found[:3] == [({"momentum": 0.0, "lr": rate}, 0) for rate in (0.1, 0.01, 1.0)]
    assert len(found) == 6
    with pytest.raises(SuiteError, match=r"workload\[1\].rates: options has lr, too"):
        parse(SUITE.replace("momentum", "lr"))


def test_the_best_mean_over_seeds_is_chosen(tmp_path: Path) -> None:
    """In the order of the suite: all rates with seed 0, then with seed 1."""
    [found] = tuned(searched(tmp_path / "run", 0.9, 0.85, 0.5, 0.5, 0.75, 0.5))

    assert found.rate == 0.01
    assert found.accuracies == pytest.approx({0.01: 0.8, 0.1: 0.7, 1.0: 0.5})
    assert found.at_the_edge
    assert found.workload.held_out is None
    assert found.workload.tuned is not None
    assert found.workload.tuned.model_dump() == {
        "grid": {"lr": [0.01, 0.1, 1.0]}, "passes": 2, "train_samples": None, "held_out": 200,
        "seeds": [0, 1],
    }  # fmt: skip


def test_of_equal_rates_the_smallest_is_chosen(tmp_path: Path) -> None:
    [found] = tuned(searched(tmp_path / "run", 0.9, 0.1, 0.9, 0.9, 0.1, 0.9))

    assert (found.rate, found.at_the_edge) == (0.1, False)


def test_a_rate_that_failed_once_has_lost(tmp_path: Path) -> None:
    [found] = tuned(searched(tmp_path / "run", 0.99, 0.5, 0.4, None, 0.5, 0.4))

    assert found.rate == 0.01
    assert found.accuracies[0.1] is None


def test_the_suite_trains_all_for_as_many_passes(tmp_path: Path) -> None:
    run = searched(tmp_path / "run", *[0.5, 0.9, 0.5] * 2, stages=3)

    suite = parse(text(run, passes=12, samples=500))

    [first, *rest] = suite.workloads
    assert [each.seed for each in suite.workloads] == [0, 1, 2]
    assert first.options == {"momentum": 0.0, "lr": 0.01}
    assert (first.epochs, first.train_samples, first.held_out) == (4, 500, None)
    assert {first.tuned == each.tuned for each in rest} == {True}
    assert first.tuned is not None
    assert first.tuned.passes == 6
    with pytest.raises(TuneError, match="in 3 stages of equal length, which 10 passes cannot"):
        text(run, passes=10)


WRONG = {
    "judged by the test half": (("held_out = 200\n", ""), "was judged by the test half"),
    "no rates": (("rates = [0.1, 0.01, 1]\n", ""), "has one rate, its default; give it rates"),
}


@pytest.mark.parametrize("name", WRONG)
def test_a_run_that_is_no_search_is_refused(tmp_path: Path, name: str) -> None:
    change, says = WRONG[name]
    suite = parse(SUITE.replace(*change))
    made = [
        record(workload=each, accuracy=Accuracy(test_accuracy=0.9, epochs=2, train_seconds=1.0))
        for each in suite.workloads
    ]
    run = searched(tmp_path / "run", suite=suite)
    lines = [each.model_dump_json(by_alias=True) + "\n" for each in made]
    (run / "records.jsonl").write_text("".join(lines))

    with pytest.raises(TuneError, match=says):
        tuned(run)


def test_a_search_that_is_not_finished_is_refused(tmp_path: Path) -> None:
    with pytest.raises(TuneError, match="seed 1, has no record; go on with trainfit run --resume"):
        tuned(searched(tmp_path / "run", 0.9, 0.8, 0.7))


def test_a_rule_that_failed_everywhere_is_named(tmp_path: Path) -> None:
    with pytest.raises(TuneError, match="drtp on mlp-64-10 failed at every rate"):
        tuned(searched(tmp_path / "run", *[None] * 6))
