"""Workloads whose name changed are paired by one rule, or left alone where it is ambiguous."""

from __future__ import annotations

import pytest

from tests.builders.gate import KEY, entry, golden, phases, stage
from trainfit.bench.gate.compare import FindingKind, Severity, compare_workloads
from trainfit.bench.gate.pairs import pair_up
from trainfit.bench.gate.report import markdown, workload_reports
from trainfit.bench.gate.rules import Missing

B32 = "backprop mlp-64-10 digits b32"


@pytest.mark.parametrize(
    ("new", "what"),
    [
        ("backprop mlp-64-10 digits b64", "batch size 32 -> 64"),
        ("backprop mlp-64-20-10 digits b32", "model mlp-64-10 -> mlp-64-20-10"),
        (
            "backprop[optimizer=adam] mlp-64-10 digits b32",
            "options none -> [optimizer=adam]",
        ),
        ("backprop mlp-64-10 digits b32 seed=3", "seed or order none -> seed=3"),
        (
            "backprop[optimizer=adam] mlp-64-20-10 digits b8",
            "options none -> [optimizer=adam], model mlp-64-10 -> mlp-64-20-10, batch size 32 -> 8",
        ),
    ],
)
def test_what_was_changed_is_paired_and_said(new: str, what: str) -> None:
    (pair,) = pair_up([B32], [new]).values()
    assert (pair.old, pair.new, pair.what) == (B32, new, what)


@pytest.mark.parametrize(
    "new",
    [
        "forward_forward mlp-64-10 digits b32",
        "backprop resnet8 digits b32",
        "backprop mlp-64-10 mnist b32",
        "backprop mlp-64-10 digits[:500] b32",
        "tests/test_step.py::test_it",
    ],
)
def test_another_thing_is_not_the_same_thing_changed(new: str) -> None:
    assert pair_up([B32], [new]) == {}
    assert pair_up(["tests/test_a.py::test_a"], [new]) == {}


def test_a_whole_suite_whose_batches_doubled_is_paired() -> None:
    old = [f"backprop mlp-64-10 digits b{size}" for size in (8, 32, 128)]
    new = [f"backprop mlp-64-10 digits b{size}" for size in (10, 36, 140)]
    assert {pair.old: pair.new for pair in pair_up(old, new).values()} == dict(
        zip(old, new, strict=True)
    )


def test_the_fewest_differences_win_over_the_nearest_number() -> None:
    near = "backprop[optimizer=adam] mlp-64-10 digits b33"
    far = "backprop mlp-64-10 digits b500"
    assert [pair.new for pair in pair_up([B32], [near, far]).values()] == [far]


def test_what_is_ambiguous_stays_missing_and_new() -> None:
    either = ["backprop mlp-64-10 digits b31", "backprop mlp-64-10 digits b33"]
    assert pair_up([B32], either) == {}
    result = compare_workloads(golden(), dict.fromkeys(either, entry()))
    assert {found.kind for found in result.findings} == {FindingKind.MISSING, FindingKind.NEW}


# ---- compared ------------------------------------------------------------------------------------

NOW = KEY.replace("b32", "b64")


def test_a_pair_fails_with_bytes_before_and_after() -> None:
    result = compare_workloads(golden(), {NOW: entry(stage(phases(weight=8_000)))})
    assert result.exit_code == 1
    assert result.compared == [NOW]
    (report,) = workload_reports(result)
    assert report.head.workload == NOW
    assert report.lines[:2] == [
        f"was {KEY} in the golden: batch size 32 -> 64",
        "RAM 13,600 B -> 17,600 B, +4,000 B (+29.4 %): peak_dynamic +4,000 B",
    ]
    assert report.sentences[0].startswith("grown: mm float32 10x64, 4,000 B -> 8,000 B")
    text = markdown(result, title="t")
    assert f"| grew | `{NOW}` | 13,600 B -> 17,600 B, +4,000 B (+29.4 %) |" in text
    assert "batch size 32 -\\> 64" in text


def test_a_pair_of_equal_bytes_is_still_a_change() -> None:
    result = compare_workloads(golden(), {NOW: entry()})
    ((kind, severity, reason),) = (
        (found.kind, found.severity, found.reason) for found in result.findings
    )
    assert (kind, severity) == (FindingKind.CHANGED, Severity.FAIL)
    assert reason == f"was {KEY} in the golden: batch size 32 -> 64"


def test_a_part_of_a_suite_is_not_paired() -> None:
    result = compare_workloads(golden(), {NOW: entry()}, missing=Missing.IGNORE)
    assert [found.kind for found in result.findings] == [FindingKind.NEW]
    result = compare_workloads(golden(), {NOW: entry()}, missing=Missing.WARN)
    assert [found.severity for found in result.findings] == [Severity.WARN]
