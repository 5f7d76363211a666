from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

from tests.builders.runs import Heard, memory, record, suite
from tests.fakes.small_boards import board
from trainfit.bench.costs.device_model import model_device
from trainfit.bench.errors import PreflightError, RunFolderError
from trainfit.bench.processes.child import Ending, Outcome
from trainfit.bench.records.reading import read_environment, read_records, read_suite
from trainfit.bench.records.schema import (
    Bounds,
    Energy,
    Evidence,
    PhaseOperations,
    RecordStatus,
    StageOperations,
)
from trainfit.bench.run import runner
from trainfit.bench.run.runner import run_suite
from trainfit.bench.suite.manifest import load_devices
from trainfit.bench.suite.suite import Suite
from trainfit.bench.verdicts.judges import judges_of
from trainfit.bench.verdicts.memory import Verdict
from trainfit.hardware_profiles import Budgets, Device, load_device

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
        if target == "trainfit.bench.run.worker:preflight":
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


def verdicts(done: runner.Run) -> dict[tuple[str, str], Verdict]:
    """On the only workload of a run."""
    (record,) = done.records
    return {(each.device, each.budget): each for each in done.judges.verdicts(record)}


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
    (verdict,) = verdicts(run(suite("a"), tmp_path / "run")[0]).values()

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

    done, _ = run(suite("a"), tmp_path / "run")

    assert done.records[0].memory == memory()
    assert verdicts(done)


# --- time and energy


OPERATIONS = StageOperations(
    stage="all",
    static_bytes=3_000,
    phases={
        "forward": PhaseOperations(
            macs={"fp32": 1_000_000},
            elementwise={},
            operands={"fp32": 20_000},
            results={"fp32": 100},
            calls={"product": 1},
        )
    },
).model_dump(mode="json")
LATENCY = record().latency
assert LATENCY is not None
TIMED = LATENCY.model_copy(update={"step_interval": Bounds(low=1.0, high=2.0)})
WHOLE = (OK, [{"operations": [OPERATIONS]}, *GOOD[1], {"latency": TIMED.model_dump(mode="json")}])


def test_every_device_gets_its_modelled_time_and_energy(calls: Calls, tmp_path: Path) -> None:
    calls.answers["a"] = WHOLE

    done, _ = run(suite("a"), tmp_path / "run")

    (model,) = done.judges.models(done.records[0])
    expected = model_device([StageOperations.model_validate(OPERATIONS)], DEVICES[0], 32)
    assert model == expected
    assert model.latency.step is not None
    assert list(verdicts(done)) == [("stm32f407", "ram")], "nobody limits time or energy"


def test_what_a_suite_limits_is_judged_beside_the_profile(calls: Calls, tmp_path: Path) -> None:
    calls.answers["a"] = WHOLE
    budgets = {"ram": "3 KiB", "step_latency": "1 us", "energy_per_step": "1 J"}

    judged = verdicts(run(suite("a", budgets=budgets), tmp_path / "run")[0])

    assert list(judged) == [
        ("stm32f407", budget) for budget in ("ram", "step_latency", "energy_per_step")
    ]
    ram, time, work = judged.values()
    assert (ram.status, ram.margin, ram.unit) == ("exceeds", 3 * 1024 - 4_000, "B")
    # 10^6 multiply-accumulates at 168 MHz take more than a microsecond, and less than a joule
    assert (time.status, time.unit, time.evidence) == ("exceeds", "s", "modelled")
    assert (work.status, work.unit, work.evidence) == ("fits", "J", "modelled")
    again = judges_of(tmp_path / "run")  # as somebody who reads the run sees it
    assert again.verdicts(read_records(tmp_path / "run")[0]) == list(judged.values())


def test_what_is_measured_counts_on_the_host_alone(calls: Calls, tmp_path: Path) -> None:
    # GIVEN steps of 1 to 2 s on this machine, which are modelled as much less
    calls.answers["a"] = WHOLE
    budgets = {"step_latency": "900 ms"}

    elsewhere, _ = run(suite("a", budgets=budgets), tmp_path / "elsewhere")
    here, _ = run(suite("a", budgets=budgets, host="stm32f407"), tmp_path / "here")

    one, other = (verdicts(each)["stm32f407", "step_latency"] for each in (elsewhere, here))
    assert (one.status, one.evidence) == ("fits", "modelled")
    assert (other.status, other.evidence) == ("exceeds", "clock")
    assert other.margin == pytest.approx(-1.1)


