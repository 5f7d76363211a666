from __future__ import annotations

import multiprocessing
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from tests.builders.runs import PLUGINS
from trainfit.bench.processes import logs
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


def alive(pid: int) -> bool:
    """Whether a process runs; one that has ended and was not waited for does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


@pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")
@pytest.mark.parametrize(
    ("apart", "ends", "ending", "timeout"),
    [
        (False, "return", Ending.RETURNED, 60),
        (True, "return", Ending.RETURNED, 60),
        (False, "exit", Ending.DIED, 10_000),  # noticed at once, though its child holds the pipe
        ("twice", "exit", Ending.DIED, 10_000),
        ("twice", "hang", Ending.TIMED_OUT, 3.0),
    ],
)
def test_what_a_child_has_started_ends_with_it(
    isolated: Any, apart: Any, ends: str, ending: Ending, timeout: float
) -> None:
    isolated("echo")

    outcome, messages = isolated("has_children", apart=apart, ends=ends, timeout=timeout)

    assert outcome.ending is ending
    assert not alive(messages[0]["child"])


def test_other_children_of_the_caller_are_left_alone(isolated: Any) -> None:
    # GIVEN another child of the same server, in a session of its own
    isolated("echo")
    other = multiprocessing.get_context("forkserver").Process(target=apart, daemon=True)
    other.start()
    try:
        # WHEN a call ends THEN that child goes on
        isolated("has_children", apart=True, ends="exit")
        assert other.is_alive()
    finally:
        other.kill()
        other.join()


def apart() -> None:
    os.setsid()
    time.sleep(1000)


@pytest.mark.parametrize("number", [signal.SIGRTMIN, signal.SIGRTMIN + 6, signal.SIGRTMAX])
def test_a_signal_without_a_name_of_its_own_is_an_ending_too(isolated: Any, number: int) -> None:
    outcome, _ = isolated("be_signalled", number=int(number))

    assert outcome.ending is Ending.DIED
    assert outcome.type.startswith("SIGRTM")
    assert outcome.message == f"process ended by {outcome.type}"


def test_half_a_character_is_no_reason_to_lose_a_message(isolated: Any) -> None:
    outcome, messages = isolated("raise_text", text="file \udcff \ud800.toml")

    assert outcome.message == "file ? ?.toml"
    assert messages == [{"doing": "file ? ?.toml"}]


def test_a_log_has_its_beginning_and_its_end(isolated: Any, tmp_path: Path) -> None:
    isolated("chatter", mib=40)

    log = (tmp_path / "log").read_bytes()
    assert len(log) < 9 * 2**20
    assert log.startswith(b"begin\nxxx")
    assert log.endswith(b"\nthe end\n")
    lost = 40 * 2**20 + 15 - logs.HEAD_BYTES - logs.TAIL_BYTES
    assert f"x\n[{lost:,} bytes are left out here: ".encode() in log


def test_a_log_is_not_written_through_a_link(isolated: Any, tmp_path: Path) -> None:
    (tmp_path / "theirs").write_text("theirs")
    (tmp_path / "log").symlink_to("theirs")

    with pytest.raises(OSError, match="symbolic links"):
        isolated("talk")

    assert (tmp_path / "theirs").read_text() == "theirs"


def test_what_is_no_message_is_the_end_of_a_child(isolated: Any) -> None:
    outcome, _ = isolated("garble")

    assert (outcome.ending, outcome.type) == (Ending.DIED, "ProcessGarbled")


def test_modules_are_not_looked_for_where_the_caller_happens_to_be(tmp_path: Path) -> None:
    # GIVEN a folder with modules of the names of those that a worker imports
    for name in ("torch", "zeus", "multiprocessing", "json", "selectors", "sklearn"):
        (tmp_path / f"{name}.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w').close()\n")
    program = f"""
import sys
sys.path[:] = [each for each in sys.path if each not in ("", {str(tmp_path)!r})]
from pathlib import Path
from trainfit.bench.processes.isolation import call
found = []
log = Path({str(tmp_path / "log")!r})
call("calls:path_of_modules", {{}}, log=log, timeout_seconds=60, on_message=found.append)
print(found)
"""
    # WHEN a call is made there
    done = subprocess.run(
        [sys.executable, "-P", "-c", program],
        check=True,
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": f"{ROOT}{os.pathsep}{PLUGINS}"},
        timeout=60,
    )

    # THEN none of them runs
    assert not (tmp_path / "ran").exists()
    assert str(tmp_path) not in done.stdout
    assert "'safe': None" in done.stdout
