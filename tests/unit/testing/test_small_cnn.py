"""A stranger's small net: each change that its authors might make is caught, and named.

The step of the project in ``tests/projects/small_cnn`` marks no phases. It is measured for real,
once as it is and once for every change.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.builders.small_cnn import CHANGES, make_step
from trainfit.bench.gate.explain import GRAPH_KEPT, KEPT_ACROSS, KEPT_LONGER, SCALAR_KEPT
from trainfit.bench.gate.figures import figures_of_profile
from trainfit.bench.gate.totals import totals_of
from trainfit.bench.profiler import StepProfile, profile_step
from trainfit.bench.testing import goldens
from trainfit.bench.testing.checks import CheckKind, check, message
from trainfit.bench.testing.limits import read_limits

KEY = "test_training.py::test_step"
BOARD = "jetson-nano"
"""One with room for the step many times over."""


@pytest.fixture(scope="module")
def golden(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The golden of the project as it is."""
    folder = tmp_path_factory.mktemp("cnn")
    file = folder / "golden.json"
    goldens.accept_into(file, {KEY: figures_of_profile(measured(folder))})
    return file


def measured(folder: Path, change: str | None = None) -> StepProfile:
    return profile_step(make_step(folder, change), warmup=1, repeats=2)


SAID: dict[str, list[str]] = {
    "batch": [
        "peak_dynamic +249,792 B, ",
        "grown: relu float32 8x8x16x16, 65,536 B -> relu float32 16x8x16x16, 131,072 B",
    ],
    "width": [
        "static +33,600 B, peak_dynamic +199,424 B, ",
        "grown: convolution float32 8x8x16x16, 65,536 B -> convolution float32 8x12x16x16",
        "22,336 B more of optimizer_state held between steps",
    ],
    "gelu": [
        "peak_dynamic +65,536 B, ",
        "new: native_batch_norm float32 8x8x16x16 (activations, 65,536 B)",
        "new: gelu float32 8x8x16x16 (activations, 65,536 B)",
        "gone: relu float32 8x8x16x16 (activations, 65,536 B)",
    ],
    "gradients kept": [
        "+5,056 B (+1.1 %): static +15,464 B, peak_dynamic -10,408 B, ",
        "15,464 B more of gradients held between steps, as much as all parameters",
    ],
    "amsgrad": [
        "static +15,464 B, ",
        "15,464 B more of optimizer_state held between steps, as much as all parameters",
    ],
    "average": ["static +15,464 B, ", "15,464 B more of ", "as much as all parameters"],
    "retain_graph": [
        "peak_dynamic +90,628 B, ",
        KEPT_LONGER,
        "new: convolution float32 8x16x8x8 (activations, 32,768 B)",
    ],
    "history of losses": [
        "RAM 455,456 B, as before",
        "leak: every step leaves 4 B behind",
        SCALAR_KEPT,
    ],
    "history of outputs": [
        "RAM 455,456 B, as before",
        "leak: every step leaves 320 B behind: addmm float32 8x10 (activations, 320 B)",
    ],
    "running loss": ["static +4 B, ", "4 B more of "],
    "hook": [
        "peak_dynamic +32,768 B, ",
        KEPT_ACROSS,
        "new: convolution float32 8x16x8x8 (activations, 32,768 B)",
    ],
    "sgd": ["-30,968 B (-6.8 %): static -30,968 B, ", "30,968 B less of optimizer_state"],
    "clip": [
        "RAM 455,456 B, as before",
        "+124 B and +20 allocations in the course of the step",
        "such as clip_grad_norm_",
        "allocations: 157 -> 177, +20",
    ],
    "retain_graph and history": [
        "peak_dynamic +90,628 B, ",
        "leak: every step leaves 279,112 B behind: convolution float32 8x8x16x16 (activations",
        GRAPH_KEPT,
    ],
}

MOVED_THE_PEAK = {
    "batch",
    "width",
    "gelu",
    "gradients kept",
    "retain_graph",
    "hook",
    "retain_graph and history",
}

LEAKING = {
    "history of losses": 4,
    "history of outputs": 320,
    "retain_graph and history": 279_112,
}


@pytest.mark.parametrize("change", CHANGES)
def test_every_change_is_caught_and_named(change: str, golden: Path, tmp_path: Path) -> None:
    profile = measured(tmp_path, change)

    problem, _ = goldens.compare(figures_of_profile(profile), golden, KEY)

    assert problem is not None
    first, *rest = problem.text.splitlines()
    assert first.startswith("RAM 455,456 B")
    assert [said for said in SAID[change] if said not in problem.text] == []
    assert rest[-1].endswith(f"golden.json:7, entry {KEY}")
    text = message([problem], profile)
    assert ("alive at the peak" in text) is (change in MOVED_THE_PEAK)
    assert ("outside: the part of the step that is in no phase" in text) is ("outside" in text)


def test_nothing_is_said_of_the_project_as_it_is(golden: Path, tmp_path: Path) -> None:
    profile = measured(tmp_path)
    assert goldens.compare(figures_of_profile(profile), golden, KEY) == (None, [])
    totals = totals_of(figures_of_profile(profile))
    assert totals is not None
    assert (totals.ram, totals.left) == (455_456, 0)


@pytest.mark.parametrize("change", [*LEAKING, "running loss"])
def test_limits_alone_see_a_leak(change: str, tmp_path: Path) -> None:
    """Without a golden: the step fits by far, and every board is full one day."""
    limits = read_limits([((), {"max_ram": "1 MiB", "device": BOARD})], tmp_path / "test.py")
    problems = check(measured(tmp_path, change), limits)
    if change not in LEAKING:
        assert problems == []
        return
    (problem,) = problems
    assert (problem.limit, problem.kind) == ("max_left", CheckKind.LEAK)
    assert problem.measured == LEAKING[change]
    assert problem.text.startswith(f"leaves {LEAKING[change]:,} B per step: on {BOARD} full after ")
    assert (GRAPH_KEPT in problem.text) is (change == "retain_graph and history")
