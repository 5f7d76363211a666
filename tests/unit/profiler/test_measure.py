"""From an algorithm to the blocks of a record."""

from __future__ import annotations

import threading

import pytest
import torch

from trainfit.algorithms import (
    Category,
    ConfigurationError,
    StaticTensor,
    build_algorithm,
)
from trainfit.bench.profiler import (
    ForeignThreadError,
    SessionError,
    measure_latency,
    profile_step,
)
from trainfit.bench.profiler.determinism import onednn
from trainfit.bench.profiler.step import peak_as_deployed
from trainfit.bench.records.schema import Evidence, Memory
from trainfit.bench.run import memory as memory_module
from trainfit.bench.run.memory import measure_memory
from trainfit.bench.trace.prediction import Prediction, predict
from trainfit.bench.trace.recorder import Recorder


@pytest.fixture
def backprop():
    return build_algorithm("backprop", "mlp-24-16-4")


@pytest.fixture
def batch():
    return torch.rand(10, 24), torch.randint(0, 4, (10,))


def predicted_of(**options):
    """What another form of the same rule needs."""
    return predict(build_algorithm("backprop", "mlp-24-16-4", options), 10)


def test_a_prediction_that_is_wrong_leaves_an_itemised_residual(backprop, batch, monkeypatch):
    less = predicted_of(update="fused")
    monkeypatch.setattr("trainfit.bench.run.memory.predict", lambda *_: less)
    memory = measure_memory(backprop, *batch)
    assert memory.worst.residual.unexplained_bytes == memory.peak_dynamic_bytes - less.peak_bytes
    assert memory.worst.residual.unexplained_bytes > 0
    named = {item.name: item.bytes for item in memory.worst.residual.items}
    assert any(name.startswith("measured only: mm float32") for name in named)
    assert sum(named.values()) == memory.worst.residual.unexplained_bytes


def test_what_was_predicted_and_not_there_is_named_too(backprop, batch, monkeypatch):
    more = predict(build_algorithm("backprop", "mlp-24-17-4"), 10)
    monkeypatch.setattr("trainfit.bench.run.memory.predict", lambda *_: more)
    residual = measure_memory(backprop, *batch).worst.residual
    assert residual.unexplained_bytes < 0
    assert sum(item.bytes for item in residual.items) == residual.unexplained_bytes
    assert any(item.name.startswith("traced only: mm float32 17x24") for item in residual.items)


def test_a_trace_without_the_measured_phases_says_so(backprop, batch, monkeypatch):
    recorder = Recorder()
    recorder.begin()
    nothing = Prediction(recorder.finish(), (), ())
    monkeypatch.setattr("trainfit.bench.run.memory.predict", lambda *_: nothing)
    memory = measure_memory(backprop, *batch)
    assert memory.predicted_bytes == 0
    assert memory.worst.phases["gradient"].predicted_bytes is None
    assert memory.worst.residual.unexplained_bytes == memory.peak_dynamic_bytes
    assert sum(item.bytes for item in memory.worst.residual.items) == memory.peak_dynamic_bytes


def test_a_step_that_cannot_be_traced_is_measured_all_the_same(backprop, batch, monkeypatch):
    def refuse(*_):
        raise ConfigurationError("it reads its data at train.py:3")

    monkeypatch.setattr("trainfit.bench.run.memory.predict", refuse)
    memory = measure_memory(backprop, *batch)
    assert memory.peak_dynamic_bytes > 0
    assert memory.predicted_bytes is None
    assert memory.device_bytes is None
    assert memory.worst.not_predicted == "it reads its data at train.py:3"
    assert memory.worst.residual.items == []


def test_shared_storage_is_counted_once(backprop, batch):
    class Shares(type(backprop)):
        def static_tensors(self):
            yield from super().static_tensors()
            yield StaticTensor("again", self._parameters["w1"].T, Category.BUFFERS)

    backprop.__class__ = Shares
    ram, storage = memory_module.static_bytes(backprop, *batch)
    assert "buffers" not in ram
    assert storage == 0


