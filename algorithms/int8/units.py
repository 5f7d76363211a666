"""Naive INT8 backpropagation through a net of units, forward and back.

The products of convolutions and dense layers have INT8 operands and INT32 sums, as on a fully
connected net; ranges are largest magnitudes of whole tensors. Batch normalisation is not folded: it
is computed in float32 between these products, as are rectifiers, pools, squeeze-and-excitation and
the sums of residual blocks (:mod:`trainfit.algorithms.blocks.int8.making`). What is kept from the
forward pass to the gradient is INT8, or a byte per rectifier that tells where it was shut; one
gradient of activations is float32 at a time.

With ``master=int8`` the weights of convolutions and dense layers exist in INT8 only; biases and the
gains and shifts of normalisation are float32, as biases are on a fully connected net.
``weight_gradient=rows`` makes the gradient of some output channels at a time, twice if there are no
latent weights.

Shape suffixes: N batch, C classes.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch

from trainfit.algorithms.blocks.block import Pass, Statistics, Tape
from trainfit.algorithms.blocks.int8.arithmetic import Arithmetic
from trainfit.algorithms.blocks.int8.making import in_int8
from trainfit.algorithms.blocks.learning import AtOnce, ByRows
from trainfit.algorithms.contract import Algorithm, StaticTensor
from trainfit.algorithms.int8.options import (
    BACKPROP_INT8,
    BackpropInt8Options,
    Master,
    WeightGradient,
    check_master,
)
from trainfit.algorithms.models.units import UnitNet
from trainfit.algorithms.nets.units import Units, check_rows
from trainfit.algorithms.numerics.int8.quantise import draw_seed
from trainfit.algorithms.numerics.losses import logit_gradient_
from trainfit.algorithms.numerics.optimisers import optimiser_of
from trainfit.algorithms.options import Rounding
from trainfit.algorithms.phases import Category, phase, tag


class BackpropInt8OnUnits(Algorithm[BackpropInt8Options], about=BACKPROP_INT8):
    """Everything that is multiplied rounded to INT8 with its largest magnitude as range."""

    models = (UnitNet,)
    model: UnitNet

    def __init__(self, model: UnitNet, options: BackpropInt8Options, *, seed: int = 0) -> None:
        check_master(options)
        super().__init__(model, options, seed=seed)
        self._arithmetic = Arithmetic(
            options.kernel,
            activations=Rounding.NEAREST,
            gradients=options.rounding,
            weights=options.rounding,
        )
        make = in_int8(self._arithmetic, latent=options.master is Master.FP32)
        self._units = Units(model, self.generator, make=make)
        self._optimiser = optimiser_of(options)
        self._units.add_to(self._optimiser)

    def check_batch(self, batch_size: int) -> None:
        """Batch normalisation needs more than one value per channel."""
        check_rows(self.model, batch_size)

    def step(self, x: torch.Tensor, y: torch.Tensor) -> None:
        """One update from the mean loss of the batch, the last unit first."""
        self._optimiser.begin_step()
        by_rows = self.options.weight_gradient is WeightGradient.ROWS
        learner = (ByRows if by_rows else AtOnce)(self._optimiser)
        chains, tape = self._units.chains, Tape()
        with torch.no_grad():
            with phase("forward"):
                if self._arithmetic.draws:
                    self._arithmetic.begin_step(draw_seed(self.generator))
                logits_NC = self._units.forward(x, Pass(tape, Statistics.BATCH))
            with phase("gradient"):
                dlogits_NC = logit_gradient_(logits_NC, y, self.options.loss)
                tape.append(tag(dlogits_NC, Category.GRADIENTS, "dlogits"))
                del logits_NC, dlogits_NC
            for place in reversed(range(len(chains))):
                chains[place].backward(tape, learner, to_input=place > 0)

    def predict(self, x: torch.Tensor) -> torch.Tensor:
        """Logits."""
        return self._units.predict(x)

    def static_tensors(self) -> Iterator[StaticTensor]:
        """Integers and scales, other parameters, running statistics and optimiser state."""
        return self._units.static_tensors(self._optimiser)
