"""Histories of the CUDA caching allocator, read without a GPU.

The traces are hand-built in the shape that torch documents for ``torch.cuda.memory._snapshot()``;
:class:`Allocator` plays the part of the device for what drives it.
"""

from __future__ import annotations

import gc
import threading
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from typing import Any

import pytest
import torch

from trainfit.algorithms.phases import Category, observing, phase, tag
from trainfit.bench.profiler import cuda
from trainfit.bench.profiler.attribution import Attribution
from trainfit.bench.profiler.cuda import CudaObserver, profile_cuda_step
from trainfit.bench.profiler.cuda_history import (
    SentinelMark,
    cuda_stream,
    requested_growth,
    sentinel_label,
)
from trainfit.bench.profiler.events import MarkKind, Stream, StreamError
from trainfit.bench.profiler.fold import Fold, by_category, fold
from trainfit.bench.profiler.session import SessionError

X, W, Y, G, S = 0x7F0000000, 0x7F0100000, 0x7F0200000, 0x7F0300000, 0x7F0F00000
Entries = list[dict[str, Any]]


def entry(action: str, addr: int, size: int, label: str = "") -> dict[str, Any]:
    place = "device_free" if action == "oom" else "addr"
    return {
        "action": action,
        place: addr,
        "size": size,
        "stream": 0,
        "time_us": 0,  # never read: clocks decide nothing
        "compile_context": "N/A",
        "user_metadata": label,
        "pool_id": (0, 0),
    }


def alloc(addr: int, size: int) -> Entries:
    return [entry("alloc", addr, size)]


def free(addr: int, size: int) -> Entries:
    return [entry("free_requested", addr, size), entry("free_completed", addr, size)]


class History:
    """A trace and its marks, written together."""

    def __init__(self) -> None:
        self.trace: Entries = []
        self.marks: list[SentinelMark] = []

    def add(self, *parts: Entries) -> History:
        for part in parts:
            self.trace += part
        return self

    def mark(self, kind: MarkKind, name: str = "", at: int = S, **more: Any) -> History:
        label = sentinel_label(len(self.marks))
        self.trace += [
            entry("alloc", at, 1, label),
            entry("free_requested", at, 1, label),
            entry("free_completed", at, 1, label),
        ]
        self.marks.append(SentinelMark(at, kind, name, **more))
        return self

    def begin(self) -> History:
        return self.mark(MarkKind.BEGIN)

    def end(self) -> History:
        return self.mark(MarkKind.END)

    def enter(self, name: str, at: int = S) -> History:
        return self.mark(MarkKind.ENTER, name, at)

    def leave(self, name: str, at: int = S) -> History:
        return self.mark(MarkKind.LEAVE, name, at)

    def fold(self, step: int = 0) -> Fold:
        return fold(cuda_stream(self.trace, self.marks, step=step))


def test_phases_of_a_step_and_a_backward_on_another_thread() -> None:
    history = History().add([entry("segment_alloc", X, 2 << 20)], alloc(X, 100), alloc(W, 400))
    history.begin().enter("forward").add(alloc(Y, 1000)).leave("forward")
    # Nothing in an entry names its thread: what counts is where it stands.
    history.enter("gradient").add(alloc(G, 400), free(Y, 1000)).leave("gradient")
    history.enter("update").add(alloc(Y, 50), free(Y, 50), free(G, 400)).leave("update").end()
    result = history.fold()
    assert result.peak_dynamic_bytes == 1400
    assert result.peak_phase == "gradient"
    levels = {n: (p.peak_bytes, p.entry_bytes, p.exit_bytes) for n, p in result.phases.items()}
    assert levels == {
        "forward": (1000, 0, 1000),
        "gradient": (1400, 1000, 400),
        "update": (450, 400, 0),
    }
    assert result.left_after_step_bytes == 0
    assert result.allocations.tolist() == [1000, 400, -1000, 50, -50, -400]  # no sentinel in it
    assert requested_growth(history.trace, history.marks) == 1400


def test_requested_bytes_are_not_rounded() -> None:
    history = History().begin().add(alloc(X, 3), alloc(Y, 513)).end()
    assert history.fold().peak_dynamic_bytes == 516


def test_an_address_is_used_again_and_again() -> None:
    history = History().begin()
    for size in (10, 30, 20):
        history.enter("forward", at=X).add(alloc(X, size), free(X, size)).leave("forward", at=X)
    history.end()
    assert history.fold().peak_dynamic_bytes == 30
    assert history.fold().allocations.tolist() == [10, -10, 30, -30, 20, -20]


