"""Run folders that somebody else has made: nothing outside of them is written, nothing is run."""

from __future__ import annotations

import json
import os
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.builders.runs import PLUGINS, Heard, suite
from trainfit.algorithms import outside
from trainfit.bench.cli import main as cli
from trainfit.bench.frames.sources import load_run
from trainfit.bench.records.reading import read_records
from trainfit.bench.records.schema import Measurement
from trainfit.bench.run.runner import run_suite
from trainfit.bench.suite.manifest import load_devices

EVIL = "from pathlib import Path\nPath('ran').touch()\n"


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run of two workloads."""
    out = tmp_path_factory.mktemp("made") / "run"
    chosen = suite("backprop", "zeroth_order", measure=[Measurement.MEMORY])
    run_suite(chosen, load_devices(chosen), out, Heard())
    return out


@pytest.fixture
def run(made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of it, and a file of the user's that nothing may touch, in the current folder."""
    monkeypatch.chdir(tmp_path)
    Path("theirs").write_text("no line feed at its end")
    return Path(shutil.copytree(made, "run"))


@pytest.fixture
def main(capfd: Any) -> Any:
    """The command line in this process: exit code, stdout, stderr."""

    def command(*arguments: str) -> tuple[Any, str, str]:
        with pytest.raises(SystemExit) as ended:
            cli.main(list(arguments))
        return (ended.value.code, *capfd.readouterr())

    return command


def unfinished(run: Path) -> None:
    """Take the second record away, so that there is something to go on with."""
    file = run / "records.jsonl"
    file.write_bytes(file.read_bytes().splitlines(keepends=True)[0])


def everything(folder: Path) -> dict[str, bytes | str]:
    """What is in a folder, links as what they point to."""
    return {
        str(path): os.readlink(path) if path.is_symlink() else path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_symlink() or path.is_file()
    }


def linked(name: str) -> Callable[[Path], None]:
    def link(run: Path) -> None:
        (run / name).unlink(missing_ok=True)
        (run / name).parent.mkdir(exist_ok=True)
        (run / name).symlink_to(Path("theirs").resolve())

    return link


def moved(name: str) -> Callable[[Path], None]:
    """The file elsewhere, with a link in its place."""

    def move(run: Path) -> None:
        (run / name).rename("elsewhere")
        (run / name).symlink_to(Path("elsewhere").resolve())

    return move


def folder_elsewhere(name: str) -> Callable[[Path], None]:
    def link(run: Path) -> None:
        Path("elsewhere").mkdir()
        for file in ("02.log", "02.pt", "stm32f407.toml"):
            Path("elsewhere", file).write_text("theirs as well")
        (run / name).symlink_to(Path("elsewhere").resolve())

    return link


def another_name(run: Path) -> None:
    os.link(run / "records.jsonl", "elsewhere")


def fifo(run: Path) -> None:
    (run / "timelines.jsonl").unlink()
    os.mkfifo(run / "timelines.jsonl")


HOSTILE = {
    "records": moved("records.jsonl"),
    "suite": moved("suite.json"),
    "environment": moved("environment.json"),
    "timelines": linked("timelines.jsonl"),
    "scratch of environment": linked(".environment.json"),
    "log": linked("logs/02.log"),
    "state": linked("state/02.pt"),
    "scratch of state": linked("state/.02.pt"),
    "profile": linked("devices/stm32f407.toml"),
    "logs": folder_elsewhere("logs"),
    "states": folder_elsewhere("state"),
    "profiles": folder_elsewhere("devices"),
    "hard link": another_name,
    "fifo": fifo,
}


@pytest.mark.parametrize("how", HOSTILE)
def test_a_run_is_not_written_through_links(how: str, main: Any, run: Path) -> None:
    unfinished(run)
    HOSTILE[how](run)
    before = everything(Path.cwd())

    code, out, err = main("run", "--resume", "--out", "run")

    assert (code, out) == (2, "")
    assert err.count("\n") == 1
    assert "cannot write: it is " in err
    assert everything(Path.cwd()) == before


