"""A net of one's own under backpropagation, on several devices."""

from __future__ import annotations

import os
from dataclasses import replace
from functools import partial
from pathlib import Path

from rich.text import Text

from trainfit.bench.cli.answers import own_step
from trainfit.bench.cli.answers.largest_step import Sized, answer_about
from trainfit.bench.cli.answers.question import Asked
from trainfit.bench.cli.output import output
from trainfit.bench.cli.progress import SpinnerLine
from trainfit.bench.cli.reports import own_step as report
from trainfit.bench.sizing.measuring import MEMORY_SHARE, NOT_ASKED
from trainfit.bench.sizing.own_net.finding import (
    BatchOfOneError,
    TooSlowError,
    UnpredictableError,
    measure_own_net,
    predict_own_net,
)
from trainfit.bench.sizing.own_net.question import OwnNet
from trainfit.bench.sizing.own_step import OwnStep
from trainfit.bench.sizing.own_step_arena import joined
from trainfit.bench.verdicts.judge import FITTING
from trainfit.bench.verdicts.memory import Status, worst


def answer(asked: Asked, net: OwnNet, batch_size: int) -> None:
    """Predict a step, measure it where this machine can, and end the command."""
    name = f"{net.name} b{batch_size}"
    predicted, measured, reason = None, None, NOT_ASKED
    with SpinnerLine(f"tracing {name}") as line:
        try:
            predicted = predict_own_net(net, Path.cwd(), batch_size, plan=asked.plans)
        except UnpredictableError as error:
            if asked.measure is None:
                raise
            unpredicted = str(error)
        if asked.measure is not None:
            line.show(f"measuring {name}")
            found = _measured(net, batch_size, predicted)
            measured, reason = (None, found) if isinstance(found, str) else (found, "")
            if measured and asked.plans:
                measured = _with_arena(measured, predicted)
    step = measured or predicted
    assert step is not None  # it is one or the other, or an error was raised
    out = output()
    for key, value in (
        ("net", net.target),
        ("options", net.options),
        ("batch_size", batch_size),
        ("input_shape", list(net.input_shape)),
    ):
        out.fact(key, value)
    statuses = own_step.show(asked, name, step)
    if predicted is None:
        out.show(f"not predicted: {unpredicted}")
        out.fact("predicted", None)
    elif measured is None:
        out.show(f"not measured: {reason}; so this is a prediction")
        out.fact("measured", None)
    else:
        out.show(_confirmation(predicted, measured))
        out.fact("predicted", report.fact(predicted))
    asked.end(
        sure=any(status in FITTING for status in statuses),
        refuted=measured is not None and _refuted(asked, predicted, measured),
    )


def _with_arena(measured: OwnStep, predicted: OwnStep | None) -> OwnStep:
    if predicted is None:
        return replace(measured, no_arena="the step cannot be predicted")
    return joined(measured, predicted)


def answer_largest(asked: Asked, net: OwnNet) -> None:
    """Trace the net at batch after batch, measure the answer, and end the command."""
    traced = partial(predict_own_net, net, Path.cwd(), plan=asked.plans)
    with SpinnerLine(f"tracing {net.name}"):
        try:
            traced(1)
            smallest = 1
        except BatchOfOneError:
            smallest = 2
    answer_about(asked, Sized("net", net.name, traced, partial(_measured, net), smallest))


def _measured(net: OwnNet, batch_size: int, predicted: OwnStep | None) -> OwnStep | str:
    """What is measured, or why this machine cannot: it has not got the memory, or the time."""
    free = os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    if predicted is not None and predicted.ram_bytes > MEMORY_SHARE * free:
        return f"the step needs {predicted.ram_bytes:,} B, and this machine has {free:,} B free"
    try:
        return measure_own_net(net, Path.cwd(), batch_size)
    except TooSlowError as error:
        if predicted is None:
            raise
        return str(error)


def _confirmation(predicted: OwnStep, measured: OwnStep) -> Text:
    more = measured.ram_bytes - predicted.ram_bytes
    if not more:
        return Text("predicted: the same, to the byte")
    return Text(
        f"predicted: {predicted.ram_bytes:,} B of RAM, {abs(more):,} B"
        f" {'less' if more > 0 else 'more'} than measured; the verdict is the measurement's",
        style="bold red",
    )


def _refuted(asked: Asked, predicted: OwnStep | None, measured: OwnStep) -> bool:
    """A measured step does not fit somewhere, although nothing had said so before."""
    for device in asked.devices.values():
        said = worst(predicted.verdicts(device, asked.budgets)) if predicted else None
        found = worst(measured.verdicts(device, asked.budgets))
        if found.status is Status.EXCEEDS and (said is None or said.status in FITTING):
            return True
    return False
