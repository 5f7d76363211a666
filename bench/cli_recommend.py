"""The command that recommends what to train on a device."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import RenderableType
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn
from rich.text import Text

from hardware_profiles import device_names, format_bytes, load_device

from .cli_fit import BudgetOption, asked_budgets, refuse_contradictions
from .errors import BenchError
from .output import Column, drawn, output
from .progress_line import ProgressLine

if TYPE_CHECKING:
    from .recommend import Candidate, Trained
    from .schema import Bounds, Workload

RUN_FOLDERS = ("runs", "results/runs")
"""Where records are looked for, below the current folder, unless --from says otherwise."""

MOST_ROWS = 20


class RecommendError(BenchError):
    """The question cannot be answered as it was asked."""


def register(app: typer.Typer) -> None:
    """Add the command to the command line."""
    app.command()(recommend)


def recommend(
    device: Annotated[
        list[str],
        typer.Option("--device", metavar="NAME|FILE|all", help="The device; repeatable."),
    ],
    dataset: Annotated[str, typer.Option(help="The data set that has to be learnt.")],
    *,
    min_accuracy: Annotated[
        float, typer.Option(help="Leave out what trains worse than this, from 0 to 1.")
    ] = 0.0,
    objective: Annotated[
        str,
        typer.Option(metavar="bytes|energy|latency", help="What accuracy is traded against."),
    ] = "bytes",
    runs: Annotated[
        list[Path] | None,
        typer.Option(
            "--from",
            metavar="RUN",
            help="A run folder with trainings; repeatable. [default: all in runs and results/runs]",
            show_default=False,
        ),
    ] = None,
    algorithm: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME", help="Only this algorithm; repeatable. [default: all]"),
    ] = None,
    width: Annotated[
        list[int] | None, typer.Option(min=1, help="Units per hidden layer; repeatable.")
    ] = None,
    depth: Annotated[
        list[int] | None, typer.Option(min=1, max=99, help="Hidden layers; repeatable.")
    ] = None,
    batch_size: Annotated[int, typer.Option(min=1, help="Samples per step in the grid.")] = 32,
    budget: BudgetOption = None,
    suite: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Write a suite that trains what has no record yet."),
    ] = None,
) -> None:
    """What should be trained on this device, for this data set?

    Holds every algorithm on a grid of model sizes, and every workload that records have an accuracy
    of, against the device, and prints the Pareto front: nothing that fits is more accurate for
    less. How well something trains is read from records only; what fits and has no record is
    offered as a suite.
    """
    from algorithms import algorithm_names, get_algorithm  # noqa: PLC0415  (imports torch)

    from . import recommend as asks  # noqa: PLC0415

    if objective not in list(asks.Objective):
        raise RecommendError(f"--objective {objective}: write bytes, energy or latency")
    if not 0 <= min_accuracy <= 1:
        raise RecommendError(f"--min-accuracy {min_accuracy:g}: write a share from 0 to 1")
    for name in algorithm or []:
        get_algorithm(name)
    names = device_names() if device == ["all"] else device
    devices = [load_device(name) for name in dict.fromkeys(names)]
    asked = asked_budgets(budget)
    for each in devices:
        refuse_contradictions(each, asked)
    features, classes = _shape(dataset)
    folders = _folders(runs)
    in_hand = _trained(folders, dataset)
    sizes = asks.grid(
        algorithm or algorithm_names(),
        features,
        classes,
        dataset=dataset,
        batch_size=batch_size,
        widths=width or asks.WIDTHS,
        depths=depth or asks.DEPTHS,
    )
    found: list[Candidate] = []
    with _Bar(len(devices)) as bar:
        made = asks.forms([*(each.workload for each in in_hand), *sizes])
        for each in devices:
            found += asks.candidates(in_hand, sizes, each, asked, made)
            bar.advance()
    goal = asks.Objective(objective)
    fronts = [
        each
        for device in devices
        for each in asks.front(
            [one for one in found if one.device == device.name], goal, min_accuracy
        )
    ]
    offered = asks.untrained(found)
    _show(found, fronts, folders, dataset)
    _offer(offered, dataset, batch_size, suite)


def _shape(dataset: str) -> tuple[int, int]:
    """Features and classes of a data set; from its description, or by making it."""
    from algorithms.data import describe_datasets, load_dataset  # noqa: PLC0415

    for info in describe_datasets():
        if info.name == dataset and info.features is not None and info.classes is not None:
            return info.features, info.classes
    data = load_dataset(dataset, None)
    return data.features, data.classes


def _folders(runs: Sequence[Path] | None) -> list[Path]:
    from .records import RECORDS  # noqa: PLC0415

    if runs:
        return list(runs)
    found = [path.parent for base in RUN_FOLDERS for path in Path(base).glob(f"*/{RECORDS}")]
    return sorted(found)


def _trained(folders: Sequence[Path], dataset: str) -> list[Trained]:
    from .recommend import trained  # noqa: PLC0415
    from .records import read_records  # noqa: PLC0415

    return trained([record for folder in folders for record in read_records(folder)], dataset)


COLUMNS = (
    Column("device", "device"),
    Column(
        "accuracy", "test acc", lambda value: "-" if value is None else f"{value:.2%}", right=True
    ),
    Column("workload", "workload"),
    Column("ram_bytes", "RAM", format_bytes, right=True),
    Column("status", "verdict"),
    Column("sample_joules_high", "J/sample <=", lambda value: _si(value, "J"), right=True),
    Column("sample_seconds_high", "s/sample <=", lambda value: _si(value, "s"), right=True),
    Column("seeds"),
    Column("passes"),
    Column("sample_joules_low"),
    Column("sample_seconds_low"),
    Column("algorithm"),
    Column("options"),
    Column("model"),
    Column("batch_size"),
    Column("storage_bytes"),
    Column("reason"),
)


def _si(value: float | None, unit: str) -> str:
    from .budget_intervals import format_quantity  # noqa: PLC0415

    return "unknown" if value is None else format_quantity(value, unit)


def _row(each: Candidate) -> dict[str, Any]:
    workload = each.form.workload
    return {
        "device": each.device,
        "accuracy": each.trained.accuracy if each.trained else None,
        "seeds": each.trained.seeds if each.trained else None,
        "passes": each.trained.passes if each.trained else None,
        "workload": _label(workload),
        "ram_bytes": each.form.ram_bytes,
        "storage_bytes": each.form.storage_bytes,
        "status": str(each.verdict.status),
        "reason": each.verdict.reason,
        **_ends("sample_joules", each.sample_joules),
        **_ends("sample_seconds", each.sample_seconds),
        "algorithm": workload.algorithm,
        "options": workload.options,
        "model": workload.model,
        "batch_size": workload.batch_size,
    }


def _label(workload: Workload) -> str:
    """``ALGORITHM MODEL bN OPTIONS``: what tells one from the next comes first."""
    options = " ".join(f"{name}={value}".lower() for name, value in workload.options.items())
    data = "" if workload.train_samples is None else f" [:{workload.train_samples}]"
    return f"{workload.algorithm} {workload.model} b{workload.batch_size}{data} {options}".rstrip()


def _ends(name: str, interval: Bounds | None) -> dict[str, float | None]:
    return {
        f"{name}_low": interval.low if interval else None,
        f"{name}_high": interval.high if interval else None,
    }


def _show(
    found: Sequence[Candidate],
    fronts: Sequence[Candidate],
    folders: Sequence[Path],
    dataset: str,
) -> None:
    out = output()
    trained = {id(each.trained) for each in found if each.trained}
    out.show(
        f"{dataset}: {len(trained)} trained workloads in {len(folders)} run folders,"
        f" {len(found):,} held against devices by closed form"
    )
    rows = [_row(each) for each in fronts]
    if rows:
        out.show("Trained, fitting, and nothing that fits is at least as accurate for less:")
        out.table("front", COLUMNS, rows, printed=_by_device(rows))
    else:
        out.table("front", COLUMNS, rows, printed=())
        out.show("Nothing that has been trained fits; accuracy is read from records only.")
    out.table("candidates", COLUMNS, [_row(each) for each in found], printed=())


def _by_device(rows: Sequence[dict[str, Any]]) -> list[RenderableType]:
    """A table per device, headed by its name."""
    parts: list[RenderableType] = []
    for name in dict.fromkeys(row["device"] for row in rows):
        own = [row for row in rows if row["device"] == name]
        parts += [Text(f"\n{name}", style="bold"), drawn(COLUMNS[1:], own[:MOST_ROWS])]
        if len(own) > MOST_ROWS:
            parts.append(f"and {len(own) - MOST_ROWS} more (--json or --csv lists all)")
    return [*parts, ""]


def _offer(offered: Sequence[Candidate], dataset: str, batch_size: int, suite: Path | None) -> None:
    from .recommend import suite_text  # noqa: PLC0415

    out = output()
    out.table("untrained", COLUMNS, [_row(each) for each in offered], printed=())
    if not offered:
        out.show("Nothing of the grid fits that has no record.")
        return
    workloads = {(each.form.workload.algorithm, each.form.workload.model) for each in offered}
    if suite is None:
        out.show(
            f"Fits, and nobody has trained it yet: {len(workloads)} workloads (of every algorithm"
            " and depth the widest); --suite FILE writes a suite that does"
        )
        return
    try:
        with suite.open("x", encoding="utf-8") as stream:
            stream.write(suite_text(offered, dataset, batch_size, suite.stem))
    except FileExistsError:
        raise RecommendError(f"--suite {suite}: exists already, nothing was overwritten") from None
    except OSError as error:
        raise RecommendError(f"--suite {suite}: cannot be written: {error.strerror}") from error
    out.show(f"{len(workloads)} workloads that fit and have no record: trainfit run {suite}")
    out.fact("suite", str(suite))


class _Bar(ProgressLine):
    """The device that is looked at."""

    def __init__(self, total: int) -> None:
        super().__init__(
            "closed forms",
            TextColumn("{task.description}", markup=False),
            BarColumn(bar_width=20),
            MofNCompleteColumn(),
        )
        self._progress.update(self._task, total=total)

    def advance(self) -> None:
        """A device is done."""
        self._progress.advance(self._task)
