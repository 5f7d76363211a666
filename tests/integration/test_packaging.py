"""What is delivered: the wheel, the public face, imports in one direction, one version."""

from __future__ import annotations

import ast
import importlib
import inspect
import re
import shutil
import subprocess
import sys
import tomllib
import zipfile
from importlib.metadata import entry_points
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent
PACKAGES = ("algorithms", "bench", "hardware_profiles", "plots", "trainfit")
MAY_IMPORT = {
    "algorithms": set(),
    "hardware_profiles": set(),
    "plots": set(),
    "bench": {"algorithms", "hardware_profiles"},
    "trainfit": {"algorithms", "hardware_profiles", "bench"},
}
"""Arrows run downwards only."""

PLOTTING_FROM = re.compile(r"bench/cli\w*\.py")
"""The command line alone may draw."""

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))


def sources(package: str) -> list[Path]:
    return sorted((ROOT / package).rglob("*.py"))


def imported(file: Path) -> set[str]:
    """Top-level packages that a file imports by an absolute name, anywhere in it."""
    found = set()
    for node in ast.walk(ast.parse(file.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            found.add((node.module or "").partition(".")[0])
    return found


def leaves_its_package(file: Path) -> bool:
    """Some ``from ...x import`` climbs out of the top-level package."""
    depth = len(file.relative_to(ROOT).parent.parts)
    return any(
        isinstance(node, ast.ImportFrom) and node.level > depth
        for node in ast.walk(ast.parse(file.read_text("utf-8")))
    )


@pytest.mark.parametrize("package", PACKAGES)
def test_imports_run_downwards_only(package: str) -> None:
    forbidden = {*PACKAGES, "tests"} - MAY_IMPORT[package] - {package}
    wrong = {}
    for file in sources(package):
        name = str(file.relative_to(ROOT))
        allowed = {"plots"} if PLOTTING_FROM.fullmatch(name) else set()
        found = imported(file) & (forbidden - allowed)
        if found or leaves_its_package(file):
            wrong[name] = sorted(found) or "a relative import that leaves the package"
    assert sources(package)
    assert wrong == {}


def test_every_package_at_the_root_is_known() -> None:
    found = {path.parent.name for path in ROOT.glob("*/__init__.py")}
    assert found == {*PACKAGES, "tests"}


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> set[str]:
    """Names of the files in a wheel that is built from a copy of the tree, without a network."""
    pytest.importorskip("setuptools", minversion="77", reason="the build needs setuptools")
    pytest.importorskip("pip", reason="the build needs pip")
    folder = tmp_path_factory.mktemp("wheel")
    tree = folder / "tree"
    tree.mkdir()
    for name in PACKAGES:
        shutil.copytree(ROOT / name, tree / name, ignore=shutil.ignore_patterns("__pycache__"))
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


def test_the_wheel_has_every_module_every_toml_file_and_the_type_markers(wheel: set[str]) -> None:
    wanted = {
        str(path.relative_to(ROOT))
        for package in PACKAGES
        for pattern in ("*.py", "*.toml", "py.typed")
        for path in (ROOT / package).rglob(pattern)
    }
    assert {f"{package}/py.typed" for package in PACKAGES} <= wanted
    assert {"bench/suites/quick.toml", "hardware_profiles/rp2040.toml"} <= wanted
    assert wanted - wheel == set()


def test_the_wheel_has_nothing_else_but_its_metadata(wheel: set[str]) -> None:
    others = {name for name in wheel if name.partition("/")[0] not in PACKAGES}
    assert {name.partition("/")[0].rpartition(".")[2] for name in others} == {"dist-info"}
    assert any(name.endswith("licenses/LICENSE") for name in others)


def test_the_console_script_is_there() -> None:
    scripts = [point.value for point in entry_points(group="console_scripts", name="trainfit")]
    assert set(scripts) == {"bench.cli:main"}
    assert PROJECT["project"]["scripts"] == {"trainfit": "bench.cli:main"}


def test_the_public_face_has_what_it_says_with_docstrings() -> None:
    trainfit = importlib.import_module("trainfit")
    assert trainfit.__all__ == sorted(trainfit.__all__)
    missing = [name for name in trainfit.__all__ if not inspect.getdoc(getattr(trainfit, name))]
    assert missing == []
    public = {
        name
        for name, value in vars(trainfit).items()
        if not name.startswith("_") and not inspect.ismodule(value) and name != "annotations"
    }
    assert public == set(trainfit.__all__)


@pytest.mark.parametrize("module", ["bench.cli", "hardware_profiles", "bench.records"])
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
    assert "torch==2.13.0" in PROJECT["project"]["dependencies"]
