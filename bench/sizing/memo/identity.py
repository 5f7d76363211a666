"""What a prediction depends on, as one text: the key that its figures are kept by.

That is the code of the rule, of the trace and of all that both use, the versions of torch and
numba, and the workload. Code is told by its content, so that an edited rule is traced again.
"""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Iterable
from functools import cache
from importlib import metadata
from pathlib import Path

import trainfit
from trainfit.algorithms import get_algorithm
from trainfit.bench.records.schema import Workload

OWN_FOLDERS = ("algorithms", "bench/trace", "bench/profiler", "bench/records", "bench/sizing")
"""Of trainfit: everything that has a part in a prediction."""

DISTRIBUTIONS = ("trainfit", "torch", "numba", "numpy")

MOST_FILES = 1000
"""A package with more files is not read: predictions of its rules are not kept."""


def code_of(algorithm: str) -> str | None:
    """What a rule, the trace and all that both use are; None where its code cannot be read.

    Raises:
        ConfigurationError: There is no such algorithm.
    """
    rule = get_algorithm(algorithm)
    foreign = {each.__module__ for each in rule.__mro__ if not _known(each.__module__)}
    code = [_digest_of_module(each) for each in sorted(foreign)]
    if None in code:
        return None
    parts = (_own_digest(), versions(), code, f"{rule.__module__}:{rule.__qualname__}")
    return json.dumps(parts, sort_keys=True)


def key_of(workload: Workload, code: str) -> str:
    """The key of a workload, given the code of its rule."""
    parts = (code, workload.options, workload.model, workload.batch_size)
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


@cache
def versions() -> dict[str, str]:
    """Versions of Python and of the distributions that have a part in a prediction."""
    found = {"python": ".".join(map(str, sys.version_info[:3]))}
    for name in DISTRIBUTIONS:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            found[name] = "not installed"
    return found


def digest(files: Iterable[Path]) -> str:
    """Of the names and contents of files.

    Raises:
        OSError: One of them cannot be read.
    """
    found = hashlib.sha256()
    for file in sorted(files):
        content = file.read_bytes()
        found.update(f"{file.name} {len(content)} ".encode() + content)
    return found.hexdigest()


@cache
def _own_digest() -> str:
    top = Path(trainfit.__file__).parent
    return digest(file for folder in OWN_FOLDERS for file in (top / folder).rglob("*.py"))


def _known(module: str) -> bool:
    """Whether a module is told by a version or by trainfit's own code."""
    top = module.partition(".")[0]
    return top in sys.stdlib_module_names or top in DISTRIBUTIONS


def _digest_of_module(module: str) -> str | None:
    """Of all code beside a module, which it may import; None where there is no file, or too many.

    Of a package that is all of it.
    """
    top = sys.modules.get(module.partition(".")[0])
    file = getattr(top, "__file__", None)
    if file is None:
        return None
    own = Path(file)
    files = own.parent.rglob("*.py") if own.name == "__init__.py" else own.parent.glob("*.py")
    try:
        found = list(files)
        return digest(found) if len(found) <= MOST_FILES else None
    except OSError:
        return None
