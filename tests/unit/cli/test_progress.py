from __future__ import annotations

import io
from typing import Any

import pytest
from rich.console import Console

from tests.builders.runs import failed, record, workload
from trainfit.bench.cli import progress
from trainfit.bench.cli.progress import RunProgress


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
        line.finished(2, failed())


def test_a_terminal_sees_what_is_going_on(stream: Any) -> None:
    stream.name = "tty"

    go_through(RunProgress())

    shown = stream.getvalue()
    assert "backprop mlp-64-10 digits b32" in shown
    assert "#2 backprop mlp-64-10 digits b32: failed" in shown


def test_a_file_sees_nothing(stream: Any) -> None:
    stream.name = "file"

    go_through(RunProgress())

    assert not stream.getvalue()


def test_a_terminal_that_cannot_move_its_cursor_sees_nothing(
    stream: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    stream.name = "tty"
    monkeypatch.setenv("TERM", "dumb")

    go_through(RunProgress())

    assert "backprop" not in stream.getvalue()
