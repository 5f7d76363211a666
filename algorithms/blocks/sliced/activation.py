"""Activations, binary or float, of which some channels' gradient passes.

The binary one takes the place of any other, ``h = s 1[u > 0]`` with ``s = mean(max(u, 0))`` over
the batch: what TinyFoA's released code makes of a rectifier behind a normalisation. Its gradient is
straight-through, ``du = dh 1[0 < u < 1]``. A bit per element is kept, of a float rectifier, too.
"""

from __future__ import annotations

import math

import torch

from trainfit.algorithms.blocks.block import NOTHING, Block, Flow, Pass, Tape, Turn
from trainfit.algorithms.blocks.float32.activation import apply
from trainfit.algorithms.blocks.learning import Learner
from trainfit.algorithms.blocks.sliced.layer import samples_at_a_time
from trainfit.algorithms.models.layers import Nonlinearity
from trainfit.algorithms.models.model import Shape
from trainfit.algorithms.numerics.binary.activations import mask_
from trainfit.algorithms.numerics.binary.packing import pack_between, packed_width
from trainfit.algorithms.phases import phase

_TOPS = {Nonlinearity.RELU: math.inf, Nonlinearity.RELU6: 6.0}
"""Outputs between 0 and this one follow the input."""


class SlicedActivation(Block):
    """A rectifier or the binary activation.

    Args:
        shape: Of a sample.
        function: The rectifier; None for the binary activation.
        fresh: Whether its input is a tensor that nobody else reads.
    """

    def __init__(self, shape: Shape, function: Nonlinearity | None, *, fresh: bool) -> None:
        self._positions, self._function, self._fresh = shape[1] * shape[2], function, fresh
        self._top = 1.0 if function is None else _TOPS[function]
        self._wanted = NOTHING

    def enter_turn(self, turn: Turn | None, flow: Flow) -> Flow:
        """What is wanted stays so."""
        self._wanted = flow.wanted
        return Flow(flow.wanted, two_valued=self._function is None)

    def forward(self, x: torch.Tensor, way: Pass) -> torch.Tensor:
        """Of the same shape, in place of the input if nobody else reads that."""
        if way.tape is not None:
            way.keep(self._inside(x))
        if self._function is not None:
            return apply(self._function, x, in_place=self._fresh)
        y = torch.relu_(x) if self._fresh else torch.relu(x)
        del x
        scale = y.mean()
        return y.sign_().mul_(scale)

    def _inside(self, x: torch.Tensor) -> torch.Tensor:
        """Packed bits of where the gradient passes, of the wanted channels."""
        start, stop = (self._positions * each for each in (self._wanted.start, self._wanted.stop))
        flat = x.flatten(1)[:, start:stop]
        bits_Nb = torch.empty(len(flat), packed_width(stop - start), dtype=torch.uint8)
        pack_between(flat, self._top, bits_Nb, samples_at_a_time(len(flat), stop - start))
        return bits_Nb

    def backward(self, tape: Tape, learner: Learner, *, to_input: bool) -> None:
        """In place of the output's."""
        with phase("gradient"):
            dy, bits_Nb = tape.pop(), tape.pop()
            mask_(dy.view(len(dy), -1), bits_Nb)
            tape.append(dy)
