"""Trace = measured, to the byte, in every phase and category, at every stage."""

from __future__ import annotations

import pytest
import torch

from tests.contract.cases import (
    MEASURED,
    ON_NETS,
    ON_NETS_IDS,
    ON_PROCESSORS,
    ON_PROCESSORS_IDS,
    at_every_stage,
    batch_for,
    id_of,
)
from trainfit.algorithms import Category
from trainfit.algorithms.models import UnitNet
from trainfit.bench.profiler import profile_step
from trainfit.bench.run.memory import measure_memory, static_bytes
from trainfit.bench.trace.prediction import predict


@pytest.mark.parametrize(
    ("name", "options", "model", "rows"), MEASURED, ids=[id_of(*each) for each in MEASURED]
)
def test_the_trace_is_what_is_measured(name, options, model, rows):
    for stage, algorithm in at_every_stage(name, model, options):
        x, y = batch_for(algorithm, rows)
        predicted = predict(algorithm, rows)
        profile = profile_step(lambda: algorithm.step(x, y), warmup=1, repeats=2)  # noqa: B023
        assert profile.deterministic
        assert profile.attribution == ""
        assert profile.left_after_step_bytes == 0
        assert predicted.trace.torch_view.left_after_step_bytes == 0
        assert profile.peak_dynamic_bytes == predicted.peak_bytes, stage
        measured, traced = (
            {phase: (at.peak_bytes, at.entry_bytes, at.categories) for phase, at in each.items()}
            for each in (profile.phases, predicted.phases)
        )
        assert measured == traced, stage
        assert all(sum(parts.values()) == peak for peak, _, parts in measured.values())
        assert predicted.device_bytes <= predicted.peak_bytes
        assert set(profile.phases) <= set(algorithm.phases)


@pytest.mark.parametrize(("name", "options", "model"), ON_NETS, ids=ON_NETS_IDS)
def test_static_and_storage_are_what_is_predicted(name, options, model):
    for _, algorithm in at_every_stage(name, model, options):
        x, y = batch_for(algorithm, 12)
        algorithm.step(x, y)
        plan = predict(algorithm, 12)
        ram, storage = static_bytes(algorithm, x, y)
        assert sum(ram.values()) == plan.static_bytes
        assert storage == plan.storage_bytes
        assert ram == plan.static_categories


@pytest.mark.parametrize(("name", "options", "model"), ON_NETS, ids=ON_NETS_IDS)
def test_every_tensor_that_is_kept_is_declared(name, options, model):
    for _, algorithm in at_every_stage(name, model, options):
        algorithm.step(*batch_for(algorithm, 12))
        declared = {held.tensor.untyped_storage().data_ptr() for held in algorithm.static_tensors()}
        names = [held.name for held in algorithm.static_tensors()]
        assert len(names) == len(set(names))
        for tensor in reachable(algorithm):
            assert tensor.untyped_storage().data_ptr() in declared, tuple(tensor.shape)


def reachable(root):
    """Tensors that can be reached from an object through attributes and containers."""
    seen, found, queue = set(), [], [root]
    while queue:
        thing = queue.pop()
        if id(thing) in seen or isinstance(thing, (type, str, bytes, int, float, torch.Generator)):
            continue
        seen.add(id(thing))
        if isinstance(thing, torch.Tensor):
            found.append(thing)
            if thing.grad is not None:
                queue.append(thing.grad)
        elif isinstance(thing, dict):
            queue += [*thing.keys(), *thing.values()]
        elif isinstance(thing, (list, tuple, set)):
            queue += list(thing)
        elif hasattr(thing, "__dict__") and type(thing).__module__.startswith(
            ("trainfit.", "torch.optim", "tests")
        ):
            queue += list(vars(thing).values())
    return found


