from __future__ import annotations

import hashlib
import io
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.builders.disks import largest_file
from tests.builders.runs import workload
from trainfit.algorithms import algorithm_names, build_algorithm
from trainfit.algorithms.data import load_dataset
from trainfit.algorithms.errors import ConfigurationError
from trainfit.bench.records.schema import Accuracy, Workload
from trainfit.bench.training import train as training
from trainfit.bench.training.kept import _FIXED, Progress, restore, save
from trainfit.bench.training.train import fitted, load, train


class CutOffError(Exception):
    """Stands for whatever ends a process."""


def learn(**changes: Any) -> Workload:
    values = {"algorithm": "drtp", "model": "mlp-64-16-10", "batch_size": 64, "epochs": 4}
    return workload(**(values | {"dataset": "digits"} | changes))


def cut_off(chosen: Workload, state: Path, after: int) -> None:
    """Train as far as pass ``after``, then no further."""

    def send(message: dict[str, Any]) -> None:
        if message["doing"].startswith(f"accuracy {after + 1}/"):
            raise CutOffError

    with pytest.raises(CutOffError):
        train(chosen, load(chosen, None), send, state)


def passes_heard(chosen: Workload, state: Path | None) -> tuple[Accuracy, list[str]]:
    heard: list[str] = []
    accuracy = train(chosen, load(chosen, None), lambda m: heard.append(m["doing"]), state)
    return accuracy, heard


