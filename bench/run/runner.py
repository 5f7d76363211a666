"""Run a suite: every workload in a process of its own, every record on the disk before the next.

What goes wrong in one workload is its record; the rest goes on.
"""

from __future__ import annotations

import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from pydantic import ValidationError

from trainfit._text import first_problem
from trainfit.bench.errors import PreflightError
from trainfit.bench.processes.child import Ending, Message, Outcome
from trainfit.bench.processes.isolation import call, preloads
from trainfit.bench.records.own_files import refusals
from trainfit.bench.records.reading import read_records, workload_key
from trainfit.bench.records.schema import ErrorRecord, Record, RecordStatus, Workload
from trainfit.bench.records.timelines import TIMELINES, timeline_line
from trainfit.bench.records.writing import RunFolder, check_run, refuse_existing
from trainfit.bench.suite.manifest import to_manifest
from trainfit.bench.suite.suite import Suite
from trainfit.bench.verdicts.judges import Judges
from trainfit.hardware_profiles import Device

MEASURE = "trainfit.bench.run.worker:measure"

PREFLIGHT_SECONDS = 300.0
"""The checks before the first workload may take this long, or a workload's time if that is more."""

STATUS = {
    Ending.RETURNED: RecordStatus.OK,
    Ending.RAISED: RecordStatus.FAILED,
    Ending.DIED: RecordStatus.FAILED,
    Ending.TIMED_OUT: RecordStatus.TIMED_OUT,
    Ending.OUT_OF_MEMORY: RecordStatus.OUT_OF_MEMORY,
}

PARTS = ("operations", "memory", "latency", "energy", "accuracy", "gradients", "noise")
"""What a worker sends, and a record has, under the same names."""


FEW = 4
"""So many workloads and fewer import the compiler of kernels each for itself, if they need it."""


class Listener(Protocol):
    """Who wants to hear how a run goes; ``number`` counts workloads from 1."""

    def checking(self) -> None:
        """The suite is being checked."""

    def started(self, number: int, total: int, workload: Workload) -> None:
        """A workload begins."""

    def doing(self, what: str) -> None:
        """A workload goes on to its next part."""

    def finished(self, number: int, record: Record) -> None:
        """A workload has its record, from now or from before."""


@dataclass
class Run:
    """A finished run.

    Attributes:
        path: The run folder.
        judges: The devices and limits of the suite.
        records: One per workload, in the order of the suite.
        measured: How many of them were measured now; the others were there before.
    """

    path: Path
    judges: Judges
    records: list[Record] = field(default_factory=list)
    measured: int = 0


def run_suite(
    suite: Suite,
    devices: list[Device],
    out: Path,
    listener: Listener,
    *,
    data_root: Path | None = None,
    resume: bool = False,
) -> Run:
    """Measure every workload of a suite.

    Args:
        suite: What to measure.
        devices: What its records are judged against when they are read.
        out: The run folder; it must not exist, or hold a run of this suite with ``resume``.
        listener: Hears of the progress.
        data_root: Where data sets are read from; None takes ``TRAINFIT_DATA_ROOT``.
        resume: Go on with the run in ``out``: measure the workloads that have no record yet. One
            that failed has a record, and is not tried again.

    Raises:
        PreflightError: The suite asks for what does not exist or does not fit together.
        RunFolderError: ``out`` cannot be used.
    """
    if resume:
        check_run(out)  # is there a run at all? Said before anything takes time
    else:
        refuse_existing(out)
    profiles = _profiles(suite, devices)
    listener.checking()
    environment = _preflight(suite, data_root)
    manifest = to_manifest(suite, devices)
    opened = RunFolder.reopen if resume else RunFolder.create
    with opened(out, manifest, environment) as folder:
        known = {workload_key(record.workload): record for record in read_records(out)}
        for name, profile in profiles.items():
            folder.keep_profile(name, profile)
        run = Run(out, Judges(devices, suite.limits, suite.host, suite.measure))
        for number, workload in enumerate(suite.workloads, start=1):
            record = known.get(workload_key(workload))
            if record is None:
                listener.started(number, len(suite.workloads), workload)
                log = folder.log_file(number)
                record, timeline = _measure(
                    suite,
                    workload,
                    log=log,
                    state=folder.state_file(number),
                    listener=listener,
                    data_root=data_root,
                )
                folder.tidy(log)
                if timeline:  # before the record, which says that all is there
                    folder.append_beside(TIMELINES, timeline)
                folder.append(record)
                run.measured += 1
            run.records.append(record)
            listener.finished(number, record)
        folder.forget_beginnings()
    return run


