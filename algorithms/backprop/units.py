"""Backpropagation through a net of units, forward and back, in its memory-saving forms.

The chain rule is written out in the blocks, so that a tensor lives no longer than something needs
it; the gradients are autograd's. As for a fully connected net,

* ``checkpoint=N`` keeps of every N units only what the first is given, and goes through them once
  more when the gradient arrives; running statistics move in the first pass only;
* ``micro_batch=N`` takes N rows at a time and adds up gradients; batch normalisation then takes the
  statistics of N rows, which is another net than that of the whole batch;
* ``update=fused`` applies every gradient when it exists, and ``update=product`` makes that of a
  weight for some output channels at a time;
* ``weights=binary`` and ``activations=binary`` train the layers that TinyFoA trains
  (:mod:`trainfit.algorithms.tinyfoa.described.units` has their equations), all of them at once and
  by the net's own loss. The last unit, the classifier, is float.

Shape suffixes: N batch, C classes.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch

from trainfit.algorithms.backprop.options import (
    BACKPROP,
    BackpropOptions,
    SliceRule,
    Update,
    check_together,
)
from trainfit.algorithms.blocks.block import Pass, Statistics, Tape
from trainfit.algorithms.blocks.float32.chain import Chain, Maker, in_float32
from trainfit.algorithms.blocks.learning import AtOnce, ByRows, Kept, Learner
from trainfit.algorithms.blocks.sliced.making import Sliced
from trainfit.algorithms.contract import Algorithm, StaticTensor
from trainfit.algorithms.errors import ConfigurationError
from trainfit.algorithms.models.units import UnitNet
from trainfit.algorithms.nets.units import Units, check_rows
from trainfit.algorithms.numerics.losses import logit_gradient_
from trainfit.algorithms.numerics.optimisers import optimiser_of
from trainfit.algorithms.numerics.schedules import rate_factor
from trainfit.algorithms.options import Precision
from trainfit.algorithms.phases import Category, phase, tag
from trainfit.algorithms.tiling import in_tiles

_LEARNERS: dict[Update, type[Learner]] = {
    Update.SEPARATE: Kept,
    Update.FUSED: AtOnce,
    Update.PRODUCT: ByRows,
}


class BackpropOnUnits(Algorithm[BackpropOptions], about=BACKPROP):
    """Backpropagation on a net of units.

    Args:
        model: The net.
        options: Those of the rule.
        seed: Of the generator.
        make: Makes blocks that train in float32, whatever they predict in; by default these too.
    """

    models = (UnitNet,)
    model: UnitNet

    def __init__(
        self, model: UnitNet, options: BackpropOptions, *, seed: int = 0, make: Maker | None = None
    ) -> None:
        super().__init__(model, options, seed=seed)
        check_together(options)
        if options.slices > 1 or options.slice_rule is not SliceRule.DESCRIBED:
            raise ConfigurationError(
                "backprop: slices and slice_rule are for fully connected nets,"
                f" {model.name!r} is {model.kind}; leave them out, or use tinyfoa, which trains"
                " slices of a unit"
            )
        self._optimiser = optimiser_of(options)
        if options.closed_form:
            in_bits = Sliced(
                weights=options.weights is Precision.BINARY,
                activations=options.activations is Precision.BINARY,
            )
            self._units = Units(model, self.generator, make=in_bits, make_last=in_float32)
            self._units.train_whole(apart=False)
        else:
            self._units = Units(model, self.generator, make=make)
        self._units.add_to(self._optimiser)

    def check_batch(self, batch_size: int) -> None:
        """Batch normalisation needs more than one value per channel."""
        rows = self.options.micro_batch or batch_size
        check_rows(self.model, min(rows, batch_size % rows or rows))

    def begin_epoch(self, epoch: int, epochs: int) -> None:
        """Set the learning rate of the pass."""
        super().begin_epoch(epoch, epochs)
        factor = rate_factor(self.options.decay, epoch % epochs, epochs)
        self._optimiser.lr = self.options.lr * factor

    def step(self, x: torch.Tensor, y: torch.Tensor) -> None:
        """One update from the mean loss of the batch."""
        self._optimiser.begin_step()
        learner = _LEARNERS[self.options.update](self._optimiser)
        rows = self.options.micro_batch or len(x)
        with torch.no_grad():
            for part in in_tiles(len(x), rows, apart=True):
                self._pass(x[part], y[part], learner, weight=(part.stop - part.start) / len(x))
            learner.finish()
            if not learner.at_once:
                with phase("update"):
                    self._units.settle()

    def _pass(self, x: torch.Tensor, y_N: torch.Tensor, learner: Learner, weight: float) -> None:
        """Forward and back with some rows, whose mean loss counts with ``weight``."""
        chains = self._units.chains
        size = self.options.checkpoint or len(chains)
        starts = range(0, len(chains), size)
        given: list[torch.Tensor] = []
        tape: Tape = []
        with phase("forward"):
            h = self._units.as_map(x)
            for start in starts:
                is_last = start == starts[-1]
                way = Pass(tape if is_last else None, Statistics.BATCH)
                given.append(h)
                for chain in chains[start : start + size]:
                    passed = [h]
                    del h
                    h = chain.forward(passed.pop(), way)
        with phase("gradient"):
            dlogits_NC = logit_gradient_(h, y_N, self.options.loss)
            tape.append(tag(dlogits_NC, Category.GRADIENTS, "dlogits"))
            if weight != 1.0:
                dlogits_NC.mul_(weight)
            del h, dlogits_NC
        for start in reversed(starts):
            h = given.pop()
            if start != starts[-1]:
                self._again(h, chains[start : start + size], tape)
            del h
            for place in reversed(range(start, min(start + size, len(chains)))):
                chains[place].backward(tape, learner, to_input=place > 0)

    def _again(self, h: torch.Tensor, chains: Sequence[Chain], tape: Tape) -> None:
        """Go once more through some units, below the gradient at the end of the tape."""
        with phase("gradient"):
            dy = tape.pop()
            way = Pass(tape, Statistics.BATCH_AGAIN)
            for chain in chains:
                passed = [h]
                del h
                h = tag(chain.forward(passed.pop(), way), Category.ACTIVATIONS)
            del h
            tape.append(dy)

    def predict(self, x: torch.Tensor) -> torch.Tensor:
        """Logits."""
        return self._units.predict(x)

    def static_tensors(self) -> Iterator[StaticTensor]:
        """Parameters, running statistics and optimiser state."""
        return self._units.static_tensors(self._optimiser)