@pytest.mark.parametrize(("name", "options", "model"), ON_PROCESSORS, ids=ON_PROCESSORS_IDS)
def test_the_record_names_the_worst_stage_and_has_no_residual(name, options, model):
    algorithm = next(iter(at_every_stage(name, model, options)))[1]
    memory = measure_memory(algorithm, *batch_for(algorithm, 12))
    worst = max(memory.stages, key=lambda stage: stage.ram_bytes)
    assert memory.worst_stage == worst.stage
    assert memory.predicted_bytes == memory.peak_dynamic_bytes
    assert memory.worst.residual.unexplained_bytes == 0
    assert memory.worst.residual.items == []
    assert memory.deterministic
    assert all(s.static_bytes == s.predicted_static_bytes for s in memory.stages)
    assert all(
        sum(p.categories.values()) == p.peak_bytes == p.predicted_bytes
        for stage in memory.stages
        for p in stage.phases.values()
    )
    assert memory.as_deployed is not None
    if not isinstance(algorithm.model, UnitNet):  # oneDNN convolves in another way
        assert memory.as_deployed.peak_dynamic_bytes == memory.peak_dynamic_bytes


def test_algorithms_without_autograd_are_near_the_device_view():
    for name, options in (
        ("forward_forward", {}),
        ("tinyfoa", {}),
        ("tinyfoa", {"update": "fused"}),
    ):
        for model, rows in (("mlp-64-128-128-10", 32), ("mlp-784-500-500-10", 100)):
            for stage, algorithm in at_every_stage(name, model, options):
                plan = predict(algorithm, rows)
                ratio = plan.peak_bytes / plan.device_bytes
                assert ratio <= 1.10, (name, options, model, stage, ratio)


def test_low_bit_tensors_are_low_bit_in_memory():
    for _, algorithm in at_every_stage("tinyfoa", "mlp-64-128-128-10", {}):
        held = {h.name: h for h in algorithm.static_tensors()}
        packed = [h for h in held.values() if h.name.startswith("packed")]
        assert len(packed) == 2
        for h, weights in zip(packed, (64 * 128, 128 * 128), strict=True):
            assert h.tensor.dtype is torch.uint8
            assert h.tensor.nbytes * 8 == weights
        dense = [
            h.name
            for h in held.values()
            if not h.storage
            and h.category is Category.PARAMETERS
            and h.tensor.dtype is torch.float32
            and h.tensor.numel() > 128
        ]
        assert dense == ["slice"]
        assert held["slice"].tensor.numel() == held["latent1"].tensor.numel() // 4 or (
            held["slice"].tensor.numel() == held["latent2"].tensor.numel() // 4
        )


def test_forward_forward_needs_less_than_backprop_on_the_same_net():
    for model, rows in (("mlp-64-128-128-10", 32), ("mlp-784-500-500-10", 100)):
        (_, ff), (_, bp) = (
            next(iter(at_every_stage(n, model, {}))) for n in ("forward_forward", "backprop")
        )
        assert predict(ff, rows).peak_bytes < predict(bp, rows).peak_bytes


def test_naive_forward_forward_of_one_layer_needs_more_than_backprop_of_the_whole_net():
    _, naive = next(
        iter(at_every_stage("forward_forward", "mlp-784-500-10", {"implementation": "autograd"}))
    )
    _, bp = next(iter(at_every_stage("backprop", "mlp-784-500-500-10", {})))
    assert predict(naive, 100).peak_bytes > predict(bp, 100).peak_bytes


def test_the_known_figure_is_backprops():
    _, bp = next(iter(at_every_stage("backprop", "mlp-784-500-500-10", {})))
    x, y = batch_for(bp, 100)
    assert profile_step(lambda: bp.step(x, y)).peak_dynamic_bytes == 2_792_048
    assert predict(bp, 100).peak_bytes == 2_792_048


def test_described_tinyfoa_needs_a_tenth_of_released():
    figures = {}
    for variant in ("described", "released"):
        stages = list(at_every_stage("tinyfoa", "mlp-784-2000x2-10", {"variant": variant}))
        figures[variant] = predict(stages[1][1], 100).peak_bytes
    assert figures["described"] * 10 <= figures["released"]
    assert figures["described"] <= 5 * 2**20
