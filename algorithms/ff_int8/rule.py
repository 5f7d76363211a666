"""FF-INT8: Forward-Forward with INT8 products (Ma, Panda & Reda, DAC 2025, arXiv 2506.22771).

Every hidden layer has the loss of Forward-Forward on the sum of squares of its output, for true
and for wrong labels, and learns by a product of INT8 matrices summed in INT32::

    (q_h, s_h) = SUQ(h)     y = max(0, s_h s_w q_h q_w^T + b)     g_Y = 2 y dL/dG
    g_W = SUQ(g_Y)^T q_h                                          no gradient of the input

No activation, gradient or (with ``master=int8``) weight exists in any format other than INT8. Each
row of activations has its own scale, so a row of sums can be rounded as soon as it is complete. The
factor that turns y into g_Y is one number per row as well
(:mod:`trainfit.algorithms.forward_forward.objective`), so the integers of y are also those of g_Y.
They are rounded a second time only to bring all rows to one scale, since INT32 sums go over the
rows.

Decisions where the paper is silent:

* Both passes are one batch, true labels first, and make one update: what they have in common
  cancels before it is rounded.
* Rows of the input and of every output are scaled to a mean square of 1, which only changes their
  scale; weights are initialised like those of ``forward_forward``, with a bias in float32.
* ``threshold``: the paper has 2.0. With it the logistic factor of a wrong label, however clear, is
  at least 1/(1 + e^2), so easy negatives never stop contributing; the default is that of a mean
  square of 1, whatever the width, as in ``forward_forward``.
* ``master=int8``: only the integers of a weight exist; updates are rounded stochastically and a
  row's scale follows its largest weight by powers of two
  (:func:`trainfit.algorithms.numerics.int8.update.update_int8`). ``master=fp32``: float32 weights,
  quantised layer by layer; only these can have ``momentum``. ``weight_decay`` works with both: it
  multiplies the scales of INT8 weights, which loses nothing to rounding.
* Plain descent; the rate is divided by a layer's inputs, see ``Int8Layer``. ``goodness=mean``
  divides the gradient by a layer's width and needs a rate larger by that factor.
* An image's predicted class is the label that gives the largest goodness, summed over all hidden
  layers.

``lookahead`` is described in :mod:`trainfit.algorithms.ff_int8.lookahead`.

Shape suffixes: B batch, R rows of both passes (2 B), I inputs and O outputs of a layer, C classes.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from itertools import count
from typing import Any, ClassVar

import torch

from trainfit.algorithms.contract import Algorithm, StaticTensor
from trainfit.algorithms.errors import ConfigurationError
from trainfit.algorithms.ff_int8.labelled_input import LabelledInput
from trainfit.algorithms.ff_int8.layer import (
    Int8Layer,
    LocalRule,
    local_step,
    unit_rows,
)
from trainfit.algorithms.ff_int8.lookahead import (
    detached_step,
    true_step,
)
from trainfit.algorithms.ff_int8.options import (
    FF_INT8,
    FfInt8Options,
    Lookahead,
    Master,
    check_together,
)
from trainfit.algorithms.ff_int8.units import FfInt8OnUnits
from trainfit.algorithms.ff_int8.weights import Int8Weights, LatentWeights
from trainfit.algorithms.forward_forward.labels import (
    check_room_for_labels,
    random_wrong_labels,
)
from trainfit.algorithms.forward_forward.objective import Objective
from trainfit.algorithms.forward_forward.options import Labels, Loss
from trainfit.algorithms.models import Mlp, Model, UnitNet
from trainfit.algorithms.numerics.int8.layer import QuantConfig, RowQuantized
from trainfit.algorithms.numerics.int8.quantise import draw_seed, nth_seed
from trainfit.algorithms.numerics.optimisers import Sgd
from trainfit.algorithms.numerics.schedules import rate_factor
from trainfit.algorithms.options import Rounding
from trainfit.algorithms.phases import phase


class FfInt8(Algorithm[FfInt8Options], about=FF_INT8):
    """Layer-local logistic loss on goodness, in INT8; hidden layers only."""

    models: ClassVar[tuple[type[Model], ...]] = (Mlp, UnitNet)
    forms: ClassVar[tuple[type[Algorithm[Any]], ...]] = (FfInt8OnUnits,)
    model: Mlp

    def __init__(self, model: Mlp, options: FfInt8Options, *, seed: int = 0) -> None:
        super().__init__(model, options, seed=seed)
        check_room_for_labels(self.name, model)
        check_together(options)
        if options.labels is not Labels.PIXELS:
            raise ConfigurationError(
                f"ff_int8: labels={options.labels} is for convolutional nets, {model.name!r} is"
                f" {model.kind}; leave it out"
            )
        self._way = QuantConfig(options.rounding, options.kernel)
        self._labels = LabelledInput(model, options.label_scale)
        self._weight = 0.0
        self._layers = []
        for number, (inputs, outputs) in enumerate(model.layers[:-1], start=1):
            w_OI = torch.empty(outputs, inputs).normal_(0, inputs**-0.5, generator=self.generator)
            how: Any = {"weight_decay": options.weight_decay, "nesterov": options.nesterov}
            weights = (
                Int8Weights(w_OI, weight_decay=options.weight_decay)
                if options.master is Master.INT8
                else LatentWeights(w_OI, options.momentum, **how)
            )
            for_bias = Sgd(options.lr, options.momentum, **how)
            self._layers.append(Int8Layer(str(number), weights, options.lr, for_bias))

    def begin_epoch(self, epoch: int, epochs: int) -> None:
        """Set the learning rate and the weight of later layers."""
        super().begin_epoch(epoch, epochs)
        for layer in self._layers:
            layer.set_rate(self.options.lr * rate_factor(self.options.decay, epoch, epochs))
        self._weight = self.options.lookahead_step * epoch

    # ---- the step ---------------------------------------------------------------------------

    def _rule(self, batch: int) -> LocalRule:
        options = self.options
        objective = Objective(options.goodness, Loss.LOGISTIC, options.threshold, scale=1.0)
        return LocalRule(self._layers, objective, self._way, batch)

    def step(self, x: torch.Tensor, y: torch.Tensor) -> None:
        """One update of every hidden layer from true and wrong labels."""
        with torch.no_grad():
            with phase("forward"):
                seed = draw_seed(self.generator)
            seeds = (nth_seed(seed, number) for number in count())
            make_input = partial(self._both_passes, x, y, seeds)
            rule = self._rule(len(x))
            if self.options.lookahead is Lookahead.OFF:
                local_step(rule, make_input, seeds)
            elif self.options.lookahead is Lookahead.DETACHED:
                detached_step(rule, make_input, self._weight, seeds)
            else:
                true_step(rule, make_input, self._weight, seeds)

    def _both_passes(
        self, x_BI: torch.Tensor, y_B: torch.Tensor, seeds: Iterator[int]
    ) -> RowQuantized:
        """The batch with true labels, then with wrong ones."""
        with phase("forward"):
            wrong_B = random_wrong_labels(y_B, self.model.classes, self.generator)
            return self._labels.write(x_BI, (y_B, wrong_B), self._way, next(seeds))

    # ---- prediction and what is kept --------------------------------------------------------

    def predict(self, x: torch.Tensor) -> torch.Tensor:
        """Goodness summed over all layers, with each label written into the input in turn."""
        way = QuantConfig(Rounding.NEAREST, self.options.kernel)
        objective = self._rule(len(x)).objective
        scores_BC = torch.zeros(len(x), self.model.classes)
        with torch.no_grad():
            for label in range(self.model.classes):
                labels_B = torch.full((len(x),), label)
                h = self._labels.write(x, (labels_B,), way, 0)
                for layer in self._layers:
                    out = layer.output(h, way, 0)
                    share = objective.share(layer.width)
                    scores_BC[:, label].add_(out.real_squares(), alpha=share)
                    h = unit_rows(out.rows.q, out.squares_R)
        return scores_BC

    def static_tensors(self) -> Iterator[StaticTensor]:
        """Weights and biases of the hidden layers, and momentum."""
        for layer in self._layers:
            yield from layer.static_tensors()
