"""Steps that cannot be measured: each is refused with what was seen and what would help."""

from __future__ import annotations

import asyncio
import functools
import itertools
import subprocess
import sys
import threading

import numpy as np
import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from trainfit.bench.profiler import (
    ForeignProcessError,
    NothingMeasuredError,
    SessionError,
    profile_step,
)

NET, X = nn.Linear(64, 10), torch.rand(32, 64)


def train():
    NET(X).sum().backward()
    NET.zero_grad()


def good():
    """The figure of the same step, before and after whatever is tried."""
    return profile_step(train).peak_dynamic_bytes


def generator():
    train()
    yield


async def coroutine():
    train()


async def async_generator():
    train()
    yield


@pytest.mark.parametrize(
    "step",
    [
        generator,
        coroutine,
        async_generator,
        lambda: map(train, [()]),
        lambda: filter(lambda _: train(), range(4)),
        lambda: zip((train() for _ in range(2)), range(2), strict=True),
        lambda: itertools.starmap(train, [()]),
        lambda: train,
        lambda: functools.partial(train),
        lambda: NET.zero_grad,
    ],
)
def test_what_has_not_run_is_refused(step):
    with pytest.raises(TypeError, match="the step returned"):
        profile_step(step)
    assert good() == 3848


def test_a_factory_in_place_of_a_step_is_told_what_to_do():
    def make_step():
        net = nn.Linear(3, 3)  # which allocates, so something is seen
        return lambda: net(torch.rand(1, 3))

    with pytest.raises(TypeError, match=r"profile_step\(make_step\(\)\)"):
        profile_step(make_step)


def test_what_steps_usually_return_is_welcome():
    for result in (None, 3.5, [1], {"loss": 1}, NET, torch.ones(2), iter([1]), nn.ReLU):
        assert profile_step(lambda result=result: (train(), result)[1]).peak_dynamic_bytes == 3848


def numpy_only():
    h = np.ones((32, 784)) @ np.ones((784, 500))
    h.T @ h


def child_process():
    subprocess.run([sys.executable, "-c", "pass"], check=True)


@pytest.mark.parametrize(
    ("step", "seen"),
    [
        (numpy_only, "numpy arrays, which are not torch's"),
        (child_process, "child processes, whose memory is not this one's"),
        (lambda: None, "does next to nothing"),
        (lambda: sum(range(10)), "does next to nothing"),
    ],
)
def test_nothing_seen_is_not_nothing_needed(step, seen):
    with pytest.raises(NothingMeasuredError, match=seen):
        profile_step(step)


def test_a_step_elsewhere_is_told_where():
    there = torch.empty(30, device="meta")
    with pytest.raises(NothingMeasuredError, match="tensors of device meta only"):
        profile_step(lambda: there * 2 + 1)


def test_a_step_that_only_changes_what_is_there_needs_nothing_more():
    kept = torch.rand(100)
    profile = profile_step(kept.relu_)
    assert (profile.peak_dynamic_bytes, profile.static_bytes) == (0, 400)


def test_batches_of_worker_processes_are_refused_by_name():
    data = TensorDataset(torch.rand(64, 64))

    def step(loader):
        for (batch,) in loader:
            NET(batch).sum().backward()
        NET.zero_grad()

    with pytest.raises(ForeignProcessError, match=r"DataLoader with num_workers=2.*num_workers=0"):
        profile_step(lambda: step(DataLoader(data, 32, num_workers=2)))
    assert profile_step(lambda: step(DataLoader(data, 32))).deterministic


def test_child_processes_beside_a_step_are_told():
    def step():
        child_process()
        train()

    profile = profile_step(step, warmup=1, repeats=1)
    assert profile.peak_dynamic_bytes == 3848
    assert "child processes ran beside the step" in str(profile)


class Unanswering(torch.Tensor):
    """A tensor that does not say where it is."""

    @property
    def device(self):
        raise RuntimeError("no answer")