def test_layer_wise_algorithms_keep_every_stage_and_stay_at_the_worst(batch):
    algorithm = build_algorithm("tinyfoa", "mlp-24-16-32-8-4")
    memory = measure_memory(algorithm, *batch)
    assert [stage.stage for stage in memory.stages] == ["layer1", "layer2", "layer3"]
    assert memory.worst_stage == "layer2"
    assert algorithm._rule._active == 1
    assert memory.storage_bytes == max(stage.storage_bytes for stage in memory.stages)
    assert memory.evidence is Evidence.ALLOCATOR


def test_as_deployed_says_why_it_is_missing(backprop, batch, monkeypatch):
    def deployed_fails(step):
        raise SessionError("no session today")

    monkeypatch.setattr(memory_module, "peak_as_deployed", deployed_fails)
    memory = measure_memory(backprop, *batch)
    assert memory.as_deployed.peak_dynamic_bytes is None
    assert memory.as_deployed.reason == "no session today"


def test_as_deployed_is_the_peak_of_a_whole_profile_with_the_settings_as_they_are(backprop, batch):
    def step():
        backprop.step(*batch)

    whole = profile_step(step, warmup=1, pin=False)
    assert peak_as_deployed(step) == (whole.peak_dynamic_bytes, True)


def test_as_deployed_tells_that_repeats_differ():
    sizes = iter(range(1000, 9000, 100))
    _, deterministic = peak_as_deployed(lambda: torch.empty(next(sizes)).sum())
    assert not deterministic


def test_as_deployed_refuses_what_other_threads_do():
    def step():
        thread = threading.Thread(target=lambda: torch.ones(2000).sum())
        thread.start()
        thread.join()
        torch.ones(10)

    with pytest.raises(ForeignThreadError, match="another thread ran"):
        peak_as_deployed(step)


def test_only_who_runs_operators_is_asked_with_onednn_as_it_was():
    """Without it torch makes a convolution per group, and a session keeps each of them."""
    seen = []

    def step():
        seen.append(torch._C._get_mkldnn_enabled())
        return torch.ones(8)

    profile_step(step, warmup=1, repeats=2)
    assert seen.count(True) == 1
    assert len(seen) > 4
    seen.clear()
    with onednn(False):
        profile_step(step, warmup=1, repeats=2)
    assert not any(seen)


def test_foreign_threads_are_never_put_up_with(backprop, batch, monkeypatch):
    def foreign(step, **options):
        raise ForeignThreadError("a thread")

    monkeypatch.setattr(memory_module, "profile_step", foreign)
    with pytest.raises(ForeignThreadError):
        measure_memory(backprop, *batch)


def test_memory_survives_the_way_to_a_record_and_back(backprop, batch):
    memory = measure_memory(backprop, *batch)
    assert Memory.model_validate_json(memory.model_dump_json()) == memory


def test_latency_has_median_spread_and_phases(backprop, batch):
    latency = measure_latency(backprop, *batch, threads=1)
    assert latency.evidence is Evidence.CLOCK
    assert latency.threads == 1
    assert 20 <= latency.steps <= 2000
    assert set(latency.phases) == {"forward", "gradient", "update"}
    parts = sum(phase.seconds_median for phase in latency.phases.values())
    assert 0.5 * latency.step_seconds_median < parts <= 1.5 * latency.step_seconds_median
    assert latency.step_seconds_iqr >= 0


def test_latency_puts_threads_back_after_an_error(batch):
    algorithm = build_algorithm("backprop", "mlp-24-16-4")
    algorithm.step = lambda x, y: 1 / 0
    torch.set_num_threads(1)
    with pytest.raises(ZeroDivisionError):
        measure_latency(algorithm, *batch, threads=2)
    assert torch.get_num_threads() == 1
