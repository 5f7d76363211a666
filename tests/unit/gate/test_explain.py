"""Which tensor did it: changes planted one at a time are named."""

from __future__ import annotations

import pytest

from tests.builders.gate import entry, phases, stage, tensors
from trainfit.bench.gate.explain import diff_tensors, explain
from trainfit.bench.gate.figures import StepFigures, TensorGroup
from trainfit.bench.records.schema import PhaseMemory

WEIGHT = TensorGroup("gradients", "mm float32 128x64", 32_768, 1)
COPY = TensorGroup("activations", "clone float32 32x128", 16_384, 1)


@pytest.mark.parametrize(
    ("before", "after", "said", "change"),
    [
        ([WEIGHT], [WEIGHT], [], 0),
        ([], [COPY], ["new: clone float32 32x128 (activations, 16,384 B)"], 16_384),
        ([COPY], [], ["gone: clone float32 32x128 (activations, 16,384 B)"], -16_384),
        (
            [COPY],
            [COPY._replace(times=3)],
            ["2 more of clone float32 32x128 (activations, 16,384 B each): 3, was 1"],
            32_768,
        ),
        (
            [WEIGHT],
            [TensorGroup("gradients", "mm float64 128x64", 65_536, 1)],
            ["grown: mm float32 128x64, 32,768 B -> mm float64 128x64, 65,536 B (gradients)"],
            32_768,
        ),
        (
            [WEIGHT],
            [TensorGroup("gradients", "mm float32 128x32", 16_384, 1)],
            ["shrunk: mm float32 128x64, 32,768 B -> mm float32 128x32, 16,384 B (gradients)"],
            -16_384,
        ),
        (
            [TensorGroup("workspace", "unpacked tile", 1_024, 1)],
            [TensorGroup("workspace", "unpacked tile", 4_096, 2)],
            ["grown: unpacked tile, 1,024 B -> 4,096 B (workspace), 2 of them, was 1"],
            7_168,
        ),
        (
            [WEIGHT],
            [WEIGHT._replace(category="workspace")],
            ["mm float32 128x64 counts as workspace, was gradients (32,768 B)"],
            0,
        ),
    ],
)
def test_changes_have_names(
    before: list[TensorGroup], after: list[TensorGroup], said: list[str], change: int
) -> None:
    found = diff_tensors(before, after)
    assert [each.text for each in found] == said
    assert sum(each.bytes for each in found) == change


def test_the_largest_change_comes_first() -> None:
    found = diff_tensors([], [COPY, WEIGHT])
    assert [each.bytes for each in found] == [32_768, 16_384]


def changed(**phase: dict[str, object]) -> StepFigures:
    """An entry in which some phases are others."""
    found = phases()
    for name, changes in phase.items():
        found[name] = PhaseMemory.model_validate(found[name].model_dump() | changes)
    return entry(stage(found))


def test_nothing_is_said_of_what_is_equal() -> None:
    assert explain(entry(), entry()) == []


def test_what_differs_alike_in_several_phases_is_said_once() -> None:
    more = [each.model_dump() for each in tensors(("zeros float32 8x8", 256, "workspace"))]
    lists = {
        name: {"peak_tensors": [*(each.model_dump() for each in phase.peak_tensors), *more]}
        for name, phase in phases().items()
        if name != "forward"
    }
    assert explain(entry(), changed(**lists)) == [
        "new: zeros float32 8x8 (workspace, 256 B), in gradient and update"
    ]


def test_a_gradient_that_is_kept_one_phase_longer_is_named() -> None:
    kept = [each.model_dump() for each in phases()["gradient"].peak_tensors]
    longer = changed(update={"peak_tensors": kept, "peak_bytes": 4_600})
    assert explain(entry(), longer) == [
        "kept alive: addmm float32 32x10 (activations, 600 B), in update"
    ]
    assert explain(longer, entry()) == [
        "no longer alive: addmm float32 32x10 (activations, 600 B), in update"
    ]


def test_an_optimiser_buffer_more_is_as_large_as_all_parameters() -> None:
    hungry = stage(
        static_bytes=13_000,
        static_categories={"inputs": 1_000, "optimizer_state": 8_000, "parameters": 4_000},
    )
    assert explain(entry(), entry(hungry)) == [
        "4,000 B more of optimizer_state held between steps, as much as all parameters"
    ]


def test_without_lists_categories_are_compared() -> None:
    bare = {name: {"peak_tensors": []} for name in phases()}
    before = changed(**bare)
    bare["update"] |= {"categories": {"gradients": 4_000, "workspace": 512}}
    assert explain(before, changed(**bare)) == [
        "512 B more of workspace alive at the peak, in update"
    ]


def test_stages_have_their_names() -> None:
    first = entry(stage(stage="layer1"))
    second = entry(stage(phases(weight=8_000), stage="layer1"))
    assert explain(first, second) == [
        "grown: mm float32 10x64, 4,000 B -> 8,000 B (gradients), "
        "in gradient of layer1 and update of layer1"
    ]


def test_what_is_kept_past_a_phase_is_said_where_no_peak_has_changed():
    group = TensorGroup("gradients", "mm float32 10x64", 2560, 1)
    then = StepFigures(figures={"all/update": {"exit_bytes": 0}}, tensors={"all/gradient": [group]})
    now = StepFigures(
        figures={"all/update": {"exit_bytes": 2560}}, tensors={"all/gradient": [group]}
    )
    assert explain(then, now) == [
        "2,560 B more alive when update ends, the size of mm float32 10x64"
    ]
    assert explain(now, then) == [
        "2,560 B less alive when update ends, the size of mm float32 10x64"
    ]
