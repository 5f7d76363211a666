"""Blocks one after the other, and the sum of two ways; and how both are made of layers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Protocol

import torch

from trainfit.algorithms.blocks.block import (
    NOTHING,
    Block,
    Chosen,
    Flow,
    Held,
    Pass,
    Tape,
    Turn,
    channels_of,
)
from trainfit.algorithms.blocks.float32.activation import ActivationBlock
from trainfit.algorithms.blocks.float32.batch_norm import BatchNormBlock
from trainfit.algorithms.blocks.float32.convolution import ConvolutionBlock
from trainfit.algorithms.blocks.float32.dense import DenseBlock
from trainfit.algorithms.blocks.float32.pool import GlobalAverageBlock, PoolBlock
from trainfit.algorithms.blocks.float32.squeeze_excite import SqueezeExciteBlock
from trainfit.algorithms.blocks.learning import Learner
from trainfit.algorithms.errors import ConfigurationError
from trainfit.algorithms.models.layers import (
    Activation,
    BatchNorm,
    Convolution,
    Dense,
    GlobalAverage,
    Layer,
    Pool,
    Residual,
    SqueezeExcite,
    with_shapes,
)
from trainfit.algorithms.models.model import Shape
from trainfit.algorithms.phases import phase


class Maker(Protocol):
    """Makes the block that computes a layer in some number format."""

    def __call__(
        self,
        layer: Layer,
        shape: Shape,
        name: str,
        generator: torch.Generator,
        *,
        fresh: bool,
        last: bool,
    ) -> Block:
        """The block of a layer.

        Args:
            layer: The layer.
            shape: Of its input.
            name: The start of the names of its tensors.
            generator: Draws weights.
            fresh: Whether its input is a tensor that nobody else reads.
            last: Whether it is the last of its chain, the gradient of whose output others may read.

        Raises:
            ConfigurationError: There is none for it.
        """


class Chain(Block):
    """Blocks one after the other.

    Args:
        layers: What they are made of.
        shape: Of the input of the first.
        name: The start of the names of their tensors.
        generator: Draws weights.
        make: Makes a block; by default in float32.

    Attributes:
        blocks: In order.
    """

    def __init__(
        self,
        layers: tuple[Layer, ...],
        shape: Shape,
        name: str,
        generator: torch.Generator,
        make: Maker | None = None,
    ) -> None:
        make = make or in_float32
        self.blocks: list[Block] = []
        self._first = 0  # of those that the way back goes through
        count: Counter[str] = Counter()
        fresh = False  # whether what the next one is given is a tensor that nobody else reads
        for place, (layer, given) in enumerate(with_shapes(layers, shape), start=1):
            count[layer.label] += 1
            label = f"{name}.{layer.label}{count[layer.label]}" if layer.label else name
            last = place == len(layers)
            self.blocks.append(make(layer, given, label, generator, fresh=fresh, last=last))
            fresh = not isinstance(layer, Activation)

    def held(self) -> Iterator[Held]:
        """Those of all blocks."""
        for block in self.blocks:
            yield from block.held()

    @property
    def keeps_input(self) -> bool:
        """If its first block does, and the way back goes so far."""
        return self._first == 0 and self.blocks[0].keeps_input

    def train_only(self, chosen: Chosen, *, to_input: bool, kept: bool) -> None:
        """The way back ends at the lowest block with a trained parameter, or goes on below."""
        trained = [place for place, block in enumerate(self.blocks) if block.has_any(chosen)]
        self._first = 0 if to_input else min(trained, default=len(self.blocks))
        for place in reversed(range(len(self.blocks))):
            block, goes_on = self.blocks[place], to_input or place > self._first
            block.train_only(chosen, to_input=goes_on, kept=kept)
            kept = block.keeps_input

    def enter_turn(self, turn: Turn | None, flow: Flow) -> Flow:
        """The way back ends at the lowest block that is trained, or goes on below."""
        self._first = 0
        for place, block in enumerate(self.blocks):
            if flow.wanted == NOTHING:
                self._first = place
            flow = block.enter_turn(turn, flow)
        if flow.wanted == NOTHING:
            self._first = len(self.blocks)
        return flow

    def settle(self) -> None:
        """All blocks."""
        for block in self.blocks:
            block.settle()

    def in_turn(self) -> Iterator[tuple[str, torch.Tensor]]:
        """Those of all blocks."""
        for block in self.blocks:
            yield from block.in_turn()

    def forward(self, x: torch.Tensor, way: Pass) -> torch.Tensor:
        """Through all of them; with the last reference to ``x``, it is freed when it can be."""
        passed, below = [x], Pass(None, way.statistics)
        del x
        for place, block in enumerate(self.blocks):
            passed.append(block.forward(passed.pop(), way if place >= self._first else below))
        return passed.pop()

    def backward(self, tape: Tape, learner: Learner, *, to_input: bool) -> None:
        """From the last one back, to the first that something is trained in or below."""
        if self._first == len(self.blocks):
            tape.pop()  # which nobody needs
        for place in reversed(range(self._first, len(self.blocks))):
            self.blocks[place].backward(tape, learner, to_input=to_input or place > self._first)


class ResidualBlock(Block):
    """``y = body(x) + shortcut(x)``, the sum in place of the body's output.

    Args:
        layer: Both ways.
        shape: Of the input.
        name: The start of the names of its tensors.
        generator: Draws weights.
        make: Makes the blocks of both ways; by default in float32.

    Attributes:
        body: The one way.
        past: The shortcut; None where the input itself is added.
    """

    def __init__(
        self,
        layer: Residual,
        shape: Shape,
        name: str,
        generator: torch.Generator,
        make: Maker | None = None,
    ) -> None:
        for way in (layer.body, layer.shortcut):
            if way and isinstance(way[-1], Activation | SqueezeExcite):
                raise ConfigurationError(
                    f"{name}: neither way of a residual block may end with"
                    f" {type(way[-1]).__name__}, which would overwrite the gradient of both"
                )
        self.body = Chain(layer.body, shape, name, generator, make)
        past = Chain(layer.shortcut, shape, f"{name}.shortcut", generator, make)
        self.past = past if layer.shortcut else None
        every = slice(0, layer.shape_after(shape)[0])  # if all is trained
        self._wanted, self._of_body, self._of_past, self._of_sum = (every,) * 4

    def held(self) -> Iterator[Held]:
        """Those of both ways."""
        yield from self.body.held()
        if self.past is not None:
            yield from self.past.held()

    @property
    def keeps_input(self) -> bool:
        """If one of both ways does."""
        return self.body.keeps_input or (self.past is not None and self.past.keeps_input)

    def train_only(self, chosen: Chosen, *, to_input: bool, kept: bool) -> None:
        """Either way may end before the other; only their sum is kept, if anything."""
        self.body.train_only(chosen, to_input=to_input, kept=False)
        if self.past is not None:
            self.past.train_only(chosen, to_input=to_input, kept=False)

    def enter_turn(self, turn: Turn | None, flow: Flow) -> Flow:
        """Of the sum, every channel is wanted that one of both ways wants."""
        body = self.body.enter_turn(turn, flow)
        past = flow if self.past is None else self.past.enter_turn(turn, flow)
        self._wanted, self._of_body, self._of_past = flow.wanted, body.wanted, past.wanted
        ways = [each for each in (body.wanted, past.wanted) if each != NOTHING]
        self._of_sum = NOTHING
        if ways:
            self._of_sum = slice(min(w.start for w in ways), max(w.stop for w in ways))
        return Flow(self._of_sum)

    def settle(self) -> None:
        """Both ways."""
        self.body.settle()
        if self.past is not None:
            self.past.settle()

    def in_turn(self) -> Iterator[tuple[str, torch.Tensor]]:
        """Those of both ways."""
        yield from self.body.in_turn()
        if self.past is not None:
            yield from self.past.in_turn()

    def forward(self, x: torch.Tensor, way: Pass) -> torch.Tensor:
        """Of the shape of both ways' outputs."""
        y = self.body.forward(x, way)
        return y.add_(x if self.past is None else self.past.forward(x, way))

    def backward(self, tape: Tape, learner: Learner, *, to_input: bool) -> None:
        """The sum of both ways' gradients; the last blocks of both leave that of y as it is."""
        dy = past = tape.pop()
        if self.past is not None:
            with phase("gradient"):
                tape.append(channels_of(dy, self._of_sum, self._of_past))
            self.past.backward(tape, learner, to_input=to_input)
            past = tape.pop() if to_input else None
        with phase("gradient"):
            tape.append(channels_of(dy, self._of_sum, self._of_body))
        del dy
        self.body.backward(tape, learner, to_input=to_input)
        if to_input:
            with phase("gradient"):
                if self.past is None:
                    past = channels_of(past, self._of_sum, self._wanted)
                tape[-1].add_(past)


def in_float32(
    layer: Layer,
    shape: Shape,
    name: str,
    generator: torch.Generator,
    *,
    fresh: bool,
    last: bool,
) -> Block:
    """The block that computes a layer.

    Raises:
        ConfigurationError: There is none for it.
    """
    del last  # its gradient is overwritten by those only that may not be the last
    found: Block | None = None
    match layer:
        case Convolution():
            found = ConvolutionBlock(layer, shape, name, generator)
        case Dense():
            found = DenseBlock(layer, shape, name, generator)
        case BatchNorm():
            found = BatchNormBlock(layer, shape, name)
        case Activation():
            found = ActivationBlock(layer, fresh=fresh)
        case Pool():
            found = PoolBlock(layer)
        case GlobalAverage():
            found = GlobalAverageBlock()
        case SqueezeExcite():
            found = SqueezeExciteBlock(layer, shape, name, generator)
        case Residual():
            found = ResidualBlock(layer, shape, name, generator)
    if found is None:
        raise ConfigurationError(f"{name}: no block computes {type(layer).__name__} in float32")
    return found
