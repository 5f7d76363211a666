"""What is delivered: the wheel, the public face, imports in one direction, one version."""

from __future__ import annotations

import importlib
import inspect
import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
import zipfile
from importlib.metadata import entry_points
from pathlib import Path

import pytest
from packaging.specifiers import SpecifierSet

ROOT = Path(__file__).parent.parent.parent
PARTS = ("algorithms", "bench", "hardware_profiles", "plots")
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> set[str]:
    """Names of the files in a wheel that is built from a copy of the tree, without a network."""
    pytest.importorskip("setuptools", minversion="77", reason="the build needs setuptools")
    pytest.importorskip("pip", reason="the build needs pip")
    folder = tmp_path_factory.mktemp("wheel")
    tree = folder / "tree"
    tree.mkdir()
    for name in (*PARTS, "trainfit"):
        ignore = shutil.ignore_patterns("__pycache__")
        shutil.copytree(ROOT / name, tree / name, symlinks=True, ignore=ignore)
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, tree)
    options = "--quiet --no-deps --no-build-isolation --no-index --disable-pip-version-check"
    done = subprocess.run(
        [sys.executable, "-m", "pip", "wheel", *options.split(), "--wheel-dir", folder, tree],
        check=False,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    (file,) = folder.glob("*.whl")
    assert file.name == f"trainfit-{PROJECT['project']['version']}-py3-none-any.whl"
    with zipfile.ZipFile(file) as archive:
        assert archive.testzip() is None
        return set(archive.namelist())


def test_the_wheel_has_every_module_every_toml_file_and_the_type_marker(wheel: set[str]) -> None:
    parts = {
        f"trainfit/{path.relative_to(ROOT)}"
        for part in PARTS
        for pattern in ("*.py", "*.toml")
        for path in (ROOT / part).rglob(pattern)
    }
    face = {"trainfit/__init__.py", "trainfit/__main__.py", "trainfit/py.typed"}
    known = {"trainfit/bench/suite/builtin/quick.toml", "trainfit/hardware_profiles/rp2040.toml"}
    assert known <= parts
    assert (parts | face) - wheel == set()


def test_the_wheel_has_the_trainings_that_come_with_it(wheel: set[str]) -> None:
    folder = ROOT / "bench" / "sizing" / "kept"
    kept = {f"trainfit/{path.relative_to(ROOT)}" for path in folder.glob("*/*")}
    assert "trainfit/bench/sizing/kept/mnist-backprop/records.jsonl" in kept
    assert kept - wheel == set()


def test_the_wheel_puts_one_name_beside_its_metadata(wheel: set[str]) -> None:
    tops = {name.partition("/")[0] for name in wheel}
    assert {top.rpartition(".")[2] for top in tops - {"trainfit"}} == {"dist-info"}
    assert any(name.endswith("licenses/LICENSE") for name in wheel)
    assert not [name for name in wheel if "/test_" in name or name.startswith("trainfit/tests")]


@pytest.mark.parametrize("part", PARTS)
def test_no_part_can_be_imported_a_second_time_under_its_bare_name(part: str) -> None:
    code = f"import sys; sys.path.insert(0, {str(ROOT)!r}); import {part}"
    done = subprocess.run([sys.executable, "-c", code], check=False, capture_output=True, text=True)
    assert done.returncode == 1
    assert f"ImportError: import trainfit.{part}, not {part}:" in done.stderr


def test_the_package_is_a_program(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "trainfit", "--version"],
        check=True,
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    assert done.stdout.startswith(f"trainfit {PROJECT['project']['version']} (torch 2.")


def test_the_console_script_is_there() -> None:
    scripts = [point.value for point in entry_points(group="console_scripts", name="trainfit")]
    assert set(scripts) == {"trainfit.bench.cli.main:main"}
    assert PROJECT["project"]["scripts"] == {"trainfit": "trainfit.bench.cli.main:main"}


def test_the_public_face_has_what_it_says_with_docstrings() -> None:
    trainfit = importlib.import_module("trainfit")
    assert trainfit.__all__ == sorted(trainfit.__all__)
    missing = [name for name in trainfit.__all__ if not inspect.getdoc(getattr(trainfit, name))]
    assert missing == []
    assert set(trainfit.__all__) <= set(dir(trainfit))
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        trainfit.nothing  # noqa: B018


@pytest.mark.parametrize(
    "module",
    ["trainfit.bench.cli.main", "trainfit.hardware_profiles", "trainfit.bench.records.reading"],
)
def test_what_is_used_to_look_things_up_does_not_import_torch(module: str) -> None:
    code = f"import sys, {module}; print(*{{'torch', 'pandas', 'matplotlib'}} & set(sys.modules))"
    done = subprocess.run(
        [sys.executable, "-c", code], check=True, capture_output=True, text=True, cwd=ROOT
    )
    assert done.stdout.split() == []


def test_the_version_is_one() -> None:
    version = PROJECT["project"]["version"]
    trainfit = importlib.import_module("trainfit")
    citation = (ROOT / "CITATION.cff").read_text("utf-8")
    changelog = (ROOT / "CHANGELOG.md").read_text("utf-8")
    assert trainfit.__version__ == version
    assert f"\nversion: {version}\n" in citation
    released = re.search(r"^date-released: (\S+)$", citation, re.MULTILINE)
    assert released is not None
    assert f"\n## [{version}] - {released[1]}\n" in changelog


def test_tools_are_pinned_to_the_same_version_everywhere() -> None:
    extras = PROJECT["project"]["optional-dependencies"]
    (ruff,) = (word.partition("==")[2] for word in extras["lint"])
    assert f"deps = ruff=={ruff}\n" in (ROOT / "tox.ini").read_text("utf-8")
    assert f"rev: v{ruff}\n" in (ROOT / ".pre-commit-config.yaml").read_text("utf-8")
    assert any(word.startswith("mypy==") for word in extras["types"])


def test_torch_is_a_range_that_holds_the_pinned_and_the_tested_versions() -> None:
    (torch,) = (each for each in PROJECT["project"]["dependencies"] if each.startswith("torch>"))
    allowed = SpecifierSet(torch.removeprefix("torch"))
    (pinned,) = re.findall(r"^torch==(\S+)$", (ROOT / "constraints.txt").read_text(), re.MULTILINE)
    tested = json.loads((ROOT / "tests/golden/bytes.json").read_text())["torch"]
    assert pinned in tested
    assert [version for version in tested if version not in allowed] == []
    assert "PIP_CONSTRAINT = {tox_root}/constraints.txt" in (ROOT / "tox.ini").read_text()
    assert "-c constraints.txt" in (ROOT / "README.md").read_text()
