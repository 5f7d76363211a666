"""A suite: which workloads are measured, under which limits, judged against which devices.

A suite is a TOML file. ``[defaults]`` fills what a ``[[workload]]`` leaves out; a list of values
for ``algorithm``, ``model``, ``batch_size``, ``seed`` or ``rates`` (values of the option ``lr``)
stands for one workload per combination::

    name = "boards"
    description = "What fits on our two boards"
    devices = ["stm32f746", "boards/ours.toml"]   # or "all"; paths relative to this file
    timeout_seconds = 600                         # per workload
    memory_limit_mib = 2048                       # per workload, beyond an idle process
    threads = 1                                   # for latency and accuracy
    measure = ["memory", "accuracy"]              # what is not named is not measured; see below
    sensor = "auto"                               # for the energy; see ``trainfit sensors``
    subtract_idle = false                         # from the energy, what the machine takes idle
    host = "jetson-nano"                          # this machine is that device

    [budgets]                                     # tighter than the devices' own
    step_latency = "50 ms"

    [defaults]
    model = "mlp-64-128-128-10"
    dataset = "digits"
    batch_size = 32

    [[workload]]
    algorithm = "backprop"
    options = { optimizer = "adam" }
    batch_size = [8, 32]

``held_out = 10000``, there or in a workload, keeps so many samples of the training half for
validation; ``trainfit tune`` chooses a rate by them, and writes into ``tuned`` how it was chosen.

``augment = "crop-flip"`` crops and mirrors the images of every batch at random before a step.

``pretrained = { algorithm = "backprop", epochs = 10, classes = [0, 1, 2] }`` starts from a net that
was trained so before, in place of a new one; ``batch_size`` is the workload's unless given there.

Without ``measure``, memory, latency, energy and accuracy are measured. ``gradients`` and ``noise``
look into the net when it is trained, and have to be named.
"""

from __future__ import annotations

import itertools
import math
from importlib.resources import files
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from trainfit._files import (
    FileError,
    NoFileError,
    NotTomlError,
    parse_toml,
    read_text,
    refuse_excess,
)
from trainfit._limits import MOST_WORKLOADS
from trainfit._schema_errors import explain
from trainfit._text import nearest, shown
from trainfit.bench.errors import SuiteError
from trainfit.bench.records.schema import Measurement, Workload
from trainfit.bench.suite.file import Defaults, SuiteFile, WorkloadEntry, listed
from trainfit.hardware_profiles import Budgets

SWEPT = ("algorithm", "model", "batch_size", "seed")
"""The keys of a workload whose list values are expanded to their product."""

RATE = "lr"
"""The option whose values are ``rates``."""

_OPTIONAL = ("train_samples", "held_out", "rates", "tuned", "augment", "pretrained")
"""Keys of a workload that may be absent everywhere."""


