from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.builders.runs import PLUGINS
from trainfit.bench.processes.child import Ending, Outcome, short_path
from trainfit.bench.processes.isolation import call

ROOT = PLUGINS.parent.parent


@pytest.fixture
def isolated(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.syspath_prepend(str(PLUGINS))

    def run(function: str, **job: Any) -> tuple[Outcome, list[Any]]:
        messages: list[Any] = []
        limits = {key: job.pop(key) for key in ("memory_limit_mib",) if key in job}
        outcome = call(
            f"calls:{function}",
            job,
            log=tmp_path / "log",
            timeout_seconds=job.pop("timeout", 20),
            on_message=messages.append,
            **limits,
        )
        return outcome, messages

    return run


def test_messages_come_back_and_the_child_is_another_process(isolated: Any) -> None:
    outcome, messages = isolated("echo", word="hello")

    assert outcome == Outcome(Ending.RETURNED)
    assert messages[0]["word"] == "hello"
    assert messages[0]["pid"] != os.getpid()


def test_an_interrupt_is_the_caller_s_business(isolated: Any) -> None:
    outcome, messages = isolated("interrupt_itself")

    assert outcome == Outcome(Ending.RETURNED)
    assert messages == [{"went": "on"}]


def test_an_interrupt_while_a_child_starts_ends_in_no_traceback(tmp_path: Path) -> None:
    # GIVEN a caller that is interrupted after the child was asked for, before it was told its task
    program = f"""
import os, signal
from multiprocessing import forkserver
from pathlib import Path
from trainfit.bench.processes.isolation import call

ask = forkserver.connect_to_new_process

def interrupted(descriptors):
    found = ask(descriptors)
    os.kill(os.getpid(), signal.SIGINT)
    return found

forkserver.connect_to_new_process = interrupted
signal.signal(signal.SIGINT, signal.default_int_handler)  # a background job has it ignored
try:
    call("calls:hang", {{}}, log=Path({str(tmp_path / "log")!r}), timeout_seconds=100)
except KeyboardInterrupt:
    print("interrupted")
"""
    # WHEN it runs
    done = subprocess.run(
        [sys.executable, "-c", program],
        check=False,
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": f"{ROOT}{os.pathsep}{PLUGINS}"},
        timeout=120,
    )

    # THEN the child that hangs is ended, and nothing is said but by the caller
    assert (done.returncode, done.stdout, done.stderr) == (0, "interrupted\n", "")


def test_output_goes_to_the_log(isolated: Any, tmp_path: Path, capfd: Any) -> None:
    isolated("talk")

    assert (tmp_path / "log").read_text() == "to stdout\nto stderr\n"
    assert capfd.readouterr() == ("", "")


def test_an_exception_comes_back_with_its_deepest_frame(isolated: Any, tmp_path: Path) -> None:
    outcome, messages = isolated("fail")

    assert outcome.ending is Ending.RAISED
    assert (outcome.type, outcome.message) == ("LookupError", "two lines")
    assert outcome.where is not None
    assert outcome.where.startswith("calls.py:")
    assert outcome.where.endswith(" deeper")
    assert messages == [{"doing": "well"}]
    assert "Traceback" in (tmp_path / "log").read_text()


@pytest.mark.parametrize("function", ["missing", "missing_module:run"])
def test_a_function_that_does_not_exist(isolated: Any, function: str) -> None:
    assert isolated(function)[0].ending is Ending.RAISED


def test_a_signal_is_named_with_the_place_it_struck(isolated: Any) -> None:
    outcome, _ = isolated("crash")

    assert (outcome.ending, outcome.type) == (Ending.DIED, "SIGSEGV")
    assert outcome.where is not None
    assert outcome.where.startswith("calls.py:")


@pytest.mark.parametrize("code", [0, 3])
def test_leaving_early_is_no_success_whatever_the_exit_code(isolated: Any, code: int) -> None:
    outcome, _ = isolated("leave", code=code)

    assert outcome == Outcome(
        Ending.DIED, "ProcessExit", f"process ended early, exit code {code}", None
    )


def test_being_killed_counts_as_out_of_memory(isolated: Any) -> None:
    outcome, _ = isolated("be_killed")

    assert (outcome.ending, outcome.type) == (Ending.OUT_OF_MEMORY, "SIGKILL")


def test_a_hanging_call_is_killed_and_says_where_it_was(isolated: Any) -> None:
    isolated("echo")  # starts what starts the others, which takes the longest

    outcome, messages = isolated("hang", timeout=3.0)

    assert outcome.ending is Ending.TIMED_OUT
    assert outcome.message == "still running after 3 s"
    assert outcome.where is not None
    assert outcome.where.endswith(" hang")
    with pytest.raises(ProcessLookupError):
        os.kill(messages[0]["pid"], 0)


def test_a_call_that_will_not_end_after_its_last_word_is_ended(isolated: Any) -> None:
    isolated("echo")

    outcome, messages = isolated("linger", timeout=3.0)

    assert outcome.ending is Ending.RETURNED
    with pytest.raises(ProcessLookupError):
        os.kill(messages[0]["pid"], 0)


def test_memory_beyond_the_limit_is_refused(isolated: Any) -> None:
    within, _ = isolated("take", mib=50, memory_limit_mib=200)
    beyond, _ = isolated("take", mib=400, memory_limit_mib=200)

    assert within.ending is Ending.RETURNED
    assert (beyond.ending, beyond.type) == (Ending.OUT_OF_MEMORY, "MemoryError")


def test_the_callers_script_does_not_run_again(tmp_path: Path) -> None:
    # GIVEN a script without the usual guard around what it does
    script = tmp_path / "script.py"
    script.write_text(
        "import pathlib, sys\n"
        f"sys.path[:0] = [{str(ROOT)!r}, {str(PLUGINS)!r}]\n"
        "from trainfit.bench.processes.isolation import call\n"
        "print('once')\n"
        f"log = pathlib.Path({str(tmp_path / 'log')!r})\n"
        "print(call('calls:talk', {}, log=log, timeout_seconds=20).ending)\n"
    )

    done = subprocess.run(
        [sys.executable, str(script)], check=True, capture_output=True, text=True, timeout=60
    )

    assert (done.stdout, done.stderr) == ("once\nreturned\n", "")
    assert "once" not in (tmp_path / "log").read_text()


def test_the_next_call_works_after_the_server_was_killed(isolated: Any) -> None:
    server = isolated("echo")[1][0]["parent"]
    os.kill(server, signal.SIGKILL)
    os.waitid(os.P_PID, server, os.WEXITED | os.WNOWAIT)

    outcome, messages = isolated("echo")

    assert outcome.ending is Ending.RETURNED
    assert messages[0]["parent"] != server


def test_paths_are_short_below_what_they_were_imported_from(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.syspath_prepend("/opt/lib")

    assert short_path("/opt/lib/torch/nn.py") == "torch/nn.py"
    assert short_path("/elsewhere/a.py") == "/elsewhere/a.py"
