"""``trainfit run``: measure a suite."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from trainfit.algorithms.outside import is_outside, require_permitted
from trainfit.bench.cli.options import (
    BudgetOption,
    DataRootOption,
    asked_budgets,
    budget_table,
    name_algorithms,
    refuse_contradictions,
)
from trainfit.bench.cli.output import output, stdout, unseen
from trainfit.bench.cli.progress import RunProgress
from trainfit.bench.cli.reports.run import figures, verdicts
from trainfit.bench.errors import SuiteError
from trainfit.bench.frames.judged import COSTS, VERDICTS, cost_rows, verdict_rows
from trainfit.bench.frames.values import VALUES, value_rows
from trainfit.bench.frames.workloads import IDENTITY, RECORD, record_row
from trainfit.bench.records.reading import LOGS, SUITE, read_suite
from trainfit.bench.records.schema import Record
from trainfit.bench.records.writing import check_run, is_free
from trainfit.bench.run import runner
from trainfit.bench.sensors import SensorError, Unavailable, open_sensor
from trainfit.bench.suite.manifest import from_manifest, load_devices
from trainfit.bench.suite.suite import Suite, load_suite, with_algorithms
from trainfit.hardware_profiles import Device


def run(
    suite: Annotated[
        str | None,
        typer.Argument(
            metavar="SUITE",
            help="Name of a suite (trainfit suites lists them), or a .toml file.",
            show_default="quick; with --resume the suite of the run",
        ),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            help="Run folder to write, e.g. runs/boards.",
            show_default="runs/SUITE-DATE-TIME",
        ),
    ] = None,
    data_root: DataRootOption = None,
    *,
    device: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME|FILE",
            help="Device to judge against instead of the suite's, e.g. stm32f746; repeatable.",
        ),
    ] = None,
    algorithm: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME|MODULE:CLASS",
            help="Algorithm to measure as well, on the suite's defaults, e.g. "
            "my_rules:MyRule; repeatable. One MODULE:CLASS that the suite names itself is run only "
            "if it is named here, too.",
        ),
    ] = None,
    budget: BudgetOption = None,
    sensor: Annotated[
        str | None,
        typer.Option(
            metavar="NAME", help="Energy sensor, e.g. rapl (trainfit sensors lists them)."
        ),
    ] = None,
    host: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="Device that this machine is, e.g. jetson-nano: its time and energy are judged "
            "by what is measured.",
        ),
    ] = None,
    resume: Annotated[
        bool,
        typer.Option(
            "--resume",
            help="Continue the run in --out: measure the workloads that have no record. The "
            "record of a failed workload is kept. Where there is no run yet, the suite is "
            "started.",
        ),
    ] = False,
) -> None:
    """Measure a suite and judge its workloads against devices.

    Writes a run folder. Every workload runs in a process of its own. One that crashes, hangs or
    runs out of memory becomes a record that says so, the others are measured all the same, and the
    exit code is 1.
    """
    name_algorithms(algorithm or [])
    if resume and suite and out and is_free(out):
        resume = False
    chosen = _chosen(suite, out if resume else None, algorithm or [], resume=resume)
    for workload in chosen.workloads:
        require_permitted(workload.algorithm)
    if sensor:
        _require_sensor(sensor)
    given = {"devices": device, "sensor": sensor, "host": host}
    chosen = chosen.model_copy(update={key: value for key, value in given.items() if value})
    devices = load_devices(chosen)
    if budget:
        for each in devices:
            refuse_contradictions(each, asked_budgets(budget))
        chosen = chosen.model_copy(update={"budgets": chosen.budgets | budget_table(budget)})
    folder = out or new_run_folder(chosen)
    done = measure(chosen, devices, folder, data_root, resume=resume)
    show_run(done)
    if any(record.error for record in done.records):
        raise typer.Exit(1)


def new_run_folder(suite: Suite) -> Path:
    """A folder named after a suite and the time."""
    return Path("runs") / f"{suite.name}-{datetime.now():%Y%m%d-%H%M%S}"


def measure(
    suite: Suite,
    devices: list[Device],
    folder: Path,
    data_root: Path | None,
    *,
    resume: bool = False,
) -> runner.Run:
    """Run a suite, with a line of progress."""
    with RunProgress() as progress:
        return runner.run_suite(
            suite, devices, folder, progress, data_root=data_root, resume=resume
        )


def _chosen(suite: str | None, kept: Path | None, algorithms: list[str], *, resume: bool) -> Suite:
    """The suite that is meant: the one named, or that of the run which is continued.

    Raises:
        SuiteError: It is not clear which, or it cannot be read.
    """
    if not resume or (suite and kept):
        named = load_suite(suite or "quick")
        return with_algorithms(named, _added(named, algorithms))
    if kept is None:
        raise SuiteError("--resume needs --out DIR: which run shall go on?")
    check_run(kept)
    chosen = from_manifest(read_suite(kept), source=str(kept / SUITE))
    if _added(chosen, algorithms):
        raise SuiteError("--algorithm with --resume: name the suite too, as in the first start")
    return chosen


def _added(suite: Suite, algorithms: list[str]) -> list[str]:
    """Those that the suite does not name; one from outside that it names is only permitted."""
    own = {workload.algorithm for workload in suite.workloads}
    return [name for name in algorithms if not (is_outside(name) and name in own)]


def _require_sensor(name: str) -> None:
    """Refuse a sensor that cannot be read.

    Raises:
        SensorError: It does not exist, or why it cannot be read.
    """
    found = open_sensor(name)
    if not isinstance(found, Unavailable):
        found.close()
    elif name != "none":
        raise SensorError(f"--sensor {name}: {found.reason} (trainfit sensors lists them)")


def show_run(done: runner.Run) -> None:
    """The figures and verdicts of a run, and where its records are."""
    out = output()
    records = done.records
    width = stdout().width
    rows = [record_row(record) for record in records]
    out.table("figures", unseen(*IDENTITY, *RECORD), rows, printed=figures(records, width))
    devices = [each for each in done.judges.devices if isinstance(each, Device)]
    matrix = verdicts([done.judges.verdicts(record) for record in records], devices, width)
    for name, names, rows_of, printed in (
        ("values", VALUES, value_rows, ()),
        ("costs", COSTS, partial(cost_rows, judges=done.judges), ()),
        ("verdicts", VERDICTS, partial(verdict_rows, judges=done.judges), ["", *matrix]),
    ):
        out.table(
            name,
            unseen("number", "workload", *names),
            _numbered(records, names, rows_of),
            printed=printed,
        )
    failed = sum(record.error is not None for record in records)
    summary = f"{len(records) - failed} of {len(records)} workloads measured"
    kept = len(records) - done.measured
    if kept:
        summary += f", {kept} of them before" if not failed else f", {kept} records kept"
    out.show("", f"{summary}; run written to {done.path}")
    out.fact("run", str(done.path))
    if failed:
        out.show(f"what they wrote: {done.path / LOGS}")
        out.fact("logs", str(done.path / LOGS))


def _numbered(
    records: Sequence[Record],
    names: Iterable[str],
    rows_of: Callable[[Record], Iterable[tuple[object, ...]]],
) -> list[dict[str, object]]:
    """Rows of all workloads, each with the number and the name of its own."""
    return [
        {"number": number, "workload": record.workload.label, **dict(zip(names, row, strict=True))}
        for number, record in enumerate(records, start=1)
        for row in rows_of(record)
    ]
