"""What is asked about a net of one's own, and which forms of backpropagation it can have."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from trainfit._limits import LARGEST_INTEGER
from trainfit._text import plain, shown
from trainfit.algorithms import get_algorithm
from trainfit.algorithms.backprop.options import BackpropOptions, SliceRule, Update
from trainfit.algorithms.contract import parse_options as checked
from trainfit.algorithms.options import Precision
from trainfit.bench.errors import BenchError
from trainfit.bench.suite.workload_text import parse_options, parse_workload

RULE = "backprop"
_SHAPE = re.compile(r"[1-9][0-9]{0,9}(x[1-9][0-9]{0,9})*")


class OwnNetError(BenchError):
    """The net cannot be found, made, trained, measured or predicted; the message says why."""


class InputType(StrEnum):
    """Type of a sample's numbers."""

    FLOAT32 = "float32"
    INT64 = "int64"


@dataclass(frozen=True)
class OwnNet:
    """A net of one's own and how it is trained.

    Attributes:
        target: ``module:function``; the function makes the net.
        input_shape: Of one sample.
        input_type: Of its numbers.
        classes: How many scores the net has to give; None for as many as it does.
        options: Those of ``backprop`` that were chosen.
    """

    target: str
    input_shape: tuple[int, ...]
    input_type: InputType = InputType.FLOAT32
    classes: int | None = None
    options: dict[str, Any] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """What a person calls it: ``backprop[update=fused] train:make_net``."""
        options = ",".join(f"{name}={plain(value)}" for name, value in self.options.items())
        return f"{RULE}{f'[{options}]' if options else ''} {self.target}"

    @property
    def chosen(self) -> BackpropOptions:
        """The options, with defaults for the rest.

        Raises:
            ConfigurationError: There is no such option, or it cannot have that value.
        """
        found = checked(get_algorithm(RULE), self.options)
        assert isinstance(found, BackpropOptions)
        return found


def asked_about(
    target: str,
    *,
    algorithms: Sequence[str],
    options: Sequence[str],
    input_shape: str | None,
    input_type: str | None,
    classes: int | None,
) -> OwnNet:
    """The question that a command line asks.

    Args:
        target: ``module:function``.
        algorithms: Texts of algorithms; none for backpropagation.
        options: Texts of options.
        input_shape: Such as ``3x32x32``.
        input_type: ``float32`` or ``int64``.
        classes: As of :class:`OwnNet`.

    Raises:
        OwnNetError: A part is missing or wrong, or is not for nets of one's own.
        ConfigurationError: There is no such option, or it cannot have that value.
    """
    about = f"--model {target}"
    if input_shape is None:
        raise OwnNetError(
            f"{about}: a net of your own needs --input-shape, the shape of one sample, such as"
            " 3x32x32"
        )
    if len(algorithms) > 1:
        raise OwnNetError(f"{about}: --algorithm is given twice; ask about one at a time")
    given = parse_workload(
        algorithms[0] if algorithms else RULE, model=target, dataset="none", batch_size=1
    )
    if given.algorithm != RULE:
        raise OwnNetError(
            f"{about}: --algorithm {given.algorithm} trains nets of its own families; any"
            f" torch.nn.Module is trained by {RULE}, and any other way by --step"
        )
    beside = parse_options(options, algorithm=RULE)
    twice = sorted(beside.keys() & given.options.keys())
    if twice:
        raise OwnNetError(f"--option {twice[0]}: {algorithms[0]!r} has it already; leave one out")
    net = OwnNet(
        target,
        _shape(input_shape),
        _type(input_type),
        classes,
        given.options | beside,
    )
    _refuse_closed_forms(about, net.chosen)
    return net


def _shape(text: str) -> tuple[int, ...]:
    numbers = tuple(map(int, text.split("x"))) if _SHAPE.fullmatch(text) else ()
    if not numbers or math.prod(numbers) > LARGEST_INTEGER:
        raise OwnNetError(
            f"--input-shape {shown(text, quoted=False)}: write the sizes of one sample, such as"
            " 3x32x32 or 784; the batch is --batch-size"
        )
    return numbers


def _type(text: str | None) -> InputType:
    try:
        return InputType.FLOAT32 if text is None else InputType(text)
    except ValueError:
        raise OwnNetError(
            f"--input-dtype {shown(text, quoted=False)}: write {' or '.join(InputType)}; a step"
            " with other inputs is asked about with --step"
        ) from None


def _refuse_closed_forms(about: str, options: BackpropOptions) -> None:
    """What is written for fully connected nets of rectifiers is of no use for other nets.

    Raises:
        OwnNetError: It was chosen.
    """
    for name, chosen, plainly in (
        ("weights", options.weights, Precision.FLOAT),
        ("activations", options.activations, Precision.FLOAT),
        ("slices", options.slices, 1),
        ("slice_rule", options.slice_rule, SliceRule.DESCRIBED),
    ):
        if chosen != plainly:
            raise OwnNetError(
                f"{about}: option {name}={chosen} is for fully connected nets (mlp-...); a net of"
                " your own is trained by autograd"
            )
    if options.update is Update.PRODUCT:
        raise OwnNetError(
            f"{about}: option update=product is for fully connected nets (mlp-...); update=fused"
            " frees each gradient as soon as it is applied"
        )
    if options.update is Update.FUSED and options.micro_batch:
        raise OwnNetError(
            f"{about}: update=fused frees each gradient at once, micro_batch keeps them until the"
            " last rows; choose one"
        )
