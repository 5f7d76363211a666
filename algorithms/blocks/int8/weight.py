"""Weights with INT8 products: integers and one scale, with or without latent float32 weights.

Without, ``Q(w - lr dw)`` takes their place, with the largest magnitude of all weights as the new
range. That is known only when all have moved: if the gradient is made some rows at a time, it is
made twice, for the range and for the rounding. Weight decay makes the scale smaller, which rounds
no integer. Latent weights are updated by an optimiser and rounded to the nearest.

Shape suffixes: O output channels, of which T are a tile, K weights of each.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch

from trainfit.algorithms.blocks.block import Held
from trainfit.algorithms.blocks.int8.arithmetic import Arithmetic
from trainfit.algorithms.blocks.learning import Learner, OfRows
from trainfit.algorithms.numerics.int8.quantise import nth_seed, quantise, quantise_into, scale_of
from trainfit.algorithms.numerics.int8.scaled import Quantised, add_dequantised_, tile_height
from trainfit.algorithms.numerics.shrinking import LEAST_OF_SCALES, Shrinking
from trainfit.algorithms.options import Rounding
from trainfit.algorithms.phases import Category, phase, tag
from trainfit.algorithms.tiling import in_tiles

_LEAST = 16
"""Output channels of a tile of a convolution's weight, at least: each builds the columns again."""


class Unmoved(Learner):
    """For a way back of which only the gradient of the input is wanted."""

    by_rows = True  # so that no gradient of a weight is made

    def take(self, name: str, parameter: torch.Tensor, gradient: torch.Tensor) -> None:
        """Nothing follows."""

    def take_rows(
        self, name: str, weight: torch.Tensor, gradient: OfRows, *, group: int = 1
    ) -> None:
        """Nothing is made."""

    def take_product(
        self, name: str, weight: torch.Tensor, left: torch.Tensor, right: torch.Tensor
    ) -> None:
        """Nothing is multiplied."""

    def finish(self) -> None:
        """Nothing is left."""


class Weight:
    """The weight of one block.

    Args:
        name: Of its tensors.
        w: float32, as drawn; its rows are output channels.
        arithmetic: How it is rounded.
        latent: Whether float32 weights are kept, for an optimiser to move.
    """

    def __init__(self, name: str, w: torch.Tensor, arithmetic: Arithmetic, *, latent: bool) -> None:
        self._name, self._arithmetic = name, arithmetic
        self._w = w if latent else None
        # With the default kernel, whatever is chosen for the steps: the bits are the same.
        q_OK, scale = quantise(w.flatten(1), rounding=Rounding.NEAREST)
        self.q, self.scale = q_OK.view(w.shape), scale
        self._shrinking = Shrinking(LEAST_OF_SCALES)

    @property
    def quantised(self) -> Quantised:
        """Integers and scale, as products take them."""
        return Quantised(self.q, self.scale)

    def held(self) -> Iterator[Held]:
        """Integers and scale, and latent weights."""
        yield Held(f"{self._name}.integers", self.q, Category.PARAMETERS, follows=False)
        yield Held(f"{self._name}.scale", self.scale, Category.PARAMETERS, follows=False)
        if self._w is not None:
            yield Held(self._name, self._w, Category.PARAMETERS)

    def learn(self, learner: Learner, gradient: OfRows) -> None:
        """Update by a gradient, float32, made of some output channels or of all."""
        if isinstance(learner, Unmoved):
            return
        if self._w is not None:
            self._move_latent(self._w, learner, gradient)
            return
        if learner.optimiser.weight_decay:
            part = learner.optimiser.lr * learner.optimiser.weight_decay
            with phase("update"):
                self.scale.mul_(self._shrinking.factor(part))
        rate, seed = -learner.optimiser.lr, self._arithmetic.next_seed()
        if learner.by_rows:
            self._move_rows(rate, seed, gradient)
        else:
            self._move_whole(rate, seed, gradient)

    def _move_latent(self, w: torch.Tensor, learner: Learner, gradient: OfRows) -> None:
        height = self._height if learner.by_rows else len(w)
        for rows in in_tiles(len(w), height):
            part = self._made(gradient, rows)
            with phase("update"):
                learner.optimiser.apply_rows(self._name, w, part, rows)
            del part  # otherwise two tiles would be alive in the next iteration
        with phase("update"):
            w_OK, q_OK = w.flatten(1), self.q.flatten(1)
            self.scale.copy_(tag(scale_of(w_OK), Category.WORKSPACE, "scale"))
            self._round(w_OK, q_OK, Rounding.NEAREST, 0)

    def _move_whole(self, rate: float, seed: int, gradient: OfRows) -> None:
        part_OK = self._made(gradient, slice(0, len(self.q))).flatten(1)
        with phase("update"):
            q_OK = self.q.flatten(1)
            height = -(-self._height // 4)  # beside the gradient
            add_dequantised_(part_OK.mul_(rate), Quantised(q_OK, self.scale), height)
            self.scale.copy_(tag(scale_of(part_OK), Category.WORKSPACE, "new scale"))
            self._round(part_OK, q_OK, self._arithmetic.weights, seed)

    def _move_rows(self, rate: float, seed: int, gradient: OfRows) -> None:
        with phase("update"):
            old = tag(self.scale.clone(), Category.WORKSPACE, "old scale")
            most = tag(torch.zeros_like(old), Category.WORKSPACE, "largest so far")
        for rows in in_tiles(len(self.q), self._height):
            part_TK = self._moved(rows, old, rate, gradient)
            with phase("update"):
                here = tag(scale_of(part_TK), Category.WORKSPACE, "largest of a tile")
                torch.maximum(most, here, out=most)
            del part_TK, here  # otherwise two tiles would be alive in the next iteration
        with phase("update"):
            self.scale.copy_(most)
        for rows in in_tiles(len(self.q), self._height):
            part_TK, own = self._moved(rows, old, rate, gradient), nth_seed(seed, rows.start)
            with phase("update"):
                self._round(part_TK, self.q[rows].flatten(1), self._arithmetic.weights, own)
            del part_TK

    def _moved(self, rows: slice, old: torch.Tensor, rate: float, gradient: OfRows) -> torch.Tensor:
        """``w - lr dw`` of some output channels, float32, (T, K), with the ``old`` scale."""
        part_TK = self._made(gradient, rows).flatten(1)
        with phase("update"):
            q_TK = self.q[rows].flatten(1)
            return add_dequantised_(part_TK.mul_(rate), Quantised(q_TK, old), len(q_TK))

    def _made(self, gradient: OfRows, rows: slice) -> torch.Tensor:
        with phase("gradient"):
            return tag(gradient(rows), Category.GRADIENTS, f"d{self._name}")

    def _round(self, t_RK: torch.Tensor, q_RK: torch.Tensor, rounding: Rounding, seed: int) -> None:
        quantise_into(
            t_RK, q_RK, self.scale, rounding=rounding, seed=seed, kernel=self._arithmetic.kernel
        )

    @property
    def _height(self) -> int:
        """Output channels of a tile."""
        least = _LEAST if self.q.dim() > 2 else 1
        return max(min(least, len(self.q)), tile_height(len(self.q), self.q[0].numel()))
