"""Reports for places that hold only so much: whole rows go, and what is left out is counted."""

from __future__ import annotations

from pathlib import Path

import pytest

from trainfit.bench.gate.compare import Finding, FindingKind, GateResult, Severity
from trainfit.bench.gate.cutting import cut, fitting
from trainfit.bench.gate.report import MOST_CHARACTERS, MOST_MESSAGE, github, markdown
from trainfit.bench.gate.summary import MOST_BYTES, SummaryError, write_summary


def many(count: int, length: int, notes: int = 0) -> GateResult:
    found = [
        Finding(f"w{number:03d}", FindingKind.INVALID, Severity.FAIL, reason="x" * length)
        for number in range(count)
    ]
    explained = {each.workload: ["y" * length] * 5 for each in found}
    return GateResult(found, explained=explained, notes=[f"note {n}" for n in range(notes)])


def test_as_many_rows_as_fit() -> None:
    assert fitting(lambda rows: "x" * rows, 10, 4) == 4
    assert fitting(lambda rows: "x" * rows, 3, 4) == 3
    assert fitting(lambda rows: "x" * 9, 3, 4) == 0


def test_a_comment_fits_into_a_comment() -> None:
    text = markdown(many(40, 9_000), title="t", whole="reports/all.json")
    assert 50_000 < len(text) <= MOST_CHARACTERS
    shown = text.count("| invalid |")
    assert f"... and {40 - shown} more; the whole list is in reports/all.json" in text
    assert "</details>" in text


def test_notes_are_cut_too() -> None:
    assert "- and 80 more" in markdown(many(1, 1, notes=100), title="t")


def test_a_message_is_cut_by_whole_lines() -> None:
    assert cut(["ab", "cd"], 100) == "ab\ncd"
    said = cut(["a" * 50] * 9, 200)
    assert said.splitlines() == ["a" * 50, "a" * 50, "a" * 50, "... and 6 more lines"]
    assert cut(["a" * 500], 100) == "a" * 97 + "..."
    (line,) = github(many(1, 30_000), file="g.json", text="")
    assert len(line.partition("::error")[2].rpartition("::")[2]) <= MOST_MESSAGE


def test_the_summary_is_added_to_until_it_is_full(tmp_path: Path) -> None:
    file = tmp_path / "summary.md"
    write_summary(file, "### a\nlong\n")
    write_summary(file, "### b\nlong\n")
    assert file.read_text() == "### a\nlong\n### b\nlong\n"
    file.write_text("x" * (MOST_BYTES - 100))
    write_summary(file, "### c\n" + "y" * 200)
    assert file.stat().st_size <= MOST_BYTES
    last = "### c\n\nThe summary of this step is full; its log has all.\n"
    assert file.read_text().endswith(last)
    with pytest.raises(SummaryError, match=r"GITHUB_STEP_SUMMARY .*cannot be written"):
        write_summary(tmp_path, "x")