def test_the_program_may_allocate_single_bytes_where_sentinels_stand() -> None:
    history = History().begin()
    history.add(alloc(S, 1), free(S, 1))  # looks like a sentinel but for the label
    history.enter("forward").add(alloc(S, 1)).leave("forward", at=X).add(free(S, 1)).end()
    result = history.fold()
    assert result.allocations.tolist() == [1, -1, 1, -1]
    assert result.phases["forward"].exit_bytes == 1


def test_a_block_is_given_up_when_its_free_is_requested() -> None:
    history = History().begin().add(alloc(X, 100), [entry("free_requested", X, 100)])
    history.add(alloc(Y, 70), [entry("free_completed", X, 100)], free(Y, 70)).end()
    assert history.fold().peak_dynamic_bytes == 100
    # The allocator's own requested_bytes falls later; the cross-check follows it there.
    assert requested_growth(history.trace, history.marks) == 170


def test_blocks_from_before_the_history_are_known_by_the_size_of_their_free() -> None:
    history = History().add([entry("free_completed", W, 9)])  # was given up before: not the step's
    history.begin().add(free(X, 600), alloc(Y, 250)).end()
    result = history.fold()
    assert result.entry_bytes == 600
    assert result.peak_dynamic_bytes == 600
    assert result.left_after_step_bytes == -350
    assert [block.label for block in result.live_at_peak] == ["held from before the session"]


def test_tags_find_the_block_at_an_address() -> None:
    history = History().begin().add(alloc(G, 64))
    history.mark(MarkKind.TAG, "gradients", pointer=G, label="mm float32 4x4").end()
    (block,) = history.fold().live_at_peak
    assert (block.size, block.category, block.label) == (64, "gradients", "mm float32 4x4")


def test_every_repeat_is_read_from_the_same_history() -> None:
    history = History().begin().add(alloc(X, 5)).end().begin().add(alloc(Y, 8), free(X, 5)).end()
    assert history.fold(0).peak_dynamic_bytes == 5
    assert history.fold(1).peak_dynamic_bytes == 13
    assert history.fold(1).entry_bytes == 5
    assert requested_growth(history.trace, history.marks, step=1) == 8


@pytest.mark.parametrize(
    "action",
    [
        "oom",
        "snapshot",
        "segment_alloc",
        "segment_free",
        "segment_map",
        "segment_unmap",
        "annotate",
    ],
)
def test_entries_that_change_nothing_alive_are_passed_over(action: str) -> None:
    history = History().begin().add(alloc(X, 10), [entry(action, Y, 1 << 40)], free(X, 10)).end()
    assert history.fold().allocations.tolist() == [10, -10]


def test_an_unknown_way_to_allocate_is_refused() -> None:
    history = History().begin().add([entry("alloc_managed", X, 10)]).end()
    with pytest.raises(StreamError, match="alloc_managed"):
        history.fold()


def test_a_missing_sentinel_is_noticed() -> None:
    history = History().begin().enter("forward").leave("forward").end()
    middle = [e for e in history.trace if e["user_metadata"] != sentinel_label(1)]
    with pytest.raises(SessionError, match=r"'trainfit\|2'.* where mark 1 "):
        cuda_stream(middle, history.marks)
    with pytest.raises(SessionError, match=r"1 of 4 marks are missing.*number 3"):
        cuda_stream(history.trace[:-3], history.marks)


def test_a_sentinel_nobody_wrote_is_noticed() -> None:
    history = History().begin().end().enter("late")
    with pytest.raises(SessionError, match="no more marks"):
        cuda_stream(history.trace, history.marks[:2])


def test_a_sentinel_at_another_address_is_noticed() -> None:
    history = History().begin().end()
    moved = [history.marks[0]._replace(address=X), history.marks[1]]
    with pytest.raises(SessionError, match="mark 0 at 0x7f0000000"):
        cuda_stream(history.trace, moved)


def test_a_full_history_is_refused() -> None:
    history = History().begin().add(alloc(X, 10)).end()
    assert cuda_stream(history.trace, history.marks, max_entries=8)
    with pytest.raises(SessionError, match=r"history is full \(7 entries\)"):
        cuda_stream(history.trace, history.marks, max_entries=7)


# What drives the allocator, against a stand-in for it.


