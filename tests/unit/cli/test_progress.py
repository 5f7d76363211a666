from __future__ import annotations

import io
from typing import Any

import pytest
from rich.console import Console
from rich.segment import Segment

from tests.builders.runs import failed, record, workload
from trainfit.bench.cli import progress
from trainfit.bench.cli.output import Output, running
from trainfit.bench.cli.progress import (
    CountedLine,
    DownloadLine,
    ProgressLine,
    RunProgress,
    SpinnerLine,
)


@pytest.fixture
def stream(monkeypatch: pytest.MonkeyPatch) -> io.StringIO:
    made = io.StringIO()

    def console(**_: Any) -> Console:
        return Console(file=made, force_terminal=made.name == "tty", width=120)

    monkeypatch.setattr(progress, "Console", console)
    monkeypatch.setenv("TERM", "xterm")
    return made


def go_through(line: RunProgress) -> None:
    with line:
        line.checking()
        line.started(1, 2, workload())
        line.doing("memory")
        line.finished(1, record())
        line.started(2, 2, workload())
        line.finished(2, failed())


def test_a_terminal_sees_what_is_going_on(stream: Any) -> None:
    stream.name = "tty"

    go_through(RunProgress())

    shown = stream.getvalue()
    assert "backprop mlp-64-10 digits b32" in shown
    assert "#2 backprop mlp-64-10 digits b32: failed" in shown


def test_a_log_gets_a_line_per_workload_that_ends(stream: Any) -> None:
    stream.name = "file"

    go_through(RunProgress(clock=iter(range(0, 1000, 90)).__next__))

    assert stream.getvalue() == (
        "[1/2] 0:04:30 backprop mlp-64-10 digits b32: ok, about 0:01:30 left\n"
        "[2/2] 0:09:00 backprop mlp-64-10 digits b32: failed\n"
    )


def test_a_terminal_that_cannot_move_its_cursor_gets_the_lines_of_a_log(
    stream: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    stream.name = "tty"
    monkeypatch.setenv("TERM", "dumb")

    go_through(RunProgress())

    assert stream.getvalue().count("\n") == 2
    assert "[2/2]" in stream.getvalue()


@pytest.mark.parametrize("kind", ["file", "tty"])
def test_quiet_is_silent(stream: Any, kind: str) -> None:
    stream.name = kind

    with running(Output(quiet=True)):
        go_through(RunProgress())

    assert not stream.getvalue()


def test_a_line_reaches_the_log_when_its_workload_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    """Not when a buffer of some kilobytes is full."""
    raw = io.BytesIO()
    made = io.TextIOWrapper(io.BufferedWriter(raw), encoding="utf-8")
    monkeypatch.setattr(progress, "Console", lambda **_: Console(file=made))

    line = RunProgress()
    with line:
        line.started(1, 2, workload())
        line.finished(1, record())
        assert raw.getvalue().startswith(b"[1/2] ")


def test_work_without_parts_gets_a_line_a_minute_in_a_log(stream: Any) -> None:
    stream.name = "file"
    line = SpinnerLine(clock=iter([0, 10, 59, 75, 130, 200]).__next__)

    with line:
        for pair in range(1, 6):
            line.show(f"pair {pair}")

    assert stream.getvalue() == "0:01:15 pair 3\n0:03:20 pair 5\n"


def test_a_log_that_cannot_be_written_ends_no_run(monkeypatch: pytest.MonkeyPatch) -> None:
    class Full(io.StringIO):
        def write(self, _: str) -> int:
            raise OSError(28, "No space left on device")

    monkeypatch.setattr(progress, "Console", lambda **_: Console(file=Full()))

    go_through(RunProgress())


def test_workloads_of_a_run_that_is_continued_are_not_counted_as_measured(stream: Any) -> None:
    stream.name = "file"
    line = RunProgress(clock=iter([0, 100, 150, 151]).__next__)

    with line:
        line.finished(1, record())
        line.finished(2, record())
        line.started(3, 5, workload())
        line.finished(3, record())

    assert stream.getvalue() == (
        "[3/5] 0:02:31 backprop mlp-64-10 digits b32: ok, about 0:01:40 left\n"
    )


@pytest.mark.parametrize("width", [40, 59, 60, 80, 120])
def test_a_long_label_is_cut_and_never_the_count_or_the_time(
    width: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = io.StringIO()
    monkeypatch.setattr(
        progress, "Console", lambda **_: Console(file=made, force_terminal=True, width=width)
    )
    monkeypatch.setenv("TERM", "xterm")
    long = workload(options={"lr": 0.001, "optimizer": "adam", "update": "fused", "slices": 16})
    line = RunProgress(clock=iter([0, 0, 100, 100]).__next__)

    with line:
        line.started(1, 12, long)
        line.finished(1, record())
        line.started(2, 12, long)
        line.doing("memory of the second of three repeats")
        (shown,) = Segment.split_lines(made_by(line, width))

    text = "".join(segment.text for segment in shown)
    assert len(text) <= width
    assert " 1/12 " in text
    assert f"0:00:00 {'' if width < 60 else 'about '}0:18:20 left" in text
    assert "\N{BOX DRAWINGS HEAVY HORIZONTAL}" in text
    if width >= 80:
        assert "backprop" in text
        assert text.rstrip().endswith("\N{HORIZONTAL ELLIPSIS}")


def made_by(line: ProgressLine, width: int) -> list[Segment]:
    console = line._console
    return list(console.render(line._progress.get_renderable(), console.options))


@pytest.mark.parametrize(
    ("encoding", "first"), [("utf-8", "\N{BRAILLE PATTERN DOTS-124}"), ("ascii", "-")]
)
def test_the_spinner_is_one_that_the_terminal_has(
    encoding: str, first: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = io.TextIOWrapper(io.BytesIO(), encoding=encoding)
    console = Console(file=made, force_terminal=True)
    assert progress._spinner(console).spinner.frames[0] == first


@pytest.mark.parametrize("kind", ["tty", "file"])
def test_what_is_counted_and_what_arrives(stream: Any, kind: str) -> None:
    stream.name = kind

    with CountedLine("predictions", 2) as counted:
        counted.advance()
        shown = "".join(segment.text for segment in made_by(counted, 120))
    assert "1/2 predictions" in shown

    with DownloadLine() as download:
        download.show("train-images", 1_000_000, 4_000_000)
        shown = "".join(segment.text for segment in made_by(download, 120))
    assert "1.0/4.0 MB" in shown
    assert "train-images" in shown

    assert bool(stream.getvalue()) == (kind == "tty")


def test_a_label_is_cut_without_a_character_that_the_terminal_has_not(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    made = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    monkeypatch.setattr(
        progress, "Console", lambda **_: Console(file=made, force_terminal=True, width=60)
    )
    monkeypatch.setenv("TERM", "xterm")
    line = RunProgress()
    line.started(1, 12, workload(options={"optimizer": "adam", "update": "fused"}))

    text = "".join(segment.text for segment in made_by(line, 60))

    assert text.isascii()
    assert " 0/12 " in text
    assert "backprop" in text
