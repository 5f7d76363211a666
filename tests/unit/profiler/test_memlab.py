"""What pytorch-memlab is good for here, and what it is not; pinned so that a fix is noticed."""

from __future__ import annotations

import sys
from typing import Any

import pytest
import torch
from pytorch_memlab import LineProfiler, MemReporter

FACTOR_CHANGED = (
    "pytorch-memlab no longer multiplies the bytes of a CPU storage by the size of an element."
    " Good: take the new release as the lower bound in pyproject.toml, replace this test by one"
    " that demands the right bytes, and correct docs/which-peak.md."
)


def reported_bytes(tensor: torch.Tensor) -> int:
    """What MemReporter says about one tensor."""
    reporter = MemReporter()
    reporter.device_mapping[tensor.device].append(tensor)
    reporter.get_stats()
    ((_, _, _, size),) = reporter.device_tensor_stat[tensor.device]
    return int(size)


@pytest.mark.parametrize(
    ("dtype", "factor"),
    [(torch.int8, 1), (torch.float16, 2), (torch.float32, 4), (torch.float64, 8)],
)
def test_mem_reporter_multiplies_cpu_bytes_by_the_element_size(
    dtype: torch.dtype, factor: int
) -> None:
    tensor = torch.zeros(1024, 1024, dtype=dtype)

    assert reported_bytes(tensor) == factor * tensor.nbytes, FACTOR_CHANGED


def test_mem_reporter_prints_sixteen_megabytes_for_four(capsys: Any) -> None:
    layer = torch.nn.Linear(1024, 1024, bias=False)

    reporter = MemReporter(layer)
    reporter.device_mapping[torch.device("cpu")].append(layer.weight)
    reporter.get_stats()
    reporter.print_stats()

    (line,) = (li for li in capsys.readouterr().out.splitlines() if li.startswith("weight"))
    assert line.split()[-1] == "16.00M", FACTOR_CHANGED
    assert layer.weight.nbytes == 4 * 2**20


def test_mem_reporter_rounds_up_to_cuda_blocks_on_the_cpu() -> None:
    assert reported_bytes(torch.zeros(1, dtype=torch.int8)) == 512, FACTOR_CHANGED


@pytest.mark.skipif(torch.cuda.is_available(), reason="says what happens without CUDA")
def test_line_profiler_records_nothing_on_the_cpu(capsys: Any) -> None:
    def work() -> torch.Tensor:
        return torch.zeros(1000) + 1

    tracing = sys.gettrace()
    try:
        with LineProfiler(work) as profiler:
            work()
    finally:
        sys.settrace(tracing)  # it takes the hook, which coverage needs, and keeps it

    assert "CUDA" in capsys.readouterr().out
    assert profiler._raw_line_records == [], (
        "pytorch-memlab's LineProfiler records lines on the CPU now: compare its bytes with"
        " profile_step, and offer it for the CPU too if they agree"
    )