def test_what_a_run_did_not_make_is_left_alone(main: Any, run: Path) -> None:
    # GIVEN a run that was cut off, and beside its files others of the user's
    unfinished(run)
    with (run / "records.jsonl").open("ab") as stream:
        stream.write(b'{"cut off')
    with (run / "timelines.jsonl").open("ab") as stream:
        stream.write(b'{"cut off')
    Path(run, "notes.jsonl").write_text('{"a": 1}\nno line feed')
    Path(run, "x.jsonl").symlink_to(Path("theirs").resolve())
    Path(run, "logs").mkdir()
    Path(run, "logs", "mine.log").write_text("")

    # WHEN it goes on
    code, _, err = main("run", "--resume", "--out", "run")

    # THEN its own files are whole, and the others as they were
    assert code == 0, err
    assert len(read_records(run)) == 2
    assert len(load_run(run, "timelines")["algorithm"].unique()) == 2
    assert Path(run, "notes.jsonl").read_text() == '{"a": 1}\nno line feed'
    assert Path("theirs").read_text() == "no line feed at its end"
    assert Path(run, "logs", "mine.log").exists()


def test_a_profile_is_kept_in_the_run_and_nowhere_else(main: Any, tmp_path: Path) -> None:
    """The name of a device file is that of a file in the run folder."""
    profile = tmp_path / "x.toml"
    profile.write_text('name = "../../theirs"\n')

    code, _, err = main("run", "quick", "--device", str(profile), "--out", str(tmp_path / "out"))

    assert code == 2
    assert "name" in err
    assert list(tmp_path.iterdir()) == [profile]


SWAPPED: dict[str, tuple[str, Any, str]] = {
    "no versions": ("environment.json", {"versions": None}, "environment.json: versions"),
    "versions as a list": ("environment.json", {"versions": []}, "environment.json: versions"),
    "resumed as a number": ("environment.json", {"resumed": 3}, "environment.json: resumed"),
    "a device as a number": ("suite.json", {"devices": [{"name": "a"}, 1]}, "suite.json: "),
    "devices as text": ("suite.json", {"devices": "stm32f407"}, "suite.json: "),
    "devices as a number": ("suite.json", {"devices": 7}, "suite.json: "),
    "no devices": ("suite.json", {"devices": None}, "suite.json: "),
    "workloads as text": ("suite.json", {"workloads": "all"}, "suite.json: "),
}


@pytest.mark.parametrize("suite_named", [False, True])
@pytest.mark.parametrize("how", SWAPPED)
def test_other_types_in_a_manifest_are_named(
    how: str, suite_named: bool, main: Any, run: Path
) -> None:
    name, changes, message = SWAPPED[how]
    content = {**json.loads((run / name).read_text()), **changes}
    kept = {key: value for key, value in content.items() if value is not None}
    (run / name).write_text(json.dumps(kept))

    given = ["s.toml"] if suite_named else []
    Path("s.toml").write_text(
        'name = "small"\ndevices = ["stm32f407"]\n[[workload]]\nalgorithm = "backprop"\n'
        'model = "mlp-64-10"\ndataset = "digits"\nbatch_size = 8\n'
    )
    code, out, err = main("run", *given, "--resume", "--out", "run")

    assert (code, out) == (2, "")
    assert err.count("\n") == 1
    assert message in err or suite_named  # another suite may be what is wrong first
    assert "Error(" not in err


# ---- code that a file names ----------------------------------------------------------------------


@pytest.fixture
def evil(run: Path) -> Path:
    """A run whose records and suite name code that lies in the current folder."""
    Path("evil.py").write_text(EVIL)
    for name in ("records.jsonl", "suite.json", "timelines.jsonl"):
        text = (run / name).read_text()
        (run / name).write_text(text.replace('"backprop"', '"evil:Evil"'))
    assert "evil:Evil" in {record.workload.algorithm for record in read_records(run)}
    return run


