"""What was asked of ``trainfit fit``, and how an answer ends the command."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import dataclass

import typer

from trainfit._text import plain
from trainfit.bench.records.schema import Workload
from trainfit.bench.sizing.largest import Dimension
from trainfit.bench.sizing.measuring import Measure
from trainfit.hardware_profiles import Allocator, Budgets, Device

NO_DATA = "none"
"""Stands for the data set, which has no influence on bytes."""


@dataclass(frozen=True)
class Asked:
    """What was asked.

    Attributes:
        devices: By the text that named each, in the order they were named.
        budgets: Beside those of the devices' profiles.
        budget_texts: As they were typed.
        measure: How a step is measured; None if nothing is to be.
        strict: Exit code 1 unless something is sure to fit.
    """

    devices: dict[str, Device]
    budgets: Budgets
    budget_texts: Sequence[str]
    measure: Measure | None
    strict: bool

    @property
    def plans(self) -> bool:
        """Whether a device is judged by a planned arena."""
        return any(device.allocator is Allocator.ARENA for device in self.devices.values())

    def command(self, device: str, workload: Workload, dimension: Dimension | None = None) -> str:
        """The command that asks about one workload, to be pasted into a shell."""
        words = ["trainfit", "fit", "--device", device, "--algorithm", workload.algorithm]
        for name, value in workload.options.items():
            words += ["-o", f"{name}={plain(value)}"]
        words += ["--model", workload.model, "--batch-size", str(workload.batch_size)]
        for text in self.budget_texts:
            words += ["--budget", text]
        if dimension is not None:
            words += ["--max", str(dimension)]
        return shlex.join(words)

    def end(self, *, sure: bool, refuted: bool) -> None:
        """End the command.

        Args:
            sure: Something that was asked about is sure to fit.
            refuted: A measurement found that something does not fit, which nothing else had said.

        Raises:
            typer.Exit: With code 1.
        """
        if not sure and (refuted or self.strict):
            raise typer.Exit(1)


def named(workload: Workload) -> str:
    """A workload without its data set."""
    return workload.label.replace(f" {NO_DATA} ", " ")
