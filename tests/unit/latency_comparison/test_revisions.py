"""Two revisions compared with each other: real git, and steps that take no time.

Most tests have a thread for a side, the last ones processes.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.builders.runs import memory, workload
from tests.fakes.revision_repo import ScriptedTree, commit, git, make_repository, say, worktrees
from trainfit.bench.cli.reports.revisions import gate_result
from trainfit.bench.errors import PreflightError
from trainfit.bench.gate.compare import Severity
from trainfit.bench.gate.figures import figures_of_record
from trainfit.bench.latency_comparison import revisions
from trainfit.bench.latency_comparison.result import (
    Energies,
    RatioVerdict,
    RevisionLimits,
    RevisionResult,
    WorkloadResult,
)
from trainfit.bench.latency_comparison.revisions import (
    NEEDED,
    compare_bytes,
    distinct,
    run_revisions,
)
from trainfit.bench.latency_comparison.source_tree import RevisionError

QUICK = RevisionLimits(most_pairs=4)


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    return make_repository(tmp_path / "repository", memory=memory().model_dump(mode="json"))


@pytest.fixture
def scripted(monkeypatch: pytest.MonkeyPatch) -> None:
    """No processes."""

    def trees(repository: Any, other: Path) -> Any:
        return ScriptedTree(other), ScriptedTree(repository.root)

    monkeypatch.setattr(revisions, "trees", trees)


@pytest.fixture(autouse=True)
def nothing_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Whatever a test does, the checked-out revision is gone when it is over."""
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(scratch))
    monkeypatch.delenv("PYTHONPATH", raising=False)
    yield
    assert [each.name for each in scratch.glob("trainfit-revision-*")] == []
    if (tmp_path / "repository" / ".git").exists():
        assert len(worktrees(tmp_path / "repository")) == 1


def held(repository: Path, *workloads: Any, **named: Any) -> RevisionResult:
    given = {"limits": QUICK, "folder": repository, **named}
    return run_revisions("HEAD", workloads or (workload(),), **given)


def only(result: RevisionResult) -> WorkloadResult:
    (found,) = result.workloads
    return found


# ---- time ----------------------------------------------------------------------------------------


@pytest.mark.usefixtures("scripted")
def test_a_planted_slow_down_is_a_regression(repository: Path) -> None:
    say(repository, step_seconds=0.0013)

    result = held(repository)

    found = only(result)
    assert found.times is not None
    assert found.verdict is RatioVerdict.REGRESSION
    assert found.times.ratios.ratio == pytest.approx(1.3, rel=1e-3)
    assert found.times.then_seconds == pytest.approx(0.001, rel=0.01)
    assert found.times.now_seconds == pytest.approx(0.0013, rel=0.01)
    assert len(found.times.ratios.values) == 4
    assert found.times.blocks >= 40
    assert result.now.endswith(" and changes)")
    assert gate_result(result).exit_code == 1


@pytest.mark.usefixtures("scripted")
def test_equal_sides_pass(repository: Path) -> None:
    result = held(repository)

    found = only(result)
    assert found.times is not None
    assert found.verdict is RatioVerdict.PASS
    assert found.times.ratios.ratio == pytest.approx(1, abs=1e-6)
    assert found.bytes.findings == ()
    assert found.bytes.note == ""
    assert "changes" not in result.now
    assert gate_result(result).exit_code == 0
    assert gate_result(result).findings == []


@pytest.mark.usefixtures("scripted")
def test_a_speed_up_is_reported_and_fails_nothing(repository: Path) -> None:
    say(repository, step_seconds=0.0007)

    result = held(repository)

    assert only(result).verdict is RatioVerdict.FASTER
    assert gate_result(result).exit_code == 0
    assert [each.severity for each in gate_result(result).findings] == [Severity.NOTE]


@pytest.mark.usefixtures("scripted")
def test_a_small_loss_is_within_what_is_allowed(repository: Path) -> None:
    say(repository, step_seconds=0.00103)

    assert only(held(repository)).verdict is RatioVerdict.PASS
    strict = RevisionLimits(max_ratio=1.02, most_pairs=4)
    assert only(held(repository, limits=strict)).verdict is RatioVerdict.REGRESSION


@pytest.mark.usefixtures("scripted")
def test_cpu_time_stands_beside_the_clock(repository: Path) -> None:
    say(repository, cpu_seconds=0.001)
    commit(repository)
    say(repository, step_seconds=0.0013, cpu_seconds=0.0013)

    found = only(held(repository))

    assert found.times is not None
    assert (found.verdict, found.times.doubt) == (RatioVerdict.REGRESSION, "")
    assert found.times.cpu is not None
    assert found.times.cpu.ratio == pytest.approx(1.3, rel=1e-3)
    assert found.times.uses[0].involuntary == 3