@pytest.fixture
def eager(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep the training after every pass, not once a minute."""
    monkeypatch.setattr(training, "SAVE_SECONDS", -1.0)


RESUMED = [name for name in algorithm_names() if name not in ("tinyfoa",)]


@pytest.mark.usefixtures("eager")
@pytest.mark.parametrize("name", RESUMED)
def test_a_training_that_was_cut_off_goes_on_to_the_same_end(name: str, tmp_path: Path) -> None:
    chosen = learn(algorithm=name, train_samples=256)
    whole, _ = passes_heard(chosen, None)
    cut_off(chosen, tmp_path / "state" / "01.pt", after=2)

    accuracy, heard = passes_heard(chosen, tmp_path / "state" / "01.pt")

    assert heard == ["accuracy 3/4", "accuracy 4/4"]
    assert accuracy.curve == whole.curve
    assert list((tmp_path / "state").iterdir()) == []


@pytest.mark.usefixtures("eager")
@pytest.mark.parametrize("changes", [{}, {"augment": "crop-flip"}])
def test_a_net_of_units_goes_on_to_the_same_end(changes: dict[str, Any], tmp_path: Path) -> None:
    chosen = learn(
        algorithm="sparse_update",
        options={"layers": "2,3", "ratio": 0.5, "optimizer": "adam"},
        model="cnn-c4-c4-g",
        train_samples=256,
        **changes,
    )
    chosen = fitted(chosen, load(chosen, None))
    whole, _ = passes_heard(chosen, None)
    cut_off(chosen, tmp_path / "01.pt", after=2)

    accuracy, heard = passes_heard(chosen, tmp_path / "01.pt")

    assert heard == ["accuracy 3/4", "accuracy 4/4"]
    assert accuracy.curve == whole.curve


def test_what_is_kept_of_samples_cannot_be_augmented() -> None:
    chosen = learn(
        algorithm="tinyfoa",
        options={"features": "cached"},
        model="mlp-64-16-16-10",
        epochs=1,
        augment="crop-flip",
    )
    with pytest.raises(ConfigurationError, match="tinyfoa keeps something of every sample of 'dig"):
        train(chosen, load(chosen, None), lambda _: None)


@pytest.mark.usefixtures("eager")
def test_stages_go_on_where_they_were(tmp_path: Path) -> None:
    chosen = learn(algorithm="tinyfoa", model="mlp-64-16-16-10", epochs=2, train_samples=256)
    whole, _ = passes_heard(chosen, None)
    cut_off(chosen, tmp_path / "01.pt", after=3)

    accuracy, heard = passes_heard(chosen, tmp_path / "01.pt")

    assert heard == ["accuracy 4/4"]
    assert accuracy.curve == whole.curve


@pytest.mark.usefixtures("eager")
def test_what_cannot_be_kept_starts_over(tmp_path: Path) -> None:
    """update=fused lives in hooks, which are code: without them no weight would move."""
    chosen = learn(algorithm="backprop", options={"update": "fused"}, train_samples=256)
    cut_off(chosen, tmp_path / "01.pt", after=2)

    assert passes_heard(chosen, tmp_path / "01.pt")[1][0] == "accuracy 1/4"


@pytest.mark.usefixtures("eager")
def test_the_state_of_another_workload_is_not_used(tmp_path: Path) -> None:
    cut_off(learn(seed=1), tmp_path / "01.pt", after=2)

    assert passes_heard(learn(seed=2), tmp_path / "01.pt")[1][0] == "accuracy 1/4"


class Hostile:
    def __reduce__(self) -> Any:
        return os.mkdir, ("executed",)


@pytest.mark.parametrize("what", ["hostile", "cut", "empty", "other"])
def test_a_damaged_or_hostile_state_is_neither_used_nor_run(
    what: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "01.pt"
    chosen = learn()
    kept = {
        "workload": chosen.model_dump_json(),
        "progress": {"passes": 3},
        "algorithm": {"x": Hostile() if what == "hostile" else 1},
    }
    torch.save(kept if what != "other" else ["something", "else"], path)
    if what in ("cut", "empty"):
        path.write_bytes(path.read_bytes()[: 100 if what == "cut" else 0])

    assert passes_heard(chosen, path)[1][0] == "accuracy 1/4"
    assert not (tmp_path / "executed").exists()


def damaged(whole: bytes, how: str) -> bytes:
    if how == "cut":
        return whole[:-1]
    if how == "longer":
        return whole + b"\0"
    at = len(whole) - 1 if how == "last" else len(whole) * int(how) // 100
    return whole[:at] + bytes([whole[at] ^ 0x10]) + whole[at + 1 :]


@pytest.mark.usefixtures("eager")
@pytest.mark.parametrize("how", ["cut", "longer", "last", *map(str, range(0, 100, 8))])
def test_a_damaged_state_starts_over_with_a_word(
    how: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "01.pt"
    chosen = learn(epochs=2, train_samples=256)
    cut_off(chosen, path, after=1)
    path.write_bytes(damaged(path.read_bytes(), how))
    caplog.clear()

    accuracy, heard = passes_heard(chosen, path)

    assert heard == ["accuracy 1/2", "accuracy 2/2"]
    assert len(accuracy.curve) == 2
    assert "the training starts over" in caplog.text
    assert not path.exists()


CRAFTED: list[dict[str, Any]] = [
    {"passes": 2, "curve": [], "curve_passes": []},
    {"passes": 9, "curve": [0.5, 0.5], "curve_passes": [1, 2]},
    {"passes": -1, "curve": [], "curve_passes": []},
    {"passes": 1, "curve": ["much"], "curve_passes": [1]},
    {"passes": 1, "curve": 0.5, "curve_passes": [1]},
    {"passes": "one"},
    {"hurry": 1},
]


@pytest.mark.parametrize("progress", CRAFTED)
def test_a_state_that_contradicts_itself_starts_over(
    progress: dict[str, Any], tmp_path: Path
) -> None:
    chosen = learn(epochs=2, train_samples=256)
    algorithm = training.build(chosen)
    kept = {
        "workload": chosen.model_dump_json(),
        "progress": progress,
        "algorithm": {k: v for k, v in vars(algorithm).items() if k not in _FIXED},
    }
    written = io.BytesIO()
    torch.save(kept, written)
    content = written.getvalue()
    (tmp_path / "01.pt").write_bytes(content + hashlib.sha256(content).digest())

    assert passes_heard(chosen, tmp_path / "01.pt")[1][0] == "accuracy 1/2"


@pytest.mark.usefixtures("eager")
def test_a_training_that_finds_the_disk_full_goes_on(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    chosen = learn(epochs=2, train_samples=256)
    whole, _ = passes_heard(chosen, None)
    (tmp_path / "state").mkdir()

    with largest_file(1000):
        accuracy, _ = passes_heard(chosen, tmp_path / "state" / "01.pt")

    assert accuracy.curve == whole.curve
    assert "the training is not kept" in caplog.text
    assert list((tmp_path / "state").iterdir()) == []


@pytest.mark.usefixtures("eager")
def test_a_state_is_not_written_through_a_link(tmp_path: Path) -> None:
    (tmp_path / "theirs").write_text("theirs")
    for name in ("01.pt", ".01.pt"):
        (tmp_path / name).symlink_to("theirs")

    passes_heard(learn(epochs=2, train_samples=256), tmp_path / "01.pt")

    assert (tmp_path / "theirs").read_text() == "theirs"


def test_the_curve_has_the_passes_that_were_asked_for_and_the_last_one() -> None:
    accuracy, _ = passes_heard(learn(epochs=5, evaluate_every=2), None)

    assert accuracy.curve_passes == [2, 4, 5]
    assert len(accuracy.curve) == 3
    assert accuracy.test_accuracy == accuracy.curve[-1]


def test_data_is_cut_then_standardised() -> None:
    plain = load_dataset("digits")

    data = load(learn(train_samples=100, standardise=True), None)

    assert data.train_x.shape == (100, 64)
    assert len(data.test_x) == len(plain.test_x)
    mean, deviation = plain.train_x[:100].mean(), plain.train_x[:100].std(correction=0)
    torch.testing.assert_close(data.test_x, (plain.test_x - mean) / deviation)


def test_more_samples_than_there_are_is_an_error() -> None:
    with pytest.raises(ConfigurationError, match=r"first 5 training samples .* none of class 0"):
        load(learn(train_samples=5), None)
    with pytest.raises(ConfigurationError, match=r"train_samples is 9,999, but dataset 'digits'"):
        load(learn(train_samples=9999), None)


def test_without_shuffling_samples_come_as_they_are() -> None:
    data = load_dataset("digits")
    x, y = next(training.epoch(learn(shuffle=False), data, 0))

    assert torch.equal(x, data.train_x[:64])
    assert torch.equal(y, data.train_y[:64])
    assert not torch.equal(next(training.epoch(learn(), data, 0))[1], y)


def test_an_algorithm_is_put_back_as_it_was(tmp_path: Path) -> None:
    algorithm = build_algorithm("forward_forward", "mlp-64-16-10")
    data = load_dataset("digits")
    algorithm.step(data.train_x[:10], data.train_y[:10])
    progress = Progress(passes=1, seconds=2.0, curve=[0.5], curve_passes=[1])
    chosen = learn(algorithm="forward_forward")
    save(tmp_path / "01.pt", chosen, algorithm, progress)
    fresh = build_algorithm("forward_forward", "mlp-64-16-10", seed=5)

    assert restore(tmp_path / "01.pt", chosen, fresh) == replace(progress)
    for each in (algorithm, fresh):
        each.step(data.train_x[:10], data.train_y[:10])  # draws from the generator, too
    for one, other in zip(algorithm.static_tensors(), fresh.static_tensors(), strict=True):
        assert torch.equal(one.tensor, other.tensor), one.name
