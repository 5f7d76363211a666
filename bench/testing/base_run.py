"""The same tests at another revision, in the same job: what a change adds needs no golden then.

The revision is checked out beside the repository and pytest runs there, in a process of its own
and with the same interpreter, on the tests that have the fixture; it measures and checks nothing.
What it finds is compared with the working tree's steps by :mod:`trainfit.bench.testing.base`.

Everything of ``sys.path`` that lies in the repository is looked for in the checked out tree. A
module that comes from the working tree all the same (an editable install by a finder, a copy that
``pip install .`` made) would be compared with itself, so that is refused.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterable, Iterator, Mapping
from importlib.metadata import distributions
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit

import trainfit
from trainfit.bench.errors import BenchError
from trainfit.bench.gate.figures import StepFigures
from trainfit.bench.latency_comparison.source_tree import Repository, RevisionError
from trainfit.bench.testing.base import Base

if TYPE_CHECKING:
    import pytest

    from trainfit.bench.testing.report import Measured

OPTION = "--training-memory-against"
BASE_OF = "TRAINFIT_BASE_OF"
"""The environment variable by which a run of pytest knows whose base it is: a folder."""

_LAST_LINES = 15
_WORST_EXIT = 1
_NO_TESTS = 5


class BaseError(BenchError):
    """The other revision cannot be measured; the message says why and what would help."""


def measure_base(config: pytest.Config, revision: str, *, strict: bool = False) -> Base:
    """Measure the tests of a run of pytest at another revision.

    Raises:
        BaseError: There is no such revision, its tests cannot be run, or they would run the code
            of the working tree.
    """
    try:
        repository = Repository.at(config.rootpath)
        commit = repository.commit(revision)
        if Path(str(trainfit.__file__)).resolve().is_relative_to(repository.root.resolve()):
            raise BaseError(
                f"{OPTION}: trainfit itself is in {repository.root}, so its other revision would"
                f" measure with other means; use trainfit compare-revisions {revision}"
            )
        with repository.checked_out(commit) as tree, TemporaryDirectory() as scratch:
            found = _run(config, repository.root.resolve(), tree, Path(scratch), revision)
    except RevisionError as error:
        raise BaseError(f"{OPTION} {revision}: {error}") from None
    steps = {key: StepFigures.model_validate(each) for key, each in found["steps"].items()}
    return Base(revision, commit, steps, found["unmeasured"], strict)


def _run(
    config: pytest.Config, root: Path, tree: Path, scratch: Path, revision: str
) -> dict[str, Any]:
    def there(path: Path) -> Path:
        return tree / path.resolve().relative_to(root)

    started = config.invocation_params.dir
    inside = started.resolve().is_relative_to(root)
    folder = there(started if inside else config.rootpath)
    tests = _tests(config, root, tree)
    if tests is None or not folder.is_dir():
        return {"steps": {}, "unmeasured": {}}
    answer, log = scratch / "base.json", scratch / "log.txt"
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--maxfail=0"]
    command += [f"--rootdir={there(config.rootpath)}", "--continue-on-collection-errors"]
    command += [f"--training-memory-json={answer}", *_forwarded(config), *tests]
    with log.open("wb") as written:
        done = subprocess.run(
            command,
            check=False,
            cwd=folder,
            env=_environment(root, tree, config),
            stdin=subprocess.DEVNULL,
            stdout=written,
            stderr=subprocess.STDOUT,
        )
    text = answer.read_text("utf-8") if answer.exists() else ""
    if done.returncode not in (0, _WORST_EXIT, _NO_TESTS) or not text:
        last = log.read_text("utf-8", "replace").strip().splitlines()[-_LAST_LINES:]
        raise BaseError(
            f"{OPTION} {revision}: pytest ended with exit code {done.returncode} there:\n"
            + "\n".join(f"  {line}" for line in last)
        )
    found: dict[str, Any] = json.loads(text)
    if found["foreign"]:
        module, file = next(iter(found["foreign"].items()))
        raise BaseError(
            f"{OPTION} {revision}: the tests of {revision} import {module} from {file}, which is"
            " the working tree's: it would be compared with itself. Where it is installed as"
            " editable, do that with pip install --config-settings editable_mode=compat -e .;"
            ' otherwise say in pytest\'s configuration where it lies (pythonpath = "src")'
        )
    return found


def _tests(config: pytest.Config, root: Path, tree: Path) -> list[str] | None:
    """The files and folders to run there; None where none of those asked for is there."""
    if config.args_source is not type(config).ArgsSource.ARGS:
        return []
    found = []
    for given in config.args:
        file = Path(config.invocation_params.dir, given.partition("::")[0]).resolve()
        if file.is_relative_to(root):
            file = tree / file.relative_to(root)
            if file.exists():
                found.append(str(file))
        elif config.getoption("pyargs"):
            found.append(given)
    return list(dict.fromkeys(found)) or None


def _forwarded(config: pytest.Config) -> list[str]:
    """Which tests are chosen; and no workers, no coverage, which would only take time there."""
    words = []
    for option, name in (("-k", "keyword"), ("-m", "markexpr")):
        given = config.getoption(name, "")
        words += [option, given] if given else []
    for given in config.getoption("override_ini", None) or ():
        words += ["-o", given]
    if config.pluginmanager.hasplugin("xdist"):
        words.append("-n0")
    if config.pluginmanager.hasplugin("_cov") or config.pluginmanager.hasplugin("pytest_cov"):
        words.append("--no-cov")
    return words


def _environment(root: Path, tree: Path, config: pytest.Config) -> dict[str, str]:
    """Of a process whose modules come from the other tree, wherever they came from this one."""
    paths = [path for path in map(_resolved, sys.path) if path.is_dir()]
    own = [path for path in paths if path.is_relative_to(root) and not _installed(path)]
    own += [root / "src"] if (root / "src").is_dir() else []
    moved = [str(tree / path.relative_to(root)) for path in dict.fromkeys(own)]
    given = filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep))
    others = [path for path in given if not _resolved(path).is_relative_to(root)]
    environment = {name: value for name, value in os.environ.items() if name != "PYTEST_ADDOPTS"}
    return {
        **environment,
        BASE_OF: str(root),
        "PYTHONPATH": os.pathsep.join([*moved, *others]),
        "PYTHONDONTWRITEBYTECODE": "1",
        "GITHUB_ACTIONS": "",
        "GITHUB_STEP_SUMMARY": "",
    }


def _resolved(path: str) -> Path:
    return Path(path or ".").resolve()


def _installed(path: Path) -> bool:
    """Whether a path is that of an environment, which may lie in the repository."""
    prefixes = {Path(sys.prefix).resolve(), Path(sys.base_prefix).resolve()}
    return any(path.is_relative_to(prefix) for prefix in prefixes) or "site-packages" in path.parts


# ---- as the base ---------------------------------------------------------------------------------


def base_document(
    measured: Iterable[Measured], unmeasured: Mapping[str, str], root: Path, here: Path
) -> str:
    """What a run that is the base of another says: figures, and modules that are not its own.

    Args:
        measured: Every step.
        unmeasured: Why other tests have none.
        root: The other's repository.
        here: The folder of this run; modules below it are its own.
    """
    steps = {each.title: each.step["entry"] for each in measured if each.step["entry"]}
    foreign = dict(foreign_modules(root, here)) if steps else {}
    found = {"steps": steps, "unmeasured": dict(unmeasured), "foreign": foreign}
    return json.dumps(found) + "\n"


def foreign_modules(root: Path, here: Path) -> Iterator[tuple[str, str]]:
    """Loaded modules of the other's working tree: from its folder, or installed from it."""
    copies = set(_installed_from(root))
    for name, module in sorted(sys.modules.items()):
        file = getattr(module, "__file__", None)
        if not isinstance(file, str) or not file or name.startswith("__editable__"):
            continue  # what looks for a package is not the package
        path = Path(file).resolve()
        inside = path.is_relative_to(root) and not path.is_relative_to(here)
        if path in copies or (inside and not _installed(path)):
            yield name, str(path)


def _installed_from(root: Path) -> Iterator[Path]:
    """The files of every distribution that ``pip install`` copied from a folder."""
    for found in distributions():
        try:
            origin = json.loads(found.read_text("direct_url.json") or "{}").get("url", "")
        except ValueError:
            continue
        source = Path(unquote(urlsplit(origin).path)) if origin.startswith("file:") else None
        if source is not None and source.resolve().is_relative_to(root):
            for file in found.files or ():
                yield Path(str(file.locate())).resolve()