class Allocator:
    """A caching allocator of one device: first free address, ring buffer, statistics."""

    def __init__(self) -> None:
        self.enabled = False
        self.backend = "native"
        self.capturing = False
        self.sees_tensors = True
        self.max_entries = 0
        self.trace: Entries = []
        self.blocks: dict[int, int] = {}
        self.current = self.peak = 0
        self.synchronised = 0
        self._words = threading.local()  # as in torch: metadata belongs to a thread

    def record(self, action: str, addr: int, size: int) -> None:
        if self.enabled:
            self.trace.append(entry(action, addr, size, self.metadata()))
            del self.trace[: -self.max_entries]

    def alloc(self, size: int, _device: object = None) -> int:
        addr = next(X + n * 512 for n in range(1000) if X + n * 512 not in self.blocks)
        self.blocks[addr] = size
        self.current += size
        self.peak = max(self.peak, self.current)
        self.record("alloc", addr, size)
        return addr

    def free(self, addr: int) -> None:
        size = self.blocks.pop(addr)
        self.current -= size
        self.record("free_requested", addr, size)
        self.record("free_completed", addr, size)

    def canary(self, _device: object) -> None:
        if self.sees_tensors:
            self.free(self.alloc(4099))

    def metadata(self) -> str:
        return getattr(self._words, "text", "")

    def set_metadata(self, text: str) -> None:
        self._words.text = text

    def record_history(self, enabled: str | None, *, max_entries: int = 0, **options: Any) -> None:
        assert not options.get("context")
        self.enabled = enabled == "all"
        self.max_entries = max_entries
        if not enabled or options.get("clear_history"):
            self.trace = []

    def snapshot(self) -> dict[str, Any]:
        self.record("snapshot", 0, 0)
        return {"segments": [], "device_traces": [list(self.trace)]}

    def stats(self, _device: object) -> dict[str, int]:
        return {
            "requested_bytes.all.current": self.current,
            "requested_bytes.all.peak": self.peak,
        }

    def reset_peak(self, _device: object) -> None:
        self.peak = self.current

    def synchronise(self, _device: object) -> None:
        self.synchronised += 1


@pytest.fixture
def gpu(monkeypatch: pytest.MonkeyPatch) -> Iterator[Allocator]:
    fake = Allocator()
    parts: dict[str, Callable[..., Any]] = {
        "is_available": lambda: True,
        "current_device": lambda: 0,
        "is_current_stream_capturing": lambda: fake.capturing,
        "get_allocator_backend": lambda: fake.backend,
        "synchronize": fake.synchronise,
        "memory_stats": fake.stats,
        "reset_peak_memory_stats": fake.reset_peak,
    }
    for name, part in parts.items():
        monkeypatch.setattr(torch.cuda, name, part)
    memory: dict[str, Callable[..., Any]] = {
        "_record_memory_history": fake.record_history,
        "_snapshot": fake.snapshot,
        "_set_memory_metadata": fake.set_metadata,
        "_get_memory_metadata": fake.metadata,
        "caching_allocator_alloc": fake.alloc,
        "caching_allocator_delete": fake.free,
    }
    for name, part in memory.items():
        monkeypatch.setattr(torch.cuda.memory, name, part)
    monkeypatch.setattr(torch._C, "_cuda_isHistoryEnabled", lambda: fake.enabled, raising=False)
    monkeypatch.setattr(cuda, "_canary", fake.canary)
    yield fake
    assert not fake.enabled, "recording was left on"


def test_a_step_is_measured_and_leaves_nothing_on(gpu: Allocator) -> None:
    weights = gpu.alloc(4000)
    gpu.set_metadata("the user's own")

    def step() -> None:
        with phase("forward"):
            activation = gpu.alloc(1001)
        with phase("gradient"):

            def backward() -> None:
                gradient = gpu.alloc(4000)
                with phase("gradient.hook"):  # a hook on autograd's device thread
                    gpu.free(gpu.alloc(7))
                gpu.free(activation)
                gpu.free(gradient)

            thread = threading.Thread(target=backward)
            thread.start()
            thread.join()

    profile = profile_cuda_step(step)
    assert profile.peak_dynamic_bytes == 5008
    assert profile.peak_phase == "gradient.hook"
    assert profile.phases["forward"].peak_bytes == 1001
    assert profile.phases["gradient"].peak_bytes == 5008
    assert profile.phases["gradient"].exit_bytes == 0
    assert profile.deterministic
    assert profile.left_after_step_bytes == 0
    assert gpu.synchronised
    assert gpu.metadata() == "the user's own"
    gpu.free(weights)
    assert not gpu.blocks


def test_blocks_kept_from_step_to_step(gpu: Allocator) -> None:
    kept: list[int] = []

    def step() -> None:
        if kept:
            gpu.free(kept.pop())
        kept.append(gpu.alloc(64))

    profile = profile_cuda_step(step, warmup=1, repeats=2)
    assert (profile.entry_bytes, profile.peak_dynamic_bytes) == (64, 64)
    assert profile.left_after_step_bytes == 0


def test_a_step_that_differs_is_not_deterministic(gpu: Allocator) -> None:
    sizes = iter(range(100, 200))
    assert not profile_cuda_step(lambda: gpu.free(gpu.alloc(next(sizes)))).deterministic


def test_recording_ends_when_the_step_raises(gpu: Allocator) -> None:
    def step() -> None:
        with phase("forward"):
            raise RuntimeError("mine")

    with pytest.raises(RuntimeError, match="mine"):
        profile_cuda_step(step)
    assert gc.isenabled()
    assert profile_cuda_step(lambda: gpu.free(gpu.alloc(7))).peak_dynamic_bytes == 7