def test_a_contradiction_is_unknown_with_its_reason(
    calls: Calls, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls.answers["a"] = WHOLE
    strict = Budgets.model_validate({"step_latency": "10 ms"})
    device = DEVICES[0].model_copy(update={"budgets": strict})
    monkeypatch.setattr(sys.modules[__name__], "DEVICES", [device])

    chosen = suite("a", budgets={"step_latency": "20 ms"})
    verdict = verdicts(run(chosen, tmp_path / "run")[0])["stm32f407", "step_latency"]

    assert (verdict.status, verdict.margin, verdict.unit) == ("unknown", None, "s")
    assert "20 ms is looser than the 10 ms" in verdict.reason


def test_bytes_are_judged_even_if_the_operations_did_not_arrive(
    calls: Calls, tmp_path: Path
) -> None:
    chosen = suite("a", budgets={"step_latency": "1 s"})

    done, _ = run(chosen, tmp_path / "run")

    assert done.records[0].operations == []
    judged = verdicts(done)
    assert judged["stm32f407", "ram"].status == "fits"
    assert judged["stm32f407", "step_latency"].reason == (
        "cannot be judged: the operations of the step are not known"
    )


def test_what_failed_before_anything_was_known_is_not_judged(calls: Calls, tmp_path: Path) -> None:
    calls.answers["a"] = (Outcome(Ending.DIED, "T", "why"), [{"doing": "contract"}])

    done, _ = run(suite("a", budgets={"step_latency": "1 s"}), tmp_path / "run")

    assert (done.judges.models(done.records[0]), verdicts(done)) == ([], {})


def test_the_profile_of_a_device_given_by_file_is_kept(calls: Calls, tmp_path: Path) -> None:
    file = tmp_path / "small.toml"
    file.write_text(board(10**6))
    chosen = suite("a", devices=[str(file)])

    run_suite(chosen, load_devices(chosen), tmp_path / "run", Heard())
    file.unlink()

    (device,) = judges_of(tmp_path / "run").devices
    assert isinstance(device, Device)
    assert device.usable_ram_bytes == 10**6


def test_how_energy_is_measured_reaches_the_calls(calls: Calls, tmp_path: Path) -> None:
    run(suite("a", sensor="rapl", subtract_idle=True), tmp_path / "one")
    run(suite("a"), tmp_path / "two")

    one, two = calls.jobs
    assert (one["sensor"], one["subtract_idle"]) == ("rapl", True)
    assert (two["sensor"], two["subtract_idle"]) == ("auto", False)
    assert "energy" in two["measure"]


def test_energy_is_part_of_a_record(calls: Calls, tmp_path: Path) -> None:
    energy = Energy(evidence=Evidence.UNAVAILABLE, reason="rapl: no counter")
    calls.answers["a"] = (OK, [*WHOLE[1], {"energy": energy.model_dump(mode="json")}])
    chosen = suite("a", host="stm32f407", budgets={"energy_per_step": "1 J"})

    done, _ = run(chosen, tmp_path / "run")

    assert done.records[0].energy == energy
    verdict = verdicts(done)["stm32f407", "energy_per_step"]
    assert verdict.evidence == "modelled"
    assert "not measured here: rapl: no counter" in verdict.reason


def test_another_host_or_budget_does_not_go_on(calls: Calls, tmp_path: Path) -> None:
    run(suite("a"), tmp_path / "run")

    for changes in ({"host": "stm32f407"}, {"budgets": {"ram": "1 KiB"}}, {"sensor": "none"}):
        with pytest.raises(RunFolderError, match=f"made by another suite: {next(iter(changes))} "):
            run(suite("a", **changes), tmp_path / "run", resume=True)


def test_limits_and_imports_reach_the_calls(calls: Calls, tmp_path: Path) -> None:
    run(suite("a", timeout_seconds=5.0, memory_limit_mib=7), tmp_path / "run")

    check, measure = calls.options
    assert check["timeout_seconds"] >= 60
    assert (measure["timeout_seconds"], measure["memory_limit_mib"]) == (5.0, 7)
    assert "sklearn.datasets" in measure["preload"]


def test_the_runtime_of_compiled_kernels_is_started_once_for_all_workloads(
    calls: Calls, tmp_path: Path
) -> None:
    once = {"trainfit.algorithms.numerics.adam_kernel", "torch._dynamo"}

    run(suite("a"), tmp_path / "one")
    run(suite("a", "b"), tmp_path / "two")

    found = [once & set(each["preload"]) for each in calls.options]
    assert found == [set()] * 2 + [once] * 3


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


def test_the_checks_before_are_held_to_the_limit_of_memory(calls: Calls, tmp_path: Path) -> None:
    run(suite("a", memory_limit_mib=300), tmp_path / "run")

    assert [each["memory_limit_mib"] for each in calls.options] == [300, 300]


@pytest.mark.parametrize(
    "part", [{"memory": {"stages": "none"}}, {"timeline": {"events": -1}}, {"accuracy": "good"}]
)
def test_what_no_record_can_be_made_of_is_a_failed_one_and_the_rest_goes_on(
    calls: Calls, tmp_path: Path, part: dict[str, Any]
) -> None:
    calls.answers["a"] = (OK, [{"doing": "memory"}, part])

    done, _ = run(suite("a", "b"), tmp_path / "run")

    assert [record.status for record in done.records] == [RecordStatus.FAILED, RecordStatus.OK]
    assert done.records[0].error is not None
    assert done.records[0].error.type == "NoRecord"
    assert done.records == read_records(tmp_path / "run")
