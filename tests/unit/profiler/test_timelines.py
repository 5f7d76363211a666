"""Timelines: from allocation events to the run folder, and back as a frame."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tests.builders.runs import Heard, memory, suite, workload
from trainfit.algorithms import build_algorithm
from trainfit.bench.errors import RunFolderError
from trainfit.bench.frames.sources import load_source
from trainfit.bench.processes.child import Ending, Outcome
from trainfit.bench.profiler.events import Stream
from trainfit.bench.profiler.fold import fold
from trainfit.bench.profiler.timeline import (
    MOST_POINTS,
    compact_timeline,
    levels,
    levels_by_category,
)
from trainfit.bench.records.timelines import (
    TIMELINES,
    Timeline,
    read_timelines,
    timeline_line,
)
from trainfit.bench.records.writing import RunFolder
from trainfit.bench.run import runner
from trainfit.bench.run.memory import measure_memory
from trainfit.bench.run.runner import run_suite
from trainfit.hardware_profiles import load_device

ENVIRONMENT = {"versions": {"torch": "2", "trainfit": "1"}}
COURSE: dict[str, Any] = {
    "stage": "all",
    "events": 2,
    "index": [0, 1, 2],
    "phase": ["outside", "forward", "gradient"],
    "bytes": {"activations": [0, 8, 8], "gradients": [0, 0, 4]},
}


def test_levels_are_split_by_what_a_block_was_last_said_to_be_for() -> None:
    stream = Stream()
    stream.alloc(1, 1000)  # the step finds and frees it
    stream.tag(1, "gradients")
    stream.begin()
    stream.free(9, 64)  # from before the session
    stream.enter("forward")
    stream.alloc(2, 100)
    stream.tag(2, "workspace")
    stream.alloc(3, 30)
    stream.tag(2, "activations")
    stream.leave("forward")
    stream.free(1, 1000)
    stream.alloc(1, 7)  # the same address anew, for nobody
    stream.free(2, 100)
    stream.end()

    folded = fold(stream)
    split = levels_by_category(folded)

    assert {name: column.tolist() for name, column in split.items()} == {
        "workspace": [64, 0, 0, 30, 30, 37, 37],
        "gradients": [1000, 1000, 1000, 1000, 0, 0, 0],
        "activations": [0, 0, 100, 100, 100, 100, 0],
    }
    assert levels(folded).tolist() == [1064, 1000, 1100, 1130, 130, 137, 37]
    course = compact_timeline(folded, "all")
    assert course.index == list(range(7))
    assert course.phase == ["outside"] * 2 + ["forward"] * 2 + ["outside"] * 3


def many_events(count: int) -> Stream:
    draws = random.Random(7)
    stream = Stream()
    stream.begin()
    alive: list[tuple[int, int]] = []
    for event in range(count):
        if event == 10:
            stream.enter("update")  # three events long
        if event == 13:
            stream.leave("update")
            stream.enter("forward")
        if alive and draws.random() < 0.5:
            stream.free(*alive.pop(draws.randrange(len(alive))))
        else:
            alive.append((event + 1, draws.randrange(1, 5000)))
            stream.alloc(*alive[-1])
            stream.tag(event + 1, draws.choice(["activations", "gradients"]))
    stream.leave("forward")
    stream.end()
    return stream


@pytest.mark.parametrize("most", [20, MOST_POINTS])
def test_a_long_step_keeps_its_peak_its_ends_and_a_short_phase(most: int) -> None:
    folded = fold(many_events(30_000))
    course = compact_timeline(folded, "all", most)

    total = np.sum(list(course.bytes.values()), axis=0)
    assert len(course.index) <= most
    assert course.events == 30_000
    assert (course.index[0], course.index[-1]) == (0, 30_000)
    assert (np.diff(course.index) > 0).all()
    assert total.tolist() == levels(folded)[course.index].tolist()
    at = int(total.argmax())
    assert total[at] == folded.peak_dynamic_bytes
    assert {k: v[at] for k, v in course.bytes.items() if v[at]} == folded.categories
    assert course.phase[at] == folded.peak_phase
    assert set(course.phase) == {"outside", "update", "forward"}


def test_more_phase_borders_than_points_still_give_the_peak() -> None:
    stream = Stream()
    stream.begin()
    for event in range(200):
        stream.enter("forward")
        stream.alloc(event + 1, 1 if event != 77 else 500)
        stream.leave("forward")
        stream.enter("update")
        stream.free(event + 1, 1)
        stream.leave("update")
    stream.end()
    course = compact_timeline(fold(stream), "all", 50)
    assert len(course.index) <= 50
    assert max(course.bytes["workspace"]) == 500


def test_a_step_without_allocations_has_one_point() -> None:
    stream = Stream()
    stream.begin()
    stream.end()
    course = compact_timeline(fold(stream), "all")
    assert (course.events, course.index, course.bytes) == (0, [0], {})


@pytest.mark.parametrize("name", ["backprop", "forward_forward"])
def test_a_record_and_its_timeline_agree_to_the_byte(name: str) -> None:
    courses: list[Timeline] = []
    algorithm = build_algorithm(name, "mlp-24-16-16-4")
    x, y = torch.rand(10, 24), torch.randint(0, 4, (10,))

    found = measure_memory(algorithm, x, y, on_timeline=courses.append)

    (course,) = courses
    total = np.sum(list(course.bytes.values()), axis=0)
    at = int(total.argmax())
    assert course.stage == found.worst_stage
    assert total[at] == found.peak_dynamic_bytes
    assert course.phase[at] == found.peak_phase
    categories = {name: column[at] for name, column in course.bytes.items() if column[at]}
    assert categories == found.worst.phases[found.peak_phase].categories


def test_a_run_keeps_what_its_workloads_send(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def call(target: str, job: dict[str, Any], *, on_message: Any, **_: Any) -> Outcome:
        if target == "trainfit.bench.run.worker:preflight":
            on_message({"environment": ENVIRONMENT})
        else:
            on_message({"memory": memory().model_dump(mode="json")})
            if job["workload"]["algorithm"] == "a":
                on_message({"timeline": COURSE})
        return Outcome(Ending.RETURNED)

    monkeypatch.setattr(runner, "call", call)
    done = run_suite(suite("a", "b"), [load_device("stm32f407")], tmp_path / "run", Heard())

    (line,) = read_timelines(tmp_path / "run")
    assert line.workload == done.records[0].workload
    assert line.bytes == COURSE["bytes"]
    assert "timeline" not in (tmp_path / "run" / "records.jsonl").read_text("utf-8")


def test_going_on_with_a_run_takes_back_a_cut_off_line_and_the_last_line_counts(
    tmp_path: Path,
) -> None:
    out, made = tmp_path / "run", {"name": "small", "devices": []}
    with RunFolder.create(out, made, ENVIRONMENT) as folder:
        folder.append_beside(TIMELINES, timeline_line(workload(), COURSE))
        folder.append_beside(TIMELINES, timeline_line(workload(batch_size=4), COURSE))
    with (out / TIMELINES).open("a", encoding="utf-8") as stream:
        stream.write('{"schema": "trainf')
    assert len(read_timelines(out)) == 2

    with RunFolder.reopen(out, made, ENVIRONMENT) as folder:
        again = COURSE | {"stage": "again"}
        folder.append_beside(TIMELINES, timeline_line(workload(), again))

    found = {line.workload.batch_size: line.stage for line in read_timelines(out)}
    assert found == {32: "again", 4: "all"}


def test_the_frame_has_a_row_per_point_and_category(tmp_path: Path) -> None:
    first, second, old = (tmp_path / name for name in ("first", "second", "old"))
    for out in (first, second, old):
        with RunFolder.create(out, {}, ENVIRONMENT) as folder:
            if out != old:
                line = timeline_line(workload(options={"lr": 0.1}, train_samples=9), COURSE)
                folder.append_beside(TIMELINES, line)

    frame = load_source([first, old, second], "timelines")

    assert len(frame) == 2 * 3 * 2
    assert frame["run"].unique().tolist() == ["first", "second"]
    row = frame.iloc[5]
    assert (row["index"], row["phase"], row["category"], row["bytes"]) == (
        2,
        "gradient",
        "gradients",
        4,
    )
    assert (row["options"], row["train_samples"], row["stage"], row["events"]) == (
        '{"lr":0.1}',
        9,
        "all",
        2,
    )


def test_a_run_from_before_there_were_timelines_gives_an_empty_frame(tmp_path: Path) -> None:
    frame = load_source([tmp_path], "timelines")
    assert frame.empty
    assert {"run", "label", "index", "phase", "category", "bytes"} <= set(frame.columns)


@pytest.mark.parametrize(
    ("line", "what"),
    [
        ("{}", "stage: is missing"),
        ("nonsense", "not valid JSON"),
        (
            timeline_line(workload(), COURSE).replace('"forward",', ""),
            "phase has 2 points, index has 3",
        ),
    ],
)
def test_a_damaged_line_is_named(tmp_path: Path, line: str, what: str) -> None:
    (tmp_path / TIMELINES).write_text(f"{timeline_line(workload(), COURSE)}\n{line}\n", "utf-8")
    with pytest.raises(RunFolderError, match=rf"{TIMELINES}:2: not a timeline.*{what}"):
        read_timelines(tmp_path)


def test_a_file_that_cannot_be_written_is_an_error_of_the_run_folder(tmp_path: Path) -> None:
    with RunFolder.create(tmp_path / "run", {}, ENVIRONMENT) as folder:
        (tmp_path / "run" / TIMELINES).mkdir()
        with pytest.raises(RunFolderError, match=rf"{TIMELINES}: cannot write"):
            folder.append_beside(TIMELINES, "{}")
    with pytest.raises(RunFolderError, match=rf"{TIMELINES}: cannot be read"):
        read_timelines(tmp_path / "run")
