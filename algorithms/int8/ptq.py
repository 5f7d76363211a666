"""Post-training quantisation: float32 backpropagation, prediction with an INT8 net.

A step is one of :mod:`trainfit.algorithms.backprop.rule`, with its options and its bytes. Only the
prediction differs: weights and activations are rounded to INT8 and multiplied as integers, as in
:mod:`trainfit.algorithms.int8.net`. It shows the accuracy that remains after rounding a net that
was not trained for it.

Decisions: weights are rounded again for every prediction and not kept, because every step would
invalidate them; scales of activations are largest magnitudes of the predicted batch (dynamic
quantisation), so that nothing has to be calibrated or kept.

A net of units is trained as by :mod:`trainfit.algorithms.backprop.units`. In prediction its
convolutions and dense layers multiply INT8; batch normalisation, by its running statistics, is not
folded into their weights but stays in float32 between them, as does all that is in the other rules
(:mod:`trainfit.algorithms.blocks.int8.making`): the rounded net is the one that these train.

Shape suffixes: B batch, I inputs of a layer.
"""

from __future__ import annotations

from typing import Any, ClassVar

import torch

from trainfit.algorithms.backprop.rule import Backprop
from trainfit.algorithms.backprop.units import BackpropOnUnits
from trainfit.algorithms.blocks.int8.predicting import predicting_in_int8
from trainfit.algorithms.contract import Algorithm
from trainfit.algorithms.errors import ConfigurationError
from trainfit.algorithms.int8.options import PTQ_INT8, PtqInt8Options
from trainfit.algorithms.models import Mlp, Model, UnitNet
from trainfit.algorithms.numerics.int8.forward import quantised_linear
from trainfit.algorithms.numerics.int8.quantise import quantise
from trainfit.algorithms.numerics.int8.scaled import Quantised
from trainfit.algorithms.options import Rounding


class PtqInt8OnUnits(BackpropOnUnits, about=PTQ_INT8):
    """Units trained in float32, rounded to INT8 for prediction."""

    def __init__(self, model: UnitNet, options: PtqInt8Options, *, seed: int = 0) -> None:
        _check_float(options)
        super().__init__(model, options, seed=seed, make=predicting_in_int8(options.kernel))


class PtqInt8(Backprop, about=PTQ_INT8):
    """Trained in float32, rounded to INT8 for prediction."""

    models: ClassVar[tuple[type[Model], ...]] = (Mlp, UnitNet)
    forms: ClassVar[tuple[type[Algorithm[Any]], ...]] = (PtqInt8OnUnits,)
    model: Mlp
    options: PtqInt8Options

    def __init__(self, model: Mlp, options: PtqInt8Options, *, seed: int = 0) -> None:
        _check_float(options)
        super().__init__(model, options, seed=seed)

    def predict(self, x: torch.Tensor) -> torch.Tensor:
        """Logits of the rounded net."""
        with torch.no_grad():
            z_BI = x
            for number in range(1, len(self.model.layers) + 1):
                weight = self._round(self._parameters[f"w{number}"])
                h = self._round(z_BI.relu_() if number > 1 else z_BI)
                b_O = self._parameters[f"b{number}"]
                z_BI = quantised_linear(h, weight, b_O, self.options.kernel)
            return z_BI

    def _round(self, t_RC: torch.Tensor) -> Quantised:
        return Quantised(*quantise(t_RC, rounding=Rounding.NEAREST, kernel=self.options.kernel))


def _check_float(options: PtqInt8Options) -> None:
    """Refuse the forms of backpropagation that train no float net.

    Raises:
        ConfigurationError: The message says what to leave out.
    """
    if options.closed_form:
        raise ConfigurationError(
            "ptq_int8 rounds float nets; leave weights and activations at float, slices at 1"
            " and slice_rule at described"
        )
