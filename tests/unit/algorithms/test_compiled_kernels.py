"""Kernels where numba may not keep what it compiled: they compute the same, and nobody is asked."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numba
import numpy as np
import pytest

from trainfit.algorithms.numerics import compiled as module
from trainfit.algorithms.numerics.compiled import compiled, temporary_cache

NUMERICS = Path(module.__file__).parent


@pytest.fixture
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The folder of temporary files, which is all that may be written."""
    makedirs = os.makedirs

    def guarded(path: Any, *given: Any, **named: Any) -> None:
        if not Path(path).is_relative_to(tmp_path):
            raise PermissionError(13, "Permission denied", str(path))
        makedirs(path, *given, **named)

    monkeypatch.setattr(os, "makedirs", guarded)  # what every locator of numba's begins with
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setattr(numba.config, "CACHE_DIR", "")
    temporary_cache.cache_clear()
    yield tmp_path
    temporary_cache.cache_clear()


def doubled() -> list[float]:
    def double(values: Any) -> None:  # pragma: no cover  (compiled)
        for i in range(values.shape[0]):
            values[i] = 2 * values[i]

    kernel = compiled("void(float32[::1])", nogil=True)(double)
    values = np.array([1.0, -3.0], dtype=np.float32)
    kernel(values)
    return [float(value) for value in values]


def test_numba_refuses_where_nothing_can_be_written(temporary: Path) -> None:
    """What the rest of this file is about; if numba stops refusing, the module can go."""
    with pytest.raises(RuntimeError, match="cannot cache function"):
        numba.njit("void(float32[::1])", cache=True)(lambda values: None)


def test_a_kernel_is_kept_among_the_temporary_files(temporary: Path) -> None:
    assert doubled() == [2.0, -6.0]

    (folder,) = temporary.iterdir()
    assert folder.name.startswith("trainfit-kernels")
    assert list(folder.rglob("*.nbi"))
    assert numba.config.CACHE_DIR == "", "functions of the user are cached where they were"
    if hasattr(os, "getuid"):
        assert folder.stat().st_mode & 0o777 == 0o700


@pytest.mark.skipif(not hasattr(os, "getuid"), reason="folders have no owner here")
@pytest.mark.parametrize("trap", ["open to all", "a link", "a file"])
def test_what_others_may_write_is_not_run(temporary: Path, trap: str, request: Any) -> None:
    folder = temporary / f"trainfit-kernels-{os.getuid()}"
    if trap == "open to all":
        folder.mkdir()
        folder.chmod(0o777)
    elif trap == "a link":
        folder.symlink_to(temporary / "elsewhere")
        (temporary / "elsewhere").mkdir(mode=0o700)
    else:
        folder.write_text("")

    assert temporary_cache() is None
    assert doubled() == [2.0, -6.0]
    assert not list(temporary.rglob("*.nb?"))


def test_a_work_folder_is_not_littered(temporary: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where there is no folder for temporary files Python takes the current one."""
    monkeypatch.chdir(temporary)

    assert doubled() == [2.0, -6.0]
    assert not list(temporary.iterdir())


def test_a_cache_that_fails_while_it_is_written_is_done_without(
    temporary: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: Any, **__: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(numba.core.caching.IndexDataCacheFile, "save", full)

    assert doubled() == [2.0, -6.0]


def test_every_kernel_is_compiled_this_way() -> None:
    found = [
        file.name for file in sorted(NUMERICS.rglob("*.py")) if "cache=True" in file.read_text()
    ]
    assert found == ["compiled.py"]
    users = [file.name for file in NUMERICS.rglob("*kernel*.py") if "@compiled" in file.read_text()]
    assert len(users) == 15
