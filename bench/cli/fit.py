"""``trainfit fit``: does it fit, what size does, which of several does; and a step of one's own.

What answers imports torch, which takes seconds; that happens once the question is understood.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Annotated

import typer

from trainfit.algorithms import get_algorithm
from trainfit.algorithms.errors import unknown_name
from trainfit.bench.cli.options import (
    BudgetOption,
    asked_budgets,
    name_algorithms,
    refuse_contradictions,
)
from trainfit.bench.cli.progress import SpinnerLine
from trainfit.bench.errors import BenchError
from trainfit.bench.records.schema import Workload
from trainfit.bench.suite.workload_text import parse_options, parse_workload
from trainfit.hardware_profiles import Device, load_device

DIMENSIONS = ("batch", "width", "depth")
NO_DATA = "none"
"""Stands for the data set, which has no influence on bytes."""


class FitError(BenchError):
    """The question cannot be answered as it was asked."""


def fit(
    device: Annotated[
        list[str],
        typer.Option(metavar="NAME|FILE", help="Device to fit on, e.g. stm32f746; repeatable."),
    ],
    algorithm: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME|MODULE:CLASS",
            help="Training algorithm, e.g. backprop or 'backprop[update=fused]'; repeatable.",
        ),
    ] = None,
    model: Annotated[
        str | None,
        typer.Option(
            metavar="NAME|MODULE:FUNCTION",
            help="Full name of the model, e.g. mlp-64-128-128-10; or a function that returns a"
            " torch.nn.Module of your own, e.g. train:make_net.",
        ),
    ] = None,
    *,
    step: Annotated[
        str | None,
        typer.Option(
            metavar="MODULE:FUNCTION",
            help="Function that returns a training step of your own, instead of algorithm and"
            " model, e.g. train:make_step.",
        ),
    ] = None,
    input_shape: Annotated[
        str | None,
        typer.Option(
            metavar="SIZES", help="Shape of one sample of a net of your own, e.g. 3x32x32."
        ),
    ] = None,
    input_dtype: Annotated[
        str | None,
        typer.Option(
            metavar="float32|int64", help="Number format of its samples.", show_default="float32"
        ),
    ] = None,
    classes: Annotated[
        int | None,
        typer.Option(
            min=2, help="Scores per sample that it has to give.", show_default="as it gives"
        ),
    ] = None,
    batch_size: Annotated[int, typer.Option(min=1, help="Samples per step.")] = 32,
    option: Annotated[
        list[str] | None,
        typer.Option(
            "--option",
            "-o",
            metavar="NAME=VALUE",
            help="Option of every algorithm that has it, e.g. optimizer=adam; repeatable.",
        ),
    ] = None,
    budget: BudgetOption = None,
    largest: Annotated[
        str | None,
        typer.Option(
            "--max",
            metavar="batch|width|depth",
            help="Dimension whose largest fitting size is found.",
        ),
    ] = None,
    measure: Annotated[
        bool,
        typer.Option(help="Confirmation by measuring one step, in a process of its own."),
    ] = True,
    strict: Annotated[
        bool, typer.Option("--strict", help="Exit code 1 unless something is sure to fit.")
    ] = False,
) -> None:
    """Say if an algorithm fits on a device, or what size does.

    Shows every budget of the device, which tensors own the peak, and what would make it fit. The
    answer comes from the prediction and is confirmed by measurement, which has the last word. Time
    and energy are modelled for the device, as intervals, and judged where a budget limits them.
    With --max, the largest batch, width or depth that fits. With several devices or algorithms, one
    table; of what fits on a device, it marks what no other betters in RAM and in time (the Pareto
    front). With --step, a training step of your own is measured and judged; with --no-measure it is
    predicted from its code, which runs nothing and needs no memory. With a --model of your own, it
    is trained by backpropagation (autograd and torch.optim, also micro_batch, checkpoint and
    update=fused), predicted, and measured where this machine has the memory. Exit code 1: a
    measured step does not fit although nothing had said so before, or, with --strict, nothing is
    sure to fit.
    """
    if largest is not None and largest not in DIMENSIONS:
        raise FitError(f"--max {largest}: write {' or '.join(DIMENSIONS)}")
    name_algorithms(algorithm or [])
    own_net = step is None and model is not None and ":" in model
    of_nets = {"input-shape": input_shape, "input-dtype": input_dtype, "classes": classes}
    if own_net:
        _refuse_widths(f"--model {model}", "net", largest)
    else:
        _refuse_halves(algorithm, model, step, largest, option)
        _refuse_of_nets(of_nets)
    devices = _devices(device)
    budgets = asked_budgets(budget)
    for each in devices.values():
        refuse_contradictions(each, budgets)
    with SpinnerLine("starting"):
        from trainfit.bench.cli.answers import dispatch  # noqa: PLC0415  (imports torch)

        asked = dispatch.asked(devices, budgets, budget or [], measure=measure, strict=strict)
        if step is not None:
            answer = partial(dispatch.about_step, asked, step, largest)
        elif own_net:
            from trainfit.bench.sizing.own_net.question import asked_about  # noqa: PLC0415

            net = asked_about(
                str(model),
                algorithms=algorithm or [],
                options=option or [],
                input_shape=input_shape,
                input_type=input_dtype,
                classes=classes,
            )
            answer = partial(dispatch.about_net, asked, net, batch_size, largest)
        else:
            workloads = _workloads(algorithm or [], str(model), batch_size, option or [])
            answer = partial(dispatch.about, asked, workloads, largest)
    answer()


def _refuse_halves(
    algorithm: list[str] | None,
    model: str | None,
    step: str | None,
    largest: str | None,
    option: list[str] | None,
) -> None:
    """Either an algorithm and a model are asked about, or a step.

    Raises:
        FitError: A part is missing, or is there with what it does not go with.
    """
    if step is None:
        for name, value in (("algorithm", algorithm), ("model", model)):
            if not value:
                raise FitError(f"Missing option '--{name}' (or '--step', for a step of your own)")
        return
    _refuse_widths(f"--step {step}", "step", largest)
    others = {"algorithm": algorithm, "model": model, "option": option}
    given = [name for name, value in others.items() if value]
    if given:
        raise FitError(
            f"--step {step}: --{given[0]} is for algorithms that come with trainfit or are written"
            " for it; leave it out, a step of your own brings its net, batch and options with it"
        )


def _refuse_widths(about: str, kind: str, largest: str | None) -> None:
    """Of code of one's own only the batch can be chosen.

    Raises:
        FitError: Something else is asked for.
    """
    if largest not in (None, DIMENSIONS[0]):
        raise FitError(f"{about}: --max {largest}: a {kind} of your own has a batch only")


def _refuse_of_nets(given: Mapping[str, object]) -> None:
    """What is said of a net of one's own goes with no other.

    Raises:
        FitError: It is there.
    """
    for name, value in given.items():
        if value is not None:
            raise FitError(
                f"--{name} is for nets of your own, --model module:function; leave it out, all"
                " others bring theirs with them"
            )


def _devices(texts: Sequence[str]) -> dict[str, Device]:
    """Devices by the text that named each, once each.

    Raises:
        FitError: Two different profiles have the same name.
    """
    found: dict[str, Device] = {}
    for text in dict.fromkeys(texts):
        device = load_device(text)
        known = next((each for each in found.values() if each.name == device.name), None)
        if known is not None and known != device:
            raise FitError(f"--device {text}: another profile is named {device.name}, too")
        if known is None:
            found[text] = device
    return found


def _workloads(
    algorithms: Sequence[str], model: str, batch_size: int, options: Sequence[str]
) -> list[Workload]:
    """What is to be trained, once each.

    An option counts for every algorithm that has it, and at least one has to.
    """
    found: list[Workload] = []
    for text in algorithms:
        given = parse_workload(text, model=model, dataset=NO_DATA, batch_size=batch_size)
        beside = parse_options(options, algorithm=given.algorithm)
        if len(algorithms) > 1:
            known = get_algorithm(given.algorithm).options_type.model_fields
            beside = {name: value for name, value in beside.items() if name in known}
        twice = sorted(beside.keys() & given.options.keys())
        if twice:
            raise FitError(f"--option {twice[0]}: {text!r} has it already; leave one out")
        workload = given.model_copy(update={"options": given.options | beside})
        if workload not in found:
            found.append(workload)
    for name in parse_options(options) if len(algorithms) > 1 else ():
        if not any(name in workload.options for workload in found):
            first = get_algorithm(found[0].algorithm)
            raise unknown_name("option of these algorithms", name, first.options_type.model_fields)
    return found
