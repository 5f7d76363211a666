"""The inside of a process that runs a function of another source tree; a program, not a module.

:mod:`trainfit.bench.latency_comparison.source_tree` starts it as ``python -P tree_child.py PIPE``
with that tree first on the path, and sends what to run through the pipe. It takes nothing of
this project but its own neighbour :mod:`trainfit.bench.processes.child`, by its place: everything
else is to come from the other tree.
"""

from __future__ import annotations

import importlib.util
import inspect
import sys
from contextlib import suppress
from importlib import import_module
from multiprocessing.connection import Connection
from pathlib import Path
from types import ModuleType
from typing import Any


def run(job: dict[str, Any], send: Any) -> None:
    """Say where the measured code lies, then run what was asked for.

    Args:
        job: ``target`` (``module:function``), ``job`` (its first argument), ``algorithm``, the
            name of one whose source is to be told, or None, and ``outside``, the algorithms from
            outside that may be imported.
        send: Gets ``{"source": path or None}``, then whatever the function sends.
    """
    with suppress(ImportError):  # an older tree imports what it is told: that was checked before
        import_module("trainfit.algorithms.outside").restrict(job["outside"])
    module, _, function = job["target"].partition(":")
    found = getattr(import_module(module), function)
    send({"source": _source(job["algorithm"])})
    found(job["job"], send)


def _source(algorithm: str | None) -> str | None:
    """The file of an algorithm; None where there is none, which the function will say itself."""
    if algorithm is None:
        return None
    try:
        known = import_module("trainfit.algorithms")
        return inspect.getsourcefile(known.get_algorithm(algorithm))
    except Exception:  # whatever is wrong with it: the function meets it again, and says so
        return None


def _neighbour(name: str) -> ModuleType:
    """A module of the folder ``processes``, whatever the path holds under its name."""
    file = Path(__file__).parent.parent / "processes" / f"{name}.py"
    spec = importlib.util.spec_from_file_location(f"_trainfit_{name}", file)
    if spec is None or spec.loader is None:
        raise ImportError(f"{file} cannot be loaded")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look their module up there
    spec.loader.exec_module(module)
    return module


def main() -> None:
    """Take the job from the pipe and run it."""
    pipe = Connection(int(sys.argv[1]))
    job = pipe.recv()
    last = job.pop("last_path")
    if last is not None:
        sys.path.append(last)
    _neighbour("child").run_child("__main__:run", job, pipe, output=None)


if __name__ == "__main__":
    main()