class Suite(BaseModel):
    """A suite with every default filled in and every list of values expanded.

    ``devices`` holds names and paths; ``None`` stands for all devices there are.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    description: str
    devices: list[str] | None
    timeout_seconds: float = Field(gt=0, le=1_000_000)
    memory_limit_mib: Annotated[int, Field(ge=1, le=2**40)] | None
    threads: int = Field(ge=1, le=1024)
    measure: list[Measurement]
    sensor: str = "auto"
    subtract_idle: bool = False
    host: str | None = None
    budgets: dict[str, Any] = Field(default_factory=dict)
    """As written; :attr:`limits` has them as figures."""
    defaults: Defaults
    workloads: list[Workload]

    @property
    def limits(self) -> Budgets:
        """The budgets that every device is held to beside its own."""
        return Budgets.model_validate(self.budgets)


def suite_names() -> list[str]:
    """Names of the suites that come with trainfit."""
    packaged = files("trainfit.bench.suite.builtin").iterdir()
    return sorted(p.name.removesuffix(".toml") for p in packaged if p.name.endswith(".toml"))


def load_suite(name_or_path: str) -> Suite:
    """Read a suite by name, or from a path (it ends in ``.toml`` or names a folder).

    Raises:
        SuiteError: There is no such suite, or it is malformed or contradicts itself.
    """
    if name_or_path in suite_names():
        text = (
            files("trainfit.bench.suite.builtin")
            .joinpath(f"{name_or_path}.toml")
            .read_text("utf-8")
        )
        return parse_suite(text, source=f"{name_or_path}.toml", folder=Path())
    path = Path(name_or_path)
    if path.suffix != ".toml" and len(path.parts) == 1:
        hint = nearest(name_or_path, suite_names())
        raise SuiteError(f"unknown suite {shown(name_or_path)}; {hint} (a path ends in .toml)")
    try:
        text = read_text(path)
    except NoFileError as problem:
        raise SuiteError(f"cannot read suite {name_or_path}: {problem}") from None
    except FileError as problem:
        raise SuiteError(f"suite {shown(name_or_path, quoted=False)}: {problem}") from None
    return parse_suite(text, source=name_or_path, folder=path.parent)


def parse_suite(text: str, *, source: str, folder: Path) -> Suite:
    """Make a suite of TOML text.

    Args:
        text: The TOML.
        source: What messages call it.
        folder: Device paths in it are relative to this.

    Raises:
        SuiteError: It is not TOML, has unknown keys or impossible values, or names one workload
            twice; the message gives file, key and what would be right.
    """
    try:
        raw = parse_toml(text)
    except NotTomlError as problem:
        raise SuiteError(f"{source}: {problem.as_written}") from None
    except FileError as problem:
        raise SuiteError(f"{source}: {problem}") from None
    try:
        written = SuiteFile.model_validate(raw)
    except ValidationError as error:
        raise SuiteError(f"{source}: {explain(error, raw, SuiteFile)}") from error
    check_budgets(written.budgets, source)
    _refuse_too_many(written.workload, source)
    workloads: list[Workload] = []
    for number, entry in enumerate(written.workload, start=1):
        workloads += _expand(entry, written.defaults, f"{source}: workload[{number}]")
    _refuse_duplicates(workloads, source)
    devices = written.devices and [_device(name, folder) for name in written.devices]
    return Suite(
        devices=devices,
        workloads=workloads,
        **{key: getattr(written, key) for key in Suite.model_fields if key not in _EXPANDED},
    )


_EXPANDED = ("devices", "workloads")


def with_algorithms(suite: Suite, algorithms: list[str]) -> Suite:
    """The suite and one more workload per algorithm, on its default model, data and batch size.

    Raises:
        SuiteError: The suite has no such defaults, or has that workload already.
    """
    if not algorithms:
        return suite
    added = [
        workload
        for name in algorithms
        for workload in _expand(
            WorkloadEntry(algorithm=[name]), suite.defaults, f"--algorithm {name}"
        )
    ]
    workloads = [*suite.workloads, *added]
    _refuse_duplicates(workloads, f"suite {suite.name} with --algorithm")
    return suite.model_copy(update={"workloads": workloads})


def _expand(entry: WorkloadEntry, defaults: Defaults, where: str) -> list[Workload]:
    values: dict[str, Any] = {}
    for key in WorkloadEntry.model_fields:
        if key == "options":
            continue
        own = getattr(entry, key)
        values[key] = own if own is not None else getattr(defaults, key, None)
        if values[key] is None and key not in _OPTIONAL:
            raise SuiteError(f"{where}.{key}: is missing; set it here or under [defaults]")
    try:  # a worker gets them as JSON, which has no infinity
        refuse_excess(entry.options, finite=True)
    except FileError as problem:
        raise SuiteError(f"{where}.options.{problem}") from None
    swept = [listed(values.pop(key)) for key in SWEPT]
    rates = values.pop("rates")
    if rates and RATE in entry.options:
        raise SuiteError(f"{where}.rates: options has {RATE}, too; leave one out")
    chosen = [entry.options | {RATE: rate} for rate in rates] if rates else [entry.options]
    return [
        Workload(**values, **dict(zip(SWEPT, combination, strict=True)), options=options)
        for combination in itertools.product(*swept)
        for options in chosen
    ]


def check_budgets(budgets: dict[str, Any], source: str) -> None:
    """Refuse budgets of a suite that are none.

    Raises:
        SuiteError: Which one, and what would be right.
    """
    try:
        Budgets.model_validate(budgets)
    except ValidationError as error:
        raise SuiteError(f"{source}: {explain(error, budgets, Budgets, at='budgets')}") from error


def _refuse_too_many(entries: list[WorkloadEntry], source: str) -> None:
    """Before any list is expanded: a few lines stand for more workloads than fit in memory."""
    count = sum(
        math.prod(
            len(listed(getattr(entry, key))) for key in (*SWEPT, "rates") if getattr(entry, key)
        )
        for entry in entries
    )
    if count > MOST_WORKLOADS:
        raise SuiteError(
            f"{source}: stands for {count:,} workloads, at most {MOST_WORKLOADS:,} are measured in"
            " one run; shorten its lists, or write several suites"
        )


def _refuse_duplicates(workloads: list[Workload], source: str) -> None:
    seen: dict[str, int] = {}
    for number, workload in enumerate(workloads, start=1):
        # how long and how well it is trained is left out: memory and latency are the same figures
        key = workload.model_dump_json(exclude={"epochs", "evaluate_every"})
        if key in seen:
            raise SuiteError(
                f"{source}: workload {number} is workload {seen[key]} again ({workload.label}, "
                f"seed {workload.seed}); leave one out or change its options"
            )
        seen[key] = number


def _device(name: str, folder: Path) -> str:
    path = Path(name)
    return str(folder / path) if path.suffix == ".toml" else name
