"""A step on tensors without values runs the operators of a real one, which tell its memory."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from tests.contract.cases import FEW, FEW_IDS, at_every_stage, batch_for
from trainfit.algorithms import Algorithm, build_on_meta
from trainfit.algorithms.memory.stand_ins import result_of
from trainfit.algorithms.numerics import lazy_kernels

ROWS, STEPS = 6, 2

VALUES = {torch.bool: True, torch.float32: 1.0, torch.float64: 1.0, torch.int64: 1}
"""What a step reads where there is no value."""

ONLY_WITH_VALUES = {
    "aten::lift_fresh",  # a list of Python's becomes a tensor in one operator more
    "aten::normal_",  # asi draws a direction again if it is in the span of the others
}
"""Operators that may be missing without values; neither allocates anything."""


class Watching(TorchDispatchMode):
    """Notes the operators that run, with the shapes and types of what they give back."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[tuple[str, list[tuple[torch.Size, torch.dtype]]]] = []

    def __torch_dispatch__(
        self,
        func: Any,
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        if func is torch.ops.aten._local_scalar_dense.default and args[0].is_meta:
            result = VALUES[args[0].dtype]
        else:
            result = result_of(func, args, kwargs or {})
        if func.name() not in ONLY_WITH_VALUES:
            made = [t for t in tree_leaves(result) if isinstance(t, torch.Tensor)]
            self.seen.append((func.name(), [(t.shape, t.dtype) for t in made]))
        return result


@contextmanager
def no_kernel(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Compiled code that is asked for inside the block is an error."""

    def refuse(module: str, package: str) -> None:
        raise AssertionError(f"{module} is asked for")

    with monkeypatch.context() as patch:
        patch.setattr(lazy_kernels, "import_module", refuse)
        for kernels in vars(lazy_kernels).values():
            if isinstance(kernels, lazy_kernels.Kernels):  # which forgets what it has imported
                patch.setattr(kernels, "__dict__", {"_module": kernels._module})
        yield


def seen_on_meta(algorithm: Algorithm[Any]) -> list[tuple[str, Any]]:
    """What some steps of a sketch run, on batches without values."""
    x = torch.empty(ROWS, algorithm.model.inputs, device="meta")
    y = torch.empty(ROWS, dtype=torch.int64, device="meta")
    with torch.device("meta"), Watching():
        x = algorithm.stage_data(x)
    with torch.device("meta"), Watching() as watching:
        for _ in range(STEPS):
            algorithm.step(x, y)
    return watching.seen


def seen_with_values(algorithm: Algorithm[Any]) -> list[tuple[str, Any]]:
    """What some steps run."""
    x, y = batch_for(algorithm, ROWS)
    with Watching() as watching:
        for _ in range(STEPS):
            algorithm.step(x, y)
    return watching.seen


@pytest.mark.parametrize(("name", "options", "model"), FEW, ids=FEW_IDS)
def test_a_step_without_values_runs_the_same_operators(
    monkeypatch: pytest.MonkeyPatch, name: str, options: dict[str, Any], model: str
) -> None:
    sketch = build_on_meta(name, model, options)
    for index, (_, algorithm) in enumerate(at_every_stage(name, model, options)):
        sketch.enter_stage(index)
        with no_kernel(monkeypatch):
            found = seen_on_meta(sketch)
        assert found == seen_with_values(algorithm)
        made = [h for h in sketch.static_tensors() if not h.tensor.is_meta]
        assert [h.name for h in made if h.tensor.dim()] == []  # torch's Adam counts on the CPU


KERNELS: dict[str, tuple[dict[str, Any], set[str]]] = {
    "backprop": (
        {"weights": "binary", "activations": "binary", "optimizer": "adam"},
        {"add_binary_product", "sum_magnitudes"},
    ),
    "backprop_dai8": ({}, {"int8_linear", "int8_grad_weight", "int8_quantise", "column_squares"}),
    "backprop_int8": ({}, {"int8_linear", "int8_grad_input", "int8_moved_range", "int8_move"}),
    "dfa": ({"weights": "binary", "activations": "binary"}, {"add_sign_product"}),
    "ff_int8": ({}, {"int8_labelled", "int8_forward", "int8_rescale", "int8_update"}),
    "forward_forward": ({"negatives": "hard"}, {"mostly_zeros", "draw_exponential"}),
    "local_head": ({"batch_norm": True}, {"column_means", "column_variances"}),
    "pepita": ({}, {"drop_units"}),
    "tinyfoa": (
        {},
        {"adam_step", "add_by_lookup", "add_binary_product", "pack_columns"},
    ),
}
"""Rules, options, and some of the compiled kernels that they run."""


@pytest.mark.parametrize("name", KERNELS)
def test_compiled_kernels_are_seen(name: str) -> None:
    options, right = KERNELS[name]
    seen: set[str] = set()
    for _, algorithm in at_every_stage(name, "mlp-64-128-128-10", options):
        seen |= {operator for operator, _ in seen_with_values(algorithm)}
    assert {f"trainfit::{kernel}" for kernel in right} <= seen


def test_torchs_profiler_sees_compiled_kernels() -> None:
    _, algorithm = next(at_every_stage("ff_int8", "mlp-64-128-128-10", {}))
    x, y = batch_for(algorithm, ROWS)
    algorithm.step(x, y)
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU]) as profiler:
        algorithm.step(x, y)
    assert "trainfit::int8_forward" in {event.key for event in profiler.key_averages()}