@pytest.mark.parametrize(
    "command",
    [
        (
            *("recommend", "--device", "stm32f407", "--dataset", "digits", "--from", "run"),
            *("--algorithm", "backprop", "--width", "32", "--depth", "1"),
        ),
        ("gate", "run", "--golden", "golden.json", "--update"),
        ("claims", "--from", "run"),
        ("plot", "run", "--out", "figures", "--table", "memory"),
        ("run", "--resume", "--out", "run"),
        ("run", "s.toml", "--out", "new"),
        ("compare-revisions", "HEAD", "--suite", "s.toml"),
    ],
    ids=lambda command: command[0],
)
@pytest.mark.usefixtures("evil")
def test_no_command_runs_code_that_a_record_names(
    command: tuple[str, ...], main: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(".")  # even where the module could be found
    Path("s.toml").write_text(SUITE.replace("plain:Delta", "evil:Evil"))

    code, _, err = main(*command)

    assert not Path("ran").exists()
    assert "evil" not in sys.modules
    assert "Traceback" not in err
    if command[0] in ("run", "compare-revisions"):
        assert code == 2
        assert "name it on the command line too: --algorithm evil:Evil" in err


@pytest.mark.usefixtures("evil")
def test_reading_a_run_runs_no_code(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(".")

    for source in ("records", "verdicts", "costs", "timelines"):
        load_run("run", source)

    assert not Path("ran").exists()


SUITE = """
name = "theirs"
devices = ["stm32f407"]
measure = ["memory"]
[defaults]
model = "mlp-64-10"
dataset = "digits"
batch_size = 8
[[workload]]
algorithm = ["plain:Delta", "backprop"]
"""


def test_code_that_a_suite_names_runs_if_the_command_line_names_it_too(
    main: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # GIVEN a suite that names an algorithm which lies in the current folder
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    shutil.copy(PLUGINS / "plain.py", "plain.py")
    Path("s.toml").write_text(SUITE)

    # WHEN only the suite names it, or the command line names another THEN nothing is run or made
    for named in ([], ["--algorithm", "pepita"], ["--algorithm", "plain:Another"]):
        code, _, err = main("run", "s.toml", "--out", "out", *named)
        assert code == 2
        assert "--algorithm plain:Delta" in err
        assert {path.name for path in tmp_path.iterdir()} == {"plain.py", "s.toml"}

    # WHEN the command line names it too THEN it is measured once
    code, _, err = main("run", "s.toml", "--out", "out", "--algorithm", "plain:Delta")
    assert code == 0, err
    names = [record.workload.algorithm for record in read_records(Path("out"))]
    assert names == ["plain:Delta", "backprop"]

    # AND to go on, it has to be named again
    assert main("run", "--resume", "--out", "out")[0] == 2
    assert main("run", "--resume", "--out", "out", "--algorithm", "plain:Delta")[0] == 0
    assert outside.permitted() is None  # of this process


# ---- a run that has not begun --------------------------------------------------------------------


def test_a_run_that_has_not_begun_can_be_resumed(main: Any, run: Path) -> None:
    Path("s.toml").write_text(SUITE.replace('"plain:Delta", ', ""))
    Path("empty").mkdir()

    for out in ("new", "empty", "new"):
        code, said, err = main("run", "s.toml", "--out", out, "--resume")
        assert code == 0, err
        assert "1 of 1 workloads measured" in said
    assert len(read_records(Path("new"))) == 1

    code, _, err = main("run", "--out", "none", "--resume")
    assert code == 2
    assert not Path("none").exists()


def test_a_run_that_cannot_begin_leaves_nothing(main: Any, run: Path) -> None:
    before = everything(Path.cwd())
    Path("s.toml").write_text(
        SUITE.replace('"plain:Delta", ', '"backprop", ').replace("digits", "d")
    )

    for arguments in (
        ("s.toml", "--out", "a/b/c"),
        ("s.toml", "--out", "a/b/c", "--algorithm", "plain:Delta"),
        ("quick", "--device", "none.toml", "--out", "a/b/c"),
        ("quick", "--out", "theirs/run"),
    ):
        code, _, err = main("run", *arguments)
        assert code == 2, err

    Path("s.toml").unlink()
    assert everything(Path.cwd()) == before
    assert not Path("a").exists()


# ---- names ---------------------------------------------------------------------------------------


def test_every_figure_takes_any_name(main: Any, run: Path) -> None:
    name = "_b_{ $^$ \x07 模:Rule"
    for file in ("records.jsonl", "timelines.jsonl"):
        text = (run / file).read_text()
        (run / file).write_text(text.replace('"backprop"', json.dumps(name)))

    code, _, err = main("plot", "run", "--out", "figures")

    assert (code, err) == (0, "")
    assert Path("figures", "timeline.pdf").stat().st_size
