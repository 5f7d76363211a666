"""How the command line is put together: its commands, their help texts, the shared options."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.core import TyperGroup

import trainfit
from trainfit.bench.cli import main as cli
from trainfit.bench.cli.group import SHARED, imported

ROOT = Path(__file__).parent.parent.parent.parent


def commands() -> Iterator[tuple[str, Any]]:
    """Every command with its name, those within ``devices`` as well."""
    for name, lazy in cli.COMMANDS.items():
        found = imported(name, lazy.module)
        yield name, found
        if isinstance(found, TyperGroup):
            for inner, command in found.commands.items():
                yield f"{name} {inner}", command


COMMANDS = dict(commands())


def run(*arguments: str) -> Any:
    with pytest.raises(SystemExit) as ended:
        cli.main(list(arguments))
    return ended.value.code


@pytest.mark.parametrize("name", cli.COMMANDS)
def test_the_list_of_commands_says_what_they_say_themselves(name: str) -> None:
    assert COMMANDS[name].help.splitlines()[0] == cli.COMMANDS[name].help


def test_the_list_of_commands_is_whole_at_80_columns(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    assert run("--help") == 0
    shown = " ".join(capsys.readouterr().out.split())
    for name, lazy in cli.COMMANDS.items():
        assert f" {name} {lazy.help}" in shown


@pytest.mark.parametrize("name", COMMANDS)
def test_every_option_says_what_it_is(name: str) -> None:
    for option in COMMANDS[name].params:
        if option.hidden:
            continue
        text = option.help or ""
        assert "[default" not in text, f"{name} {option.name}: show_default= says that"
        assert re.search(r"[.\]]$", text), f"{name} {option.name}: {text!r} is no sentence"
        assert text[0].isupper(), f"{name} {option.name}: {text!r}"
        assert not text.startswith(("The ", "A ", "An ", "Of ", "For ")), f"{name}: {text!r}"


@pytest.mark.parametrize("name", COMMANDS)
@pytest.mark.parametrize("width", ["40", "80"])
def test_help_fits_into_the_terminal(
    name: str, width: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", width)
    assert run(*name.split(), "--help") == 0
    shown = capsys.readouterr().out
    assert "Usage: " in shown
    assert "--json" in shown
    if width == "80":
        assert max(map(len, shown.splitlines())) <= 80


@pytest.mark.parametrize(
    "given",
    [
        "suites --json --csv tables",
        "--json --csv tables suites",
        "--json suites --csv tables",
        "--csv=tables suites --json --quiet",
        "--json --quiet suites --json --csv=tables",
    ],
)
def test_shared_options_stand_before_or_behind_the_command(
    given: str,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    assert run(*given.split()) == 0
    assert "suites" in json.loads(capsys.readouterr().out)
    assert Path("tables/suites.csv").is_file()


@pytest.mark.parametrize(
    "given",
    ["--json devices show rp2040", "devices --json show rp2040", "devices show rp2040 --json"],
)
def test_shared_options_stand_at_any_level(given: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(*given.split()) == 0
    assert list(json.loads(capsys.readouterr().out)) == ["figures"]


def test_shared_options_are_the_same_everywhere() -> None:
    root: Any = typer.main.get_command(cli.app)
    assert {option.name for option in root.params} == {*SHARED, "version"}
    for name, command in COMMANDS.items():
        own = {option.name for option in command.params}
        assert not own & set(SHARED), name


def test_without_arguments_there_is_help(capsys: pytest.CaptureFixture[str]) -> None:
    assert run() == 0
    assert capsys.readouterr().out.startswith("Usage: trainfit [OPTIONS] COMMAND")


@pytest.mark.parametrize(
    ("given", "command"),
    [("run --wrong", "trainfit run"), ("devices show", "trainfit devices show")],
)
def test_what_is_not_understood_names_its_help(
    given: str, command: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(*given.split()) == 2
    assert capsys.readouterr().err.endswith(f"(see {command} --help)\n")


def test_a_command_that_does_not_exist_has_neighbours(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("algoritms") == 2
    assert "Did you mean 'algorithms'?" in capsys.readouterr().err


def test_the_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("--version") == 0
    assert re.fullmatch(
        rf"trainfit {re.escape(trainfit.__version__)} \(torch \S+\)\n", capsys.readouterr().out
    )


HEAVY = ("torch", "numpy", "pandas", "matplotlib", "sklearn", "numba")


@pytest.mark.parametrize("given", ["--help", "--version", "devices", "algorithms", "figures"])
def test_what_lists_imports_nothing_heavy(given: str) -> None:
    program = (
        "import sys\nfrom trainfit.bench.cli.main import main\n"
        f"try:\n    main(['--quiet', {given!r}])\nexcept SystemExit: pass\n"
        f"loaded = [name for name in {HEAVY} if name in sys.modules]\n"
        "print(loaded, file=sys.stderr)\n"
        "print([name for name in sys.modules if name.startswith('trainfit.bench.cli.')"
        " and name.rpartition('.')[2] not in ('main', 'group', 'output')], file=sys.stderr)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], check=True, capture_output=True, text=True, cwd=ROOT
    )
    heavy, modules = done.stderr.splitlines()
    assert heavy == "[]"
    if given.startswith("-"):
        assert modules == "[]"


def terminal(*arguments: str, **changes: str) -> subprocess.CompletedProcess[bytes]:
    """The command line as a process that knows ASCII only."""
    plain = {"PATH": "", "PYTHONPATH": str(ROOT), "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    return subprocess.run(
        [sys.executable, "-m", "trainfit", *arguments],
        check=False,
        capture_output=True,
        env={**plain, "LC_ALL": "C", **changes},
    )


NARROW = {"COLUMNS": "40", "NO_COLOR": "1", "TERM": "dumb"}


@pytest.mark.parametrize(
    ("arguments", "changes", "code"),
    [
        ("--help", {}, 0),
        ("run --help", NARROW, 0),
        ("devices", NARROW, 0),
        ("figures", {}, 0),
        ("wälk", NARROW, 2),
    ],
)
def test_a_terminal_without_utf_8_gets_no_traceback(
    arguments: str, changes: dict[str, str], code: int
) -> None:
    done = terminal(*arguments.split(), **changes)
    assert done.returncode == code
    assert b"Traceback" not in done.stderr
    assert b"\x1b" not in done.stdout
    assert (done.stdout + done.stderr).isascii()
