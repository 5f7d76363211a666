"""What README and CONTRIBUTING show is run: files are written, commands and Python executed."""

from __future__ import annotations

import importlib.util
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from typer.main import get_command

from trainfit.bench.cli import main as cli

ROOT = Path(__file__).parent.parent.parent
README = ROOT / "README.md"
CONTRIBUTING = ROOT / "CONTRIBUTING.md"
FENCED = re.compile(r"(?:^<!-- ([^\n]+) -->\n)?^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


ON_A_RUN = ("run", "plot", "gate")
"""Commands that make a run or need one: these run one after the other in one folder."""


class Block(NamedTuple):
    """A fenced block, with the marker comment right above it."""

    marker: str
    language: str
    text: str


def blocks(document: Path) -> list[Block]:
    found = FENCED.findall(document.read_text("utf-8"))
    return [Block(*match) for match in found]


def write_files(folder: Path) -> None:
    """Write every block that is marked as a file."""
    for block in [*blocks(README), *blocks(CONTRIBUTING)]:
        if block.marker.startswith("file: "):
            (folder / block.marker.removeprefix("file: ")).write_text(block.text)


def commands() -> list[list[str]]:
    """Every ``trainfit`` command of the README, without its first word."""
    lines = [
        shlex.split(line.removeprefix("$ "))
        for block in blocks(README)
        if block.language == "console"
        for line in block.text.splitlines()
        if line.startswith("$ ")
    ]
    assert all(words[0] == "trainfit" for words in lines)
    return [words[1:] for words in lines]


def python(*arguments: str, cwd: Path) -> str:
    done = subprocess.run(
        [sys.executable, *arguments],
        check=False,
        capture_output=True,
        text=True,
        cwd=cwd,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        timeout=120,
    )
    assert (done.returncode, done.stderr) == (0, ""), done.stdout
    return done.stdout


@pytest.mark.slow
def test_the_examples_do_what_they_say(tmp_path: Path) -> None:
    write_files(tmp_path)
    measured = 0
    previous = ""
    found = blocks(README)
    for block, following in zip(found, [*found[1:], None], strict=True):
        if block.language == "console":
            shown = following is not None and following.language == "text"
            for words in [shlex.split(line)[2:] for line in block.text.splitlines()]:
                if words[0] in ON_A_RUN or shown:  # the others are tested in this process, below
                    previous = python("-m", "trainfit.bench.cli.main", *words, cwd=tmp_path)
                    measured += words[0] == "run"
        elif block.language == "python":
            previous = python("-c", block.text, cwd=tmp_path)
        elif block.language == "text":
            assert previous == block.text
    assert measured == 3
    # The last of them measured the examples of CONTRIBUTING, on its board.
    assert "RandomFeatures" in previous
    assert "our-board" in previous
    assert "5 of 5 workloads measured" in previous


@pytest.mark.parametrize(
    "words", [words for words in commands() if words[0] not in ON_A_RUN], ids=" ".join
)
def test_every_command_that_lists_works(
    words: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        cli.main(words)
    assert ended.value.code == 0
    assert capsys.readouterr().out


def test_every_command_there_is_is_shown() -> None:
    shown = {words[0] for words in commands()}
    named = set(re.findall(r"`trainfit\s([a-z-]+)", README.read_text("utf-8")))
    assert shown <= set(get_command(cli.app).commands)
    assert set(get_command(cli.app).commands) <= shown | named


def test_the_exit_codes_are_those_of_the_command_line() -> None:
    shown = re.findall(r"^\| (\d+) \|", README.read_text("utf-8"), re.MULTILINE)
    stated = re.search(r"Exit codes: (.*?)\.", cli.__doc__ or "", re.DOTALL)
    assert stated is not None
    assert shown == re.findall(r"\d+", stated[1])


def test_the_set_up_lines_are_one_line_each_and_marked() -> None:
    lines = {block.marker: block.text for block in blocks(README) if block.language == "sh"}
    assert set(lines) == {"run", "tests"}
    for text in lines.values():
        assert text.count("\n") == 1
        assert text.startswith("python3 -m venv .venv && .venv/bin/pip install ")


def test_ci_takes_its_line_from_the_readme() -> None:
    text = (ROOT / ".ci" / "run").read_text("utf-8")
    assert os.access(ROOT / ".ci" / "run", os.X_OK)
    program = re.search(r"awk '(.+?)' README\.md", text)
    assert program is not None
    line = subprocess.run(
        ["awk", program[1], str(README)],
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    assert line == next(block.text for block in blocks(README) if block.marker == "tests")


@pytest.mark.parametrize("document", [README, CONTRIBUTING], ids=lambda path: path.name)
def test_links_lead_somewhere(document: Path) -> None:
    targets = re.findall(r"\]\(([^)#]+)\)", document.read_text("utf-8"))
    assert targets
    assert [target for target in targets if not (ROOT / target).exists()] == []


def test_the_picture_loads_nothing_and_names_no_machine() -> None:
    picture = (ROOT / "docs" / "images" / "quick.svg").read_text("utf-8")
    assert set(re.findall(r"\w+://[^\"'<\s]+", picture)) == {"http://www.w3.org/2000/svg"}
    assert "@font-face" not in picture
    assert "/home" not in picture
    assert "/tmp" not in picture


@pytest.mark.parametrize(("model", "rows"), [("mlp-24-16-32-8-4", 12), ("mlp-64-10", 3)])
def test_the_algorithm_of_contributing_keeps_the_contract(
    model: str, rows: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from tests.contract.cases import batch_for
    from trainfit.algorithms import build_algorithm
    from trainfit.bench.profiler.memory import measure_memory
    from trainfit.bench.training.contract_check import check_contract

    write_files(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))

    algorithm = build_algorithm("random_features:RandomFeatures", model)
    x, y = batch_for(algorithm, rows)
    check_contract(algorithm, x, y)
    memory = measure_memory(algorithm, x, y)

    assert memory.deterministic
    assert memory.closed_form_bytes == memory.peak_dynamic_bytes
    assert memory.stages[0].closed_form_static_bytes == memory.static_bytes
    for figures in memory.worst.phases.values():
        assert figures.closed_form_bytes == figures.peak_bytes


def test_the_figure_of_contributing_draws_what_is_in_the_frame(tmp_path: Path) -> None:
    import pandas as pd

    from trainfit.plots import MissingDataError

    write_files(tmp_path)
    module = load(tmp_path / "peak_by_batch.py")
    frame = pd.DataFrame(
        {
            "algorithm": ["a", "a", "b", "b"],
            "batch_size": [8, 4, 4, 8],
            "peak_dynamic_bytes": pd.array([2048, 1024, None, 4096], dtype="Int64"),
        }
    )
    numbers = module.numbers(frame)
    figure = module.draw(numbers)
    lines = figure.axes[0].get_lines()
    assert [(line.get_label(), list(line.get_xydata().ravel())) for line in lines] == [
        ("a", [4.0, 1.0, 8.0, 2.0]),
        ("b", [8.0, 4.0]),
    ]
    with pytest.raises(MissingDataError, match="the run has no peak_dynamic_bytes; give the suite"):
        module.numbers(frame.drop(columns="peak_dynamic_bytes"))


def load(file: Path) -> Any:
    spec = importlib.util.spec_from_file_location(file.stem, file)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_python_of_contributing_is_formatted_like_ours(tmp_path: Path) -> None:
    pytest.importorskip("ruff", reason="lints the examples")
    write_files(tmp_path)
    files = [str(path) for path in tmp_path.glob("*.py")]
    settings = ["--config", str(ROOT / "pyproject.toml")]
    ours = "lint.isort.known-first-party = ['trainfit']"
    for command in (["check", "--no-cache", "--config", ours], ["format", "--check"]):
        python("-m", "ruff", *command, *settings, *files, cwd=tmp_path)
