"""What is said of two revisions: the table, the sentences, and what machines read."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from tests.builders.runs import memory, workload
from trainfit.bench.cli.output import Output, running
from trainfit.bench.cli.reports import revisions as revisions_report
from trainfit.bench.gate.figures import figures_of_record
from trainfit.bench.gate.report import github, junit
from trainfit.bench.latency_comparison.result import (
    BytesFound,
    Energies,
    Ratios,
    RatioVerdict,
    RevisionLimits,
    RevisionResult,
    Times,
    WorkloadResult,
)
from trainfit.bench.latency_comparison.revisions import compare_bytes


def compared(verdict: RatioVerdict, ratio: float, low: float, high: float, **changes: Any) -> Any:
    name = changes.pop("algorithm", verdict.value)
    what = workload(algorithm=name)
    times = Times(
        ratios=Ratios((ratio,) * 4, ratio, (low, high)),
        then_seconds=0.001,
        now_seconds=0.001 * ratio,
        blocks=40,
        workload=what,
        stage="all",
        stages=1,
        cpu=Ratios((ratio + 0.01,) * 4, ratio + 0.01, (low, high)),
    )
    return WorkloadResult(what, verdict, "", times, **changes)


WORSE = compared(RatioVerdict.REGRESSION, 1.3, 1.25, 1.35)
UNSURE = compared(RatioVerdict.INCONCLUSIVE, 1.1, 0.9, 1.3)
FASTER = compared(RatioVerdict.FASTER, 0.7, 0.65, 0.75)
SAME = compared(RatioVerdict.PASS, 1.0, 0.99, 1.01)
APART = WorkloadResult(workload(algorithm="new"), RatioVerdict.NOT_COMPARABLE, "HEAD has [no] such")


def result(*workloads: WorkloadResult, **changes: Any) -> RevisionResult:
    given = RevisionResult(
        revision="main",
        commit="0123456789" * 4,
        now="the working tree (abc)",
        limits=RevisionLimits(),
        threads=1,
        workloads=workloads,
    )
    return replace(given, **changes)


@pytest.mark.parametrize(
    ("workloads", "code", "says"),
    [
        ((SAME,), 0, "pass: the working tree (abc) against main (012345678), 1 workload: 1 no"),
        ((SAME, FASTER), 0, "pass: "),
        ((SAME, UNSURE), 0, "inconclusive: "),
        ((SAME, APART), 3, "not comparable: "),
        ((WORSE, APART, UNSURE), 1, "regression: "),
    ],
)
def test_the_verdict(workloads: tuple[WorkloadResult, ...], code: int, says: str) -> None:
    found = result(*workloads)

    assert revisions_report.gate_result(found).exit_code == code
    assert revisions_report.sentence(found).startswith(says)


def test_the_sentence_counts() -> None:
    said = revisions_report.sentence(result(SAME, SAME, WORSE, APART, UNSURE, FASTER))

    assert said.endswith(
        "6 workloads: 1 got worse, 1 not comparable, 1 inconclusive, 1 unexplained gain, 2 no worse"
    )


def test_what_got_worse_comes_first_and_says_why() -> None:
    said = revisions_report.details(result(SAME, UNSURE, APART, WORSE, notes=("a note",)))

    assert said[0] == (
        "regression mlp-64-10 digits b32: time of a step, now over main: 1.300 (1.250 to 1.350); "
        "all of it above the 1.05 allowed"
    )
    assert said[1] == "new mlp-64-10 digits b32: HEAD has [no] such"
    assert "neither a pass nor a regression" in said[2]
    assert said[3:] == ["energy is not compared: no sensor was named (--sensor NAME)", "a note"]


def test_energy_counts_as_time_does() -> None:
    ratios = Ratios((1.2,) * 5, 1.2, (1.15, 1.25))
    worse = replace(
        SAME, verdict=RatioVerdict.REGRESSION, energy=Energies(ratios, 1e-3, 1.2e-3, "rapl")
    )
    said = result(worse)

    (found,) = revisions_report.gate_result(said).failures
    assert (found.metric, found.measured) == ("step_energy_ratio", 1.2)
    assert found.interval == (1.15, 1.25)
    assert revisions_report.details(said) == [
        "pass mlp-64-10 digits b32: energy of a step by rapl, now over main: 1.200 (1.150 to "
        "1.250); all of it above the 1.05 allowed"
    ]


def test_reasons_for_no_energy_that_differ_name_their_workloads() -> None:
    other = replace(UNSURE, energy="the rail went away")

    said = revisions_report.details(result(SAME, other))

    assert "energy is not compared of inconclusive mlp-64-10 digits b32: the rail went away" in said


def test_bytes_stand_beside_the_times() -> None:
    changed = compare_bytes(
        "w", figures_of_record(memory(), []), figures_of_record(memory(peak=1_400), [])
    )
    said = revisions_report.details(result(replace(SAME, bytes=changed)))
    assert said[0].startswith(
        "pass mlp-64-10 digits b32: peak_dynamic_bytes 1,000 B -> 1,400 B, +400 B"
    )

    unknown = replace(SAME, bytes=BytesFound(note="bytes not compared; too old"))
    said = revisions_report.details(result(unknown))
    assert said[0] == "pass mlp-64-10 digits b32: bytes not compared; too old"


def test_the_document(capsys: Any) -> None:
    with running(Output(as_json=True)) as chosen:
        revisions_report.show(result(SAME, APART, WORSE))
        chosen.finish()

    found = json.loads(capsys.readouterr().out)
    assert [row["verdict"] for row in found["against"]] == ["regression", "not_comparable", "pass"]
    worse, apart, _ = found["against"]
    assert (worse["ratio"], worse["ratio_low"], worse["ratio_high"]) == (1.3, 1.25, 1.35)
    assert (worse["pairs"], worse["pair_ratios"], worse["blocks"]) == (4, [1.3] * 4, 40)
    assert (apart["ratio"], apart["bytes_changed"]) == (None, None)
    assert (found["verdict"], found["exit_code"], found["max_ratio"]) == ("regression", 1, 1.05)


def test_what_people_see(capsys: Any) -> None:
    revisions_report.show(result(APART, WORSE))

    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split() == [
        "verdict",
        "workload",
        "then",
        "now",
        "now/then",
        "from",
        "to",
        "CPU",
        "pairs",
    ]
    assert lines[1].split()[0] == "regression"
    assert lines[1].split()[-8:] == [
        *("ms", "1.3", "ms", "1.300", "1.250", "1.350"),
        *("1.310", "4"),
    ]
    assert lines[2].startswith("not comparable  new mlp-64-10 digits b32")
    assert lines[-1].startswith("regression: ")


def test_a_ratio_in_doubt_is_unknown_everywhere(capsys: Any) -> None:
    assert WORSE.times is not None
    busy = replace(WORSE.times, doubt="the machine was busy")
    found = result(replace(WORSE, verdict=RatioVerdict.INCONCLUSIVE, times=busy))
    with running(Output(as_json=True)) as chosen:
        revisions_report.show(found)
        chosen.finish()

    (row,) = json.loads(capsys.readouterr().out)["against"]
    assert (row["verdict"], row["reason"]) == ("inconclusive", "the machine was busy")
    for name in ("ratio", "ratio_low", "ratio_high", "pair_ratios", "then_seconds", "now_seconds"):
        assert row[name] is None
    assert (row["cpu_ratio"], row["cpu_low"], row["cpu_high"]) == (1.31, 1.25, 1.35)
    said = revisions_report.details(found)
    assert said[0].endswith(
        "time of a step is unknown, the machine was busy. A quieter machine is needed"
    )
    cells = revisions_report.markdown(found).splitlines()[6]
    assert cells.endswith("| unknown | unknown | unknown | unknown | 1.310 |")
    (line,) = github(revisions_report.gate_result(found), file="", text="")
    assert line.startswith("::warning")
    assert "1.000 -> unknown" in line
    assert revisions_report.gate_result(found).exit_code == 0


def test_markdown_shows_text_as_it_is() -> None:
    said = revisions_report.markdown(result(APART, WORSE)).splitlines()

    assert said[0] == "### trainfit compare-revisions: regression"
    assert "| regression | `regression mlp-64-10 digits b32` | 1 ms | 1.3 ms | 1.300 |" in said[6]
    assert said[6].endswith(" 1.300 | 1.250 to 1.350 | 1.310 |")
    assert said[7] == "| not comparable | `new mlp-64-10 digits b32` | - | - | - | - | - |"
    assert any(r"HEAD has \[no\] such" in line for line in said)


def test_other_formats_take_it_as_any_result_of_the_gate() -> None:
    found = revisions_report.gate_result(result(APART, WORSE, UNSURE))

    assert '<failure message="worse: step_time_ratio 1.000 -&gt; 1.300' in junit(found)
    lines = github(found, file="", text="")
    assert [line.split(" ")[0] for line in lines] == ["::error", "::warning"]
