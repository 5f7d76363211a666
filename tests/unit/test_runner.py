from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from run_builders import Heard, memory, suite

from bench import runner
from bench.child import Ending, Outcome
from bench.errors import PreflightError, RunFolderError
from bench.records import read_environment, read_records, read_suite
from bench.runner import run_suite
from bench.schema import RecordStatus
from bench.suite import Suite
from hardware_profiles import load_device

DEVICES = [load_device("stm32f407")]
ENVIRONMENT = {"versions": {"torch": "2", "trainfit": "1"}}
OK = Outcome(Ending.RETURNED)
GOOD = (OK, [{"doing": "memory"}, {"memory": memory().model_dump(mode="json")}])


class Calls:
    """Stands for the isolated calls: algorithm name to outcome and messages."""

    def __init__(self) -> None:
        self.answers: dict[str, tuple[Outcome, list[dict[str, Any]]]] = {}
        self.preflight: tuple[Outcome, list[dict[str, Any]]] = (OK, [{"environment": ENVIRONMENT}])
        self.jobs: list[dict[str, Any]] = []
        self.options: list[dict[str, Any]] = []
        self.writes = ""

    def __call__(
        self, target: str, job: dict[str, Any], *, log: Path, on_message: Any, **options: Any
    ) -> Outcome:
        self.options.append(options)
        log.write_text(self.writes)
        if target == "bench.worker:preflight":
            outcome, messages = self.preflight
        else:
            self.jobs.append(job)
            outcome, messages = self.answers.get(job["workload"]["algorithm"], GOOD)
        for message in messages:
            on_message(message)
        return outcome


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> Calls:
    made = Calls()
    monkeypatch.setattr(runner, "call", made)
    return made


def run(chosen: Suite, out: Path, **options: Any) -> tuple[runner.Run, Heard]:
    heard = Heard()
    return run_suite(chosen, DEVICES, out, heard, **options), heard


def test_every_workload_becomes_a_record(calls: Calls, tmp_path: Path) -> None:
    done, heard = run(suite("a", "b"), tmp_path / "run", data_root=tmp_path)

    assert [record.workload.algorithm for record in done.records] == ["a", "b"]
    assert done.records == read_records(tmp_path / "run")
    assert done.measured == 2
    assert heard.started_labels == ["1/2 a", "2/2 b"]
    assert heard.finished_numbers == [1, 2]
    assert heard.parts == ["checking", "memory", "memory"]
    assert calls.jobs[0]["data_root"] == str(tmp_path)


def test_the_run_says_what_made_it(calls: Calls, tmp_path: Path) -> None:
    run(suite("a"), tmp_path / "run")

    assert read_environment(tmp_path / "run") == ENVIRONMENT
    assert read_suite(tmp_path / "run")["workloads"][0]["algorithm"] == "a"


def test_records_are_judged_against_the_devices(calls: Calls, tmp_path: Path) -> None:
    (record,) = run(suite("a"), tmp_path / "run")[0].records

    (verdict,) = record.verdicts
    assert (verdict.device, verdict.budget, verdict.status) == ("stm32f407", "ram", "fits")
    assert verdict.margin == (DEVICES[0].usable_ram_bytes or 0) - 4_000


@pytest.mark.parametrize(
    ("ending", "status"),
    [
        (Ending.RAISED, RecordStatus.FAILED),
        (Ending.DIED, RecordStatus.FAILED),
        (Ending.TIMED_OUT, RecordStatus.TIMED_OUT),
        (Ending.OUT_OF_MEMORY, RecordStatus.OUT_OF_MEMORY),
    ],
)
def test_what_goes_wrong_is_a_record_and_the_rest_goes_on(
    calls: Calls, tmp_path: Path, ending: Ending, status: RecordStatus
) -> None:
    calls.answers["b"] = (Outcome(ending, "T", "why", "a.py:1 f"), [{"doing": "memory"}])

    done, _ = run(suite("a", "b", "c"), tmp_path / "run")

    assert [r.status for r in done.records] == [RecordStatus.OK, status, RecordStatus.OK]
    error = done.records[1].error
    assert error is not None
    assert (error.type, error.where) == ("T", "a.py:1 f")
    assert error.message == ("why" if ending is Ending.RAISED else "why (during: memory)")


