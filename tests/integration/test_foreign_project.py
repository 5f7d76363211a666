"""pytest in a project that has nothing to do with trainfit, but names of its own that ours used.

An installed plugin is imported by every pytest, so none of its imports may find a stranger's module
in place of ours.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
NAMES = ("bench", "algorithms", "plots", "hardware_profiles")

TEST = f"""\
import pytest
{"".join(f"import {name}" + chr(10) for name in NAMES)}

def test_the_names_are_the_project_s_own():
    assert [{", ".join(f"{name}.MINE" for name in NAMES)}] == [1] * {len(NAMES)}


@pytest.mark.training_memory(max_peak="1 KiB")
def test_a_step(training_memory):
    import torch

    training_memory(lambda: torch.empty(10))


def test_no_module_of_trainfit_has_two_names():
    import sys

    ours = [module for name, module in sys.modules.items() if name.startswith("trainfit.")]
    assert len(ours) > 20
    strangers = {NAMES!r}
    for name in strangers:
        assert not [each for each in sys.modules if each.startswith(name + ".")]
"""


@pytest.fixture(params=["folder", "module"])
def project(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    for name in NAMES:
        folder = tmp_path / name
        folder.mkdir() if request.param == "folder" else None
        file = folder / "__init__.py" if request.param == "folder" else tmp_path / f"{name}.py"
        file.write_text("MINE = 1\n")
    (tmp_path / "tests").mkdir()
    (tmp_path / "tests" / "test_own.py").write_text(TEST)
    return tmp_path


@pytest.mark.slow
def test_pytest_starts_and_the_plugin_measures(project: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-q", "tests"],
        check=False,
        capture_output=True,
        text=True,
        cwd=project,
        # As installed: found after the project's own folder, which `-m` puts first.
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        timeout=120,
    )
    assert "3 passed" in done.stdout, done.stdout + done.stderr
    assert done.returncode == 0