def _profiles(suite: Suite, devices: list[Device]) -> dict[str, bytes]:
    """The profiles that were given by file, by the names of their devices.

    Raises:
        RunFolderError: One cannot be read again.
    """
    found = {}
    for device, source in zip(devices, suite.devices or [], strict=False):
        if source.endswith(".toml"):
            with refusals(Path(source), "cannot be read"):
                found[device.name] = Path(source).read_bytes()
    return found


def _preloads(suite: Suite) -> list[str]:
    datasets = (workload.dataset for workload in suite.workloads)
    return preloads(MEASURE, datasets, calls=len(suite.workloads))


def _preflight(suite: Suite, data_root: Path | None) -> dict[str, Any]:
    """Check the suite in a process that has torch and the data; returns the environment."""
    parts: Message = {}
    with tempfile.TemporaryDirectory() as scratch:
        outcome = call(
            "trainfit.bench.run.worker:preflight",
            {
                "workloads": [workload.model_dump(mode="json") for workload in suite.workloads],
                "data_root": str(data_root) if data_root else None,
            },
            log=Path(scratch) / "log",
            timeout_seconds=max(PREFLIGHT_SECONDS, suite.timeout_seconds),
            memory_limit_mib=suite.memory_limit_mib,
            preload=_preloads(suite),
            on_message=parts.update,
        )
    if outcome.ending is Ending.RETURNED:
        pass
    elif outcome.ending is Ending.RAISED and outcome.type == "ConfigurationError":
        raise PreflightError(f"suite {suite.name}: {outcome.message}")
    elif parts.get("doing") != "building":
        at = f" at {outcome.where}" if outcome.where else ""
        raise PreflightError(
            f"suite {suite.name}: checking it failed: {outcome.type}: {outcome.message}{at}"
        )
    # Dying while an algorithm is built is that workload's own failure: its record will say so.
    environment: dict[str, Any] = parts["environment"]
    return environment


def _measure(
    suite: Suite,
    workload: Workload,
    *,
    log: Path,
    state: Path,
    listener: Listener,
    data_root: Path | None,
) -> tuple[Record, str | None]:
    """Its record, and the line of its timeline."""
    parts: Message = {}

    def on_message(message: Message) -> None:
        parts.update(message)
        if "doing" in message:
            listener.doing(message["doing"])

    started = time.perf_counter()
    outcome = call(
        MEASURE,
        {
            "workload": workload.model_dump(mode="json"),
            "data_root": str(data_root) if data_root else None,
            "threads": suite.threads,
            "measure": suite.measure,
            "sensor": suite.sensor,
            "subtract_idle": suite.subtract_idle,
            "state": str(state.absolute()),
        },
        log=log,
        timeout_seconds=suite.timeout_seconds,
        memory_limit_mib=suite.memory_limit_mib,
        preload=_preloads(suite),
        on_message=on_message,
    )
    seconds = time.perf_counter() - started
    try:
        record = make_record(workload, parts, outcome, seconds)
        timeline = parts.get("timeline")
        return record, timeline_line(workload, timeline) if timeline else None
    except ValidationError as error:  # an algorithm can say anything of itself: no stage, no name
        wrong = Outcome(Ending.DIED, "NoRecord", f"no record can be made: {first_problem(error)}")
        return make_record(workload, {"doing": parts.get("doing")}, wrong, seconds), None


def make_record(workload: Workload, parts: Message, outcome: Outcome, seconds: float) -> Record:
    """What came of a workload: all that its process sent, and how that ended."""
    return Record.model_validate(
        {
            "workload": workload,
            "status": STATUS[outcome.ending],
            **{key: parts[key] for key in PARTS if key in parts},
            "error": _error(outcome, parts.get("doing") or "start"),
            "seconds": seconds,
        }
    )


def _error(outcome: Outcome, doing: str) -> ErrorRecord | None:
    if outcome.ending is Ending.RETURNED:
        return None
    message = outcome.message
    if outcome.ending is not Ending.RAISED:
        message = f"{message} (during: {doing})"
    return ErrorRecord(type=outcome.type, message=message, where=outcome.where)
