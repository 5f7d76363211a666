from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from tests.builders.runs import PLUGINS, workload
from trainfit.algorithms.data import Dataset
from trainfit.algorithms.errors import ConfigurationError
from trainfit.bench.records.schema import (
    Accuracy,
    Latency,
    LayerGradients,
    Memory,
    Noise,
    StageOperations,
)
from trainfit.bench.run import worker
from trainfit.bench.training import train as training
from trainfit.bench.training.contract_check import ContractError


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Third-party algorithms, and little data."""
    monkeypatch.syspath_prepend(str(PLUGINS))
    monkeypatch.syspath_prepend(str(tmp_path))
    (tmp_path / "unparsable.py").write_text("class Rule(:\n")

    def load(name: str, root: object) -> Dataset:
        if name != "few":
            raise ConfigurationError(f"unknown dataset {name!r}")
        generator = torch.Generator().manual_seed(0)
        y = torch.randint(4, (80,), generator=generator)
        x = torch.nn.functional.one_hot(y, 8).float()
        return Dataset("few", x[:60], y[:60], x[60:], y[60:], 4, (1, 1, 8))

    monkeypatch.setattr(training, "load_dataset", load)


def job(algorithm: str = "plain:Delta", **changes: Any) -> dict[str, Any]:
    values = {"model": "mlp-8-4", "dataset": "few", "batch_size": 10, "epochs": 3, **changes}
    dumped = workload(algorithm=algorithm, **values).model_dump(mode="json")
    wanted = ["memory", "latency", "accuracy"]
    return {
        "workload": dumped,
        "data_root": None,
        "threads": 1,
        "measure": wanted,
        "state": None,
    }


def measured(**changes: Any) -> dict[str, Any]:
    parts: dict[str, Any] = {}
    worker.measure(job(**changes), parts.update)
    return parts


def test_memory_latency_and_accuracy_of_one_workload() -> None:
    parts = measured()

    memory = Memory.model_validate(parts["memory"])
    assert memory.static_bytes == 8 * 4 * 4 + 10 * 8 * 4 + 10 * 8
    assert memory.deterministic
    assert Latency.model_validate(parts["latency"]).step_seconds_median
    accuracy = Accuracy.model_validate(parts["accuracy"])
    assert accuracy.epochs == len(accuracy.curve) == 3
    assert accuracy.test_accuracy == accuracy.curve[-1] == 1.0


def test_the_same_seed_gives_the_same_figures() -> None:
    first, second = measured(seed=3), measured(seed=3)

    assert first["memory"] == second["memory"]
    assert first["accuracy"]["curve"] == second["accuracy"]["curve"]


@pytest.mark.parametrize("wanted", ["memory", "latency", "accuracy"])
def test_what_is_not_asked_for_is_not_measured(wanted: str) -> None:
    parts: dict[str, Any] = {}
    worker.measure(job() | {"measure": [wanted]}, parts.update)

    beside = {"timeline"} if wanted == "memory" else set()
    assert set(parts) == {"doing", "operations", wanted, *beside}


def test_the_arithmetic_is_stated_for_every_stage() -> None:
    parts = measured(algorithm="tinyfoa", model="mlp-8-16-12-4", epochs=0)

    stages = [StageOperations.model_validate(each) for each in parts["operations"]]
    assert [stage.stage for stage in stages] == ["layer1", "layer2"]
    assert stages[0].macs["fp32_binary"] == 10 * 8 * 16 + 10 * 16 * 4
    assert stages[1].macs["binary"] == 10 * 16 * 12


def test_no_epochs_means_no_accuracy() -> None:
    assert "accuracy" not in measured(epochs=0)


@pytest.mark.parametrize("wanted", ["gradients", "noise"])
@pytest.mark.parametrize("epochs", [0, 3])
def test_the_probes_look_into_the_net_as_it_is_then(wanted: str, epochs: int) -> None:
    parts: dict[str, Any] = {}
    worker.measure(job(epochs=epochs) | {"measure": [wanted]}, parts.update)

    assert set(parts) == {"doing", "operations", wanted}
    if wanted == "gradients":
        layers = [LayerGradients.model_validate(each) for each in parts["gradients"]]
        assert [layer.passes for layer in layers] == [*range(epochs + 1)]
        for layer in layers:
            assert (layer.tensor, layer.shape, layer.reason) == ("w", (8, 4), None)
    else:
        noise = Noise.model_validate(parts["noise"])
        assert noise.samples == 20
        assert (noise.undisturbed_accuracy == 1.0) is (epochs > 0)


@pytest.mark.parametrize(
    ("evaluate_every", "moments"), [(1, [0, 1, 2, 3]), (2, [0, 2, 3]), (3, [0, 3]), (9, [0, 3])]
)
def test_gradients_are_probed_before_training_and_where_the_accuracy_is_measured(
    evaluate_every: int, moments: list[int]
) -> None:
    parts: dict[str, Any] = {}
    asked = job(evaluate_every=evaluate_every) | {"measure": ["accuracy", "gradients"]}
    worker.measure(asked, parts.update)

    assert [each["passes"] for each in parts["gradients"]] == moments
    assert parts["accuracy"]["curve_passes"] == moments[1:]
    sizes = [each["rms"] for each in parts["gradients"]]
    assert sizes == sorted(sizes, reverse=True)  # it learns
    assert len(set(sizes)) == len(moments)


def test_a_training_with_probes_that_is_cut_off_goes_on_to_the_same_gradients(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = job() | {"measure": ["accuracy", "gradients"]}
    whole: dict[str, Any] = {}
    worker.measure(asked, whole.update)
    monkeypatch.setattr(training, "SAVE_SECONDS", -1.0)
    kept = asked | {"state": str(tmp_path / "state" / "01.pt")}

    def cut_off(message: dict[str, Any]) -> None:
        if message.get("doing") == "accuracy 3/3":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        worker.measure(kept, cut_off)
    parts: dict[str, Any] = {}
    heard: list[str] = []

    def send(message: dict[str, Any]) -> None:
        parts.update(message)
        heard.append(message.get("doing", ""))

    worker.measure(kept, send)

    assert [each for each in heard if each.startswith("gradients")] == ["gradients 3/3"]
    assert parts["gradients"] == whole["gradients"]


def test_a_state_without_the_gradients_so_far_starts_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever asks for them later gets all of them."""
    monkeypatch.setattr(training, "SAVE_SECONDS", -1.0)
    kept = job() | {"state": str(tmp_path / "state" / "01.pt")}

    def cut_off(message: dict[str, Any]) -> None:
        if message.get("doing") == "accuracy 3/3":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        worker.measure(kept | {"measure": ["accuracy"]}, cut_off)
    parts: dict[str, Any] = {}
    worker.measure(kept | {"measure": ["gradients"]}, parts.update)

    assert [each["passes"] for each in parts["gradients"]] == [0, 1, 2, 3]