@pytest.mark.usefixtures("scripted")
def test_a_busy_machine_hides_no_regression(repository: Path) -> None:
    # GIVEN steps that take 3 and 3.9 ms, and wait for 20 ms each
    say(repository, step_seconds=0.023, cpu_seconds=0.003, delay_seconds=0.02)
    commit(repository)
    say(repository, step_seconds=0.0239, cpu_seconds=0.0039, delay_seconds=0.02)

    result = held(repository)

    # THEN the clock alone would let it pass
    found = only(result)
    assert found.times is not None
    assert found.times.ratios.verdict(1.05) is RatioVerdict.PASS
    assert found.verdict is found.times.verdict(1.05) is RatioVerdict.INCONCLUSIVE
    assert "by CPU time 1.300" in found.times.doubt
    (finding,) = gate_result(result).findings
    assert (finding.severity, finding.measured) == (Severity.WARN, "unknown")
    assert finding.interval is None
    assert "87 % of a step (then)" in finding.reason


@pytest.mark.usefixtures("scripted")
def test_a_revision_that_does_not_tell_cpu_time(repository: Path) -> None:
    say(repository, step_seconds=0.0013, cpu_seconds=0.0013)

    found = only(held(repository))

    assert found.times is not None
    assert (found.times.cpu, found.times.doubt) == (None, "")
    assert found.verdict is RatioVerdict.REGRESSION


# ---- what cannot be compared ---------------------------------------------------------------------


@pytest.mark.usefixtures("scripted")
def test_an_algorithm_that_the_other_revision_does_not_have(repository: Path) -> None:
    say(repository, known=["backprop", "newcomer"])

    result = held(repository, workload(algorithm="newcomer"), workload())

    new, old = result.workloads
    assert new.verdict is RatioVerdict.NOT_COMPARABLE
    assert new.reason == "the other revision cannot run it: unknown algorithm 'newcomer'"
    assert old.verdict is RatioVerdict.PASS
    assert gate_result(result).exit_code == 3
    assert gate_result(result).incomparable == (
        "newcomer mlp-64-10 digits b32: the other revision cannot run it: "
        "unknown algorithm 'newcomer'",
    )


@pytest.mark.usefixtures("scripted")
def test_a_revision_that_is_older_than_taking_turns(repository: Path) -> None:
    worker = repository / NEEDED
    text = worker.read_text("utf-8")
    worker.unlink()
    commit(repository)
    worker.write_text(text, encoding="utf-8")

    result = held(repository)

    assert only(result).verdict is RatioVerdict.NOT_COMPARABLE
    assert "HEAD has no trainfit/bench/latency_comparison/worker.py" in only(result).reason
    assert gate_result(result).exit_code == 3


@pytest.mark.usefixtures("scripted")
def test_what_the_working_tree_cannot_run_is_bad_input(repository: Path) -> None:
    with pytest.raises(PreflightError, match=r"the working tree cannot run .*'bakprop'"):
        held(repository, workload(algorithm="bakprop"))


# ---- bad input, and the end ----------------------------------------------------------------------


@pytest.mark.usefixtures("scripted")
@pytest.mark.parametrize(
    ("limits", "message"),
    [
        ({"max_ratio": 1.0}, "--max-ratio 1: must be above 1"),
        ({"max_ratio": float("nan")}, "--max-ratio nan: must be above 1"),
        ({"most_pairs": 2}, "--pairs 2: must be an even number of 4 or more"),
        ({"most_pairs": 5}, "--pairs 5: must be an even number of 4 or more"),
    ],
)
def test_limits_that_are_none(repository: Path, limits: dict[str, Any], message: str) -> None:
    with pytest.raises(RevisionError, match=message):
        held(repository, limits=RevisionLimits(**limits))


@pytest.mark.usefixtures("scripted")
@pytest.mark.parametrize("at", ["checking the workloads", "pair 1, preparing", "pair 2, warming"])
def test_an_interrupt_leaves_nothing_behind(repository: Path, at: str) -> None:
    def interrupt(said: str) -> None:
        if at in said:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        held(repository, progress=interrupt)
    # the fixture looks at what is left


def test_seeds_and_lengths_of_training_are_one_workload() -> None:
    again = [workload(seed=3), workload(epochs=5), workload(batch_size=8), workload(seed=1)]

    assert distinct(again) == [workload(), workload(batch_size=8)]


# ---- bytes and energy ----------------------------------------------------------------------------


