"""A net of one's own, measured or predicted in a process of its own."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable
from dataclasses import asdict
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any

import torch

from trainfit._text import nearest
from trainfit.bench.errors import BenchError
from trainfit.bench.processes.child import Ending, Message, Outcome, Send
from trainfit.bench.sizing.measuring import MEASURE_SECONDS
from trainfit.bench.sizing.own_net.question import InputType, OwnNet, OwnNetError
from trainfit.bench.sizing.own_net.training import Forward, in_segments, training_step
from trainfit.bench.sizing.own_step import (
    UNPREDICTED,
    UNSEEN,
    OwnStep,
    in_process,
    measured_step,
    predicted_step,
)

EXPLAINED = (
    "it has to be a function without arguments that returns a torch.nn.Module, such as"
    " train:make_net, for make_net of train.py in the current folder"
)

ANOTHER_WAY = "a step of your own can be asked about with --step"


class BatchOfOneError(OwnNetError):
    """The net has batch normalisation, which needs more than one value per channel."""


class TooSlowError(OwnNetError):
    """It takes too long on this machine."""


class UnpredictableError(OwnNetError):
    """The bytes of the step do not follow from its code alone."""


def predict_own_net(net: OwnNet, folder: Path, batch_size: int, *, plan: bool = False) -> OwnStep:
    """What a training step of the net needs, from its code: nothing is computed or allocated.

    Args:
        net: The net and how it is trained.
        folder: Searched for the module before everything else.
        batch_size: Samples per step.
        plan: Plan an arena for it, too, which takes up to some seconds.

    Raises:
        UnpredictableError: Its bytes do not follow from its code alone.
        BatchOfOneError: It cannot be trained with one sample.
        TooSlowError: That takes minutes.
        OwnNetError: There is no such net, or it cannot be trained so.
    """
    return _found(net, folder, batch_size, measured=False, plan=plan)


def measure_own_net(net: OwnNet, folder: Path, batch_size: int) -> OwnStep:
    """Make the net and measure a training step, in a process of its own.

    Args:
        net: The net and how it is trained.
        folder: Searched for the module before everything else.
        batch_size: Samples per step.

    Raises:
        BatchOfOneError: It cannot be trained with one sample.
        TooSlowError: Measuring takes minutes here.
        OwnNetError: There is no such net, or it cannot be trained so, or the step is not seen.
    """
    return _found(net, folder, batch_size, measured=True)


def _found(
    net: OwnNet, folder: Path, batch_size: int, *, measured: bool, plan: bool = False
) -> OwnStep:
    module, colon, name = net.target.partition(":")
    if not (module and colon and name):
        raise OwnNetError(f"--model {net.target}: write module:function; {EXPLAINED}")
    if module.endswith(".py") or "/" in module:
        raise OwnNetError(
            f"--model {net.target}: {module} is a file; write the name of the module,"
            f" {Path(module).stem}:{name}, in the folder of the file"
        )
    job = {
        "net": asdict(net),
        "folder": str(folder),
        "rows": batch_size,
        "measured": measured,
        "plan": plan,
    }
    refusal = partial(_refusal, f"--model {net.target}")
    return in_process(f"{__name__}:run", job, refusal, timeout_seconds=MEASURE_SECONDS)


def _refusal(about: str, outcome: Outcome, doing: str) -> BenchError:
    own = {each.__name__: each for each in (OwnNetError, BatchOfOneError)}
    if outcome.type in own:
        return own[outcome.type](f"{about}: {outcome.message}")
    if outcome.type in UNPREDICTED:
        return UnpredictableError(f"{about}: the step cannot be predicted: {outcome.message}")
    if outcome.type in UNSEEN:
        return OwnNetError(f"{about}: the step cannot be measured: {outcome.message}")
    if outcome.ending is Ending.TIMED_OUT:
        return TooSlowError(f"{about}: {doing} takes more than {MEASURE_SECONDS:g} s here")
    where = f" ({outcome.where})" if outcome.where else ""
    verb = "raised" if outcome.ending is Ending.RAISED else "ended badly:"
    return OwnNetError(f"{about}: {doing} {verb} {outcome.type}: {outcome.message}{where}")


# ---- in the process of its own -------------------------------------------------------------------


def run(job: Message, send: Send) -> None:
    """Import and make the net, and measure or predict a step; runs in the process of its own.

    Args:
        job: ``net``, ``folder``, number of ``rows``, whether the step is ``measured``, and whether
            an arena is to be planned (``plan``).
        send: Gets ``{"doing": ...}`` before every part and ``{"step": ...}`` in the end.

    Raises:
        OwnNetError: There is no such function, or it makes no net that can be trained so.
    """
    given = job["net"]
    net = OwnNet(
        **given
        | {
            "input_shape": tuple(given["input_shape"]),
            "input_type": InputType(given["input_type"]),
        }
    )
    sys.path.insert(0, job["folder"])  # a module that is named on the command line lies there
    send({"doing": "importing the module"})
    function = _function(net.target)
    send({"doing": f"{net.target.partition(':')[2]}()"})
    make = partial(made_step, net, function, job["rows"])
    if job["measured"]:
        step = make()
        send({"doing": "the step"})
        send({"step": measured_step(net.target, step)})
    else:
        send({"step": predicted_step(net.target, make, plan=job["plan"])})


def _function(target: str) -> Callable[[], Any]:
    module_name, _, name = target.partition(":")
    try:
        module = import_module(module_name)
    except ModuleNotFoundError as error:
        if error.name is None or not f"{module_name}.".startswith(f"{error.name}."):
            raise
        raise OwnNetError(
            f"there is no module {error.name!r} in the current folder or among what is installed;"
            f" {EXPLAINED}"
        ) from error
    if not hasattr(module, name):
        own = [each for each, value in vars(module).items() if callable(value)]
        near = nearest(name, [each for each in own if not each.startswith("_")])
        raise OwnNetError(f"module {module_name!r} has no {name!r}; {near}")
    found = getattr(module, name)
    if isinstance(found, torch.nn.Module) or not callable(found):
        raise OwnNetError(f"{name} is of type {type(found).__name__}; {EXPLAINED}")
    try:
        inspect.signature(found).bind()
    except TypeError as error:
        raise OwnNetError(
            f"{name} cannot be called without arguments: {error}; {EXPLAINED}"
        ) from None
    except ValueError:
        pass  # written in C: calling it will tell
    return found  # type: ignore[no-any-return]


def made_step(net: OwnNet, function: Callable[[], Any], rows: int) -> Callable[[], None]:
    """Make the net and a batch, and return the step; its first call says what is wrong.

    Args:
        net: What is asked.
        function: Makes the net.
        rows: Samples in a batch.

    Raises:
        BatchOfOneError: It cannot be trained with one sample.
        OwnNetError: It is no net, or it cannot be trained so.
    """
    module = function()
    if not isinstance(module, torch.nn.Module):
        what = "None" if module is None else f"a {type(module).__name__}"
        name = net.target.partition(":")[2]
        raise OwnNetError(f"{name}() returned {what} and no torch.nn.Module")
    if not any(each.requires_grad for each in module.parameters()):
        raise OwnNetError(
            f"no parameter of the {type(module).__name__} requires a gradient, so there is nothing"
            " to train"
        )
    module.train()
    kind = getattr(torch, net.input_type)
    x = torch.rand(rows, *net.input_shape) if kind.is_floating_point else _tokens(net, rows)
    y, options = torch.zeros(rows, dtype=torch.int64), net.chosen
    try:
        forward = in_segments(module, options.checkpoint) if options.checkpoint else module
    except ValueError as error:
        raise OwnNetError(str(error)) from error
    return training_step(module, _tried(net, module, forward), x, y, options)


def _tokens(net: OwnNet, rows: int) -> torch.Tensor:
    """Zeros, which every vocabulary has."""
    return torch.zeros(rows, *net.input_shape, dtype=torch.int64)


def _tried(net: OwnNet, module: torch.nn.Module, forward: Forward) -> Forward:
    """A forward pass whose first call explains what is wrong with it."""
    good = False

    def explained(x: torch.Tensor) -> torch.Tensor:
        nonlocal good
        if good:
            return forward(x)
        try:
            scores = forward(x)
        except BenchError:  # of the tracer
            raise
        except Exception as error:
            raise _explained(net, module, x, error) from error
        _check_scores(net, module, x, scores)
        good = True
        return scores

    return explained


def _explained(
    net: OwnNet, module: torch.nn.Module, x: torch.Tensor, error: Exception
) -> OwnNetError:
    """What a net raised, and the shape that was tried."""
    said = " ".join(f"{type(error).__name__}: {error}".split())
    if len(x) == 1 and "more than 1 value per channel" in said:
        return BatchOfOneError(
            "batch normalisation has a single value per channel in a batch of one sample; use"
            f" --batch-size 2 or more ({said})"
        )
    hint = "" if net.input_type is InputType.INT64 else "; of tokens, --input-dtype int64"
    return OwnNetError(
        f"the {type(module).__name__} raised {said} on {net.input_type} {_sizes(x)}; --input-shape"
        f" is the shape of one sample{hint}; {ANOTHER_WAY}"
    )


def _sizes(x: torch.Tensor) -> str:
    return "x".join(map(str, x.shape))


def _check_scores(
    net: OwnNet, module: torch.nn.Module, x: torch.Tensor, scores: torch.Tensor
) -> None:
    """A net gives a score per sample and class.

    Raises:
        OwnNetError: It gives something else.
    """
    if not isinstance(scores, torch.Tensor) or scores.dim() != 2 or len(scores) != len(x):
        gave = type(scores).__name__
        if isinstance(scores, torch.Tensor):
            gave = f"shape {_sizes(scores)}"
        raise OwnNetError(
            f"the {type(module).__name__} gave {gave} for {_sizes(x)}, and not a score per sample"
            f" and class, of which the loss is taken; {ANOTHER_WAY}"
        )
    if net.classes is not None and scores.shape[1] != net.classes:
        raise OwnNetError(
            f"the {type(module).__name__} gives {scores.shape[1]:,} scores per sample, --classes is"
            f" {net.classes:,}"
        )
