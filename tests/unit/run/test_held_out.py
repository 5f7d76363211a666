"""Samples that are held out: never trained on, the same for all, and the test half is not seen."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from pydantic import ValidationError

from tests.builders.runs import record, workload
from trainfit.algorithms.data import Dataset, load_dataset
from trainfit.algorithms.errors import ConfigurationError
from trainfit.bench.frames.training import curves_frame
from trainfit.bench.frames.workloads import records_frame
from trainfit.bench.records.schema import Accuracy, Search, Workload
from trainfit.bench.training.evaluation import Scores, evaluate
from trainfit.bench.training.held_out import hold_out
from trainfit.bench.training.train import load, train


def numbered(samples: int = 100) -> Dataset:
    """Samples that hold their own number, those of the test half a negative one, class by class."""
    x_SF = torch.arange(samples, dtype=torch.float32).view(-1, 1)
    y_S = torch.arange(samples) * 5 // samples
    return Dataset("numbered", x_SF, y_S, -x_SF - 1, y_S, 5, (1, 1, 1))


def test_what_is_held_out_is_cut_from_the_training_half() -> None:
    data = hold_out(numbered(), 30)

    held, kept = set(data.test_x.flatten().tolist()), set(data.train_x.flatten().tolist())
    assert (len(held), len(kept)) == (30, 70)
    assert held | kept == set(range(100))
    assert torch.equal(data.test_y, data.test_x.flatten().long() * 5 // 100)
    assert "accuracy on 30 training samples that were held out" in data.note


def test_it_is_drawn_so_that_no_class_is_missing_where_samples_are_ordered() -> None:
    data = hold_out(numbered(), 30)

    assert set(data.test_y.tolist()) == set(data.train_y.tolist()) == set(range(5))


def test_the_same_samples_are_held_out_whatever_the_seed_and_the_rule() -> None:
    seeds = [load(workload(held_out=200, seed=seed), None) for seed in (0, 1)]
    other = load(workload(held_out=200, algorithm="drtp", train_samples=300), None)

    assert torch.equal(seeds[0].test_x, seeds[1].test_x)
    assert torch.equal(seeds[0].test_x, other.test_x)
    assert torch.equal(other.train_x, seeds[0].train_x[:300])


def test_the_test_half_plays_no_part(monkeypatch: pytest.MonkeyPatch) -> None:
    """An accuracy of a search was that of the samples by which its outcome is judged."""
    chosen = workload(algorithm="drtp", model="mlp-64-16-10", epochs=2, held_out=300)

    def reached(dataset: Dataset) -> Accuracy:
        monkeypatch.setattr(
            "trainfit.bench.training.train.load_dataset", lambda name, root: dataset
        )
        return train(chosen, load(chosen, None), lambda message: None)

    data = load_dataset("digits")
    without = replace(data, test_x=torch.zeros_like(data.test_x), test_y=data.test_y.flip(0))
    first, second = reached(data), reached(without)

    assert first.validation_accuracy == second.validation_accuracy
    assert first.curve == second.curve
    assert first.test_accuracy is None
    assert first.validation_accuracy is not None
    assert first.validation_accuracy > 0.3


def test_what_is_held_out_standardises_nothing() -> None:
    data = load(workload(held_out=200, standardise=True), None)

    assert abs(float(data.train_x.double().mean())) < 1e-6
    assert abs(float(data.test_x.double().mean())) > 1e-6


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"held_out": 10**6}, "held_out is 1,000,000, but dataset 'digits' has"),
        ({"held_out": 1400, "train_samples": 300}, "training samples that are not held out"),
    ],
)
def test_too_many_are_refused(changes: dict[str, Any], says: str) -> None:
    with pytest.raises(ConfigurationError, match=says):
        load(workload(**changes), None)


def test_an_accuracy_is_of_one_split() -> None:
    common: dict[str, Any] = {"epochs": 1, "train_seconds": 1.0}
    for wrong in ({}, {"test_accuracy": 0.5, "validation_accuracy": 0.5}):
        with pytest.raises(ValidationError, match="either test_accuracy or validation_accuracy"):
            Accuracy(**common, **wrong)


def test_frames_keep_the_splits_apart() -> None:
    held = Accuracy(
        validation_accuracy=0.9, balanced_accuracy=0.8, epochs=1, train_seconds=1.0, curve=[0.9]
    )
    made = record(workload=workload(held_out=200), accuracy=held)

    row = records_frame([("run", made)]).iloc[0]
    assert (row["held_out"], row["validation_accuracy"]) == (200, 0.9)
    assert row[["test_accuracy"]].isna().all()
    assert curves_frame([("run", made)]).empty


def test_a_workload_without_it_is_written_as_before() -> None:
    """Run folders, goldens and resumed trainings know a workload by this text."""
    plain = workload()
    assert {"held_out", "tuned"}.isdisjoint(plain.model_dump(mode="json"))
    search = Search(grid={"lr": [0.1]}, passes=1, held_out=9, seeds=[0])
    tuned = plain.model_copy(update={"held_out": 9, "tuned": search})
    assert Workload.model_validate_json(tuned.model_dump_json()) == tuned


def test_balanced_accuracy_by_hand() -> None:
    """Eight of ten right; of class 0 all eight, of class 1 none of two, of class 2 no sample."""

    class Always:
        def predict(self, x_BF: torch.Tensor) -> torch.Tensor:
            return torch.tensor([[1.0, 0.0, 0.0]]).expand(len(x_BF), 3).contiguous()

    x_SF, y_S = torch.zeros(10, 1), torch.tensor([0] * 8 + [1] * 2)
    data = Dataset("skewed", x_SF, y_S, x_SF, y_S, 3, (1, 1, 1))
    rule: Any = Always()
    rule.model = type("Model", (), {"classes": 3})

    assert evaluate(rule, data) == Scores(0.8, 0.5)
