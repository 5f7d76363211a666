"""pytest inside of a test, in the same process: importing torch anew would take seconds.

And it would fail: torch cannot be imported twice. But pytester forgets what was imported since it
began, so that is kept here and put back, after an inner run and after pytester. Import ``pytester``
and ``imports_stay`` from here beside ``run_pytest``.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from types import ModuleType

import pytest

PLAIN = ("-p", "no:cacheprovider", "-p", "no:cov", "-p", "no:hypothesispytest", "-W", "default")

_OF_A_WORKER = ("PYTEST_XDIST_WORKER", "PYTEST_XDIST_WORKER_COUNT", "PYTEST_XDIST_TESTRUNUID")
"""Variables by which plugins know that they run in a worker, which an inner run does not."""

_kept: dict[str, ModuleType] = {}


@pytest.fixture(autouse=True)
def imports_stay() -> Iterator[None]:
    """Begins before pytester and ends after it."""
    _kept.clear()
    yield
    _put_back()


@pytest.fixture
def pytester(pytester: pytest.Pytester) -> Iterator[pytest.Pytester]:
    """The one of pytest, and what was imported meanwhile is noted before it ends."""
    yield pytester
    _note(pytester)


def run_pytest(pytester: pytest.Pytester, *arguments: str) -> pytest.RunResult:
    """Run it on what lies in pytester's folder."""

    class Notes:
        def pytest_unconfigure(self) -> None:
            _note(pytester)

    with pytest.MonkeyPatch.context() as outside:
        for name in _OF_A_WORKER:
            outside.delenv(name, raising=False)
        result = pytester.runpytest_inprocess(*PLAIN, *arguments, plugins=[Notes()])
    _put_back()
    return result


def _note(pytester: pytest.Pytester) -> None:
    """Everything that is imported, but for what lies in the folder of the test."""
    for name, module in sys.modules.items():
        if not (getattr(module, "__file__", None) or "").startswith(str(pytester.path)):
            _kept[name] = module


def _put_back() -> None:
    for name, module in _kept.items():
        sys.modules.setdefault(name, module)
