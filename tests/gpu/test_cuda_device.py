"""Known bytes on a real GPU: what the caching allocator records, and which phase it falls in.

These are the tests that decide whether :mod:`trainfit.bench.profiler.cuda` reads the allocator
rightly.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch

from trainfit.algorithms.phases import phase
from trainfit.bench.profiler import SessionError, line_report, profile_cuda_step

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA device"),
]

N = 1_000_003  # bytes; odd, so that a rounded figure would show


@pytest.fixture
def device() -> torch.device:
    return torch.device("cuda", torch.cuda.current_device())


def grown_requested_bytes(step: Callable[[], object]) -> int:
    """The rise of the allocator's own statistic over one step, nothing of ours running."""
    torch.cuda.synchronize()
    torch.cuda.reset_peak_memory_stats()
    before: int = torch.cuda.memory_stats()["requested_bytes.all.current"]
    step()
    peak: int = torch.cuda.memory_stats()["requested_bytes.all.peak"]
    return peak - before


def test_an_allocation_counts_its_requested_bytes(device: torch.device) -> None:
    def step() -> None:
        torch.empty(N, dtype=torch.uint8, device=device)

    profile = profile_cuda_step(step)
    assert profile.peak_dynamic_bytes == N
    assert profile.left_after_step_bytes == 0
    assert profile.deterministic
    assert not torch._C._cuda_isHistoryEnabled()


