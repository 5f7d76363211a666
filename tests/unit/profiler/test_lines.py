"""Memory by source line, against a stand-in for the device's statistics."""

from __future__ import annotations

import sys
from contextlib import nullcontext

import pytest
import torch

from trainfit.bench.profiler import SessionError, line_report


@pytest.fixture
def gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    """A device whose every figure is 2 KiB."""
    figures = {
        f"{group}.{pool}.{figure}": 2048
        for group in ("active_bytes", "reserved_bytes")
        for pool in ("all", "large_pool", "small_pool")
        for figure in ("allocated", "current", "freed", "peak")
    }
    stats = {"num_alloc_retries": 0, "num_ooms": 0, **figures}
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "current_device", lambda: 0)
    monkeypatch.setattr(torch.cuda, "device", nullcontext)
    monkeypatch.setattr(torch.cuda, "memory_stats", lambda: stats)
    for name in ("empty_cache", "reset_peak_memory_stats", "reset_accumulated_memory_stats"):
        monkeypatch.setattr(torch.cuda, name, lambda: None)


@pytest.mark.usefixtures("gpu")
def test_every_line_of_the_step_is_reported() -> None:
    def step() -> None:
        numbers = [1, 2, 3]
        numbers.clear()  # this very line

    report = line_report(step)
    assert "numbers = [1, 2, 3]" in report
    assert "numbers.clear()  # this very line" in report
    assert "2.00K" in report


@pytest.mark.usefixtures("gpu")
def test_the_functions_given_are_reported_instead_of_the_step() -> None:
    def inner() -> int:
        return sum(range(3))  # within

    def step() -> None:
        inner()  # around

    report = line_report(step, inner)
    assert "# within" in report
    assert "# around" not in report


@pytest.mark.usefixtures("gpu")
def test_the_trace_hook_is_put_back_even_if_the_step_raises() -> None:
    def step() -> None:
        raise RuntimeError("mine")

    before = sys.gettrace()

    def hook(*_: object) -> None:
        """What a debugger would install."""

    sys.settrace(hook)
    try:
        with pytest.raises(RuntimeError, match="mine"):
            line_report(step)
        after = sys.gettrace()
    finally:
        sys.settrace(before)
    assert after is hook


@pytest.mark.usefixtures("gpu")
def test_what_has_no_lines_is_named() -> None:
    with pytest.raises(TypeError, match=r"Linear.* has no Python source lines"):
        line_report(lambda: None, torch.nn.Linear(1, 1))


@pytest.mark.usefixtures("gpu")
def test_a_step_that_has_not_run_is_refused() -> None:
    with pytest.raises(TypeError, match="generator"):
        line_report(lambda: (n for n in range(3)))


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device")
def test_without_a_device_the_error_says_what_to_do() -> None:
    with pytest.raises(SessionError, match="line profiler records nothing on the CPU"):
        line_report(nullcontext)
