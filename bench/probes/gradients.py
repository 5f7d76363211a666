"""The weight gradients of a net, from any training rule without touching its code.

A step of plain descent moves a weight by ``- rate g``. So the rule is built once more with plain
descent (:data:`PLAIN`), gets the weights as they are, takes one step, and the difference of the
weights, over the rate, is the gradient::

    g = (w_before - w_after) / rate

The rate is huge and a power of two: then the rounding of ``w - rate g`` is that of the product, and
small gradients are not lost beside the weight. A rule that moves weights while it still needs them,
or cuts them, has no such gradient; a second step from the same weights at a rate of 1 finds that
out, since it must give the same. Rules that keep optimiser state even so (Adam is part of them) and
weights that are no floating-point numbers (their difference is rounded to the weights' own grid)
are unavailable with that reason.

What a rule divides its rate by is part of its step and stays in g (``ff_int8`` divides by a layer's
inputs). Forward-Forward's two passes are taken as one, so that both have the same weights.

It can be asked at any moment of a training, and leaves that as it is: weights are copied, and what
building a rule draws from torch's own generator is put back. Schedules (a rate, the weight of later
losses) stand as in the pass just done. Of a rule with several stages, those are probed whose
training has begun: one that is trained, and those before it, as they were left. A later one is
still as it was drawn, and on layers that are not trained yet: no step of any training sees that
gradient. So the last moment has all of them, and the first one of a stage is that at which the
stage before it ends.
"""

from __future__ import annotations

from typing import Any

import torch

from trainfit.algorithms import Algorithm, Category, StaticTensor, get_algorithm
from trainfit.algorithms.errors import ConfigurationError
from trainfit.bench.probes.gradient_statistics import describe
from trainfit.bench.processes.child import is_exhausted
from trainfit.bench.records.schema import Evidence, LayerGradients, Workload
from trainfit.bench.training.train import build

PLAIN: dict[str, Any] = {
    "optimizer": "sgd",
    "momentum": 0.0,
    "nesterov": False,
    "weight_decay": 0.0,
    "head_weight_decay": 0.0,
    "decay": "constant",
    "passes": "joint",
}
"""Options of plain descent, set where a rule has them."""

RATE = 2.0**20
CHECK_RATE = 1.0

AGREEMENT = 1e-3
"""Gradients of both rates may differ by this share, and by the rounding of the weights."""

UNMOVED = "no step moves it: it is not trained, or its gradient is 0 everywhere"

_EPSILON = 2.0**-23


class NoGradientError(ValueError):
    """A rule's step is not one of plain descent; the message says why."""


def probe_gradients(
    workload: Workload,
    trained: Algorithm[Any],
    x_BI: torch.Tensor,
    y_B: torch.Tensor,
    *,
    passes: int | None = None,
) -> list[LayerGradients]:
    """The distribution of the gradient of every weight tensor that a step moves.

    Args:
        workload: What is trained.
        trained: The algorithm, as far as it is trained; left as it is, and so is torch's own
            generator.
        x_BI: Samples of the training half, shape (batch, features).
        y_B: Their classes.
        passes: Over the training data so far, of all stages together; None is all of them.
    """
    done = trained.passes(workload.epochs) if passes is None else passes
    with torch.random.fork_rng(devices=[]):  # whatever is built seeds it
        found = _probed(workload, trained, (x_BI, y_B), done)
    return [each.model_copy(update={"passes": done}) for each in found]


def _probed(
    workload: Workload,
    trained: Algorithm[Any],
    batch: tuple[torch.Tensor, torch.Tensor],
    passes: int,
) -> list[LayerGradients]:
    held = {each.name: each for each in trained.static_tensors()}
    matrices = [each for each in held.values() if _is_matrix(each)]
    shapes = {tuple(each.tensor.shape) for each in matrices if each.tensor.is_floating_point()}
    last = trained.stages[-1]
    begun = stages_begun(trained.stages, workload.epochs, passes)
    found: list[LayerGradients] = []
    try:
        for index, stage in enumerate(begun if shapes else ()):
            gradients = stage_gradients(workload, held, index, batch, passes)
            found += [describe(name, stage, g) for name, g in gradients.items()]
    except NoGradientError as error:
        return [_unavailable(each.name, last, str(error)) for each in matrices]
    moved = {each.tensor for each in found}
    for each in matrices:
        if each.tensor.is_floating_point():
            if each.name not in moved and begun == trained.stages:
                found.append(_unavailable(each.name, last, UNMOVED))
        elif tuple(each.tensor.shape) not in shapes:  # else the integers of float weights
            found.append(_unavailable(each.name, last, _integers(workload, each)))
    return found