@pytest.mark.usefixtures("scripted")
def test_bytes_are_reported_and_fail_nothing(repository: Path) -> None:
    say(repository, memory=memory(peak=1_400).model_dump(mode="json"))

    result = held(repository)

    found = only(result)
    assert [(each.metric, each.change) for each in found.bytes.findings] == [
        ("workload/peak_dynamic_bytes", 400),
        ("all/peak_dynamic_bytes", 400),
        ("all/gradient/peak_bytes", 400),
    ]
    assert {each.severity for each in gate_result(result).findings} == {Severity.WARN}
    assert gate_result(result).exit_code == 0


def test_fewer_bytes_are_a_note() -> None:
    then, now = (figures_of_record(memory(peak=peak), []) for peak in (1_000, 600))

    found = compare_bytes("w", then, now)

    assert {(each.kind, each.severity) for each in found.findings} == {("better", "note")}


@pytest.mark.usefixtures("scripted")
def test_a_revision_that_cannot_say_its_bytes(repository: Path) -> None:
    say(repository, memory=None)
    commit(repository)
    say(repository, memory=memory().model_dump(mode="json"))

    found = only(held(repository))

    assert found.verdict is RatioVerdict.PASS
    assert found.bytes.findings == ()
    assert "the other revision's are not known: AttributeError" in found.bytes.note


@pytest.mark.usefixtures("scripted")
def test_energy_is_a_ratio_where_a_sensor_reads(repository: Path) -> None:
    say(repository, energy={"joules_per_step": 0.002, "valid": True})
    commit(repository)
    say(repository, energy={"joules_per_step": 0.003, "valid": True})

    result = held(repository, sensor="rapl")

    found = only(result)
    assert isinstance(found.energy, Energies)
    assert found.energy.ratios.ratio == pytest.approx(1.5)
    assert (found.energy.then_joules, found.energy.now_joules) == (0.002, 0.003)
    assert found.verdict is RatioVerdict.REGRESSION
    assert [each.metric for each in gate_result(result).failures] == ["step_energy_ratio"]


@pytest.mark.usefixtures("scripted")
def test_energy_that_cannot_be_had_is_a_reason(repository: Path) -> None:
    assert only(held(repository)).energy == "no sensor was named (--sensor NAME)"

    say(repository, energy={"joules_per_step": None, "valid": False, "reason": "no such rail"})
    assert only(held(repository, sensor="jetson")).energy == (
        "the other revision: the sensor gave no figure"
    )
    commit(repository)
    assert only(held(repository, sensor="jetson")).energy == "the other revision: no such rail"


# ---- processes -----------------------------------------------------------------------------------


def test_two_trees_in_processes_of_their_own(repository: Path) -> None:
    say(repository, step_seconds=0.0013)
    # GIVEN a module with a name of the standard library, in the folder the command is given in
    folder = repository / "tools"
    folder.mkdir()
    (folder / "json.py").write_text("raise SystemExit('taken')\n", encoding="utf-8")

    found = only(held(repository, folder=folder))

    assert found.times is not None
    assert found.times.ratios.ratio == pytest.approx(1.3, rel=1e-3)
    assert (found.verdict, found.bytes.note) == (RatioVerdict.REGRESSION, "")


@pytest.mark.parametrize("side", ["the working tree", "the other revision"])
def test_a_side_that_dies_is_named(repository: Path, side: str) -> None:
    say(repository, lives=4)
    if side == "the other revision":
        commit(repository)
        say(repository, lives=-1)

    found = only(held(repository))

    assert found.verdict is RatioVerdict.NOT_COMPARABLE
    assert found.reason == (
        f"{side} ended early: ProcessExit: process ended early, exit code 3: out of luck"
    )


def test_code_that_lies_elsewhere_is_the_same_on_both_sides(
    repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # GIVEN a repository that holds nothing of what is measured
    empty = tmp_path / "user"
    empty.mkdir()
    git(empty, "init", "-q")
    git(empty, "commit", "-q", "--allow-empty", "-m", "first")
    monkeypatch.setenv("PYTHONPATH", str(repository))

    found = only(held(empty))

    assert found.verdict is RatioVerdict.NOT_COMPARABLE
    assert found.reason.startswith("both revisions run ")
    assert found.reason.endswith("which is not in this repository")


def test_what_of_the_path_lies_in_the_repository_is_taken_from_the_other_tree(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from trainfit.bench.latency_comparison.source_tree import Repository, trees

    monkeypatch.setenv("PYTHONPATH", f"{tmp_path / 'own' / 'src'}:/elsewhere")
    repository = Repository(tmp_path / "own", Path("sub"), "0" * 40, dirty=False)

    then, now = trees(repository, tmp_path / "other")

    assert [now._paths[:2], then._paths[:2]] == [
        [str(tmp_path / "own" / "src"), "/elsewhere"],
        [str(tmp_path / "other" / "src"), "/elsewhere"],
    ]
