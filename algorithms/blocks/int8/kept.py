"""Blocks that compute in float32 and keep little of it for the way back.

A rectifier keeps where it is shut, a byte per element. What keeps its input (squeeze-and-excitation
and SiLU) keeps it rounded to INT8 with one scale, and has it in float32 again when its gradient is
computed. Batch normalisation is in :mod:`.batch_norm`.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch

from trainfit.algorithms.blocks.block import Block, Held, Pass, Tape
from trainfit.algorithms.blocks.float32.activation import apply
from trainfit.algorithms.blocks.int8.arithmetic import Arithmetic
from trainfit.algorithms.blocks.learning import Learner
from trainfit.algorithms.models.layers import Nonlinearity
from trainfit.algorithms.phases import Category, phase, tag

_SIX = 6.0


class RectifierBlock(Block):
    """A rectifier, maybe one that stops at 6.

    Args:
        function: Which one.
        fresh: Whether its input is a tensor that nobody else reads.
    """

    def __init__(self, function: Nonlinearity, *, fresh: bool) -> None:
        self._function, self._fresh = function, fresh

    def forward(self, x: torch.Tensor, way: Pass) -> torch.Tensor:
        """Of the same shape."""
        y = apply(self._function, x, in_place=self._fresh)
        if way.tape is not None:
            way.keep(self._shut(y))
        return y

    def _shut(self, y: torch.Tensor) -> torch.Tensor:
        """Where the derivative is 0."""
        shut = torch.logical_not(y)
        if self._function is Nonlinearity.RELU6:
            shut.logical_or_(tag(y >= _SIX, Category.WORKSPACE, "where it stops"))
        return shut

    def backward(self, tape: Tape, learner: Learner, *, to_input: bool) -> None:
        """In place of the output's."""
        with phase("gradient"):
            dy = tape.pop()
            tape.append(dy.masked_fill_(tape.pop(), 0.0))


class InputInInt8Block(Block):
    """A block in float32, the first thing on whose tape is its input.

    Args:
        block: That block.
        things: How many it puts on its tape.
        arithmetic: How the input is rounded.
    """

    def __init__(self, block: Block, things: int, arithmetic: Arithmetic) -> None:
        self._block, self._things, self._arithmetic = block, things, arithmetic

    def held(self) -> Iterator[Held]:
        """Those of the block."""
        return self._block.held()

    def forward(self, x: torch.Tensor, way: Pass) -> torch.Tensor:
        """As the block does."""
        if way.tape is None:
            passed = [x]
            del x
            return self._block.forward(passed.pop(), way)
        own: Tape = []
        y = self._block.forward(x, Pass(own, way.statistics))
        way.keep(*self._arithmetic.activations(x, way), *own[1:])
        return y

    def backward(self, tape: Tape, learner: Learner, *, to_input: bool) -> None:
        """As the block does, with its input in float32 again."""
        at = -1 - self._things  # below the gradient of the output
        with phase("gradient"):
            scale, q = tape.pop(at), tape.pop(at)
            x = tag(q.to(torch.float32), Category.WORKSPACE, "input in float32").mul_(scale)
            del q
            tape.insert(len(tape) + at + 1, x)
            del x
        self._block.backward(tape, learner, to_input=to_input)