def stages_begun(stages: tuple[str, ...], epochs: int, passes: int) -> tuple[str, ...]:
    """The stages whose training has begun, or begins with the next pass.

    Args:
        stages: All of them, in order.
        epochs: Passes of each; with 0 nothing is trained, and all of them are as they stay.
        passes: Done so far.
    """
    return stages[: passes // epochs + 1] if epochs else stages


def _is_matrix(held: StaticTensor) -> bool:
    return held.category is Category.PARAMETERS and held.tensor.dim() > 1


def _unavailable(name: str, stage: str, reason: str) -> LayerGradients:
    return LayerGradients(tensor=name, stage=stage, evidence=Evidence.UNAVAILABLE, reason=reason)


def _integers(workload: Workload, held: StaticTensor) -> str:
    kind = str(held.tensor.dtype).removeprefix("torch.")
    reason = f"{held.name} is {kind}: what a step adds to it is rounded to its own grid"
    if "master" in get_algorithm(workload.algorithm).options_type.model_fields:
        reason += f"; {workload.algorithm} with master=fp32 has a gradient"
    return reason


def stage_gradients(
    workload: Workload,
    held: dict[str, StaticTensor],
    index: int,
    batch: tuple[torch.Tensor, torch.Tensor],
    passes: int | None = None,
) -> dict[str, torch.Tensor]:
    """By name of the weight tensor, those that moved at stage ``index``.

    Args:
        workload: What is trained.
        held: What the algorithm holds, by name.
        index: Of the stage.
        batch: Samples and classes.
        passes: Done so far; None is all of the stage's.

    Raises:
        NoGradientError: The rule has none.
    """
    number = _pass_of(index, max(workload.epochs, 1), passes)
    gradients = _differences(workload, held, index, number, batch, rate=RATE)
    again = _differences(workload, held, index, number, batch, rate=CHECK_RATE)
    for name, g in gradients.items():
        if not torch.isfinite(g).all():
            raise NoGradientError(f"the step of {name} is not finite at a rate of {RATE:g}")
        rounding = _EPSILON / CHECK_RATE * float(held[name].tensor.detach().double().norm())
        apart = float((g - again[name]).norm()) if name in again else float("inf")
        if apart > AGREEMENT * float(g.norm()) + rounding:
            raise NoGradientError(
                f"the step of {name} does not grow with the learning rate as plain descent does:"
                " the rule moves weights that it still needs, or cuts them"
            )
    return gradients


def _pass_of(index: int, epochs: int, passes: int | None) -> int:
    """The pass (from 0) whose schedules hold for a stage: the last one that it has done."""
    first, last = index * epochs, (index + 1) * epochs - 1
    return last if passes is None else min(max(passes - 1, first), last)


def _differences(
    workload: Workload,
    held: dict[str, StaticTensor],
    index: int,
    number: int,
    batch: tuple[torch.Tensor, torch.Tensor],
    *,
    rate: float,
) -> dict[str, torch.Tensor]:
    """``(w_before - w_after) / rate`` for one step at ``rate`` in pass ``number``, float64."""
    rule = _plain(workload, rate)
    rule.enter_stage(index)
    rule.begin_epoch(number, max(workload.epochs, 1))
    own = {each.name: each for each in rule.static_tensors()}
    state = [name for name, each in own.items() if each.category is Category.OPTIMIZER_STATE]
    if state:
        raise NoGradientError(
            f"{workload.algorithm} has no plain descent: its step follows {', '.join(state)}"
        )
    before = {}
    with torch.no_grad():
        for name, each in own.items():
            if name in held and held[name].tensor.shape == each.tensor.shape:
                each.tensor.copy_(held[name].tensor)
            elif _is_matrix(each):
                raise NoGradientError(f"{name} is not among what is kept when training ends")
            if _is_matrix(each) and each.tensor.is_floating_point():
                before[name] = each.tensor.detach().double()
    x_BI, y_B = batch
    try:
        rule.step(rule.stage_data(x_BI), y_B)
    except Exception as error:  # a rule can raise anything, and its training goes on
        if is_exhausted(error):
            raise
        kind = type(error).__name__
        raise NoGradientError(f"a step at a rate of {rate:g} fails: {kind}: {error}") from error
    after = {each.name: each.tensor.detach().double() for each in rule.static_tensors()}
    return {
        name: (w - after[name]) / rate
        for name, w in before.items()
        if not torch.equal(w, after[name])
    }


def _plain(workload: Workload, rate: float) -> Algorithm[Any]:
    """The rule, freshly built, with plain descent at a rate."""
    fields = get_algorithm(workload.algorithm).options_type.model_fields
    rates = {name: rate for name in fields if name == "lr" or name.endswith("_lr")}
    if "lr" not in rates:
        raise NoGradientError(f"{workload.algorithm} has no learning rate to divide its step by")
    plain = {name: value for name, value in PLAIN.items() if name in fields}
    try:
        return build(_with(workload, plain | rates))
    except ConfigurationError:
        if "passes" not in plain:
            raise NoGradientError(
                f"{workload.algorithm} cannot be built with plain descent"
            ) from None
    del plain["passes"]  # one pass or two does not matter to the form that autograd differentiates
    try:
        return build(_with(workload, plain | rates))
    except ConfigurationError as error:
        raise NoGradientError(str(error)) from error


def _with(workload: Workload, options: dict[str, Any]) -> Workload:
    return workload.model_copy(update={"options": workload.options | options})
