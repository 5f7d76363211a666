"""Batch normalisation of which the gains and shifts of some channels are trained in a turn.

All channels take the statistics of the batch where a unit is trained, and the running ones follow;
below, where no gradient is needed, they are as the pass has it. The map is normalised in its place,
``n = (x - mean) / deviation``, and for the way back n is kept of the wanted channels alone. There
``dx = gain / deviation (dy - mean(dy) - n mean(n dy))`` takes its place.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch

from trainfit.algorithms.blocks.block import (
    NOTHING,
    Block,
    Flow,
    Held,
    Pass,
    Statistics,
    Tape,
    Turn,
    channels_of,
)
from trainfit.algorithms.blocks.learning import Learner
from trainfit.algorithms.blocks.sliced.layer import samples_at_a_time
from trainfit.algorithms.models.layers import BatchNorm
from trainfit.algorithms.models.model import Shape
from trainfit.algorithms.numerics.sums import channel_squares
from trainfit.algorithms.phases import Category, phase, tag
from trainfit.algorithms.tiling import in_tiles


class SlicedBatchNorm(Block):
    """``y = gain n + shift`` per channel.

    Args:
        layer: Its constants.
        shape: Of its input.
        name: The start of the names of its tensors.
        fresh: Whether its input is a tensor that nobody else reads.
        clips: Whether trained gains and shifts are clipped to [-1, 1], as binary weights are.
    """

    def __init__(
        self, layer: BatchNorm, shape: Shape, name: str, *, fresh: bool, clips: bool
    ) -> None:
        self._name, self._layer, self._fresh, self._clips = name, layer, fresh, clips
        self._gain_C, self._shift_C = torch.ones(shape[0]), torch.zeros(shape[0])
        self._mean_C, self._variance_C = torch.zeros(shape[0]), torch.ones(shape[0])
        self._every = slice(0, shape[0])
        self._rows = self._wanted = NOTHING

    def held(self) -> Iterator[Held]:
        """Gain and shift, and the running statistics."""
        yield Held(f"{self._name}.gain", self._gain_C, Category.PARAMETERS)
        yield Held(f"{self._name}.shift", self._shift_C, Category.PARAMETERS)
        yield Held(f"{self._name}.mean", self._mean_C, Category.BUFFERS)
        yield Held(f"{self._name}.variance", self._variance_C, Category.BUFFERS)

    def enter_turn(self, turn: Turn | None, flow: Flow) -> Flow:
        """Its own channels are among those that are wanted."""
        self._rows = NOTHING if turn is None else turn.rows(self._every.stop)
        self._wanted = self._rows if flow.wanted == NOTHING else flow.wanted
        return Flow(self._wanted)

    def in_turn(self) -> Iterator[tuple[str, torch.Tensor]]:
        """Gains and shifts of the turn's channels."""
        yield f"{self._name}.gain", self._gain_C[self._rows]
        yield f"{self._name}.shift", self._shift_C[self._rows]

    def forward(self, x: torch.Tensor, way: Pass) -> torch.Tensor:
        """Of the same shape, in place of the input if nobody else reads that."""
        n = x if self._fresh else x.clone()
        del x
        if way.statistics is Statistics.RUNNING:
            n.sub_(_over(self._mean_C, n))
            scale_C = (self._variance_C + self._layer.epsilon).rsqrt_()
            return n.mul_(_over(scale_C.mul_(self._gain_C), n)).add_(_over(self._shift_C, n))
        scale_C = self._normalise_(n, way.statistics)
        if way.tape is None or self._wanted != self._every:
            if way.tape is not None:
                way.keep(channels_of(n, self._every, self._wanted), scale_C)
            return n.mul_(_over(self._gain_C, n)).add_(_over(self._shift_C, n))
        way.keep(n, scale_C)
        y = n * _over(self._gain_C, n)  # rounded as where there is no way back
        return y.add_(_over(self._shift_C, n))

    def _normalise_(self, n: torch.Tensor, statistics: Statistics) -> torch.Tensor:
        """By the statistics of the batch, which the running ones follow; ``1 / deviation``."""
        across, rows = [0, *range(2, n.dim())], n.numel() // n.shape[1]
        mean_C = n.mean(across)
        n.sub_(_over(mean_C, n))
        variance_C = channel_squares(n).mul_(1.0 / rows)
        if statistics is Statistics.BATCH:
            momentum = self._layer.momentum
            self._mean_C.lerp_(mean_C, momentum)
            unbiased = momentum * rows / max(rows - 1, 1)
            self._variance_C.mul_(1.0 - momentum).add_(variance_C, alpha=unbiased)
        variance_C.add_(self._layer.epsilon).rsqrt_()
        n.mul_(_over(variance_C, n))
        return variance_C

    def backward(self, tape: Tape, learner: Learner, *, to_input: bool) -> None:
        """Of gain and shift, and of the input in place of n; that of the output is left as it is.

        Shape suffix: W wanted channels.
        """
        with phase("gradient"):
            dy, scale_C, n = tape.pop(), tape.pop(), tape.pop()
            across, rows = [0, *range(2, n.dim())], n.numel() // n.shape[1]
            dshift_W, dgain_W = dy.sum(across), torch.zeros(n.shape[1])
            for part in in_tiles(len(n), samples_at_a_time(len(n), n[0].numel())):
                product = tag(dy[part] * n[part], Category.WORKSPACE, "n dy of some samples")
                dgain_W.add_(product.sum(across))
                del product
            if to_input:
                n.mul_(_over(dgain_W * (-1.0 / rows), n)).add_(dy)
                n.sub_(_over(dshift_W * (1.0 / rows), n))
                factor_W = self._gain_C[self._wanted] * scale_C[self._wanted]
                tape.append(n.mul_(_over(factor_W, n)))
            del dy, n
            start = self._wanted.start
            own = slice(self._rows.start - start, self._rows.stop - start)
        for label, whole_C, gradient_W in (
            ("gain", self._gain_C, dgain_W),
            ("shift", self._shift_C, dshift_W),
        ):
            learner.take(f"{self._name}.{label}", whole_C[self._rows], gradient_W[own])
        if learner.at_once:
            with phase("update"):
                self.settle()

    def settle(self) -> None:
        """Clip what is trained, if the layers' weights are binary."""
        if self._clips:
            for whole_C in (self._gain_C, self._shift_C):
                whole_C[self._rows].clamp_(-1, 1)


def _over(values_C: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
    """One value per channel, to be combined with a map (N, C, ...)."""
    return values_C.view(-1, *(1 for _ in x.shape[2:]))
