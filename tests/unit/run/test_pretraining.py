"""Trainings that start from a net that has learned something."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from rich.text import Text

from tests.builders.runs import Heard, workload
from trainfit.algorithms import Category
from trainfit.algorithms.errors import ConfigurationError
from trainfit.bench.cli.reports.run import figures
from trainfit.bench.records.schema import Pretraining, Workload
from trainfit.bench.run.runner import run_suite
from trainfit.bench.run.worker import preflight
from trainfit.bench.suite.suite import parse_suite
from trainfit.bench.suite.workload_text import WorkloadTextError, parse_workload
from trainfit.bench.training.pretraining import of_classes, take_over
from trainfit.bench.training.train import build, fitted, load, train, train_and_keep

NET = "cnn-1x8x8-c4-c4-g-10"
FIRST = {"algorithm": "backprop", "epochs": 3, "classes": [0, 1, 2], "options": {"lr": 0.1}}


def tuning(**changes: Any) -> Workload:
    values = {
        "algorithm": "sparse_update",
        "options": {"layers": "last:1", "biases": "none", "lr": 0.1},
        "model": NET,
        "train_samples": 400,
        "epochs": 2,
        "pretrained": FIRST,
    }
    return workload(**(values | changes))


def trained(chosen: Workload, state: Path | None = None) -> tuple[Any, list[str]]:
    heard: list[str] = []
    found = train_and_keep(chosen, load(chosen, None), lambda m: heard.append(m["doing"]), state)
    return found, heard


def test_frozen_tensors_are_those_that_were_learned_before() -> None:
    found, heard = trained(tuning())

    assert heard == [f"before: accuracy {n}/3" for n in (1, 2, 3)] + [
        "accuracy 1/2",
        "accuracy 2/2",
    ]
    drawn = {each.name: each.tensor for each in build(tuning()).static_tensors()}
    after = {each.name: each.tensor for each in found.algorithm.static_tensors()}
    same = [name for name in after if torch.equal(drawn[name], after[name])]
    assert not [name for name in same if name.endswith(("weight", "gain", "mean", "variance"))]
    assert found.accuracy.curve_passes == [0, 1, 2]
    assert found.accuracy.epochs == 2


def test_it_starts_where_the_training_before_ended() -> None:
    """With a rate of almost nothing the net is the one that was trained on three classes."""
    alone = tuning(algorithm="backprop", options=FIRST["options"], epochs=3, pretrained=None)
    shown = of_classes(load(alone, None), Pretraining.model_validate(FIRST), alone.batch_size)
    expected = train_and_keep(alone, shown, lambda _: None).algorithm

    found, _ = trained(tuning(options={"layers": "last:1", "biases": "none", "lr": 1e-30}))

    own = {each.name: each.tensor for each in found.algorithm.static_tensors()}
    learned = [e for e in expected.static_tensors() if e.category is not Category.OPTIMIZER_STATE]
    assert len(learned) > 8
    for each in learned:
        assert torch.equal(own[each.name], each.tensor), each.name


def test_what_two_workloads_start_from_is_trained_once(tmp_path: Path) -> None:
    one, first = trained(tuning(), tmp_path / "01.pt")
    two, second = trained(tuning(options={"layers": "all"}), tmp_path / "02.pt")

    assert first[0] == "before: accuracy 1/3"
    assert second == ["accuracy 1/2", "accuracy 2/2"]
    assert two.accuracy.curve[0] == one.accuracy.curve[0]
    other, third = trained(tuning(pretrained=FIRST | {"classes": [0, 1, 3]}), tmp_path / "03.pt")
    assert third[0] == "before: accuracy 1/3"
    assert other.accuracy.curve != one.accuracy.curve


def test_what_comes_before_has_batches_of_its_own(tmp_path: Path) -> None:
    """A device takes a sample at a time; what it starts from was trained elsewhere."""
    by_itself, _ = trained(tuning(), tmp_path / "01.pt")
    one = tuning(batch_size=1, epochs=1, pretrained=FIRST | {"batch_size": tuning().batch_size})

    found, heard = trained(one, tmp_path / "02.pt")

    assert heard == ["accuracy 1/1"]  # it starts from the same file
    assert found.accuracy.curve
    assert by_itself.accuracy.curve
    assert found.accuracy.curve[0] == by_itself.accuracy.curve[0]
    assert one.pretrained is not None
    assert f" b{tuning().batch_size} on classes 0,1,2" in one.pretrained.label


def test_a_training_that_was_cut_off_does_not_begin_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("trainfit.bench.training.train.SAVE_SECONDS", -1.0)
    chosen = tuning(epochs=3)
    whole, _ = trained(chosen)

    class CutOffError(Exception):
        pass

    def send(message: dict[str, Any]) -> None:
        if message["doing"] == "accuracy 2/3":
            raise CutOffError

    with pytest.raises(CutOffError):
        train(chosen, load(chosen, None), send, tmp_path / "01.pt")
    found, heard = trained(chosen, tmp_path / "01.pt")

    assert heard == ["accuracy 2/3", "accuracy 3/3"]
    assert found.accuracy.curve == whole.accuracy.curve


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"classes": [0, 12]}, "'digits' has no class 12; they are counted from 0 to 9"),
        ({"algorithm": "backprop_int8", "options": {}}, "in other tensors than backprop_int8"),
        ({"algorithm": "backpop"}, "backpop"),
        ({"options": {"rate": 1}}, "rate"),
    ],
)
def test_what_cannot_come_before_is_refused_before_anything_starts(
    changes: dict[str, Any], message: str
) -> None:
    chosen = tuning(pretrained=FIRST | changes)
    job = {"workloads": [chosen.model_dump(mode="json")], "data_root": None}

    with pytest.raises(ConfigurationError, match=message):
        preflight(job, lambda _: None)


def test_classes_of_which_there_is_less_than_a_batch() -> None:
    chosen = tuning(batch_size=200, pretrained=FIRST | {"classes": [0]})
    with pytest.raises(ConfigurationError, match=r"training samples of dataset 'digits' are"):
        fitted(chosen, load(chosen, None))


def test_another_net_is_not_taken_over() -> None:
    with pytest.raises(ConfigurationError, match="conv1"):
        take_over(build(tuning()), build(tuning(model="cnn-1x8x8-c8-c4-g-10")))


def test_a_suite_says_it_and_the_label_tells() -> None:
    text = """
    name = "x"
    [[workload]]
    algorithm = "sparse_update"
    model = "resnet8"
    dataset = "cifar10"
    batch_size = 32
    pretrained = { algorithm = "backprop", epochs = 10, classes = [0, 1] }
    """
    [chosen] = parse_suite(text, source="x.toml", folder=Path()).workloads

    assert chosen.label.endswith("b32 after 10 passes of backprop on classes 0,1")
    assert Workload.model_validate_json(chosen.model_dump_json()) == chosen
    assert "pretrained" not in workload().model_dump_json()
    with pytest.raises(WorkloadTextError, match="in the wrong place"):
        parse_workload(chosen.label)


def test_a_run_leaves_nothing_behind_and_says_what_came_before(tmp_path: Path) -> None:
    text = f"""
    name = "x"
    devices = []
    measure = ["accuracy"]
    [[workload]]
    algorithm = "sparse_update"
    model = "{NET}"
    dataset = "digits"
    batch_size = 64
    epochs = 1
    train_samples = 200
    pretrained = {{ algorithm = "backprop", epochs = 1 }}
    """
    suite = parse_suite(text, source="x.toml", folder=Path())

    run = run_suite(suite, [], tmp_path / "run", Heard())

    assert not (tmp_path / "run" / "state").exists()
    title, *_ = figures(run.records, 80)
    assert isinstance(title, Text)
    assert title.plain.endswith("seed 0, after 1 pass of backprop")
