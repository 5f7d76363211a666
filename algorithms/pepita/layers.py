"""What PEPITA sees of a net of units: layers with weights, and what is between them.

A layer is a convolution or dense layer with what directly follows it::

    h_l = f(d . (W_l * h_{l-1}) + b_l)

d and b_l are of batch normalisation, folded, or 1 and the layer's own bias, f is an activation, or
none. Pools, means and activations of sums have no weights and stand between layers; a residual
block is a sum of two ways, of which each is layers and what is between them.

Shape suffix: N batch.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from math import prod

import torch

from trainfit.algorithms.blocks.block import Block, Pass, Statistics, Tape
from trainfit.algorithms.blocks.float32.activation import ActivationBlock
from trainfit.algorithms.blocks.float32.batch_norm import BatchNormBlock
from trainfit.algorithms.blocks.float32.chain import ResidualBlock
from trainfit.algorithms.blocks.float32.convolution import ConvolutionBlock
from trainfit.algorithms.blocks.float32.dense import DenseBlock
from trainfit.algorithms.blocks.float32.squeeze_excite import SqueezeExciteBlock
from trainfit.algorithms.blocks.learning import Learner
from trainfit.algorithms.errors import ConfigurationError
from trainfit.algorithms.nets.units import Units

ONLY = Pass(None, Statistics.RUNNING)
"""A way with no way back; normalisation is folded."""


@dataclass(frozen=True)
class Weighted:
    """A layer.

    Attributes:
        block: Its convolution or dense layer.
        folded: Batch normalisation that directly follows it, if there is one.
        function: Activation that follows these, if there is one.
    """

    block: ConvolutionBlock | DenseBlock
    folded: BatchNormBlock | None = None
    function: ActivationBlock | None = None

    def forward(self, h: torch.Tensor) -> torch.Tensor:
        """Its output, a tensor that nobody else reads; with the last reference to ``h`` it dies."""
        passed = [h]
        del h
        for block in (self.block, self.folded, self.function):
            if block is not None:
                passed.append(block.forward(passed.pop(), ONLY))
        return passed.pop()

    def learn(self, given: torch.Tensor, error: torch.Tensor, learner: Learner) -> None:
        """Update weight and bias: ``dW = error given^T`` over all positions, ``db = sum error``.

        Args:
            given: Its input.
            error: Of the shape of its output.
            learner: Applies the updates.
        """
        if self.folded is not None:
            self.folded.backward([error], learner, to_input=False)
        tape: Tape = [given.shape, given, error]
        del given, error
        self.block.backward(tape, learner, to_input=False)

    def trained(self) -> Iterator[tuple[str, torch.Tensor]]:
        """Names and tensors of weight and bias, which is the shift where there is one."""
        biased: Block = self.folded or self.block
        for each in self.block.held():
            if each.name.endswith(".weight"):
                yield each.name, each.tensor
        for each in biased.held():
            if each.name.endswith((".bias", ".shift")):
                yield each.name, each.tensor


@dataclass(frozen=True)
class Sum:
    """A residual block: both ways."""

    body: tuple[Part, ...]
    past: tuple[Part, ...]


Part = Weighted | Sum | Block
"""A block stands for what has no weights."""


def parts_of(units: Units, model: str, rule: str) -> tuple[Part, ...]:
    """All of a net, in order; the last one is the classifier.

    Args:
        units: The net.
        model: Its name, for messages.
        rule: Whose equations these are, for messages.

    Raises:
        ConfigurationError: A part for which PEPITA has no equation, or no layer before a dense
            classifier; the message says what would do.
    """
    try:
        found = _parts([block for chain in units.chains for block in chain.blocks])
    except ConfigurationError as error:
        raise ConfigurationError(f"{rule} does not train {model!r}: {error}") from None
    last = found[-1]
    if not isinstance(last, Weighted) or not isinstance(last.block, DenseBlock):
        raise ConfigurationError(
            f"{rule} does not train {model!r}: its error is that of a dense layer at the end of the"
            " net; use for instance cnn-3x32x32-c16b-p-10"
        )
    if weighted(found) == (last,):
        raise ConfigurationError(
            f"{rule} trains hidden layers, {model!r} has none; use for instance"
            " cnn-3x32x32-c16b-p-10"
        )
    return found


def weighted(parts: Sequence[Part]) -> tuple[Weighted, ...]:
    """All layers, in the order in which a pass goes through them."""
    found: list[Weighted] = []
    for part in parts:
        if isinstance(part, Weighted):
            found.append(part)
        elif isinstance(part, Sum):
            found += [*weighted(part.body), *weighted(part.past)]
    return tuple(found)


def positions(h: torch.Tensor) -> int:
    """Of a map; 1 of a vector."""
    return prod(h.shape[2:])


def keeping(parts: Sequence[Part], h: torch.Tensor, kept: list[torch.Tensor]) -> torch.Tensor:
    """Go through some parts, and put the outputs of layers aside, which stay as they are.

    Args:
        parts: In order.
        h: The input of the first.
        kept: Gets the outputs of all layers.

    Returns:
        The output of the last.
    """
    for part in parts:
        if isinstance(part, Weighted):
            h = part.forward(h)
            kept.append(h)
        elif isinstance(part, Sum):
            through = keeping(part.body, h, kept)
            h = through + keeping(part.past, h, kept)
        else:
            h = part.forward(h, ONLY)
    return h


def _parts(blocks: Sequence[Block]) -> tuple[Part, ...]:
    found: list[Part] = []
    for block in blocks:
        below = found[-1] if found else None
        match block:
            case ConvolutionBlock() | DenseBlock():
                found.append(Weighted(block))
            case BatchNormBlock():
                if not isinstance(below, Weighted) or below.function or below.folded:
                    raise ConfigurationError(
                        "its batch normalisation is folded into the layer before, and one here does"
                        " not directly follow a convolution or dense layer; use a net in which all"
                        " do, for instance resnet8, or one without, such as cnn-3x32x32-c16b-p-10"
                    )
                found[-1] = replace(below, folded=block)
            case ActivationBlock() if isinstance(below, Weighted) and not below.function:
                found[-1] = replace(below, function=block)
            case ResidualBlock():
                past = () if block.past is None else _parts(block.past.blocks)
                found.append(Sum(_parts(block.body.blocks), past))
            case SqueezeExciteBlock():
                raise ConfigurationError(
                    "it has equations for layers one after the other and sums of them, and"
                    " squeeze-and-excitation multiplies what two ways give; use a net without, for"
                    " instance resnet8, ds_cnn, mobilenet_v1_025 or mobilenet_v2"
                )
            case _:
                found.append(block)
    return tuple(found)
