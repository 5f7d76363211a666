"""A repository whose training takes as long as its files say, by no clock at all.

Its packages have the names of the project's own, and are found first by the processes that run a
tree; they need no torch, so that a process starts at once. :class:`ScriptedTree` does without
processes: it is a tree's side as its files say, in a thread.
"""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any, Self

from trainfit.bench.processes.child import Ending, Outcome

ALGORITHMS = """
import json
from pathlib import Path


class ConfigurationError(ValueError):
    pass


SAID = json.loads(Path(__file__).with_name("said.json").read_text("utf-8"))


class Rule:
    pass


def get_algorithm(name):
    if name not in SAID["known"]:
        raise ConfigurationError(f"unknown algorithm {name!r}")
    return Rule
"""

PAIRING_WORKER = """
import os

from trainfit.algorithms import SAID, get_algorithm


def run_side(job, send):
    send({"doing": "data"})
    workload = job["workload"]
    get_algorithm(workload["algorithm"])
    with os.fdopen(os.open(job["turns"], os.O_RDONLY | os.O_NONBLOCK)) as turns:
        os.set_blocking(turns.fileno(), True)
        ready = {"stage": "all", "stages": 1, "model": workload["model"], "onednn": True}
        send({"ready": ready})
        for number, turn in enumerate(turns):
            if number == SAID["lives"]:
                print("out of luck", flush=True)
                os._exit(3)
            wobble = 1 + 0.004 * (number % 5 - 2)
            send({"step_seconds": SAID["step_seconds"] * wobble})
"""

WORKER = """
from trainfit.algorithms import SAID, get_algorithm


def preflight(job, send):
    for workload in job["workloads"]:
        get_algorithm(workload["algorithm"])


def confirm(job, send):
    send({"memory": SAID["memory"]})
"""


def git(folder: Path, *arguments: str) -> str:
    identity = ["-c", "user.name=a", "-c", "user.email=a@b"]
    command = ["git", "-C", str(folder), *identity, *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def say(folder: Path, **changes: Any) -> None:
    """What training does in a tree from now on."""
    file = folder / "trainfit" / "algorithms" / "said.json"
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
        ("trainfit/bench/run/__init__.py", ""),
        ("trainfit/bench/latency_comparison/worker.py", PAIRING_WORKER),
        ("trainfit/bench/run/worker.py", WORKER),
    ):
        file = folder / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8")
    said = {"known": ["backprop"], "step_seconds": 0.001, "lives": -1, "memory": None}
    say(folder, **said, energy={})
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
        self._tree = tree
        self.source = str(tree / "trainfit" / "algorithms" / "__init__.py")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def stop(self) -> None:
        """There is nothing to stop: a thread ends when its turns do."""

    def call(self, target: str, job: dict[str, Any], **named: Any) -> Outcome:
        """Run a function by its name, as the texts above would."""
        said = json.loads((self._tree / "trainfit" / "algorithms" / "said.json").read_text("utf-8"))
        send = named.get("on_message", lambda _: None)
        workloads = job.get("workloads") or [job["workload"]]
        for each in workloads:
            if each["algorithm"] not in said["known"]:
                message = f"unknown algorithm {each['algorithm']!r}"
                return Outcome(Ending.RAISED, "ConfigurationError", message)
        function = target.partition(":")[2]
        if function == "run_side":
            _take_turns(job, said, send)
        elif function == "confirm":
            if said["memory"] is None:
                return Outcome(Ending.RAISED, "AttributeError", "no confirm here")
            send({"memory": said["memory"]})
        elif function == "measure":
            send({"energy": said["energy"]})
        return Outcome(Ending.RETURNED)


def _take_turns(job: dict[str, Any], said: dict[str, Any], send: Any) -> None:
    send({"doing": "data"})
    with os.fdopen(os.open(job["turns"], os.O_RDONLY | os.O_NONBLOCK)) as turns:
        os.set_blocking(turns.fileno(), True)
        model = job["workload"]["model"]
        send({"ready": {"stage": "all", "stages": 1, "model": model, "onednn": True}})
        for number, _ in enumerate(turns):
            send({"step_seconds": said["step_seconds"] * (1 + 0.004 * (number % 5 - 2))})
