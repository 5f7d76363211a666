"""What a device has to hold before and after, leaks, and what a step allocates in its course."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tests.builders.gate import KEY, entry, golden, stage
from tests.builders.profiles import GRADIENT, step_profile
from trainfit.bench.gate.compare import FindingKind, compare_figures, compare_workloads
from trainfit.bench.gate.explain import GRAPH_KEPT, KEPT_ACROSS, KEPT_LONGER, explain, legend
from trainfit.bench.gate.figures import figures_of_profile
from trainfit.bench.gate.golden import Golden, read_golden, to_text, write_golden
from trainfit.bench.gate.report import junit, markdown, workload_reports
from trainfit.bench.gate.run import GatedRun, update_golden
from trainfit.bench.gate.totals import change_of
from trainfit.bench.profiler.fold import Block, PhasePeak
from trainfit.bench.records.schema import Residual

OUTPUT = Block(320, "forward", "activations", "addmm float32 8x10", "head", "train.py:31")
HIDDEN = Block(900, "forward", "activations", "relu float32 9x25", "body.1", "train.py:29")
EVENTS = np.array([600, 400, -600, -400])


def figures(*extra: Block, **changes: Any) -> Any:
    return figures_of_profile(step_profile(*extra, **changes))


@pytest.mark.parametrize(
    ("changes", "net"),
    [
        ({}, "RAM 4,000 B, as before"),
        (
            {"static_bytes": 3_500},
            "RAM 4,000 B -> 4,500 B, +500 B (+12.5 %): static +500 B",
        ),
        (
            {"static_bytes": 2_000, "peak_dynamic_bytes": 1_500},
            "RAM 4,000 B -> 3,500 B, -500 B (-12.5 %): static -1,000 B, peak_dynamic +500 B",
        ),
        (
            {"static_bytes": 2_500, "peak_dynamic_bytes": 1_500},
            "RAM 4,000 B, as before: static -500 B, peak_dynamic +500 B",
        ),
    ],
)
def test_the_net_is_told_with_its_parts(changes: dict[str, int], net: str) -> None:
    change = change_of(figures(), figures(**changes))
    assert change is not None
    assert change.net == net


def test_a_workload_is_named_by_its_net() -> None:
    """Less at the peak and more between steps: it grew, whatever its peak did."""
    more = stage(
        static_bytes=13_000,
        static_categories={"inputs": 1_000, "optimizer_state": 8_000, "parameters": 4_000},
    )
    less = more.model_copy(update={"peak_dynamic_bytes": 4_500})
    (report,) = workload_reports(compare_workloads(golden(), {KEY: entry(less)}))
    assert (report.kind, report.figure) == (FindingKind.GREW, "static_bytes")
    assert report.net.endswith("static +4,000 B, peak_dynamic -100 B")


# ---- leaks ---------------------------------------------------------------------------------------


def test_a_leak_is_named_with_its_tensors_and_lines() -> None:
    leak = figures(left_after_step_bytes=320, left_blocks=(OUTPUT,))
    assert explain(figures(), leak) == [
        "leak: every step leaves 320 B behind: addmm float32 8x10 (activations, 320 B)"
        " [head at train.py:31]"
    ]
    (found,) = compare_figures("k", figures(), leak)
    assert found.kind is FindingKind.LEAKS
    assert explain(leak, figures()) == []


def test_what_only_replaces_what_was_there_is_no_leak() -> None:
    assert figures(left_blocks=(OUTPUT,)) == figures()


def test_a_kept_graph_is_more_than_a_kept_output() -> None:
    leak = figures(left_after_step_bytes=1_220, left_blocks=(HIDDEN, OUTPUT))
    said = explain(figures(), leak)
    assert said[1] == GRAPH_KEPT
    assert "relu float32 9x25 (activations, 900 B) [body.1 at train.py:29]; addmm" in said[0]


def leaking_record() -> Any:
    residual = Residual(unexplained_bytes=0, left_after_step_bytes=600)
    return entry(stage(residual=residual))


def test_a_leak_of_a_record_is_named_by_its_size_and_has_a_column() -> None:
    result = compare_workloads(golden(), {KEY: leaking_record()})
    (report,) = workload_reports(result)
    assert (report.kind, report.left) == (FindingKind.LEAKS, 600)
    assert report.sentences == [
        "leak: every step leaves 600 B behind, the size of addmm float32 32x10"
    ]
    text = markdown(result, title="t")
    assert "| change | left |" in text
    assert "| 0 B | 600 B | +600 B | 600 B |" in text
    assert 'type="leaks"' in junit(result)


def test_no_golden_takes_a_leak_in_silence(tmp_path: Any) -> None:
    file = tmp_path / "g.json"
    write_golden(file, golden())
    run = GatedRun(tmp_path, {KEY: leaking_record()}, {}, golden().conditions, {})
    assert update_golden(run, file).leaks == {KEY: 600}
    assert update_golden(run, file).leaks == {}


# ---- in the course of the step -------------------------------------------------------------------


def test_a_golden_from_before_stays_valid(tmp_path: Any) -> None:
    """It does not have what a step allocates in its course; a new one gates it."""
    before, now = figures(), figures(allocations=EVENTS)
    assert now.figures["all"]["allocated_bytes"] == 1_000
    assert now.figures["all"]["allocations"] == 2
    assert compare_figures("k", before, now) == []
    assert compare_figures("k", now, before) == []
    assert before.same_figures(now)
    more = figures(allocations=np.array([600, 400, -600, 4, -404]))
    assert [found.metric for found in compare_figures("k", now, more)] == [
        "all/allocated_bytes",
        "all/allocations",
    ]
    assert not now.same_figures(more)
    assert explain(now, more)[0].startswith("+4 B and +1 allocations in the course of the step")


def test_what_comes_and_goes_has_the_phase_where_it_does() -> None:
    """Two phases, of which the second allocates more now; no peak has moved."""
    segments = [(0, "forward"), (1, "gradient")]
    then = figures(allocations=EVENTS, segments=segments)
    assert then.figures["all/forward"]["allocated_bytes"] == 600
    assert then.figures["all/gradient"]["allocated_bytes"] == 400
    more = np.array([600, 400, -600, -400, 4, -4])
    (said,) = explain(then, figures(allocations=more, segments=segments))
    assert said.startswith("+4 B and +1 allocations in the course of the step (in gradient), freed")


def test_what_comes_and_goes_has_its_name_where_that_is_known() -> None:
    """A phase of its own, as code between the marked ones is."""
    norm = Block(16, "outside", "workspace", "stack float32 4", "", "train.py:45")
    then = step_profile(allocations=EVENTS, segments=[(0, "forward"), (1, "gradient")])
    more = {
        "allocations": np.array([600, 400, -600, -400, 16, -16]),
        "segments": [(0, "forward"), (1, "gradient"), (4, "outside")],
        "phases": {**then.phases, "outside": PhasePeak(16, 0, 0, [norm])},
    }
    said = explain(figures_of_profile(then), figures(**more))
    assert said[0].startswith("+16 B and +1 allocations in the course of the step (in outside)")
    assert said[1:] == ["new in its course: stack float32 4 (workspace, 16 B) [train.py:45]"]


def test_what_is_kept_longer_is_told_from_what_is_new() -> None:
    then = figures(allocations=EVENTS)
    assert explain(then, figures(HIDDEN, allocations=EVENTS))[0] == KEPT_LONGER
    assert explain(then, figures(HIDDEN, allocations=EVENTS, entry_bytes=900))[0] == KEPT_ACROSS
    more = np.array([600, 400, 900, -600, -400, -900])
    assert explain(then, figures(HIDDEN, allocations=more)) == [
        "new: relu float32 9x25 (activations, 900 B), in gradient [body.1 at train.py:29]"
    ]


# ---- words ---------------------------------------------------------------------------------------


def test_a_copy_of_the_model_is_called_that() -> None:
    twice = {"parameters": 4_000, "inputs": 1_000}
    assert explain(figures(), figures(static_bytes=5_000, static_categories=twice)) == [
        "2,000 B more of parameters held between steps = one more copy of the model"
    ]


def test_growth_is_told_before_what_shrank_unless_there_is_less() -> None:
    small = Block(100, "gradient", "gradients", "a")
    large = Block(700, "gradient", "workspace", "b")
    grown = explain(figures(small), figures(large))
    assert [said.partition(":")[0] for said in grown] == ["new", "gone"]
    less = explain(figures(large), figures(small))
    assert [said.partition(":")[0] for said in less] == ["gone", "new"]


def test_words_of_ours_are_explained_where_they_are_used() -> None:
    assert legend(["new: unnamed, in update"])[0].startswith("unnamed: made by no operator")
    assert legend(["in outside"])[0].startswith("outside: the part of the step")
    assert legend(["in update", "unnameds"]) == []


def test_places_are_not_kept_in_a_golden(tmp_path: Any) -> None:
    """A line moves with every edit; a file that changed with it would be read by nobody."""
    step = figures(HIDDEN)
    assert step.places == {"relu float32 9x25, 900": ["body.1 at train.py:29"]}
    made = Golden(conditions=golden().conditions, workloads={"k": step})
    assert "train.py" not in to_text(made)
    write_golden(tmp_path / "g.json", made)
    assert read_golden(tmp_path / "g.json").workloads["k"].same_figures(step)
    again = figures(HIDDEN, GRADIENT)
    assert "train.py" in explain(figures(GRADIENT), again)[0]
