"""Sparse update on nets of units: chosen weights and biases, and nothing kept for the others.

Lin et al. (NeurIPS 2022, arXiv 2206.15472). Layers are the convolutions and dense layers, counted
from 1 in the order in which they are built: unit by unit, in a residual block first those of the
body, then those of the shortcut, in squeeze-and-excitation first the one that squeezes. Of layer n,
normalisation folded into it::

    dw_n = of the convolution, by dz_n and h_(n-1)     the input of a chosen weight is stored
    db_n = sum dz_n                                    nothing is stored
    dh_(n-1) = of the convolution, by dz_n and w_n     the shape of the input is stored
    dz_(n-1) = dh_(n-1) f'(z_(n-1))                    one bit per element, if f is a rectifier
                                                       whose output is not stored already

Below the lowest chosen parameter nothing is stored, and no gradient computed, also within a unit,
and on each of the ways of a residual block. A parameter is updated as soon as its gradient exists;
that of a weight is made whole.

* **Normalisation** is folded, as in the paper: every batch normalisation, whether anything is
  trained below it or not, normalises by its running statistics, which no step moves, and keeps
  nothing. Its gain is a factor of the folded weight and not trained on its own; its shift is the
  bias of the layer before it, whose own bias, if it has one, is frozen then. So a net should come
  with statistics from training by another rule; those of a new one are 0 and 1.
* ``layers``, ``biases``: as for fully connected nets. ``chosen`` are the biases of all layers whose
  number is at least that of the lowest chosen weight.
* ``ratio``, ``part``: of a convolution, the weights of the first ``ratio`` of its input channels,
  the only ones that are stored then, or those of the first ``ratio`` of its output channels. With
  groups, the first ``ratio`` of the groups in both cases: every channel of a depthwise convolution
  is one. Of a dense layer on a map, features of the map laid out in a row.
* ``frozen``: a tensor of which a step writes any part is in RAM, the others, running statistics
  too, may be in flash. A weight that is trained in part is one tensor, and so in RAM; that of a
  fully connected net is two.

What squeeze-and-excitation and SiLU are given is stored wherever a gradient passes them; pools keep
what they keep in backpropagation.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

import torch

from trainfit.algorithms.blocks.block import Pass, Statistics, Tape
from trainfit.algorithms.blocks.learning import AtOnce
from trainfit.algorithms.contract import Algorithm, StaticTensor
from trainfit.algorithms.models import Model, UnitNet
from trainfit.algorithms.nets.units import Units
from trainfit.algorithms.numerics.losses import logit_gradient_
from trainfit.algorithms.numerics.optimisers import optimiser_of
from trainfit.algorithms.numerics.schedules import rate_factor
from trainfit.algorithms.phases import Category, phase, tag
from trainfit.algorithms.sparse_update.options import SPARSE_UPDATE, Frozen, SparseUpdateOptions
from trainfit.algorithms.sparse_update.unit_choice import choose_in


class SparseUpdateOnUnits(Algorithm[SparseUpdateOptions], about=SPARSE_UPDATE):
    """Closed-form gradients of chosen parameters only, on a net of units."""

    models: ClassVar[tuple[type[Model], ...]] = (UnitNet,)
    storage_note = "steps read these frozen weights there; nothing writes them"
    model: UnitNet

    def __init__(self, model: UnitNet, options: SparseUpdateOptions, *, seed: int = 0) -> None:
        super().__init__(model, options, seed=seed)
        self._units = Units(model, self.generator)
        self._chosen = choose_in(self._units, model.name, options)
        self._lowest = self._units.train_only(self._chosen)
        self._optimiser = optimiser_of(options)
        for name, part in self._chosen.items():
            self._optimiser.add(name, part)

    def begin_epoch(self, epoch: int, epochs: int) -> None:
        """Set the learning rate of the pass."""
        super().begin_epoch(epoch, epochs)
        factor = rate_factor(self.options.decay, epoch % epochs, epochs)
        self._optimiser.lr = self.options.lr * factor

    def step(self, x: torch.Tensor, y: torch.Tensor) -> None:
        """One update of the chosen parameters, the last layer first."""
        self._optimiser.begin_step()
        learner, tape = AtOnce(self._optimiser), Tape()
        with torch.no_grad():
            with phase("forward"):
                logits_NC = self._units.forward(x, Pass(tape, Statistics.RUNNING))
            with phase("gradient"):
                dlogits_NC = logit_gradient_(logits_NC, y, self.options.loss)
                tape.append(tag(dlogits_NC, Category.GRADIENTS, "dlogits"))
                del logits_NC, dlogits_NC
            chains = self._units.chains
            for place in reversed(range(self._lowest, len(chains))):
                chains[place].backward(tape, learner, to_input=place > self._lowest)

    def predict(self, x: torch.Tensor) -> torch.Tensor:
        """Logits."""
        return self._units.predict(x)

    def static_tensors(self) -> Iterator[StaticTensor]:
        """Parameters and running statistics, those that no step writes perhaps in flash; state."""
        for each in self._units.held():
            in_flash = self.options.frozen is Frozen.FLASH and each.name not in self._chosen
            yield StaticTensor(each.name, each.tensor, each.category, storage=in_flash)
        for name, state in self._optimiser.states():
            yield StaticTensor(name, state, Category.OPTIMIZER_STATE)
