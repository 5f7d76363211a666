"""TinyFoA with the features of frozen layers read from storage."""

from __future__ import annotations

import pytest
import torch

from tests.contract.cases import samples_for
from trainfit.algorithms import ConfigurationError, build_algorithm
from trainfit.bench.run.memory import measure_memory, static_bytes

NETS = ["mlp-24-16-32-8-4", "lc-2x3x4-8-16-8-4"]


def held_by(algorithm):
    return {held.name: held.tensor.clone() for held in algorithm.static_tensors()}


@pytest.mark.parametrize("slices", [1, 2])
@pytest.mark.parametrize("depth", [0, 1, 2])
@pytest.mark.parametrize("model", NETS)
def test_a_step_is_the_step_that_recomputes_where_the_scale_is_that_of_the_batch(
    model, depth, slices
):
    """Training set and batch being the same, nothing is left that could differ."""
    runs = []
    for source in ("recomputed", "cached"):
        options = {"features": source, "slices": slices, "lr": 0.02}
        algorithm = build_algorithm("tinyfoa", model, options)
        x, y = samples_for(algorithm, 10)
        for stage in range(depth + 1):
            algorithm.enter_stage(stage)
            taken = algorithm.stage_data(x)
            for _ in range(3):
                algorithm.step(taken, y)
        runs.append((held_by(algorithm), algorithm.predict(x)))
    (recomputed, scores), (cached, cached_scores) = runs
    for name, tensor in recomputed.items():
        torch.testing.assert_close(tensor, cached[name], rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(scores, cached_scores, rtol=1e-4, atol=1e-5)
    assert set(cached) - set(recomputed) == {"output_scale1", "output_scale2", "output_scale3"}


@pytest.mark.parametrize("model", NETS)
def test_a_row_belongs_to_its_sample_alone(model, monkeypatch):
    algorithm = build_algorithm("tinyfoa", model, {"features": "cached"})
    x, _ = samples_for(algorithm, 30)
    algorithm.enter_stage(2)
    whole = algorithm.stage_data(x)
    monkeypatch.setattr("trainfit.algorithms.tinyfoa.features._ROWS", 7)
    assert torch.equal(algorithm.stage_data(x), whole)
    order = torch.randperm(30)
    assert torch.equal(algorithm.stage_data(x[order]), whole[order])
    assert whole.dtype is torch.uint8
    assert whole.is_contiguous()
    bits = {"mlp": 32, "lc": 12 * 16}[model.split("-")[0]]
    assert whole[0].nbytes == bits // 8


@pytest.mark.parametrize("model", NETS)
def test_only_the_active_layer_is_in_ram(model):
    held = {}
    for source in ("recomputed", "cached"):
        algorithm = build_algorithm("tinyfoa", model, {"features": source})
        algorithm.enter_stage(2)
        held[source] = {each.name: each for each in algorithm.static_tensors()}
    for number in (1, 2):
        assert not held["recomputed"][f"packed{number}"].storage
        assert held["cached"][f"packed{number}"].storage
    assert not held["cached"]["packed3"].storage
    assert held["cached"]["output_scale1"].storage
    assert not held["cached"]["output_scale2"].storage


@pytest.mark.parametrize("model", NETS)
def test_prediction_has_the_scales_of_the_training_set(model):
    algorithm = build_algorithm("tinyfoa", model, {"features": "cached"})
    x, _ = samples_for(algorithm, 30)
    algorithm.enter_stage(1)
    algorithm.stage_data(x)
    one = algorithm._rule._features(x[:1], training=False)
    whole = algorithm._rule._features(x, training=False)
    assert one.scale is whole.scale
    assert torch.equal(one.values, whole.values[:, :1])


def test_the_record_counts_the_features_of_the_whole_training_set():
    algorithm = build_algorithm("tinyfoa", "mlp-24-16-32-8-4", {"features": "cached"})
    x, y = samples_for(algorithm, 12)
    memory = measure_memory(algorithm, x, y, samples=1000)
    kept = []
    for index, stage in enumerate(memory.stages):
        algorithm.enter_stage(index)
        storage = static_bytes(algorithm, algorithm.stage_data(x), y)[1]
        kept.append(stage.storage_bytes - storage)
        assert stage.residual.unexplained_bytes == 0
        assert stage.static_bytes == stage.predicted_static_bytes
    assert kept == [0, 1000 * 16 // 8, 1000 * 32 // 8]
    assert memory.stages[1].static_categories["inputs"] == 12 * 16 // 8 + 12 * 8


@pytest.mark.parametrize(
    ("model", "options"),
    [
        ("mlp-24-16-4", {"variant": "released"}),
        ("lc-1x3x4-4-4", {"frozen_statistics": "batch"}),
    ],
)
def test_what_depends_on_the_rest_of_the_batch_cannot_be_kept(model, options):
    with pytest.raises(ConfigurationError, match="features=cached needs variant=described"):
        build_algorithm("tinyfoa", model, {"features": "cached", **options})
