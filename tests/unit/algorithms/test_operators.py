"""Kernels as operators of torch: what they are called, what they write, what they leave alone."""

from __future__ import annotations

import itertools
import subprocess
import sys
import warnings
from collections.abc import Callable
from importlib import import_module
from pkgutil import walk_packages
from typing import Any

import pytest
import torch

import trainfit.algorithms
from trainfit.algorithms.numerics.operators import NAMESPACE, operator

numbers = itertools.count()


def doubling() -> tuple[str, Callable[[torch.Tensor], None]]:
    """An operator that doubles a vector in place, and its name, which is new every time."""
    name = f"double_{next(numbers)}"

    @operator(f"{name}(Tensor(a!) x) -> ()")
    def double(x: torch.Tensor) -> None:
        x.numpy()[:] *= 2

    return name, double


def test_an_operator_does_on_the_cpu_what_its_function_does() -> None:
    _, double = doubling()
    x = torch.tensor([1.0, 2.0])
    assert double(x) is None
    assert x.tolist() == [2.0, 4.0]


def test_nothing_is_done_on_the_meta_device() -> None:
    _, double = doubling()
    x = torch.empty(3, device="meta")
    double(x)
    assert x.shape == (3,)


def test_a_number_is_stood_in_for_on_the_meta_device() -> None:
    @operator("largest_of_test(Tensor x) -> float", on_meta=1.5)
    def largest(x: torch.Tensor) -> float:
        return float(x.max())

    assert largest(torch.tensor([3.0, 7.0])) == 7.0
    assert largest(torch.empty(2, device="meta")) == 1.5


def test_autograd_is_not_asked() -> None:
    """What is written to is no part of its graph; it neither warns nor counts a change."""
    _, double = doubling()
    weight = torch.ones(2, requires_grad=True)
    before = weight * 3.0
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        double(before.detach())
        before.sum().backward()
    assert weight.grad is not None
    assert weight.grad.tolist() == [3.0, 3.0]


def test_an_operator_has_one_definition() -> None:
    name, _ = doubling()
    with pytest.raises(RuntimeError, match=name):

        @operator(f"{name}(Tensor x) -> ()")
        def other(x: torch.Tensor) -> None:
            pass


def test_a_module_may_be_imported_again() -> None:
    """As it is after an import that failed half-way; in a process of its own."""
    code = (
        "import importlib, torch\n"
        "from trainfit.algorithms.numerics import dropout\n"
        "x = torch.ones(4)\n"
        "importlib.reload(dropout).drop_units(x, 0, 1, 1e-9)\n"
        "print(x.tolist())"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[0.0, 0.0, 0.0, 0.0]"


def ours() -> list[tuple[str, Any]]:
    """The operators that modules define, by name."""
    found = {}
    package = trainfit.algorithms
    for module in walk_packages(package.__path__, f"{package.__name__}."):
        if "kernel" not in module.name.rpartition(".")[2]:
            for value in vars(import_module(module.name)).values():
                if isinstance(value, torch._ops.OpOverload) and value.namespace == NAMESPACE:
                    found[value._opname] = value
    return sorted(found.items())


@pytest.mark.parametrize(("name", "kernel"), ours(), ids=[name for name, _ in ours()])
def test_a_schema_says_what_is_written_and_what_is_workspace(name: str, kernel: Any) -> None:
    schema = kernel._schema
    written = [a.name for a in schema.arguments if a.alias_info and a.alias_info.is_write]
    assert [a.name for a in schema.arguments if a.name.startswith("scratch")] == [
        each for each in written if each.startswith("scratch")
    ]
    assert not any(isinstance(each.type, torch.TensorType) for each in schema.returns)
    assert written or schema.returns  # it is good for something


def test_there_are_as_many_operators_as_kernels() -> None:
    assert len(ours()) >= 25
