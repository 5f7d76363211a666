"""A folder that somebody else has made: calling trainfit in it runs none of its code."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.builders.runs import PLUGINS
from trainfit import _imports
from trainfit.algorithms import ConfigurationError, algorithm_names
from trainfit.algorithms.data.wfdb_records import require_wfdb
from trainfit.bench.records.reading import read_records
from trainfit.bench.sensors.zeus_sensors import open_nvml, open_rapl

ROOT = PLUGINS.parent.parent
TRAP = "from pathlib import Path\nPath(__file__).with_name('ran').touch()\n"
OPTIONAL = ("zeus", "pynvml", "wfdb", "amdsmi", "triton", "onnx", "bottleneck", "numexpr")


@pytest.fixture
def there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder, with modules of the names of packages that may not be installed."""
    monkeypatch.chdir(tmp_path)
    for name in OPTIONAL:
        Path(f"{name}.py").write_text(TRAP)
    return tmp_path


SUITE = """
name = "s"
devices = ["stm32f407"]
measure = ["memory", "energy"]
[defaults]
model = "mlp-64-10"
dataset = "digits"
batch_size = 8
[[workload]]
algorithm = "backprop"
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("program", "named", "others"),
    [
        ("trainfit", (), ("torch", "sklearn", "multiprocessing", "selectors", "typer")),
        ("trainfit.bench.cli.main", ("--algorithm", "mine:Delta"), ()),
    ],
)
def test_a_run_finds_no_packages_in_the_current_folder(
    program: str, named: tuple[str, ...], others: tuple[str, ...], there: Path
) -> None:
    # GIVEN names that the command line and the fork server look for as well
    for name in others:
        Path(f"{name}.py").write_text(TRAP)
    Path("s.toml").write_text(SUITE)
    Path("mine.py").write_text((PLUGINS / "plain.py").read_text())

    # WHEN it is started as python -m starts it, or with one's own algorithm from there
    done = subprocess.run(
        [sys.executable, "-m", program, "run", "s.toml", "--out", "out", *named],
        check=False,
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        timeout=120,
    )

    # THEN none of them has run
    assert not Path("ran").exists(), done.stderr
    assert done.returncode == 0, done.stderr
    records = read_records(Path("out"))
    assert len(records) == 1 + len(named) // 2
    energy = records[0].energy
    assert energy is not None
    assert energy.evidence == "unavailable" or energy.joules_per_step is not None


@pytest.mark.parametrize("entry", ["", ".", "here"])
def test_optional_packages_are_not_looked_for_in_the_current_folder(
    entry: str, there: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where trainfit is a library, and Python was started there."""
    for name in [each for each in sys.modules if each.partition(".")[0] in OPTIONAL]:
        monkeypatch.delitem(sys.modules, name)
    path = [str(there) if entry == "here" else entry, *sys.path]
    monkeypatch.setattr(sys, "path", path)

    open_rapl()
    open_nvml()
    try:
        require_wfdb("mitbih")
    except ConfigurationError as error:
        assert "install it: pip install" in str(error)  # noqa: PT017  (it may be installed)

    assert not Path("ran").exists()
    assert sys.path == path


def test_an_algorithm_is_not_registered_by_the_current_folder(
    there: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = there / "evil-1.0.dist-info"
    package.mkdir()
    (package / "METADATA").write_text("Metadata-Version: 2.1\nName: evil\nVersion: 1.0\n")
    (package / "entry_points.txt").write_text("[trainfit.algorithms]\nevil = zeus:Evil\n")
    monkeypatch.syspath_prepend(str(there))

    assert "evil" not in algorithm_names()


def test_the_current_folder_is_forgotten_but_not_the_sources(
    there: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    others = ["/nowhere", str(there / "archive.zip")]
    monkeypatch.setattr(sys, "path", ["", *others, str(there), "."])
    _imports.forget_current_folder()
    assert sys.path == others

    _imports.add_current_folder()
    _imports.add_current_folder()
    assert sys.path == [*others, str(there)]

    monkeypatch.chdir(ROOT)
    monkeypatch.setattr(sys, "path", ["", str(ROOT)])
    _imports.forget_current_folder()
    assert sys.path == ["", str(ROOT)]


def test_the_state_of_a_repository_is_asked_for_without_its_programs(there: Path) -> None:
    """git runs what the configuration of a repository says watches its files."""
    from trainfit.bench.environment import git_revision

    def git(*arguments: str) -> None:
        identity = ["-c", "user.name=a", "-c", "user.email=a@b"]
        subprocess.run(["git", *identity, *arguments], check=True, capture_output=True)

    git("init", "-q")
    git("commit", "--allow-empty", "-qm", "first")
    trap = there / "trap.sh"
    trap.write_text(f"#!/bin/sh\ntouch {there / 'ran'}\n")
    trap.chmod(0o755)
    git("config", "core.fsmonitor", str(trap))

    found: Any = git_revision(there)

    assert found["dirty"]
    assert json.dumps(found)
    assert not Path("ran").exists()
