"""What pytorch-memlab is good for here, and what it is not; pinned so that a fix is noticed."""

from __future__ import annotations

import sys
from typing import Any

import pytest
import torch
from pytorch_memlab import LineProfiler, MemReporter

from trainfit.bench.profiler.naming import NamedTensor, name_live_tensors

FACTOR_CHANGED = (
    "pytorch-memlab no longer multiplies the bytes of a CPU storage by the size of an element."
    " Good: take the new release as the lower bound in pyproject.toml, replace this test by one"
    " that demands the right bytes, and correct docs/which-peak.md and bench/profiler/naming.py."
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


def by_name(tensors: list[NamedTensor]) -> dict[str, NamedTensor]:
    return {tensor.name: tensor for tensor in tensors}


def test_parameters_and_gradients_have_names_and_true_bytes() -> None:
    net = torch.nn.Sequential(torch.nn.Linear(30, 20), torch.nn.ReLU(), torch.nn.Linear(20, 7))
    net(torch.ones(4, 30)).sum().backward()

    found = by_name(name_live_tensors(net))

    assert found["0.weight"] == NamedTensor("0.weight", (20, 30), torch.float32, 2400, "cpu")
    assert found["0.weight.grad"].bytes == 2400
    assert found["2.bias"].bytes == found["2.bias.grad"].bytes == 28


def test_optimiser_state_and_buffers_have_names() -> None:
    net = torch.nn.Sequential(torch.nn.Linear(30, 20), torch.nn.BatchNorm1d(20))
    optimizer = torch.optim.Adam(net.parameters())
    net(torch.ones(4, 30)).sum().backward()
    optimizer.step()

    found = by_name(name_live_tensors(net, optimizer=optimizer))

    assert found["Adam.0.weight.exp_avg"].bytes == 2400
    assert found["1.running_mean"].bytes == 80


def test_an_optimiser_needs_the_model_it_trains() -> None:
    net = torch.nn.Linear(3, 2)
    optimizer = torch.optim.Adam(net.parameters())
    net(torch.ones(1, 3)).sum().backward()
    optimizer.step()

    with pytest.raises(ValueError, match="give the model it trains"):
        name_live_tensors(optimizer=optimizer)


def test_views_are_listed_once_with_the_bytes_of_their_storage() -> None:
    whole = torch.zeros(1000, dtype=torch.int16)
    part = whole[10:20]

    found = [t for t in name_live_tensors(known={"part": part}) if t.name == "part"]

    assert found == [NamedTensor("part", (1000,), torch.int16, 2000, "cpu")]


def test_what_nobody_named_has_a_number() -> None:
    odd = torch.zeros(12_347, dtype=torch.uint8)

    (found,) = (t for t in name_live_tensors() if t.shape == odd.shape)

    assert found.name.startswith("Tensor")
    assert found.bytes == 12_347


def test_gradients_of_tensors_that_are_no_parameters_are_found() -> None:
    weight = torch.zeros(11, 13, requires_grad=True)
    (weight * 2).sum().backward()

    found = by_name(name_live_tensors(known={"w1": weight}))

    assert found["w1"].bytes == found["w1.grad"].bytes == 572


def test_tensors_without_memory_of_their_own_are_left_out() -> None:
    empty = torch.zeros(0)
    meta = torch.zeros(5, 41, device="meta")
    sparse = torch.eye(43).to_sparse()

    shapes = {tensor.shape for tensor in name_live_tensors()}

    assert not shapes & {tuple(empty.shape), tuple(meta.shape), tuple(sparse.shape)}


def test_the_largest_comes_first() -> None:
    kept = [torch.zeros(n) for n in (5, 50_000, 500)]

    sizes = [tensor.bytes for tensor in name_live_tensors()]

    assert kept
    assert sizes == sorted(sizes, reverse=True)