def test_a_probe_that_is_cut_off_leaves_the_training_to_go_on_with(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    state = tmp_path / "state" / "01.pt"
    asked = job() | {"measure": ["accuracy", "noise"], "state": str(state)}
    monkeypatch.setattr(training, "SAVE_SECONDS", -1.0)
    heard: list[str] = []

    def send(message: dict[str, Any]) -> None:
        heard.extend(str(message[key]) for key in message if key == "doing")
        if message.get("doing") == "noise" and heard.count("noise") == 1:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        worker.measure(asked, send)
    assert state.exists()
    heard_before = len(heard)
    worker.measure(asked, send)

    assert not [what for what in heard[heard_before:] if what.startswith("accuracy")]
    assert not state.exists()


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("Yields", "step returned a generator; a step trains at once and returns None"),
        ("Undeclared", "step entered 'backward'; declared are 'forward', 'gradient', 'update'"),
        ("Unmarked", "step entered no phase; declared are"),
        ("Misshapen", r"predict returned shape \(10, 3\); expected shape \(10, 4\)"),
        ("Labels", r"predict returned a list; expected shape \(10, 4\)"),
        ("Overwrites", "step changed its batch; x and y have to be left as found"),
        ("Diverges", "w holds NaN or infinity after training pass 2 of 3"),
    ],
)
def test_a_broken_contract_is_told_from_a_bad_figure(name: str, message: str) -> None:
    with pytest.raises(ContractError, match=message) as error:
        measured(algorithm=f"broken:{name}")

    assert error.value.where is not None
    assert ".py:" in error.value.where