def test_a_history_too_short_for_the_step(gpu: Allocator) -> None:
    with pytest.raises(SessionError, match="history is full"):
        profile_cuda_step(lambda: gpu.free(gpu.alloc(8)), max_entries=16)


def test_a_history_that_contradicts_the_statistics(gpu: Allocator) -> None:
    def step() -> None:
        gpu.enabled = False  # as if this allocation went unrecorded
        addr = gpu.alloc(100)
        gpu.free(addr)
        gpu.enabled = True

    with pytest.raises(SessionError, match=r"rises by 1 B in repeat 0.*statistic by 100 B"):
        profile_cuda_step(step)


def test_what_cannot_be_measured_is_refused(gpu: Allocator) -> None:
    def measure() -> None:
        profile_cuda_step(lambda: None)

    gpu.enabled = True
    with pytest.raises(SessionError, match="recorded already"):
        measure()
    gpu.enabled = False
    gpu.backend = "cudaMallocAsync"
    with pytest.raises(SessionError, match="'cudaMallocAsync' records no history"):
        measure()
    gpu.backend = "native"
    gpu.sees_tensors = False
    with pytest.raises(SessionError, match="canary"):
        measure()
    gpu.sees_tensors = True
    gpu.capturing = True
    with pytest.raises(SessionError, match="CUDA graph"):
        measure()
    with pytest.raises(ValueError, match="at least 1"):
        profile_cuda_step(lambda: None, warmup=0)
    with pytest.raises(ValueError, match="CUDA device"):
        profile_cuda_step(lambda: None, device="cpu")


def test_a_step_that_has_not_run_is_refused(gpu: Allocator) -> None:
    with pytest.raises(TypeError, match="generator"):
        profile_cuda_step(lambda: (n for n in range(3)))
    assert not gpu.blocks


def test_devices_are_named_in_every_way(gpu: Allocator) -> None:
    for device in (None, 0, "cuda", "cuda:0", torch.device("cuda", 0)):
        profile = profile_cuda_step(lambda: gpu.free(gpu.alloc(3)), device=device)
        assert profile.peak_dynamic_bytes == 3


def test_an_observer_writes_tags_only_where_asked(gpu: Allocator) -> None:
    tensor = torch.ones(4)
    for tags, device, marks in ((False, "cpu", 0), (True, "cuda:0", 0), (True, "cpu", 1)):
        observer = CudaObserver(torch.device(device), tags=tags)
        with observing(observer):
            tag(tensor, Category.ACTIVATIONS, "ones")
        assert len(observer.marks) == marks
    mark = observer.marks[0]
    assert (mark.name, mark.pointer, mark.label) == ("activations", tensor.data_ptr(), "ones")
    assert not gpu.blocks


def test_attribution_watches_the_tensors_of_the_device_it_is_given() -> None:
    class Listener:
        def __init__(self) -> None:
            self.phase = ""
            self.heard: list[tuple[Category, str]] = []

        def tag(self, _tensor: torch.Tensor, category: Category, label: str) -> None:
            self.heard.append((category, label))

        def touch(self, number: int) -> None:
            stream.touch(number)

        def scratch(self, operator: str) -> None:
            stream.scratch(operator)

    def watch(*device: torch.device | str) -> tuple[list[tuple[Category, str]], Any]:
        nonlocal stream
        stream = Stream()
        stream.begin()
        x, w = torch.ones(4, 3), torch.ones(3, 2, requires_grad=True)
        momentum = torch.zeros(3, 2)
        listener = Listener()
        mode = Attribution(listener, *device)
        with mode.watching():
            (x @ w).relu().sum().backward()
            momentum.add_(x[:3, :2])
        stream.end()
        static = by_category(mode.static(stream, {}))
        # Nothing was said to be born inside, so temporaries are in the other categories.
        kept = (Category.PARAMETERS, Category.OPTIMIZER_STATE)
        return listener.heard, {c: size for c, size in static.items() if c in kept}

    stream = Stream()

    expected = watch()
    assert expected[1] == {Category.PARAMETERS: 24, Category.OPTIMIZER_STATE: 24}
    assert watch("cpu") == watch(torch.device("cpu")) == expected
    assert {category for category, _ in expected[0]} >= {
        Category.ACTIVATIONS,
        Category.GRADIENTS,
    }
    for elsewhere in ("meta", "cuda", "cuda:1", "cpu:1"):
        assert watch(elsewhere) == ([], {})


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device")
def test_without_a_device_the_error_says_what_to_do() -> None:
    with pytest.raises(SessionError, match="no CUDA device"):
        profile_cuda_step(nullcontext)
