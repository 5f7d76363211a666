"""Programs of known bytes: what a trace of them has to say."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch

from trainfit.algorithms.phases import Category, observing, phase, tag
from trainfit.bench.trace.recorder import Recorder
from trainfit.bench.trace.trace import Trace

KIB = 1024


def traced(program: Callable[[], Any], **found: torch.Tensor) -> Trace:
    """Run a program on tensors without data; ``found`` are there before it."""
    recorder = Recorder()
    for name, tensor in found.items():
        recorder.adopt(tensor, str(Category.PARAMETERS), name)
    with torch.device("meta"), observing(recorder), recorder:
        recorder.begin(closed=True)
        program()
        return recorder.finish()


def kib(number: int) -> torch.Tensor:
    return torch.empty(number * KIB // 4)


def test_what_lives_at_once_is_added() -> None:
    def program() -> None:
        with phase("forward"):
            a, b = kib(3), kib(4)
            del a
            c = kib(2)
        with phase("gradient"):
            del b
            d = kib(1)
        del c, d

    view = traced(program).torch_view
    assert view.peak_dynamic_bytes == 7 * KIB
    assert view.peak_phase == "forward"
    assert {name: each.peak_bytes for name, each in view.phases.items()} == {
        "forward": 7 * KIB,
        "gradient": 6 * KIB,
    }
    assert view.left_after_step_bytes == 0


def test_a_view_has_no_bytes_and_keeps_those_of_its_tensor() -> None:
    def program() -> None:
        row = kib(4).view(2, -1)[1]
        assert row.shape == (512,)
        kib(1)
        del row
        kib(3)

    assert traced(program).torch_view.peak_dynamic_bytes == 5 * KIB


def test_in_place_writes_make_nothing() -> None:
    held = torch.empty(256, device="meta")
    trace = traced(lambda: held.mul_(held).add_(held), held=held)
    assert trace.torch_view.peak_dynamic_bytes == 0
    assert [(op.name, op.reads, op.writes, op.makes) for op in trace.operators] == [
        ("aten.mul_.Tensor", (0,), (0,), ()),
        ("aten.add_.Tensor", (0,), (0,), ()),
    ]


def test_a_number_of_pythons_is_a_double_and_then_a_float() -> None:
    held = torch.empty(256, device="meta")
    trace = traced(lambda: held.mul_(0.5), held=held)
    assert trace.torch_view.peak_dynamic_bytes == 8 + 4
    assert [each.label for each in trace.storages[1:]] == ["scratch of mul_"] * 2


def test_bytes_belong_to_the_innermost_phase_unless_they_are_tagged() -> None:
    def program() -> None:
        with phase("forward"):
            h = kib(1)
            tag(kib(2), Category.WORKSPACE, "tile")
        with phase("gradient"):
            kib(4)
        del h

    phases = traced(program).torch_view.phases
    assert phases["forward"].categories == {"activations": KIB, "workspace": 2 * KIB}
    assert phases["gradient"].categories == {"activations": KIB, "gradients": 4 * KIB}
    assert phases["forward"].live_at_peak[0].label == "tile float32 512"


def test_backward_makes_gradients_and_frees_what_it_needed() -> None:
    weight = torch.empty(8, 8, device="meta", requires_grad=True)

    def program() -> None:
        x = torch.empty(4, 8)
        with phase("forward"):
            loss = (x @ weight).relu().sum()
        with phase("gradient"):
            loss.backward()
        weight.grad = None

    trace = traced(program, weight=weight)
    assert trace.torch_view.left_after_step_bytes == 0
    assert "gradients" in trace.torch_view.phases["gradient"].categories
    assert all(0 not in op.writes for op in trace.operators)


def test_what_a_step_leaves_is_seen() -> None:
    kept: list[torch.Tensor] = []
    view = traced(lambda: kept.append(kib(2))).torch_view
    assert view.left_after_step_bytes == 2 * KIB


def test_reading_a_value_gives_a_stand_in_and_is_written_down() -> None:
    def program() -> None:
        assert float(torch.empty(3).sum()) == 1.0
        assert int(torch.empty((), dtype=torch.int64)) == 1
        assert bool(torch.empty((), dtype=torch.bool))

    places = traced(program).reads_of_data
    assert len(places) == 3
    assert all("test_recorder.py:" in place for place in places)


def test_a_tensor_of_numbers_is_made_by_the_step() -> None:
    view = traced(lambda: kib(1).mul_(torch.tensor([0.5] * 256))).torch_view
    assert view.peak_dynamic_bytes == 2 * KIB


def test_equal_programs_have_equal_traces() -> None:
    def program() -> None:
        kib(1).add_(1.0)

    assert traced(program).same_steps(traced(program))
    assert not traced(program).same_steps(traced(lambda: kib(2).add_(1.0)))


@pytest.mark.parametrize("size", [1, 2, 3])
def test_scalars_are_workspace_whatever_they_are_for(size: int) -> None:
    def program() -> None:
        with phase("gradient"):
            torch.empty(size)

    categories = traced(program).torch_view.phases["gradient"].categories
    assert categories == {"workspace" if size <= 2 else "gradients": 4 * size}
