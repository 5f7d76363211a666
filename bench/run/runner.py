"""Run a suite: every workload in a process of its own, every record on the disk before the next.

What goes wrong in one workload is its record; the rest goes on.
"""

from __future__ import annotations

import tempfile
import time
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from trainfit.bench.errors import PreflightError
from trainfit.bench.processes.child import Ending, Message
from trainfit.bench.processes.isolation import call
from trainfit.bench.records.frame_cache import WORTH_KEEPING, load_frame
from trainfit.bench.records.reading import LOGS, STATE, read_records, read_suite, workload_key
from trainfit.bench.records.schema import Record, Workload
from trainfit.bench.records.timelines import TIMELINES, timeline_line
from trainfit.bench.records.writing import RunFolder, refuse_existing
from trainfit.bench.run.recording import make_record
from trainfit.bench.suite.manifest import to_manifest
from trainfit.bench.suite.suite import Suite
from trainfit.hardware_profiles import Device

PREFLIGHT_SECONDS = 300.0
"""The checks before the first workload may take this long, or a workload's time if that is more."""


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
        records: One per workload, in the order of the suite.
        measured: How many of them were measured now; the others were there before.
    """

    path: Path
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
    """Measure every workload of a suite and judge it against the devices.

    Args:
        suite: What to measure.
        devices: What to judge it against.
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
        read_suite(out)  # is there a run at all? Said before anything takes time
    else:
        refuse_existing(out)
    listener.checking()
    environment = _preflight(suite, data_root)
    manifest = to_manifest(suite, devices)
    opened = RunFolder.reopen if resume else RunFolder.create
    with opened(out, manifest, environment) as folder:
        known = {workload_key(record.workload): record for record in read_records(out)}
        run = Run(out)
        for number, workload in enumerate(suite.workloads, start=1):
            record = known.get(workload_key(workload))
            if record is None:
                listener.started(number, len(suite.workloads), workload)
                record, parts = _measure(
                    suite,
                    workload,
                    devices,
                    log=out / LOGS / f"{number:02d}.log",
                    state=out / STATE / f"{number:02d}.pt",
                    listener=listener,
                    data_root=data_root,
                )
                if "timeline" in parts:  # before the record, which says that all is there
                    folder.append_beside(TIMELINES, timeline_line(workload, parts["timeline"]))
                folder.append(record)
                run.measured += 1
            run.records.append(record)
            listener.finished(number, record)
    if len(run.records) >= WORTH_KEEPING:
        load_frame(out)  # keeps a copy, so that nobody has to wait for it later
    return run


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
            preload=_preload(suite),
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
    devices: list[Device],
    *,
    log: Path,
    state: Path,
    listener: Listener,
    data_root: Path | None,
) -> tuple[Record, Message]:
    """Its record, and all that its process sent."""
    parts: Message = {}

    def on_message(message: Message) -> None:
        parts.update(message)
        if "doing" in message:
            listener.doing(message["doing"])

    log.parent.mkdir(exist_ok=True)
    log.unlink(missing_ok=True)
    started = time.perf_counter()
    outcome = call(
        "trainfit.bench.run.worker:measure",
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
        preload=_preload(suite),
        on_message=on_message,
    )
    if log.exists() and not log.stat().st_size:
        log.unlink()
        with suppress(OSError):  # others have something to say
            log.parent.rmdir()
    with suppress(OSError):
        state.parent.rmdir()
    record = make_record(
        suite,
        workload,
        devices,
        parts,
        outcome=outcome,
        seconds=time.perf_counter() - started,
    )
    return record, parts


def _preload(suite: Suite) -> list[str]:
    """What every workload imports, so that it is imported once."""
    # torch imports its compiler the first time a step is annotated, though nothing is compiled
    modules = ["trainfit.bench.run.worker", "torch._dynamo"]
    if len(suite.workloads) > FEW:  # some of them have compiled kernels, most likely
        modules.append("numba")
    if any(workload.dataset == "digits" for workload in suite.workloads):
        modules += ["sklearn.datasets", "sklearn.model_selection"]
    return modules
