"""Which answer a question gets."""

from __future__ import annotations

from collections.abc import Sequence

from trainfit.bench.cli.answers import largest, largest_step, one, own_net, own_step, sizes, table
from trainfit.bench.cli.answers.question import Asked
from trainfit.bench.records.schema import Workload
from trainfit.bench.sizing.largest import Dimension
from trainfit.bench.sizing.measuring import measured
from trainfit.bench.sizing.memo.memo import remembering
from trainfit.bench.sizing.own_net.question import OwnNet
from trainfit.hardware_profiles import Budgets, Device


def asked(
    devices: dict[str, Device],
    budgets: Budgets,
    budget_texts: Sequence[str],
    *,
    measure: bool,
    strict: bool,
) -> Asked:
    """What was asked, with the way in which steps are measured."""
    return Asked(devices, budgets, budget_texts, measured if measure else None, strict)


def about_step(question: Asked, target: str, dimension: str | None = None) -> None:
    """Answer about a step of one's own, or about its largest batch, and end the command."""
    if dimension is None:
        own_step.answer(question, target)
    else:
        largest_step.answer(question, target)


def about_net(question: Asked, net: OwnNet, batch_size: int, dimension: str | None = None) -> None:
    """Answer about a net of one's own, or about its largest batch, and end the command."""
    if dimension is None:
        own_net.answer(question, net, batch_size)
    else:
        own_net.answer_largest(question, net)


def about(question: Asked, workloads: Sequence[Workload], dimension: str | None) -> None:
    """Answer about workloads, and end the command.

    Args:
        question: What was asked.
        workloads: At least one.
        dimension: What is to be as large as possible; None where each is taken as it is.
    """
    with remembering():
        several = len(question.devices) * len(workloads) > 1
        if dimension is None:
            if several:
                table.answer(question, workloads)
            else:
                one.answer(question, workloads[0])
        elif several:
            sizes.answer(question, workloads, Dimension(dimension))
        else:
            largest.answer(question, workloads[0], Dimension(dimension))
