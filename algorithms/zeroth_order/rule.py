"""Zeroth-order training: the loss at two points gives the slope along a random direction.

One step of MeZO (Malladi et al., NeurIPS 2023, arXiv 2305.17333, algorithm 1) is stochastic
descent on the two-point SPSA estimate (Spall 1992)::

    g = (L(w + eps z) - L(w - eps z)) / (2 eps)        w <- w - lr g z

with the mean loss of the batch as L (cross-entropy, or ``loss=binary_cross_entropy``) and a new
z per step. No gradient exists, only inference runs, and
z is never kept: it is drawn again from its seed, in the same order, each time it is needed. A step
stores only its seed and one number per forward pass. These, and the state of the seeded generator,
are not tensors and are not measured.

The weights change in place three times: ``+ eps z`` (in ``forward.plus``), ``- 2 eps z`` (in
``forward.minus``), and ``+ (eps - lr g) z`` (in ``update``), which restores and descends in one
pass; the paper's algorithm uses a pass for each. In float32 the three do not cancel to the bit,
since every pass rounds. At a negligible rate a step changes a weight by about half a unit in its
last place, as a random walk: after 10,000 steps of a net with weights of 0.07 (root mean square),
by 4e-7 with normal directions and 2e-6 with signs.

``samples=n`` averages the estimates of n directions at the same point (the paper's n-SPSA), so each
direction except the last is undone before the next is drawn, and all steps are taken at the end. An
estimate's error grows with the number of weights over n, and the rate at which training is stable
falls accordingly.

``distribution``: the paper draws z from a normal distribution, which is the default. SPSA is more
often used with random signs; ``rademacher`` draws those, without logarithm or cosine.

``weight_decay`` is not in the paper's algorithm, but in the released trainer (``w <- w - lr (g z +
weight_decay w)``, which spares biases and layer norms). As in every rule here, biases decay, too:
``w <- (1 - lr weight_decay) w - lr g z``. The factor multiplies ``w - eps z``, and eps in the last
move.

The slope is exact up to the square of eps where the loss is smooth; a rectifier that opens between
the two points adds an error that falls more slowly.

On a net of units the running statistics of batch normalisation follow the first pass of a batch.

Only two activations of neighbouring layers are alive, as in inference. z exists a tile at a time
while no activation does; the tile is no larger than they are, so it never sets the peak.

Shape suffixes: B batch, I inputs, C classes, T elements of a tile.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

import torch

from trainfit.algorithms.contract import Algorithm, StaticTensor
from trainfit.algorithms.models import Mlp, UnitNet
from trainfit.algorithms.nets.inference import forward_net
from trainfit.algorithms.numerics.losses import mean_loss_
from trainfit.algorithms.numerics.schedules import rate_factor
from trainfit.algorithms.numerics.shrinking import Shrinking
from trainfit.algorithms.phases import Category, phase, tag
from trainfit.algorithms.tiling import in_tiles
from trainfit.algorithms.zeroth_order.options import ZEROTH_ORDER, Distribution, ZerothOrderOptions

SEEDS = 1 << 32
"""Number of different seeds: torch's generator uses 32 bits."""

TILE_MOST = 16384
"""Elements; 64 KiB of float32 stays in a first- or second-level cache."""


class ZerothOrder(Algorithm[ZerothOrderOptions], about=ZEROTH_ORDER):
    """Descent along random directions with slopes from two forward passes."""

    models = (Mlp, UnitNet)

    phases: ClassVar[tuple[str, ...]] = (
        "forward",
        "gradient",
        "update",
        "forward.plus",
        "forward.minus",
    )

    def __init__(self, model: Mlp | UnitNet, options: ZerothOrderOptions, *, seed: int = 0) -> None:
        super().__init__(model, options, seed=seed)
        self._net = forward_net(model, self.generator)
        self._shrinking = Shrinking()
        self._lr = options.lr

    def begin_epoch(self, epoch: int, epochs: int) -> None:
        """Set the learning rate of the pass."""
        super().begin_epoch(epoch, epochs)
        self._lr = self.options.lr * rate_factor(self.options.decay, epoch % epochs, epochs)

    def check_batch(self, batch_size: int) -> None:
        """Batch normalisation needs more than one value per channel."""
        self._net.check_batch(batch_size)

    def step(self, x: torch.Tensor, y: torch.Tensor) -> None:
        """One update along every direction of the step."""
        eps, samples = self.options.eps, self.options.samples
        rate = self._lr / samples
        undone: list[tuple[int, float]] = []
        for sample in range(samples):
            with phase("forward.plus"):
                seed = int(torch.randint(SEEDS, (1,), generator=self.generator))
                self._move(seed, eps, len(x))
                above = self._loss(x, y, again=sample > 0)
            with phase("forward.minus"):
                self._move(seed, -2.0 * eps, len(x))
                below = self._loss(x, y, again=True)
            with phase("gradient"):
                slope = (above - below) / (2.0 * eps)
            with phase("update"):
                if sample < samples - 1:
                    self._move(seed, eps, len(x))
                    undone.append((seed, slope))
                else:
                    self._move(seed, eps * self._decay() - rate * slope, len(x))
        with phase("update"):
            for seed, slope in undone:
                self._move(seed, -rate * slope, len(x))

    def _decay(self) -> float:
        """Multiply all parameters by ``1 - lr weight_decay``; returns that factor."""
        if not self.options.weight_decay:
            return 1.0
        factor = self._shrinking.factor(self._lr * self.options.weight_decay)
        for parameter in self._net.parameters.values():
            parameter.mul_(factor)
        return factor

    def _move(self, seed: int, distance: float, batch: int) -> None:
        """``w <- w + distance z`` for all parameters, with the z that belongs to ``seed``."""
        generator = torch.Generator().manual_seed(seed)
        size = self._tile(batch)
        tile_T = tag(torch.empty(size), Category.WORKSPACE, "tile of the direction")
        for parameter in self._net.parameters.values():
            flat_N = parameter.view(-1)
            for part in in_tiles(len(flat_N), size):
                part_T = flat_N[part]
                z_T = tile_T[: len(part_T)]
                if self.options.distribution is Distribution.GAUSSIAN:
                    z_T.normal_(generator=generator)
                else:
                    z_T.random_(0, 2, generator=generator)
                    torch.threshold_(z_T, 0.5, -1.0)
                part_T.add_(z_T, alpha=distance)

    def _tile(self, batch: int) -> int:
        """Elements of z at a time: no more than the activations of inference have.

        The same in all passes of a step; otherwise the same seed would give a different z.
        """
        largest = max(parameter.numel() for parameter in self._net.parameters.values())
        return min(self._net.alive(batch), largest, TILE_MOST)

    def _loss(self, x: torch.Tensor, y: torch.Tensor, *, again: bool) -> float:
        """Mean loss with the current weights."""
        return mean_loss_(self._net.logits(x, again=again), y, self.options.loss)

    def predict(self, x: torch.Tensor) -> torch.Tensor:
        """Logits."""
        return self._net.predict(x)

    def static_tensors(self) -> Iterator[StaticTensor]:
        """Parameters, and the running statistics of batch normalisation."""
        return self._net.static_tensors()