def test_figures_from_before_a_failure_are_kept(calls: Calls, tmp_path: Path) -> None:
    calls.answers["a"] = (Outcome(Ending.TIMED_OUT, "T", "why"), GOOD[1])

    (record,) = run(suite("a"), tmp_path / "run")[0].records

    assert record.memory == memory()
    assert record.verdicts


def test_limits_and_imports_reach_the_calls(calls: Calls, tmp_path: Path) -> None:
    run(suite("a", timeout_seconds=5.0, memory_limit_mib=7), tmp_path / "run")

    check, measure = calls.options
    assert check["timeout_seconds"] >= 60
    assert (measure["timeout_seconds"], measure["memory_limit_mib"]) == (5.0, 7)
    assert "sklearn.datasets" in measure["preload"]


def test_only_logs_with_something_in_them_are_kept(calls: Calls, tmp_path: Path) -> None:
    run(suite("a"), tmp_path / "quiet")
    calls.writes = "Traceback"
    run(suite("a"), tmp_path / "loud")

    assert not (tmp_path / "quiet" / "logs").exists()
    assert (tmp_path / "loud" / "logs" / "01.log").read_text() == "Traceback"


def test_going_on_measures_what_has_no_record_and_keeps_failures(
    calls: Calls, tmp_path: Path
) -> None:
    # GIVEN a run whose second workload failed and whose third was cut off
    calls.answers["b"] = (Outcome(Ending.DIED, "T", "why"), [])
    whole, _ = run(suite("a", "b", "c"), tmp_path / "run")
    file = tmp_path / "run" / "records.jsonl"
    file.write_bytes(file.read_bytes()[:-20])
    calls.jobs.clear()

    # WHEN it goes on
    done, heard = run(suite("a", "b", "c"), tmp_path / "run", resume=True)

    # THEN only the third is measured
    assert [job["workload"]["algorithm"] for job in calls.jobs] == ["c"]
    assert done.measured == 1
    assert heard.finished_numbers == [1, 2, 3]
    assert [r.memory for r in done.records] == [r.memory for r in whole.records]
    assert read_records(tmp_path / "run") == done.records


def test_there_must_be_a_run_to_go_on_with(calls: Calls, tmp_path: Path) -> None:
    with pytest.raises(RunFolderError, match="is not a run folder"):
        run(suite("a"), tmp_path / "none", resume=True)
    assert calls.options == []


def test_an_existing_folder_is_refused_before_anything_is_checked(
    calls: Calls, tmp_path: Path
) -> None:
    run(suite("a"), tmp_path / "run")
    calls.options.clear()

    with pytest.raises(RunFolderError, match="exists already"):
        run(suite("a"), tmp_path / "run")
    assert calls.options == []


def test_a_wrong_configuration_is_an_error_and_writes_nothing(calls: Calls, tmp_path: Path) -> None:
    calls.preflight = (Outcome(Ending.RAISED, "ConfigurationError", "unknown thing"), [])

    with pytest.raises(PreflightError, match="suite small: unknown thing"):
        run(suite("a"), tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_checks_that_die_are_an_error_that_says_where(calls: Calls, tmp_path: Path) -> None:
    calls.preflight = (Outcome(Ending.DIED, "SIGSEGV", "process ended by SIGSEGV", "a.py:1 f"), [])

    with pytest.raises(PreflightError, match=r"checking it failed: SIGSEGV: .* at a.py:1 f"):
        run(suite("a"), tmp_path / "run")


def test_an_algorithm_that_dies_when_it_is_built_is_left_to_its_record(
    calls: Calls, tmp_path: Path
) -> None:
    died = Outcome(Ending.DIED, "SIGSEGV", "process ended by SIGSEGV")
    calls.preflight = (died, [{"environment": ENVIRONMENT}, {"doing": "building"}])
    calls.answers["a"] = (died, [])

    done, _ = run(suite("a", "b"), tmp_path / "run")

    assert [r.status for r in done.records] == [RecordStatus.FAILED, RecordStatus.OK]
