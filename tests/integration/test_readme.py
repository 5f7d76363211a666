"""What README and CONTRIBUTING show is run: files are written, commands and Python executed."""

from __future__ import annotations

import importlib.util
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from typer.main import get_command

from tests.builders.logs import progress_lines
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
    return blocks_of(document.read_text("utf-8"))


def blocks_of(text: str) -> list[Block]:
    return [Block(*match) for match in FENCED.findall(text)]


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
    assert done.returncode == 0, done.stdout + done.stderr
    logged = progress_lines(done.stderr)  # nothing else may be there
    measures = "run" in arguments and "--resume" not in arguments  # of a run that is complete
    assert bool(logged) == measures
    return done.stdout


def sections() -> dict[str, str]:
    """The README by its headings of the third level."""
    found = README.read_text("utf-8").split("\n### ")[1:]
    return {each.partition("\n")[0]: each for each in found}


MAKES_THE_RUN = "A suite of your own"
SECTIONS = [
    title for title, text in sections().items() if blocks_of(text) and title != MAKES_THE_RUN
]


def follow(text: str, folder: Path) -> tuple[int, str]:
    """Do what a part of the README says; how many runs it has, and what was said last."""
    measured = 0
    previous = ""
    found = blocks_of(text)
    for block, following in zip(found, [*found[1:], None], strict=True):
        if block.language == "console":
            shown = following is not None and following.language == "text"
            for words in [shlex.split(line)[2:] for line in block.text.splitlines()]:
                if words[0] in ON_A_RUN or shown:  # the others are tested in this process, below
                    previous = python("-m", "trainfit.bench.cli.main", *words, cwd=folder)
                    measured += words[0] == "run"
        elif block.language == "python":
            (folder / "train.py").write_text(block.text, "utf-8")
            previous = python("train.py", cwd=folder)
        elif block.language == "text":
            assert previous == block.text
    return measured, previous


@pytest.fixture(scope="module")
def with_a_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which a reader has come as far as having a run of their own."""
    folder = tmp_path_factory.mktemp("reader")
    write_files(folder)
    measured, last = follow(sections()[MAKES_THE_RUN], folder)
    assert measured == 2
    assert "4 of 4 workloads measured" in last
    return folder


@pytest.mark.slow
@pytest.mark.parametrize("title", SECTIONS)
def test_the_examples_do_what_they_say(title: str, with_a_run: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(with_a_run, tmp_path / "reader")

    measured, last = follow(sections()[title], folder)

    if "CONTRIBUTING" in sections()[title]:  # its examples are measured, on its board
        assert measured == 1
        assert "RandomFeatures" in last
        assert "our-board" in last
        assert "5 of 5 workloads measured" in last


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


@pytest.mark.slow
def test_the_algorithm_of_contributing_passes_the_contract_suite(tmp_path: Path) -> None:
    # GIVEN a package of a stranger that registers it
    write_files(tmp_path)
    package = tmp_path / "random_features-1.0.dist-info"
    package.mkdir()
    (package / "METADATA").write_text(
        "Metadata-Version: 2.1\nName: random-features\nVersion: 1.0\n"
    )
    (package / "entry_points.txt").write_text(
        "[trainfit.algorithms]\nrandom_features = random_features:RandomFeatures\n"
    )

    # WHEN the suite runs that CONTRIBUTING names
    (line,) = re.findall(r"^python -m (pytest tests/contract .+)$", CONTRIBUTING.read_text(), re.M)
    done = subprocess.run(
        [sys.executable, "-m", *shlex.split(line), "-q", "-p", "no:cacheprovider"],
        check=False,
        capture_output=True,
        text=True,
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": f"{ROOT}{os.pathsep}{tmp_path}"},
        timeout=300,
    )

    # THEN every test of it passes
    assert done.returncode == 0, done.stdout
    found = re.search(r"^(\d+) passed", done.stdout, re.MULTILINE)
    assert found is not None
    assert int(found[1]) > 10


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