def checked(*workloads: dict[str, Any]) -> list[dict[str, Any]]:
    messages: list[dict[str, Any]] = []
    jobs = {"workloads": [each["workload"] for each in workloads], "data_root": None}
    worker.preflight(jobs, messages.append)
    return messages


def test_a_suite_that_is_right_passes_and_tells_the_environment() -> None:
    messages = checked(job(), job(batch_size=5))

    assert "torch" in messages[0]["environment"]["versions"]
    assert messages[1:] == [{"doing": "building"}] * 2


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"algorithm": "backprob"}, "unknown algorithm 'backprob'; did you mean backprop"),
        ({"algorithm": "nowhere:Rule"}, "cannot load algorithm 'nowhere:Rule'"),
        ({"algorithm": "plain:Nothing"}, "cannot load algorithm 'plain:Nothing'"),
        ({"algorithm": "broken:not_a_class"}, "not a subclass"),
        ({"algorithm": "unparsable:Rule"}, "SyntaxError"),
        ({"algorithm": "unfinished:Rule"}, "lacks paper, predict"),
        ({"options": {"lrr": 1}}, "unknown option of delta 'lrr'; did you mean lr?"),
        ({"options": {"lr": -1}}, "option 'lr' of delta: Input should be greater than 0, got -1"),
        ({"model": "mpl-8-4"}, "unknown model family 'mpl'; did you mean mlp?"),
        ({"model": "mlp-8-x-4"}, "'x' is not a width"),
        ({"dataset": "digit"}, "unknown dataset 'digit'"),
        ({"model": "mlp-784-4"}, "takes 784 inputs but dataset 'few' has 8 features"),
        ({"model": "mlp-8-10"}, "has 10 classes but dataset 'few' has 4"),
        ({"batch_size": 100}, "batch size 100 does not fit dataset 'few'"),
        ({"algorithm": "broken:Refuses"}, "needs a hidden layer"),
    ],
)
def test_a_wrong_configuration_names_the_workload(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigurationError) as error:
        checked(job(), job(**changes))

    assert str(error.value).startswith("workload 2 (")
    assert message in str(error.value)


def test_other_faults_of_building_are_left_to_the_workload_itself() -> None:
    assert checked(job("broken:FailsWhenBuilt"), job())[-1] == {"doing": "building"}


def test_what_does_not_fit_the_limit_is_left_to_its_own_process(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Its record says so; the others are checked and measured all the same."""
    load = worker.load

    def limited(chosen: Any, root: object) -> Dataset:
        if chosen.train_samples:
            raise MemoryError("Unable to allocate 240 MiB")
        return load(chosen, root)

    monkeypatch.setattr(worker, "load", limited)
    large, small = job(train_samples=50), job()

    heard = checked(large, small)

    assert [each for each in heard if "doing" in each] == [{"doing": "building"}]
    with pytest.raises(ConfigurationError, match=r"workload 3 .*takes 9 inputs"):
        checked(large, small, job(model="mlp-9-4"))


@pytest.mark.parametrize("rows", ["all", "one"])
def test_what_is_not_a_number_is_no_score(rows: str) -> None:
    with pytest.raises(ContractError, match=r"predict returned NaN for (10|1) of 10 samples"):
        measured(algorithm=f"broken:{'Nan' if rows == 'all' else 'SometimesNan'}")
