"""May two sets of exact bytes be compared: same torch, same threads, same kernels?

Model, data and the kernel that an algorithm's options choose are in the name of a workload, so
they are compared by looking it up. What is left are the conditions of the whole run. Threads and
oneDNN are those of the memory pass, which sets them itself (one, off), whatever the suite says.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from trainfit.bench.errors import RunFolderError
from trainfit.bench.gate.golden import Conditions, Golden
from trainfit.bench.gate.validity import Measured
from trainfit.bench.records.reading import SUITE, read_environment, read_suite

RECORD_VERSION = "record"
"""Under what name ``made_with`` of a golden keeps the version of its records."""

_NOTED = ("numba", "numpy", "architecture", "cpu_capability")
"""Differences that should not change bytes, and are told to whoever looks for the cause of one."""


def conditions_of(run: Path, measured: Measured) -> Conditions:
    """The conditions of a run.

    Raises:
        RunFolderError: Its environment is missing, or does not say which torch it was.
    """
    versions = _table(read_environment(run), "versions")
    torch = versions.get("torch")
    if not isinstance(torch, str):
        raise RunFolderError(f"{run}: environment.json does not say which torch made the run")
    return Conditions(torch=torch.split("+")[0], evidence=measured.evidence)


def made_with(run: Path, measured: Measured) -> dict[str, str]:
    """What a golden keeps of the run it is made from, beyond its conditions.

    Raises:
        RunFolderError: The run has no environment or no suite.
    """
    environment = read_environment(run)
    versions, machine = _table(environment, "versions"), _table(environment, "machine")
    found = {
        "suite": read_suite(run).get("name"),
        RECORD_VERSION: measured.version,
        "trainfit": versions.get("trainfit"),
        **{name: versions.get(name, machine.get(name)) for name in _NOTED},
    }
    return {name: value for name, value in found.items() if isinstance(value, str)}


def why_incomparable(golden: Conditions, run: Conditions) -> list[str]:
    """What stands against comparing, one sentence each; empty if nothing does."""
    then, now = golden.model_dump(), run.model_dump()
    return [
        f"{_NAMES[name]} differs: the golden was made with {_said(then[name])}, "
        f"the run with {_said(now[name])}"
        for name in then
        if then[name] != now[name]
    ]


def differences_to_note(golden: Golden, now: dict[str, str]) -> list[str]:
    """What differs and should not matter; worth a look if bytes differ too."""
    then = golden.made_with
    return [
        f"{name}: golden {then[name]}, run {now[name]}"
        for name in (*_NOTED, RECORD_VERSION)
        if name in then and name in now and then[name] != now[name]
    ]


_NAMES = {
    "torch": "torch",
    "evidence": "the way bytes were measured",
    "threads": "the number of threads",
    "onednn": "the use of oneDNN",
}


def _said(value: Any) -> str:
    if isinstance(value, bool):
        return "on" if value else "off"
    return str(value)


def _table(environment: dict[str, Any], name: str) -> dict[str, Any]:
    found = environment.get(name)
    return found if isinstance(found, dict) else {}


__all__ = ["SUITE", "conditions_of", "differences_to_note", "made_with", "why_incomparable"]
