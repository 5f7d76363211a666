"""The claim about gradients over training, judged by records that are made up."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from tests.builders.runs import record, workload
from trainfit.bench.claims.claim import ClaimVerdict, Judged, judge_claims
from trainfit.bench.claims.listed import read_claims
from trainfit.bench.claims.quantities import RMS_OVER_TRAINING, Tables
from trainfit.bench.claims.statistics import Outcome
from trainfit.bench.records.schema import (
    Accuracy,
    Evidence,
    LayerGradients,
    QuantisationError,
    Record,
    Search,
)

(CLAIM,) = [each for each in read_claims() if each.id == "ff-int8-gradients"]
SEARCH = Search(grid={"lr": [0.01, 0.1]}, passes=1, held_out=100, seeds=[0])
FF = "forward_forward", "ff_int8"
LOW, HIGH = {0: 0.9, 2: 0.01, 4: 0.02, 5: 0.03}, {0: 0.1, 2: 0.03, 4: 0.04, 5: 0.05}
"""Errors by moment, of which the one before training says the opposite."""


def layer(
    error: float, passes: int | None, tensor: str = "w1", stage: str = "all"
) -> LayerGradients:
    return LayerGradients(
        tensor=tensor,
        stage=stage,
        passes=passes,
        evidence=Evidence.ANALYTIC,
        shape=(2, 2),
        count=4,
        zeros=0,
        max_abs=1.0,
        int8=QuantisationError(relative_rms=error, cosine=1.0, rounded_to_zero=10 * error),
    )


def probed(
    algorithm: str,
    errors: dict[int, float] | float,
    *,
    seeds: Sequence[int] = range(3),
    tensors: Sequence[str] = ("w1", "w2"),
    stages: Sequence[str] = ("all", "all"),
) -> list[Record]:
    """A training of five passes per seed; with one number, one from before there were moments."""
    at = {None: errors} if isinstance(errors, float) else errors
    options = {"lr": 0.1} | ({"master": "fp32"} if algorithm == "ff_int8" else {})
    chosen = {
        "algorithm": algorithm,
        "model": "mlp-784-500-500-10",
        "dataset": "mnist",
        "batch_size": 100,
        "options": options,
        "tuned": SEARCH,
        "epochs": 5,
    }
    return [
        record(
            workload=workload(**chosen, seed=seed),
            accuracy=Accuracy(test_accuracy=0.9, epochs=5, train_seconds=1.0),
            gradients=[
                layer(error * (1 + 0.001 * seed), passes, tensor, stage)
                for passes, error in at.items()
                for tensor, stage in zip(tensors, stages, strict=True)
            ],
        )
        for seed in seeds
    ]


Judge = Callable[..., Judged]


def write(folder: Path, *records: Record) -> Path:
    folder.mkdir(exist_ok=True)
    lines = [each.model_dump_json(by_alias=True) + "\n" for each in records]
    (folder / "records.jsonl").write_text("".join(lines), "utf-8")
    return folder


@pytest.fixture
def judge(tmp_path: Path) -> Judge:
    def judged(*records: list[Record]) -> Judged:
        run = write(tmp_path / "run", *(one for each in records for one in each))
        (found,) = judge_claims([run], [CLAIM])
        return found

    return judged


def test_each_moment_counts_for_the_passes_that_it_ends(tmp_path: Path) -> None:
    frame = RMS_OVER_TRAINING.table(Tables([write(tmp_path / "run", *probed("backprop", LOW))]))

    assert list(frame["seed"]) == [0, 1, 2]  # a row per training
    assert frame["low"][0] == pytest.approx((2 * 0.01 + 2 * 0.02 + 0.03) / 5)
    assert set(frame["moments"]) == {"[2, 4, 5]"}
    assert "pass" not in frame


def test_it_holds_where_the_errors_are_smaller_over_training(judge: Judge) -> None:
    found = judge(*(probed(each, LOW) for each in FF), probed("backprop", HIGH))

    assert found.verdict is ClaimVerdict.HOLDS, found.reason
    first, *_, last = found.checks
    assert first.computed is not None
    assert last.computed is not None
    assert first.computed.value[0] == pytest.approx(0.09 / 0.19)
    assert first.evidence is not None
    assert first.evidence.text == "3 seeds, 5 passes, 3 moments, rates by one search"
    assert last.computed.value[0] == pytest.approx(3 / 5)
    assert last.evidence is not None
    assert last.evidence.moments is None


def test_it_does_not_hold_where_they_are_larger(judge: Judge) -> None:
    found = judge(*(probed(each, HIGH) for each in FF), probed("backprop", LOW))

    assert found.verdict is ClaimVerdict.DOES_NOT_HOLD, found.reason


def test_the_end_alone_does_not_say_how_it_went(judge: Judge) -> None:
    """Smaller in the end, larger on the way."""
    ours = HIGH | {5: 0.001}
    found = judge(*(probed(each, ours) for each in FF), probed("backprop", LOW))

    outcomes = [each.outcome for each in found.checks]
    assert outcomes == [Outcome.FAILS, Outcome.FAILS, Outcome.FAILS, Outcome.HOLDS]


@pytest.mark.parametrize("one", [0.02, {0: 0.5, 5: 0.02}])
def test_with_one_moment_nothing_is_decided_over_training(
    one: dict[int, float] | float, judge: Judge
) -> None:
    theirs = 0.04 if isinstance(one, float) else {0: 0.5, 5: 0.04}

    found = judge(*(probed(each, one) for each in FF), probed("backprop", theirs))

    *over, last = found.checks
    assert {each.outcome for each in over} == {Outcome.UNDECIDED}
    assert over[0].reason is not None
    assert over[0].reason.endswith("measured after pass 5 only, over training takes 3 moments")
    assert over[0].evidence is not None
    assert "one moment" in over[0].evidence.text
    assert last.outcome is Outcome.HOLDS


def test_sides_probed_at_different_moments_are_not_compared(judge: Judge) -> None:
    other = {0: 0.1, 1: 0.03, 3: 0.04, 5: 0.05}

    found = judge(*(probed(each, LOW) for each in FF), probed("backprop", other))

    assert found.checks[0].outcome is Outcome.UNDECIDED
    assert found.checks[0].reason is not None
    assert found.checks[0].reason.endswith(
        "moments of training differ: after passes 2, 4, 5 against after passes 1, 3, 5"
    )


def test_of_a_rule_with_stages_there_is_no_mean_over_training(tmp_path: Path) -> None:
    staged = probed("backprop", LOW, stages=("layer1", "layer2"))

    frame = RMS_OVER_TRAINING.table(Tables([write(tmp_path / "run", *staged)]))

    assert frame["low"].isna().all()
