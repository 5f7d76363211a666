"""Backpropagation in INT8 through a net of units, forward and back: naive, UI8, DAI8 and QAT.

The products of convolutions and dense layers have INT8 operands and INT32 sums, as on a fully
connected net; ranges of weights and activations are largest magnitudes of whole tensors. Batch
normalisation is not folded: it is computed in float32 between these products, as are rectifiers,
pools, squeeze-and-excitation and the sums of residual blocks
(:mod:`trainfit.algorithms.blocks.int8.making`). What is kept from the forward pass to the gradient
is INT8, or a byte per rectifier that tells where it was shut; one gradient of activations is
float32 at a time.

* ``backprop_int8``: gradients of products are rounded with the largest magnitude as range. With
  ``master=int8`` the weights of convolutions and dense layers exist in INT8 only; biases and the
  gains and shifts of normalisation are float32, as biases are on a fully connected net.
* ``backprop_ui8``: of every convolution and dense layer, the gradient of its output is clipped to
  keep its direction, and its weight and bias move at the scaled rate
  (:mod:`trainfit.algorithms.int8.ui8_clipping`); gains, shifts and the two small products of
  squeeze-and-excitation, whose gradients nobody rounds, move at the whole rate.
* ``backprop_dai8``: that gradient has a range for every output channel, for the weights, and one
  for what is below (:mod:`trainfit.algorithms.int8.dai8_clipping`).
* ``qat_int8``: products are INT8 going forward, gradients of products float32
  (:mod:`trainfit.algorithms.blocks.int8.straight_through`); that of batch normalisation is taken
  at its output as kept, which is INT8.

``weight_gradient=rows`` makes the gradient of some output channels at a time, twice if there are no
latent weights. Quantisation-aware training makes that of a convolution whole.

Shape suffixes: N batch, C classes.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TypeVar

import torch

from trainfit.algorithms.blocks.block import Pass, Statistics, Tape
from trainfit.algorithms.blocks.float32.chain import Maker
from trainfit.algorithms.blocks.int8.arithmetic import Arithmetic
from trainfit.algorithms.blocks.int8.making import in_int8
from trainfit.algorithms.blocks.learning import AtOnce, ByRows, Learner
from trainfit.algorithms.contract import Algorithm, StaticTensor
from trainfit.algorithms.int8.dai8_clipping import distribution_adaptive
from trainfit.algorithms.int8.options import (
    BACKPROP_DAI8,
    BACKPROP_INT8,
    BACKPROP_UI8,
    QAT_INT8,
    BackpropDai8Options,
    BackpropInt8Options,
    BackpropUi8Options,
    Int8Options,
    Master,
    RoundedOptions,
    WeightGradient,
    check_master,
)
from trainfit.algorithms.int8.ui8_clipping import direction_sensitive
from trainfit.algorithms.models.units import UnitNet
from trainfit.algorithms.nets.units import Units, check_rows
from trainfit.algorithms.numerics.int8.gradients import NewQuantiser
from trainfit.algorithms.numerics.int8.quantise import draw_seed
from trainfit.algorithms.numerics.losses import logit_gradient_
from trainfit.algorithms.numerics.optimisers import optimiser_of
from trainfit.algorithms.numerics.schedules import rate_factor
from trainfit.algorithms.options import Rounding
from trainfit.algorithms.phases import Category, phase, tag

Int8OptionsT = TypeVar("Int8OptionsT", bound=Int8Options)


class Int8OnUnits(Algorithm[Int8OptionsT]):
    """Units whose products are those of integers, forward and back.

    Args:
        model: The net.
        options: Those of the rule.
        arithmetic: How numbers are rounded.
        make: Makes the blocks.
        learner: Says how much of a gradient exists when it is applied.
        seed: Of the generator.
    """

    models = (UnitNet,)
    model: UnitNet

    def __init__(
        self,
        model: UnitNet,
        options: Int8OptionsT,
        arithmetic: Arithmetic,
        make: Maker,
        learner: type[Learner],
        *,
        seed: int,
    ) -> None:
        super().__init__(model, options, seed=seed)
        self._arithmetic, self._learner = arithmetic, learner
        self._units = Units(model, self.generator, make=make)
        self._optimiser = optimiser_of(options)
        self._units.add_to(self._optimiser)

    def begin_epoch(self, epoch: int, epochs: int) -> None:
        """Set the learning rate of the pass."""
        super().begin_epoch(epoch, epochs)
        factor = rate_factor(self.options.decay, epoch % epochs, epochs)
        self._optimiser.lr = self.options.lr * factor

    def check_batch(self, batch_size: int) -> None:
        """Batch normalisation needs more than one value per channel."""
        check_rows(self.model, batch_size)

    def step(self, x: torch.Tensor, y: torch.Tensor) -> None:
        """One update from the mean loss of the batch, the last unit first."""
        self._optimiser.begin_step()
        learner = self._learner(self._optimiser)
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


class BackpropInt8OnUnits(Int8OnUnits[BackpropInt8Options], about=BACKPROP_INT8):
    """Everything that is multiplied rounded to INT8 with its largest magnitude as range."""

    def __init__(self, model: UnitNet, options: BackpropInt8Options, *, seed: int = 0) -> None:
        check_master(options)
        arithmetic = Arithmetic(
            options.kernel,
            activations=Rounding.NEAREST,
            gradients=options.rounding,
            weights=options.rounding,
        )
        make = in_int8(arithmetic, latent=options.master is Master.FP32)
        super().__init__(model, options, arithmetic, make, _learner(options), seed=seed)


class BackpropUi8OnUnits(Int8OnUnits[BackpropUi8Options], about=BACKPROP_UI8):
    """Gradients clipped to keep their direction; the rate falls with the remaining deviation."""

    def __init__(self, model: UnitNet, options: BackpropUi8Options, *, seed: int = 0) -> None:
        arithmetic = _with(direction_sensitive(options), options)
        make = in_int8(arithmetic, latent=True)
        super().__init__(model, options, arithmetic, make, _learner(options), seed=seed)


class BackpropDai8OnUnits(Int8OnUnits[BackpropDai8Options], about=BACKPROP_DAI8):
    """Gradients rounded per output channel, each with a range by its distribution."""

    def __init__(self, model: UnitNet, options: BackpropDai8Options, *, seed: int = 0) -> None:
        arithmetic = _with(distribution_adaptive(options), options)
        make = in_int8(arithmetic, latent=True)
        super().__init__(model, options, arithmetic, make, _learner(options), seed=seed)


class QatInt8OnUnits(Int8OnUnits[Int8Options], about=QAT_INT8):
    """Straight-through gradients of the net in its deployed form."""

    def __init__(self, model: UnitNet, options: Int8Options, *, seed: int = 0) -> None:
        near = Rounding.NEAREST
        arithmetic = Arithmetic(options.kernel, activations=near, gradients=near, weights=near)
        make = in_int8(arithmetic, latent=True, straight_through=True)
        super().__init__(model, options, arithmetic, make, ByRows, seed=seed)


def _with(quantiser: NewQuantiser, options: RoundedOptions) -> Arithmetic:
    """Latent weights and activations to the nearest, gradients as a rule of its own says."""
    return Arithmetic(
        options.kernel,
        activations=Rounding.NEAREST,
        gradients=options.rounding,
        weights=Rounding.NEAREST,
        quantiser=quantiser,
    )


def _learner(options: RoundedOptions) -> type[Learner]:
    return ByRows if options.weight_gradient is WeightGradient.ROWS else AtOnce
