"""A profile in a process that is full of objects: what is searched, how often, and for what."""

from __future__ import annotations

import gc
from types import SimpleNamespace

import pytest
import torch

from trainfit.algorithms import build_algorithm
from trainfit.bench.profiler import determinism, profile_step
from trainfit.bench.profiler.determinism import quiet_collector, timed_frees


class Counting(SimpleNamespace):
    """Stands in for the module ``gc`` and counts what takes as long as there are objects."""

    def __init__(self):
        super().__init__(isenabled=gc.isenabled, enable=gc.enable, disable=gc.disable)
        self.searches, self.collections = 0, []

    def get_objects(self):
        self.searches += 1
        return gc.get_objects()

    def collect(self, generation=2):
        self.collections.append(generation)
        return gc.collect(generation)


@pytest.fixture
def collector(monkeypatch):
    counting = Counting()
    monkeypatch.setattr(determinism, "gc", counting)
    return counting


@pytest.mark.parametrize("repeats", [1, 5])
def test_a_profile_searches_the_heap_once_and_collects_only_what_is_young(collector, repeats):
    algorithm = build_algorithm("backprop", "mlp-8-6-4", {})
    x, y = torch.rand(3, 8), torch.tensor([0, 1, 2])
    profile_step(lambda: algorithm.step(x, y), repeats=repeats)
    assert collector.searches == 1
    assert collector.collections == [1, 0]  # before, and of what the steps left


def test_a_step_that_raises_gives_the_collector_back(collector):
    def step():
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        profile_step(step)
    assert gc.isenabled()
    assert collector.searches == 1


def test_other_measurements_collect_everything(collector):
    with quiet_collector():
        assert not gc.isenabled()
    assert collector.collections == [2]


def garbage(size):
    """A cycle nobody can reach any more, with a tensor in it; old, for the collector."""
    cycle = [torch.empty(size)]
    cycle.append(cycle)
    gc.collect()  # what survives this is of the oldest generation
    del cycle


@pytest.mark.parametrize("collects", [False, True])
def test_old_garbage_is_in_no_figure_even_if_the_step_collects_it(collects):
    garbage(5000)

    def step():
        torch.empty(100)
        if collects:
            gc.collect()

    profile = profile_step(step, warmup=1)
    assert (profile.peak_dynamic_bytes, profile.static_bytes) == (400, 0)
    assert profile.left_after_step_bytes == profile.entry_bytes == 0
    gc.collect()


def test_what_one_pass_leaves_behind_is_known_to_the_next():
    """Blocks born in the first session die in the second, and in the third."""
    kept = [torch.empty(100)]

    def step():
        kept.append(torch.empty(100))
        kept.pop(0)

    profile = profile_step(step)
    assert profile.deterministic
    assert profile.peak_dynamic_bytes == 800
    assert profile.entry_bytes == 400
    assert profile.left_after_step_bytes == 0
    assert profile.attribution == ""
    assert profile.categories == {"activations": 400, "workspace": 400}


class Own(torch.Tensor):
    """A subclass of a subclass is a tensor, too."""


class OwnParameter(torch.nn.Parameter):
    pass


@pytest.mark.parametrize("kind", [torch.Tensor, torch.nn.Parameter, Own, OwnParameter])
def test_tensors_of_every_class_are_found(kind, monkeypatch):
    made = torch.empty(1000)
    held = [made.as_subclass(kind) if kind is Own else made if kind is torch.Tensor else kind(made)]
    del made
    freed = []

    class Mark:
        def __init__(self, *words):
            freed.append(words)

        def __enter__(self):
            return self

        def __exit__(self, *error):
            return None

    monkeypatch.setattr(determinism, "mark", Mark)
    with timed_frees():
        pointer = held[0].data_ptr()
        held.clear()
    assert ("freed", pointer, 4000) in freed