def test_two_at_once_and_one_after_another(device: torch.device) -> None:
    def bytes_(count: int) -> torch.Tensor:
        return torch.empty(count, dtype=torch.uint8, device=device)

    def step() -> None:
        with phase("forward"):
            first = bytes_(N)
            second = bytes_(7)
        with phase("update"):
            del first
            third = bytes_(N // 2)
        del second, third

    profile = profile_cuda_step(step)
    levels = {n: (p.peak_bytes, p.entry_bytes, p.exit_bytes) for n, p in profile.phases.items()}
    assert levels == {
        "forward": (N + 7, 0, N + 7),
        "update": (N + 7, N + 7, N // 2 + 7),
    }


def test_single_bytes_of_the_program_are_counted(device: torch.device) -> None:
    def step() -> None:
        kept = []
        for _ in range(5):
            with phase("forward"):
                kept.append(torch.empty(1, dtype=torch.uint8, device=device))

    assert profile_cuda_step(step).peak_dynamic_bytes == 5


def test_what_is_kept_is_left(device: torch.device) -> None:
    kept: list[torch.Tensor] = []

    def step() -> None:
        kept.append(torch.empty(N, dtype=torch.uint8, device=device))

    assert profile_cuda_step(step).left_after_step_bytes == N


def test_backward_on_its_own_thread_falls_in_its_phase(device: torch.device) -> None:
    count = 250_000
    w = torch.ones(count, device=device, requires_grad=True)
    x, seed = torch.ones(count, device=device), torch.ones(count, device=device)

    def step() -> None:
        w.grad = None
        with phase("forward"):
            y = w * x
        with phase("gradient"):
            y.backward(seed)

    profile = profile_cuda_step(step)
    assert profile.entry_bytes == 4 * count  # the gradient of the step before
    assert profile.peak_dynamic_bytes == 8 * count
    assert profile.peak_phase == "gradient"
    assert profile.phases["forward"].peak_bytes == 4 * count
    assert profile.phases["gradient"].entry_bytes == 4 * count
    assert profile.phases["gradient"].peak_bytes == 8 * count
    assert profile.attribution == ""
    assert profile.categories == {"activations": 4 * count, "gradients": 4 * count}
    assert profile.static_categories == {"inputs": 8 * count, "parameters": 4 * count}
    assert profile.deterministic


def test_a_phase_inside_a_backward_hook(device: torch.device) -> None:
    w = torch.ones(1000, device=device, requires_grad=True)
    x, seed = torch.ones(1000, device=device), torch.ones(1000, device=device)

    def scratch(_gradient: torch.Tensor) -> None:
        with phase("gradient.hook"):
            torch.empty(N, dtype=torch.uint8, device=device)

    def step() -> None:
        w.grad = None
        with phase("forward"):
            y = w * x
            y.register_hook(scratch)
        with phase("gradient"):
            y.backward(seed)

    assert profile_cuda_step(step).peak_phase == "gradient.hook"


def test_a_wait_for_another_stream_is_not_the_programs_need(device: torch.device) -> None:
    other = torch.cuda.Stream(device)

    def step() -> None:
        first = torch.empty(N, dtype=torch.uint8, device=device)
        with torch.cuda.stream(other):
            torch.cuda._sleep(10_000_000)
        first.record_stream(other)
        del first  # requested now, completed when the other stream gets there
        torch.empty(N, dtype=torch.uint8, device=device)

    profile = profile_cuda_step(step)
    assert profile.peak_dynamic_bytes == N
    assert profile.left_after_step_bytes == 0


def test_an_mlp_step(device: torch.device) -> None:
    torch.manual_seed(0)
    layers: list[torch.nn.Module] = []
    for inputs, outputs in ((784, 500), (500, 500), (500, 10)):
        layers += [torch.nn.Linear(inputs, outputs), torch.nn.ReLU()]
    model = torch.nn.Sequential(*layers[:-1]).to(device)
    optimiser = torch.optim.SGD(model.parameters(), lr=0.01, momentum=0.9, foreach=False)
    x = torch.rand(100, 784, device=device)
    y = torch.randint(10, (100,), device=device)
    parameters = 4 * 648_010

    def step() -> None:
        optimiser.zero_grad()
        with phase("forward"):
            loss = torch.nn.functional.cross_entropy(model(x), y)
        with phase("gradient"):
            loss.backward()
        with phase("update"):
            optimiser.step()

    profile = profile_cuda_step(step)
    assert profile.deterministic
    assert profile.left_after_step_bytes == 0
    assert profile.entry_bytes == parameters  # gradients of the step before
    assert profile.phases["update"].entry_bytes >= parameters
    # Both hidden activations are alive after forward. The CPU needs 2,792,048 B in all; kernels
    # on the device bring workspace of their own, so the peak is bounded here, not pinned.
    assert profile.phases["forward"].exit_bytes >= 2 * 4 * 100 * 500
    assert parameters < profile.peak_dynamic_bytes < 2 * parameters
    assert profile.peak_dynamic_bytes - profile.entry_bytes == grown_requested_bytes(step)


def test_the_peak_is_the_allocators_own(device: torch.device) -> None:
    a = torch.rand(300, 300, device=device)

    def step() -> None:
        with phase("forward"):
            b = a @ a
            c = (b + a).relu()
        with phase("update"):
            torch.linalg.vector_norm(c)

    assert profile_cuda_step(step).peak_dynamic_bytes == grown_requested_bytes(step)


def test_a_graph_capture_is_refused(device: torch.device) -> None:
    a = torch.ones(8, device=device)

    def step() -> None:
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            a.add_(1)  # torch warns of an empty graph
            with phase("forward"):
                a.add_(1)

    with pytest.raises(SessionError, match="CUDA graph"):
        profile_cuda_step(step)
    assert not torch._C._cuda_isHistoryEnabled()


def test_a_short_history_is_refused(device: torch.device) -> None:
    with pytest.raises(SessionError, match="history is full"):
        profile_cuda_step(lambda: torch.empty(N, device=device), max_entries=10)


def test_recording_ends_when_the_step_raises(device: torch.device) -> None:
    def step() -> None:
        raise RuntimeError("mine")

    with pytest.raises(RuntimeError, match="mine"):
        profile_cuda_step(step)
    assert not torch._C._cuda_isHistoryEnabled()


def test_line_report_shows_the_lines(device: torch.device) -> None:
    def step() -> None:
        kept = torch.empty(1 << 20, dtype=torch.uint8, device=device)
        del kept

    report = line_report(step)
    assert "kept = torch.empty(1 << 20" in report
