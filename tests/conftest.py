"""Settings that every test shares; torch is touched only if a test has loaded it."""

from __future__ import annotations

import gc
import os
import sys

import pytest
from hypothesis import HealthCheck, settings

# torch's profiler reports every session on stderr unless told not to before torch is loaded.
os.environ.setdefault("KINETO_LOG_LEVEL", "99")

# How long an example takes is a matter of the machine, not of the property.
settings.register_profile("steady", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("steady")


@pytest.fixture(autouse=True)
def one_thread():
    """Small tensors on many threads are slower than on one, and much slower on a busy machine."""
    torch = sys.modules.get("torch")
    if torch is not None and torch.get_num_threads() != 1:
        torch.set_num_threads(1)


_modules_seen = 0


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup() -> None:
    """Take what imports left out of the collector's sight: every profile searches the rest.

    Again whenever there are new modules, since many are imported on their first use. Tensors that
    exist by then are out of sight, too: a test makes its own.
    """
    global _modules_seen  # noqa: PLW0603  (a hook has nowhere else to keep it)
    if "torch" in sys.modules and len(sys.modules) != _modules_seen:
        _modules_seen = len(sys.modules)
        gc.collect()
        gc.freeze()
