"""What the gate found, in words, as Markdown, as JUnit XML and as annotations."""

from __future__ import annotations

from xml.etree import ElementTree

import pytest

from tests.builders.gate import KEY, entry, golden, phases, stage
from trainfit.bench.gate.compare import (
    Finding,
    FindingKind,
    GateResult,
    Severity,
    compare_workloads,
)
from trainfit.bench.gate.golden import to_text
from trainfit.bench.gate.report import (
    MOST_ANNOTATIONS,
    change_text,
    github,
    junit,
    markdown,
    sentence,
    value_text,
    workload_reports,
)
from trainfit.bench.gate.rules import Unit

HUNGRY = compare_workloads(golden(), {KEY: entry(stage(phases(weight=8_000)))})
MANY = GateResult(
    [
        Finding(f"w{number:02d}", FindingKind.INVALID, Severity.FAIL, reason="x")
        for number in range(25)
    ]
)
STRANGE = "it ended as failed: E: <b>|`*_[x](y)#\n\x1b[31m"


def test_a_workload_is_told_by_what_a_board_has_to_hold() -> None:
    (report,) = workload_reports(HUNGRY)
    assert (report.figure, report.head.change) == ("peak_dynamic_bytes", 4_000)
    assert report.others == len(HUNGRY.findings) - 1
    assert sentence(HUNGRY) == "regression: 1 of 1 workload not as the golden has it"
    assert report.what == (
        "peak_dynamic_bytes 4,600 B -> 8,600 B, +4,000 B (+87.0 %), and 15 more figures"
    )


def test_a_change_off_the_peak_is_told_by_the_phase() -> None:
    busy = phases()
    busy["update"] = busy["update"].model_copy(update={"peak_bytes": 4_100, "exit_bytes": 200})
    (report,) = workload_reports(compare_workloads(golden(), {KEY: entry(stage(busy))}))
    assert (report.figure, report.head.change) == ("all/update/peak_bytes", 100)


def test_growth_is_told_before_shrinkage_and_both_before_warnings() -> None:
    smaller, larger = (entry(stage(phases(weight=weight))) for weight in (3_000, 4_100))
    result = compare_workloads(
        golden(a=entry(), b=entry(), c=entry()), {"a": smaller, "b": larger, "new": entry()}
    )
    assert [(each.head.workload, each.head.kind.value) for each in workload_reports(result)] == [
        ("b", "grew"),
        ("c", "missing"),
        ("a", "shrank"),
        ("new", "new"),
    ]
    assert sentence(result).endswith("1 warning")


def test_a_long_explanation_says_how_much_is_left_out() -> None:
    (report,) = workload_reports(
        GateResult(
            [Finding("w", FindingKind.GREW, Severity.FAIL)], explained={"w": list("abcdefgh")}
        )
    )
    assert report.sentences == ["a", "b", "c", "d", "e", "and 3 more"]


@pytest.mark.parametrize(
    ("golden_value", "measured", "unit", "text"),
    [
        (1_000, 1_250, Unit.BYTES, "+250 B (+25.0 %)"),
        (1_000, 999, Unit.COUNT, "-1 (-0.1 %)"),
        (0, 64, Unit.BYTES, "+64 B"),
        (1.0, 1.21, Unit.RATIO, "+0.210"),
        ("forward", "update", Unit.TEXT, ""),
        (None, 5, Unit.BYTES, ""),
    ],
)
def test_changes_in_words(
    golden_value: float | str | None, measured: float | str, unit: Unit, text: str
) -> None:
    found = Finding("w", FindingKind.GREW, Severity.FAIL, "m", unit, golden_value, measured)
    assert change_text(found) == text


def test_values_have_their_unit() -> None:
    assert value_text(1_000, Unit.BYTES) == "1,000 B"
    assert value_text(1_000, Unit.COUNT) == "1,000"
    assert value_text(None, Unit.BYTES) == "-"
    assert value_text(1.04567, Unit.RATIO) == "1.046"


# ---- Markdown ------------------------------------------------------------------------------------


def test_markdown_leads_with_what_got_worse() -> None:
    text = markdown(HUNGRY, title="run against g.json")
    assert text.startswith(
        "### trainfit gate: regression\n\nrun against g.json: regression: 1 of 1"
    )
    (row,) = (line for line in text.splitlines() if line.startswith("| grew"))
    assert (
        f"| `{KEY}` | 13,600 B -> 17,600 B, +4,000 B (+29.4 %) | `peak_dynamic_bytes` and " in row
    )
    assert row.endswith("| 4,600 B | 8,600 B | +4,000 B (+87.0 %) |")
    assert "  - grown: mm float32 10x64, 4,000 B -\\> 8,000 B (gradients)" in text


