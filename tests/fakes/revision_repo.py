"""A repository whose training takes as long as its files say, by no clock at all.

Its packages have the names of the project's own, and are found first by the processes that run a
tree; they need no torch, so that a process starts at once. :class:`ScriptedTree` does without
processes: it runs the same functions in this one.
"""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

from trainfit.bench.processes.child import Ending, Outcome

ALGORITHMS = """
def get_algorithm(name):
    class Rule:
        pass

    return Rule
"""

WORKER = """
import json
import os
from pathlib import Path

SAID = json.loads((Path(__file__).parents[2] / "said.json").read_text("utf-8"))


class ConfigurationError(ValueError):
    pass


def preflight(job, send):
    for workload in job["workloads"]:
        if workload["algorithm"] not in SAID["known"]:
            raise ConfigurationError(f"unknown algorithm {workload['algorithm']!r}")


def confirm(job, send):
    if SAID["memory"] is None:
        raise AttributeError("no confirm here")
    send({"memory": SAID["memory"]})


def measure(job, send):
    send({"energy": SAID["energy"]})


def run_side(job, send):
    send({"doing": "data"})
    workload = job["workload"]
    preflight({"workloads": [workload]}, send)
    with os.fdopen(os.open(job["turns"], os.O_RDONLY | os.O_NONBLOCK)) as turns:
        os.set_blocking(turns.fileno(), True)
        ready = {"stage": "all", "stages": 1, "model": workload["model"], "onednn": True}
        send({"ready": ready})
        for number, turn in enumerate(turns):
            if number == SAID["lives"]:
                print("out of luck", flush=True)
                os._exit(3)
            wobble = 1 + 0.004 * (number % 5 - 2)
            said = {"step_seconds": SAID["step_seconds"] * wobble}
            if SAID["cpu_seconds"] is not None:
                cpu, waited = SAID["cpu_seconds"] * wobble, SAID["delay_seconds"]
                said["more"] = {"cpu_seconds": cpu, "delay_seconds": waited, "involuntary": 3}
            send(said)
"""


def git(folder: Path, *arguments: str) -> str:
    identity = ["-c", "user.name=a", "-c", "user.email=a@b"]
    command = ["git", "-C", str(folder), *identity, *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def say(folder: Path, **changes: Any) -> None:
    """What training does in a tree from now on."""
    file = folder / "trainfit" / "said.json"
    said = json.loads(file.read_text("utf-8")) if file.exists() else {}
    file.write_text(json.dumps({**said, **changes}), encoding="utf-8")


def commit(folder: Path, message: str = "more") -> None:
    git(folder, "add", "-A")
    git(folder, "commit", "-q", "-m", message)


def make_repository(folder: Path, **changes: Any) -> Path:
    """A repository with one commit, and a working tree without changes."""
    for name, text in (
        (".gitignore", "__pycache__\n"),
        ("trainfit/__init__.py", ""),
        ("trainfit/algorithms/__init__.py", ALGORITHMS),
        ("trainfit/bench/__init__.py", ""),
        ("trainfit/bench/latency_comparison/__init__.py", ""),
        ("trainfit/bench/latency_comparison/worker.py", WORKER),
        ("trainfit/bench/run/__init__.py", ""),
        ("trainfit/bench/run/worker.py", WORKER),
    ):
        file = folder / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8")
    said = {"known": ["backprop"], "step_seconds": 0.001, "lives": -1, "memory": None}
    say(folder, **said, energy={}, cpu_seconds=None, delay_seconds=0.0)
    say(folder, **changes)
    git(folder, "init", "-q")
    commit(folder, "first")
    return folder


def worktrees(folder: Path) -> list[str]:
    """The folders that git knows as trees of the repository."""
    return [line for line in git(folder, "worktree", "list").splitlines() if line]


class ScriptedTree:
    """What ``TreeProcesses`` would do with a tree of this repository."""

    def __init__(self, tree: Path) -> None:
        self._worker = tree / "trainfit" / "bench" / "run" / "worker.py"
        self.source = str(tree)

    def call(self, target: str, job: dict[str, Any], **named: Any) -> Outcome:
        """Run a function by its name."""
        functions: dict[str, Any] = {"__file__": str(self._worker)}
        exec(WORKER, functions)
        try:
            functions[target.partition(":")[2]](job, named.get("on_message", lambda _: None))
        except Exception as error:
            return Outcome(Ending.RAISED, type(error).__name__, str(error))
        return Outcome(Ending.RETURNED)
