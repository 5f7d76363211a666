"""The weight of a layer, of which some output channels are trained in a turn.

A binary weight is read as ``s sign(W)`` with ``s = mean(abs(W))`` over all of the layer: RAM holds
packed signs, s and, for the channels of the turn, the latent values W, which are clipped to [-1, 1]
after each update. Those of all channels are in storage, and the trained ones are written back after
their turn. If all channels are trained at once, all latent values are in RAM, and nothing else. A
float weight is in RAM and is trained where it lies.

Shape suffixes: O output channels, K weights of one of them, J trained ones, b bytes of packed bits.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch

from trainfit.algorithms.blocks.block import NOTHING, Held
from trainfit.algorithms.numerics.binary.activations import abs_of_others, tile_extent
from trainfit.algorithms.numerics.binary.packing import pack_signs, packed_width, unpack
from trainfit.algorithms.numerics.sums import sum_abs
from trainfit.algorithms.phases import Category


class SlicedWeight:
    """A float or binary weight.

    Args:
        name: The start of the names of its tensors.
        weight: Its initial, or latent, values (O, ...).
        binary: Whether products read signs.

    Attributes:
        binary: As given.
        rows: The trained output channels.
        trained: Their values (J, ...), changed in place.
    """

    def __init__(self, name: str, weight: torch.Tensor, *, binary: bool) -> None:
        self._name, self._whole, self.binary = name, weight, binary
        self.rows, self.trained, self._others = NOTHING, weight[NOTHING], 0.0
        if binary:
            weight.clamp_(-1, 1)
            width = weight[0].numel()
            self._packed_Ob = torch.empty(len(weight), packed_width(width), dtype=torch.uint8)
            pack_signs(weight.view(len(weight), width), self._packed_Ob, len(weight))
            self._scale = weight.abs().mean()

    def __len__(self) -> int:
        """O."""
        return len(self._whole)

    @property
    def shape(self) -> torch.Size:
        """Of all of it."""
        return self._whole.shape

    @property
    def width(self) -> int:
        """K."""
        return self._whole[0].numel()

    def enter(self, rows: slice) -> None:
        """Write what was trained back, and train some output channels from now on."""
        if self._is_copied:
            self._whole[self.rows] = self.trained
        self.rows, self.trained, self._others = rows, self._whole[rows], 0.0
        if self._is_copied:  # the share of all others in s does not change
            self.trained = self.trained.clone()
            self._others = abs_of_others(self._whole, self.trained)

    @property
    def _is_copied(self) -> bool:
        """Whether what is trained is a copy of some latent values."""
        return self.binary and self.rows not in (NOTHING, slice(0, len(self)))

    def read(self, rows: slice, factor: torch.Tensor | None = None) -> torch.Tensor:
        """What products see of some output channels: floats, a view, or signs times their scale.

        Args:
            rows: Which ones.
            factor: A scalar that signs are multiplied by, too; there is none for floats.
        """
        if not self.binary:
            part = self._whole[rows]
            return part if factor is None else part * factor
        signs = unpack(self._packed_Ob[rows], self.width).mul_(2.0).sub_(1.0)
        signs.mul_(self._scale if factor is None else self._scale * factor)
        return signs.view(-1, *self._whole.shape[1:])

    def follow(self) -> None:
        """After an update: clip binary weights, write their signs and scale."""
        if not self.binary:
            return
        flat_JK = self.trained.clamp_(-1, 1).view(-1, self.width)
        pack_signs(flat_JK, self._packed_Ob[self.rows], tile_extent(len(flat_JK), self.width))
        total = sum_abs(self.trained).add_(self._others)
        self._scale.copy_(total.mul_(1.0 / self._whole.numel()))

    def held(self) -> Iterator[Held]:
        """A float weight; or packed signs, their scale, and latent values, as far as trained."""
        parameters, name = Category.PARAMETERS, self._name
        if not self.binary:
            yield Held(f"{name}.weight", self._whole, parameters)
            return
        stored = self._is_copied or self.rows == NOTHING
        yield Held(f"{name}.latent", self._whole, parameters, stored=stored)
        yield Held(f"{name}.packed", self._packed_Ob, parameters)
        yield Held(f"{name}.scale", self._scale, parameters)
        if self._is_copied:
            yield Held(f"{name}.slice", self.trained, parameters)
