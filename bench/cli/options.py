"""Options that several commands take, each declared once; and budgets as a person types them."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Annotated

import typer

from trainfit._imports import add_current_folder
from trainfit._text import shown
from trainfit.algorithms.outside import is_outside, permit
from trainfit.hardware_profiles import Budgets, Device, ProfileError, parse_budgets, tighten

DataRootOption = Annotated[
    Path | None,
    typer.Option(
        metavar="DIR",
        envvar="TRAINFIT_DATA_ROOT",
        help="Folder of the data sets that are files, laid out as torchvision's, e.g. data.",
    ),
]
ColumnsOption = Annotated[
    int,
    typer.Option(min=1, max=2, help="Width of figures, in columns of the journal's page."),
]
BudgetOption = Annotated[
    list[str] | None,
    typer.Option(
        "--budget",
        metavar="NAME=VALUE",
        help="Limit tighter than the device's own; repeatable. Names and units: ram=96KiB, "
        "flash=512KiB, step_latency=50ms, energy_per_step=2mJ, battery=1000mWh with "
        "training_samples=60000.",
    ),
]


def name_algorithms(texts: Iterable[str]) -> None:
    """Take note of algorithms that the command line itself names: their code may be run.

    One from outside, ``package.module:Class``, lies in the current folder more often than it is
    installed; only then is it looked for there, after everything that is installed.

    Args:
        texts: Names, or texts of workloads, which begin with one.
    """
    outside = [name for name in map(_algorithm, texts) if is_outside(name)]
    if outside:
        add_current_folder()
        permit(outside)


def _algorithm(text: str) -> str:
    """The algorithm that a workload's text begins with."""
    return "".join(text.partition("[")[0].split()[:1])


def asked_budgets(texts: list[str] | None) -> Budgets:
    """Budgets as a person types them.

    Raises:
        ProfileError: One is not of the form NAME=VALUE, or its value or unit is wrong.
    """
    return parse_budgets(budget_texts(texts), "--budget")


def budget_table(texts: list[str] | None) -> dict[str, str | int]:
    """The same as the table ``[budgets]`` of a suite has it."""
    table: dict[str, str | int] = dict(budget_texts(texts))
    samples = asked_budgets(texts).training_samples
    return table if samples is None else table | {"training_samples": samples}


def budget_texts(texts: list[str] | None) -> dict[str, str]:
    """Budgets by name, each still as text.

    Raises:
        ProfileError: One is not of the form NAME=VALUE, or is given twice.
    """
    pairs: dict[str, str] = {}
    for text in texts or []:
        name, equals, value = text.partition("=")
        if not equals or not value:
            raise ProfileError(
                f"--budget {shown(text, quoted=False)}: write NAME=VALUE, for instance ram=96KiB"
            )
        if name in pairs:
            raise ProfileError(
                f"--budget {shown(name, quoted=False)}: is given twice; give it once"
            )
        pairs[name] = value
    return pairs


def refuse_contradictions(device: Device, asked: Budgets) -> None:
    """A question that cannot be judged is refused before anything is computed.

    Raises:
        ProfileError: A budget contradicts the profile, or limits what cannot be modelled.
    """
    _, conflicts = tighten(device.budgets, asked)
    for reason in conflicts.values():
        raise ProfileError(f"{device.name}: {reason}")
    timed = asked.step_latency_seconds is not None
    if device.kind == "mcu" and timed and device.clock.value is None:
        raise ProfileError(
            f"{device.name}: step_latency cannot be modelled because the"
            f" {device.clock_unknown}; give the profile a clock, or leave that budget out"
        )
