"""Static + peak dynamic is the largest number of bytes alive at one instant of a step."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections import deque
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from tests.builders.steps import BUILDERS, classifier
from trainfit.algorithms import algorithm_names, build_algorithm
from trainfit.bench.profiler import profile_step
from trainfit.bench.profiler.touches import Extent, union_bytes
from trainfit.bench.run.memory import static_bytes

ROOT = Path(__file__).parents[3]


@pytest.fixture(scope="module")
def alive():
    """Bytes alive by name of builder, as an observer of another process saw them."""
    environment = {**os.environ, "KINETO_LOG_LEVEL": "99", "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, "-m", "tests.builders.alive"],
        cwd=ROOT, capture_output=True, text=True, check=True, env=environment,
    )  # fmt: skip
    return json.loads(done.stdout)


@pytest.mark.xdist_group("bytes alive")
@pytest.mark.parametrize("name", BUILDERS)
def test_static_and_peak_are_what_is_alive(name, alive):
    torch.manual_seed(0)
    step = BUILDERS[name]()
    profile = profile_step(step)
    assert profile.deterministic
    assert profile.ram_bytes == alive[name]
    assert profile.attribution == ""
    assert sum(profile.categories.values()) == profile.peak_dynamic_bytes
    assert sum(profile.static_categories.values()) == profile.static_bytes
    assert sum(block.size for block in profile.static_blocks) == profile.static_bytes
    again = profile_step(step)  # what a measurement says does not depend on the one before it
    assert (again.static_bytes, again.peak_dynamic_bytes, again.entry_bytes) == (
        profile.static_bytes,
        profile.peak_dynamic_bytes,
        profile.entry_bytes,
    )


@pytest.mark.parametrize("name", algorithm_names())
def test_what_is_touched_is_what_a_rule_says_it_holds(name):
    """Two witnesses of static bytes; compiled kernels touch memory that no operator shows."""
    algorithm = build_algorithm(name, "mlp-64-32-24-10", {})
    algorithm.enter_stage(len(algorithm.stages) - 1)
    x, y = algorithm.stage_data(torch.rand(16, 64)), torch.randint(0, 10, (16,))
    listed, _ = static_bytes(algorithm, x, y)
    profile = profile_step(lambda: algorithm.step(x, y))
    assert profile.static_bytes == sum(listed.values())


@pytest.mark.parametrize("options", [{"foreach": False}, {"foreach": True}, {"fused": True}])
def test_optimiser_state_is_that_whichever_way_adam_runs(options):
    profile = profile_step(classifier(torch.optim.Adam, **options))
    weights = (64 * 10 + 10) * 4
    assert profile.static_categories == {
        "inputs": 32 * 64 * 4 + 32 * 8,
        "optimizer_state": 2 * weights + 2 * 4,
        "parameters": weights,
    }


def test_parameters_and_buffers_of_modules_are_known_as_such():
    profile = profile_step(BUILDERS["convolution_with_batch_norm"]())
    convolution, norm, linear = 8 * 3 * 9 + 8, 8 + 8, 8 * 36 * 4 + 4
    assert profile.static_categories["parameters"] == 4 * (convolution + norm + linear)
    assert profile.static_categories["buffers"] == 4 * (8 + 8) + 8  # mean, variance, batches
    names = {block.label.split()[0] for block in profile.static_blocks if block.module}
    assert {"0.weight", "1.running_mean", "4.bias"} <= names


def test_frozen_weights_are_parameters():
    backbone, head, x = nn.Linear(50, 40).requires_grad_(False), nn.Linear(40, 2), torch.rand(8, 50)

    def step():
        head(backbone(x)).sum().backward()
        head.zero_grad()

    assert profile_step(step).static_categories["parameters"] == 4 * (50 * 40 + 40 + 40 * 2 + 2)


def test_a_replay_memory_is_measured_the_same_every_time():
    kept = deque((torch.rand(1000) for _ in range(8)), maxlen=8)
    net, x = nn.Linear(8, 2), torch.rand(16, 8)

    def step():
        kept.append(torch.rand(1000))
        net(x).sum().backward()
        net.zero_grad()

    for _ in range(3):
        profile = profile_step(step)
        assert profile.deterministic
        assert (profile.peak_dynamic_bytes, profile.entry_bytes) == (8000, 4000)
        assert profile.left_after_step_bytes == 0


def test_a_batch_of_numpy_counts_wherever_numpy_puts_it():
    net, held = nn.Linear(64, 10), []

    def step():
        held.append(np.empty(np.random.default_rng().integers(1, 5000)))  # other addresses
        x = torch.from_numpy(np.random.default_rng(0).random((32, 64), np.float32))
        net(x).sum().backward()
        net.zero_grad()

    figures = {profile_step(step).static_bytes for _ in range(5)}
    assert figures == {32 * 64 * 4 + (64 * 10 + 10) * 4}


def test_weights_mapped_before_the_step_count_what_is_used_of_them(tmp_path):
    torch.save({"w": torch.rand(100, 100), "unused": torch.rand(999)}, tmp_path / "w.pt")
    loaded = torch.load(tmp_path / "w.pt", mmap=True)
    assert profile_step(loaded["w"].sum).static_bytes == 40_000


@pytest.mark.filterwarnings("ignore:The PyTorch API of nested tensors")
def test_sparse_and_nested_tensors_count_what_they_consist_of():
    sparse, other = torch.eye(3).to_sparse(), torch.rand(3, 5)
    profile = profile_step(lambda: torch.sparse.mm(sparse, other))
    assert profile.static_bytes == 2 * 3 * 8 + 3 * 4 + 3 * 5 * 4
    nested = torch.nested.nested_tensor([torch.rand(2), torch.rand(3)])
    assert profile_step(lambda: nested * 2).static_bytes == 5 * 4


@pytest.mark.parametrize(
    ("view", "covered"),
    [
        (lambda t: t, 240),
        (lambda t: t.T, 240),
        (lambda t: t[:, 2:5], 6 * 3 * 4),
        (lambda t: t[::2], 3 * 10 * 4),
        (lambda t: t[1:1], 0),
        (lambda t: t[0, 0].expand(100), 4),
        (lambda t: t[0].expand(7, 10), 40),
        (lambda t: t.view(-1).unfold(0, 6, 2), 240),
        (lambda t: t.view(-1)[:1].expand(50, 50), 4),
        (lambda t: t[:, ::5], 6 * 2 * 4),
    ],
)
def test_a_view_covers_the_bytes_it_shows(view, covered):
    assert union_bytes([Extent.of(view(torch.empty(6, 10)))]) == covered


def test_views_of_one_storage_count_together_once():
    t = torch.empty(6, 10)
    parts = [t[:, :4], t[:, 2:7], t[3:], t[:, :4]]
    seen = torch.zeros(6, 10)
    for rows, columns in (((0, 6), (0, 4)), ((0, 6), (2, 7)), ((3, 6), (0, 10))):
        seen[slice(*rows), slice(*columns)] = 1
    assert union_bytes(Extent.of(part) for part in parts) == 4 * int(seen.sum())
    assert union_bytes([]) == 0
