"""A run may be killed at any moment, and goes on to the same bytes."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from tests.builders.logs import progress_lines
from trainfit.bench.records.reading import LOGS, read_records
from trainfit.bench.records.schema import Record

ROOT = Path(__file__).parent.parent.parent
SUITE = """
name = "resumed"
devices = ["stm32f407"]
timeout_seconds = 60
[defaults]
model = "mlp-64-10"
dataset = "digits"
epochs = 1
[[workload]]
algorithm = "backprop"
batch_size = [4, 8, 16, 32]
[[workload]]
algorithm = "plain:Delta"
batch_size = 8
"""

NAMED = ("--algorithm", "plain:Delta")
"""Code that a suite names is run only if the command line does, too."""


def start(*arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "trainfit.bench.cli.main", "run", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=ROOT / "tests" / "plugins",
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        start_new_session=True,
        # A shell starts background jobs with interrupts ignored, and children inherit that.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # noqa: PLW1509
    )


def wait_for(condition: Any, seconds: float = 120) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it never happened"
        time.sleep(0.02)


def family(session: int) -> list[int]:
    """Living processes of a session, which outlive their parents' ids."""
    found = []
    for status in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            fields = status.read_text().rpartition(")")[2].split()
            if int(fields[3]) == session and fields[0] != "Z":
                found.append(int(status.parent.name))
    return found


def exact(record: Record) -> dict[str, Any]:
    """What must not depend on when a workload was measured."""
    return record.model_dump(include={"workload", "status", "memory", "verdicts"}) | {
        "curve": record.accuracy and record.accuracy.curve
    }


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="looks for orphans in /proc")
def test_a_killed_run_loses_nothing_leaves_no_process_and_goes_on(tmp_path: Path) -> None:
    (tmp_path / "s.toml").write_text(SUITE)
    suite, out, whole = (str(tmp_path / name) for name in ("s.toml", "out", "whole"))

    # GIVEN a run that is killed outright after its second record
    killed = start(suite, "--out", out, *NAMED)
    file = Path(out) / "records.jsonl"
    wait_for(lambda: file.exists() and file.read_bytes().count(b"\n") >= 2)
    killed.send_signal(signal.SIGKILL)
    killed.communicate()

    # THEN no worker outlives it
    wait_for(lambda: not family(killed.pid))

    # AND what was written is whole
    kept = read_records(Path(out))
    assert 2 <= len(kept) < 5

    # WHEN it goes on, with half a record at the end of its file
    with file.open("ab") as stream:
        stream.write(b'{"schema": "trainfit.rec')
    resumed = start(suite, "--out", out, "--resume", *NAMED)
    uninterrupted = start(suite, "--out", whole, *NAMED)
    for process, first in ((resumed, len(kept) + 1), (uninterrupted, 1)):
        said, complained = process.communicate(timeout=120)
        assert process.returncode == 0, said
        counts = [count for count, _ in progress_lines(complained)]
        assert counts == [f"{number}/5" for number in range(first, 6)]

    # THEN every byte is as if it had never been interrupted
    records = read_records(Path(out))
    assert records[: len(kept)] == kept
    assert [exact(r) for r in records] == [exact(r) for r in read_records(Path(whole))]


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="looks for orphans in /proc")
def test_an_interrupt_ends_at_once_and_hangs_nowhere(tmp_path: Path) -> None:
    # GIVEN a run whose only workload hangs
    text = SUITE.replace("[4, 8, 16, 32]", "4").replace('"plain:Delta"', '"broken:Hangs"')
    (tmp_path / "s.toml").write_text(text)
    named = ("--algorithm", "broken:Hangs")
    process = start(str(tmp_path / "s.toml"), "--out", str(tmp_path / "out"), *named)
    file = tmp_path / "out" / "records.jsonl"
    wait_for(lambda: file.exists() and file.read_bytes().count(b"\n") == 1)

    log = tmp_path / "out" / LOGS / "02.log"
    wait_for(log.exists)

    # WHEN Ctrl-C reaches the whole session, as it does from a terminal
    os.killpg(process.pid, signal.SIGINT)
    _, complained = process.communicate(timeout=120)

    # THEN it says how to go on, and nothing is left
    assert process.returncode == 130
    *before, said = complained.splitlines()
    assert progress_lines("\n".join(before)) == [("1/2", "backprop mlp-64-10 digits b4: ok")]
    assert "--resume" in said
    wait_for(lambda: not family(process.pid))
    assert len(read_records(tmp_path / "out")) == 1
