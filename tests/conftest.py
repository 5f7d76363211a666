"""Settings that every test shares; torch is touched only if a test has loaded it."""

from __future__ import annotations

import gc
import os
import sys

import pytest
from hypothesis import HealthCheck, settings

# torch's profiler reports every session on stderr unless told not to before torch is loaded.
os.environ.setdefault("KINETO_LOG_LEVEL", "99")

# Of the terminal and of the CI system that the tests may run in, no test knows: what asks for
# either sets it itself. Removed here and not in a fixture, so that modules do not see it either.
for name in ("CLICOLOR", "CLICOLOR_FORCE", "FORCE_COLOR", "GITHUB_ACTIONS", "NO_COLOR"):
    os.environ.pop(name, None)
os.environ |= {"COLUMNS": "80", "LINES": "24", "TERM": "dumb", "TRAINFIT_CACHE": "off"}

# How long an example takes is a matter of the machine, not of the property.
settings.register_profile("steady", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("steady")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with what takes long, so that no worker ends on it alone."""
    items.sort(key=lambda item: item.get_closest_marker("slow") is None)


SEARCHED_TESTS = 50
"""Tests whose reports the collector has to search at most."""

_modules_seen = 0
_tests_begun = 0


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup() -> None:
    """Take what imports and tests have left out of the collector's sight: profiles search the rest.

    Again whenever there are new modules, since many are imported on their first use, and every
    few tests: pytest keeps what it says of each. Tensors that exist by then are out of sight,
    too: a test makes its own.
    """
    global _modules_seen, _tests_begun  # noqa: PLW0603  (a hook has nowhere else to keep them)
    if "torch" not in sys.modules:
        return
    if len(sys.modules) != _modules_seen or _tests_begun % SEARCHED_TESTS == 0:
        _modules_seen = len(sys.modules)
        gc.collect()
        gc.freeze()
    _tests_begun += 1


@pytest.fixture(autouse=True)
def one_thread():
    """Small tensors on many threads are slower than on one, and much slower on a busy machine."""
    torch = sys.modules.get("torch")
    if torch is not None and torch.get_num_threads() != 1:
        torch.set_num_threads(1)


@pytest.fixture(scope="session", autouse=True)
def one_fork_server():
    """The fork server of a worker imports at once what workloads need, whichever test starts it.

    It starts once for all tests, and what it has not imported every child imports again.
    """
    from trainfit.bench.processes import isolation

    start = isolation._ensure_server
    common = isolation.preloads("trainfit.bench.run.worker:measure", ["digits"], calls=2)
    isolation._ensure_server = lambda preload: start([*preload, *common])
