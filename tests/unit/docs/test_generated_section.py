"""Parts of pages that programs write, and that they are current."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

import claims_page
import published_costs
import results_table
from generated_section import ROOT, Section, table
from trainfit.bench.errors import BenchError

BEGIN, END = "<!-- part -->", "<!-- end of part -->"


def section(folder: Path, text: str = "| new |") -> Section:
    return Section(folder / "page.md", "part", lambda: text)


def test_a_part_is_written_between_its_marks(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(f"# Title\n\nbefore\n\n{BEGIN}\nold\n{END}\n\nafter\n")

    assert section(tmp_path).rewrite() == 0

    written = page.read_text()
    assert written == f"# Title\n\nbefore\n\n{BEGIN}\n\n| new |\n\n{END}\n\nafter\n"
    assert section(tmp_path).rewrite() == 0
    assert page.read_text() == written


def test_a_check_changes_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    page = tmp_path / "page.md"
    page.write_text(f"{BEGIN}\nold\n{END}")

    assert section(tmp_path).rewrite(check=True) == 1
    assert "page.md: is outdated" in capsys.readouterr().err
    assert page.read_text() == f"{BEGIN}\nold\n{END}"

    assert section(tmp_path).rewrite() == 0
    assert section(tmp_path).rewrite(check=True) == 0
    page.write_text(page.read_text().replace("new", "newer"))
    assert section(tmp_path).rewrite(check=True) == 1


@pytest.mark.parametrize("check", [False, True])
@pytest.mark.parametrize("text", [None, "", BEGIN, END, f"{END} {BEGIN}"])
def test_a_page_without_its_marks_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], text: str | None, check: bool
) -> None:
    page = tmp_path / "page.md"
    if text is not None:
        page.write_text(text)

    assert section(tmp_path).rewrite(check=check) == 2

    err = capsys.readouterr().err
    assert err.count("\n") == 1
    assert f"page.md: needs the lines {BEGIN} and {END}" in err
    assert page.exists() == (text is not None)
    assert text is None or page.read_text() == text


def test_what_cannot_be_made_is_one_message(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def make() -> str:
        raise BenchError("a run is damaged")

    page = tmp_path / "page.md"
    page.write_text(BEGIN + END)

    assert Section(page, "part", make).rewrite() == 2
    assert capsys.readouterr().err == "a run is damaged\n"
    assert page.read_text() == BEGIN + END


def test_a_table_has_text_first_and_figures_behind() -> None:
    assert table("rule | s | J", [("backprop", "1", "2")]) == (
        "| rule | s | J |\n|---|--:|--:|\n| backprop | 1 | 2 |"
    )


@pytest.mark.parametrize("program", [claims_page, published_costs, results_table])
def test_the_pages_of_this_project_are_current(
    program: object, capsys: pytest.CaptureFixture[str]
) -> None:
    code = program.SECTION.rewrite(check=True)  # type: ignore[attr-defined]

    assert (code, capsys.readouterr().err) == (0, "")


def test_a_page_is_checked_from_the_command_line(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, ROOT / "docs" / "scripts" / "results_table.py", "--check"],
        check=False,
        capture_output=True,
        text=True,
        cwd=tmp_path,
        timeout=120,
    )

    assert (done.returncode, done.stderr) == (0, "")
