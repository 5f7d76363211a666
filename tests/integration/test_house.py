"""The house: arrows between folders run one way, and no module reaches itself by importing."""

from __future__ import annotations

import ast
from collections import defaultdict
from collections.abc import Iterator, Mapping
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent
PARTS = ("algorithms", "bench", "hardware_profiles", "plots")

MAY_IMPORT: dict[str, set[str]] = {
    "algorithms": set(),
    "hardware_profiles": set(),
    "plots": set(),
    "bench": {"algorithms", "hardware_profiles"},
}
"""Which part may import which other; the leaf modules of ``trainfit`` are open to all."""

MAY_DRAW = ("trainfit.bench.cli.", "trainfit.bench.papers.", "trainfit.bench.claims.")
"""What of bench may import plots; claims need the published figures that are there."""

LARGEST_FOLDER = 22


def module_name(file: Path) -> str:
    name = ".".join(file.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
    return name if name.startswith("trainfit") else f"trainfit.{name}"


def files() -> list[Path]:
    parts = [path for part in PARTS for path in (ROOT / part).rglob("*.py")]
    return sorted([*parts, *(ROOT / "trainfit").glob("*.py")])


def imports(tree: ast.AST) -> Iterator[ast.Import | ast.ImportFrom]:
    """Every import that can run, at the top or inside of a function."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            continue
        if isinstance(node, ast.Import | ast.ImportFrom):
            yield node
        yield from imports(node)


def graph() -> dict[str, set[str]]:
    """Module to the modules of this project that it imports."""
    trees = {module_name(file): ast.parse(file.read_text("utf-8")) for file in files()}
    found: dict[str, set[str]] = {name: set() for name in trees}
    for name, tree in trees.items():
        for node in imports(tree):
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            else:
                assert node.level == 0, f"{name}, line {node.lineno}: a relative import"
                base = str(node.module)
                inner = [f"{base}.{alias.name}" for alias in node.names]
                names = [each if each in trees else base for each in inner]
            found[name] |= {each for each in names if each in trees and each != name}
    return found


def part_of(module: str) -> str:
    pieces = module.split(".")
    return pieces[1] if len(pieces) > 1 and pieces[1] in PARTS else "trainfit"


def folder_of(module: str, packages: set[str]) -> str:
    """``trainfit.bench.gate`` for all in it; a module beside the folders is its own."""
    folder = ".".join(module.split(".")[:3])
    return folder if folder in packages else module


def cycle(edges: Mapping[str, set[str]]) -> list[str]:
    """One way from a node back to itself; empty where there is none."""
    try:
        tuple(TopologicalSorter(edges).static_order())
    except CycleError as error:
        return list(error.args[1])
    return []


@pytest.fixture(scope="module")
def edges() -> dict[str, set[str]]:
    return graph()


def test_the_parts_import_downwards_only(edges: dict[str, set[str]]) -> None:
    wrong = [
        f"{module} imports {other}"
        for module, others in edges.items()
        if part_of(module) in MAY_IMPORT
        for other in others
        if part_of(other) not in {part_of(module), "trainfit", *MAY_IMPORT[part_of(module)]}
        if not (part_of(other) == "plots" and module.startswith(MAY_DRAW))
    ]
    assert wrong == []


def test_no_module_imports_itself_by_others(edges: dict[str, set[str]]) -> None:
    assert cycle(edges) == []


def test_no_folder_imports_itself_by_others(edges: dict[str, set[str]]) -> None:
    packages = {module_name(file) for file in files() if file.name == "__init__.py"}
    folders: dict[str, set[str]] = defaultdict(set)
    for module, others in edges.items():
        here = folder_of(module, packages)
        folders[here] |= {folder_of(other, packages) for other in others} - {here}
    assert cycle(folders) == []


def test_no_folder_is_too_full_to_find_the_way_in() -> None:
    folders: dict[str, int] = defaultdict(int)
    for file in files():
        folders[str(file.parent.relative_to(ROOT))] += 1
    assert {name: count for name, count in folders.items() if count > LARGEST_FOLDER} == {}


def test_the_graph_that_is_judged_is_the_real_one(edges: dict[str, set[str]]) -> None:
    assert "trainfit.algorithms.phases" in edges["trainfit.bench.profiler.session"]
    assert sum(len(others) for others in edges.values()) > 500
    assert cycle({"a": {"b"}, "b": {"a"}})


@pytest.mark.parametrize("part", PARTS)
def test_every_part_is_linked_below_the_installed_name(part: str) -> None:
    link = ROOT / "trainfit" / part
    assert link.is_symlink()
    assert link.resolve() == (ROOT / part).resolve()
