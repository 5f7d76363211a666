"""Compiled kernels on several threads: the same bits, every row once, errors that arrive."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from functools import partial

import numpy as np
import pytest
import torch

from trainfit.algorithms import build_algorithm
from trainfit.algorithms.numerics import threads
from trainfit.algorithms.numerics.binary.bit_products import add_binary_product, add_sign_product
from trainfit.algorithms.numerics.optimisers.adam import adam_step
from trainfit.algorithms.numerics.threads import Part, call, parts_of


@pytest.fixture
def eager(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Threads for however little work; the count that others use is put back."""
    before = torch.get_num_threads()
    monkeypatch.setattr(threads, "LEAST", 1)
    yield
    torch.set_num_threads(before)


@pytest.mark.parametrize(
    ("count", "rows", "unit", "work", "right"),
    [
        (1, 100, 4, 1000, [(0, 100)]),
        (2, 100, 4, 1000, [(0, 52), (52, 100)]),
        (3, 10, 4, 1000, [(0, 4), (4, 8), (8, 10)]),
        (8, 10, 4, 1000, [(0, 4), (4, 8), (8, 10)]),
        (2, 3, 4, 1000, [(0, 3)]),
        (8, 100, 4, 2, [(0, 52), (52, 100)]),  # worth two threads
        (2, 100, 4, 0, [(0, 100)]),
    ],
)
def test_rows_are_shared_in_whole_units(  # noqa: PLR0917
    eager: None,
    count: int,
    rows: int,
    unit: int,
    work: int,
    right: list[tuple[int, int]],
) -> None:
    torch.set_num_threads(count)

    assert [tuple(part) for part in parts_of(rows, unit, work)] == right


def test_little_work_stays_on_its_thread() -> None:
    assert parts_of(1000, 1, threads.LEAST) == [Part(0, 1000)]


def test_every_range_is_called_once_on_a_thread_of_its_own() -> None:
    met = threading.Barrier(3, timeout=60)  # is passed only if all three run at once
    found = torch.zeros(9)

    def kernel(array: np.ndarray, scratch: np.ndarray, factor: int, start: int, stop: int) -> int:
        met.wait()
        array[start:stop] += factor * scratch[0]
        return threading.get_ident()

    parts = [Part(0, 2), Part(2, 3), Part(3, 9)]
    scratch = [(torch.tensor([float(n)]),) for n in (1, 2, 3)]
    idents = call(kernel, parts, (found,), scratch, (10,))

    assert found.tolist() == [10] * 2 + [20] + [30] * 6
    assert idents[0] == threading.get_ident()
    assert len(set(idents)) == 3


@pytest.mark.parametrize("guilty", [0, 5])
def test_an_error_arrives_after_all_have_ended(guilty: int) -> None:
    ended = []

    def kernel(start: int, stop: int) -> None:
        if start == guilty:
            raise ValueError(f"row {start}")
        ended.append(start)

    with pytest.raises(ValueError, match=f"row {guilty}"):
        call(kernel, [Part(0, 5), Part(5, 9)], (), [(), ()])
    assert ended == [5 - guilty]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_a_child_has_threads_of_its_own() -> None:
    def kernel(start: int, stop: int) -> int:
        return start

    parts, scratch = [Part(0, 1), Part(1, 2)], [(), ()]
    call(kernel, parts, (), scratch)
    child = os.fork()
    if child == 0:
        right = call(kernel, parts, (), scratch) == [0, 1]
        os._exit(0 if right else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("ff_int8", {}),
        ("ff_int8", {"lookahead": "true"}),
        ("ff_int8", {"master": "fp32", "momentum": 0.9}),
        ("backprop_int8", {}),
        ("backprop_int8", {"rounding": "stochastic"}),
        ("backprop_int8", {"weight_gradient": "whole"}),
    ],
)
def test_training_does_not_depend_on_the_number_of_threads(
    eager: None, name: str, options: dict[str, object]
) -> None:
    """Of rules without a product of floats: torch's depend on it."""
    draws = torch.Generator().manual_seed(1)
    x, y = torch.rand(19, 70, generator=draws), torch.randint(0, 10, (19,), generator=draws)
    found = []
    for count in (1, 2, 3):
        torch.set_num_threads(count)
        algorithm = build_algorithm(name, "mlp-70-90-65-10", options)
        algorithm.begin_epoch(1, 2)
        for _ in range(3):
            algorithm.step(x, y)
        found.append([held.tensor.clone() for held in algorithm.static_tensors()])
    for several in found[1:]:
        for one, other in zip(found[0], several, strict=True):
            assert torch.equal(one, other)


def adam() -> list[torch.Tensor]:
    draws = torch.Generator().manual_seed(2)
    tensors = [torch.rand(1003, generator=draws) for _ in range(4)]
    numbers = {"first": 0.1, "second": 0.001, "epsilon": 1e-8, "rate": -0.01, "decay": 0.1}
    adam_step(*tensors, **numbers)
    return tensors


def bits(*, signs: bool) -> list[torch.Tensor]:
    draws = torch.Generator().manual_seed(3)
    h, w = (
        torch.randint(0, 256, (rows, 70), dtype=torch.uint8, generator=draws) for rows in (19, 21)
    )
    z = torch.rand(19, 21, generator=draws)
    if signs:
        add_sign_product(h, w, z, 555)
    else:
        add_binary_product(h, w, z, 555)
    return [z]


@pytest.mark.parametrize("work", [adam, partial(bits, signs=True), partial(bits, signs=False)])
def test_kernels_do_not_depend_on_the_number_of_threads(
    eager: None, work: Callable[[], list[torch.Tensor]]
) -> None:
    """Called by themselves: the products that torch computes beside them do depend on it."""
    found = []
    for count in (1, 2, 3):
        torch.set_num_threads(count)
        found.append(work())
    for several in found[1:]:
        for one, other in zip(found[0], several, strict=True):
            assert torch.equal(one, other)