def test_markdown_is_cut_and_says_so() -> None:
    text = markdown(MANY, title="t", most=20, whole="reports/all.xml")
    assert "| | ... and 5 more; the whole list is in reports/all.xml |" in text
    assert text.count("| invalid |") == 20


def test_nothing_of_an_error_becomes_markup() -> None:
    found = Finding("a|b`c", FindingKind.INVALID, Severity.FAIL, reason=STRANGE)
    text = markdown(GateResult([found]), title="t")
    assert "`a\\|b'c`" in text
    assert "\\<b\\>\\|\\`\\*\\_\\[x\\](y)\\#" in text


def test_a_pass_is_short() -> None:
    text = markdown(compare_workloads(golden(), {KEY: entry()}), title="t")
    assert text == "### trainfit gate: pass\n\nt: pass: 1 workload as the golden has it.\n"


# ---- JUnit ---------------------------------------------------------------------------------------


def test_junit_has_a_case_per_workload() -> None:
    result = compare_workloads(
        golden(a=entry(), b=entry()), {"a": entry(), "b": entry(stage(phases(8_000))), "c": entry()}
    )
    (suite,) = ElementTree.fromstring(junit(result))
    cases = {case.get("name"): [part.tag for part in case] for case in suite}
    assert cases == {"a": [], "b": ["failure"], "c": ["skipped"]}
    assert (suite.get("tests"), suite.get("failures"), suite.get("skipped")) == ("3", "1", "1")
    failure = suite.find("testcase/failure")
    assert failure is not None
    assert failure.get("type") == "grew"
    assert failure.get("message", "").startswith("grew: RAM 13,600 B -> 17,600 B, +4,000 B")
    assert "; peak_dynamic_bytes 4,600 B -> 8,600 B" in failure.get("message", "")
    assert "all/update/peak_bytes: 4,000 B -> 8,000 B" in (failure.text or "")


def test_junit_holds_whatever_an_error_says() -> None:
    (suite,) = ElementTree.fromstring(
        junit(GateResult([Finding("w", FindingKind.INVALID, Severity.FAIL, reason=STRANGE)]))
    )
    assert "\x1b" not in ElementTree.tostring(suite, "unicode")


def test_what_cannot_be_compared_is_an_error_in_junit() -> None:
    (suite,) = ElementTree.fromstring(junit(GateResult(incomparable=["torch differs"])))
    assert (suite.get("errors"), suite.find("testcase/error").get("message")) == (  # type: ignore[union-attr]
        "1",
        "torch differs",
    )


# ---- GitHub --------------------------------------------------------------------------------------


def test_an_annotation_points_at_the_workload_in_the_golden() -> None:
    text = to_text(golden())
    (line,) = github(HUNGRY, file="goldens/a,b.json", text=text)
    assert "; peak_dynamic_bytes" in line
    number = int(line.partition("line=")[2].partition(",")[0])
    assert text.splitlines()[number - 1].strip() == f'"{KEY}": {{'
    assert line.startswith("::error file=goldens/a%2Cb.json,line=")
    assert f"title=trainfit gate%3A {KEY}::grew: RAM 13,600 B -> 17,600 B" in line
    assert "%0Agrown: mm float32 10x64" in line


def test_warnings_are_warnings_and_a_pass_is_silent() -> None:
    new = compare_workloads(golden(), {KEY: entry(), "new": entry()})
    (line,) = github(new, file="g.json", text=to_text(golden()))
    assert line.startswith("::warning file=g.json,title=trainfit gate%3A new::new: the run has")
    assert github(compare_workloads(golden(), {KEY: entry()}), file="g", text="") == []


def test_no_more_annotations_than_are_shown() -> None:
    lines = github(MANY, file="g.json", text="")
    assert len(lines) == MOST_ANNOTATIONS
    assert "and 16 more workloads; regression: 25 of" in lines[-1]


def test_what_cannot_be_compared_is_one_annotation() -> None:
    (line,) = github(GateResult(incomparable=["torch: 50 %"]), file="g.json", text="")
    assert line == "::error file=g.json,title=trainfit gate%3A not comparable::torch: 50 %25"