class Wrapper(torch.Tensor):
    """A tensor around another one, as quantised and distributed ones are."""

    @staticmethod
    def __new__(cls, inner):
        return torch.Tensor._make_wrapper_subclass(cls, inner.shape, dtype=inner.dtype)

    def __init__(self, inner):
        self.inner = inner

    @classmethod
    def __torch_dispatch__(cls, func, types, args=(), kwargs=None):
        plain = torch.utils._pytree.tree_map_only(Wrapper, lambda t: t.inner, (args, kwargs or {}))
        result = func(*plain[0], **plain[1])
        return torch.utils._pytree.tree_map_only(torch.Tensor, Wrapper, result)


def fake():
    from torch._subclasses.fake_tensor import FakeTensorMode

    with FakeTensorMode():
        return torch.rand(3)


def of_a_transform_that_is_over():
    kept = []
    torch.func.vmap(lambda t: kept.append(t) or t)(torch.rand(3, 2))
    return kept


@pytest.mark.filterwarnings(
    "ignore:The PyTorch API of nested tensors",
    "ignore:Sparse .* support",
    "ignore:torch.quantize_per_tensor",
)
@pytest.mark.parametrize(
    "make",
    [
        fake,
        of_a_transform_that_is_over,
        lambda: nn.LazyLinear(3),
        nn.LazyBatchNorm1d,
        lambda: torch._to_functional_tensor(torch.rand(3)),
        lambda: torch.rand(3).as_subclass(Unanswering),
        lambda: Wrapper(torch.rand(3)),
        lambda: torch.nested.nested_tensor([torch.rand(2), torch.rand(3)]),
        lambda: torch.nested.nested_tensor([torch.rand(2)], layout=torch.jagged),
        lambda: torch.eye(3).to_sparse(),
        lambda: torch.eye(3).to_sparse_csr(),
        lambda: torch.quantize_per_tensor(torch.rand(3), 0.1, 0, torch.quint8),
        lambda: torch.empty(3, device="meta"),
        lambda: torch._lazy_clone(torch.rand(100)),
        lambda: torch._efficientzerotensor((3,)),
        lambda: torch.rand(3, dtype=torch.cfloat).conj(),
        lambda: torch.empty(0),
    ],
)
def test_whatever_is_alive_in_the_process_is_looked_at_in_peace(make):
    bystander = make()
    assert good() == 3848
    del bystander


def test_a_step_on_wrapped_tensors_counts_what_they_wrap():
    wrapped = Wrapper(torch.rand(20, 20))
    profile = profile_step(lambda: (wrapped @ wrapped) + wrapped)
    assert (profile.static_bytes, profile.peak_dynamic_bytes) == (1600, 3200)


def test_a_net_without_sizes_yet_is_measured_once_it_has_them():
    def peak(first, second):
        net, x = nn.Sequential(first, nn.ReLU(), second), torch.rand(50, 20)

        def step():
            net(x).sum().backward()
            net.zero_grad()

        return profile_step(step).ram_bytes

    assert peak(nn.LazyLinear(30), nn.LazyLinear(3)) == peak(nn.Linear(20, 30), nn.Linear(30, 3))


def test_a_default_device_without_memory_does_not_blind_the_session():
    torch.set_default_device("meta")
    try:
        assert good() == 3848
    finally:
        torch.set_default_device(None)


def test_marks_of_the_user_are_not_ours():
    def step():
        for name in ("trainfit|step", "trainfit|tag", "step"):
            with torch.profiler.record_function(name):
                pass
        train()

    assert profile_step(step).peak_dynamic_bytes == 3848


def test_an_awaited_step_runs():
    assert profile_step(lambda: asyncio.run(coroutine())).peak_dynamic_bytes == 3848


def test_a_thread_is_refused_with_its_operator_and_leaves_nothing_behind():
    def step():
        worker = threading.Thread(target=train)
        worker.start()
        worker.join()

    with pytest.raises(SessionError, match="another thread ran aten::"):
        profile_step(step)
    assert good() == 3848
