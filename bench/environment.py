"""What produced a run: versions, machine, settings and the revision of the code."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
import tomllib
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

SAME_ON_RESUME = ("trainfit", "torch")
"""Versions that must not change within one run: exact bytes are properties of these."""


def describe_environment() -> dict[str, Any]:
    """Everything about this machine and process that figures may depend on.

    Keys hold ``None`` where a fact cannot be had. Imports torch.
    """
    import numpy  # noqa: PLC0415  (heavy, and only a worker needs them)
    import torch  # noqa: PLC0415

    return {
        "started_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "versions": {
            "trainfit": trainfit_version(),
            "torch": torch.__version__,
            "numpy": numpy.__version__,
            "numba": version("numba"),
            "python": platform.python_version(),
        },
        "machine": {
            "os": platform.platform(),
            "architecture": platform.machine(),
            "cpu": _cpu_model(),
            "cores": os.cpu_count(),
            "usable_cores": _usable_cores(),
            "cpu_governor": cpu_governor(),
            "threads": torch.get_num_threads(),
            "cpu_capability": torch.backends.cpu.get_cpu_capability(),
            "onednn_available": torch.backends.mkldnn.is_available(),
        },
        "git": git_revision(Path.cwd()),
    }


def trainfit_version() -> str:
    """The installed version; where nothing is installed, that of the source tree."""
    try:
        return version("trainfit")
    except PackageNotFoundError:
        project = Path(__file__).resolve().parent.parent / "pyproject.toml"
        try:
            return str(tomllib.loads(project.read_text("utf-8"))["project"]["version"])
        except (OSError, KeyError, tomllib.TOMLDecodeError):
            return "unknown"


def git_revision(folder: Path) -> dict[str, Any] | None:
    """Commit and cleanliness of the working tree that ``folder`` is in, if it is in one."""
    try:
        commit = _git(folder, "rev-parse", "HEAD").strip()
        dirty = bool(_git(folder, "status", "--porcelain").strip())
    except (OSError, subprocess.SubprocessError):
        return None
    return {"commit": commit, "dirty": dirty}


def _git(folder: Path, *arguments: str) -> str:
    # Found on the PATH, as everybody's git is. A repository can name a program that watches it.
    command = ["git", "-C", str(folder), "-c", "core.fsmonitor=false", *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True, timeout=10).stdout


def _cpu_model() -> str | None:
    try:
        text = Path("/proc/cpuinfo").read_text("utf-8")
    except OSError:
        return platform.processor() or None
    names = [line.partition(":")[2] for line in text.splitlines() if line.startswith("model name")]
    return names[0].strip() if names else platform.processor() or None


def cpu_governor(system: Path = Path("/sys/devices/system/cpu")) -> str | None:
    """How the first usable core's clock is chosen, such as ``performance`` (Linux).

    None where the system does not say, as virtual machines and containers mostly do not.
    """
    if sys.platform != "linux":
        return None
    core = min(os.sched_getaffinity(0))
    try:
        text = (system / f"cpu{core}" / "cpufreq" / "scaling_governor").read_text("ascii")
    except (OSError, UnicodeDecodeError):
        return None
    return text.strip() or None


def _usable_cores() -> int | None:
    if sys.platform == "linux":
        return len(os.sched_getaffinity(0))
    return os.cpu_count()
