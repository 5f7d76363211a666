"""Hidden layers with one head each: what is kept between steps, stages, prediction.

With ``schedule=greedy`` a stage trains one layer. The layers below it run as in prediction and stay
as they are; those above it, and the heads of all others, need not be in RAM. Each stage begins with
an optimiser without history, as in Bio-FO's code.

Shape suffixes: B batch, I inputs and O outputs of a layer, C classes.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from string import digits

import torch
from torch.nn import functional

from trainfit._limits import MOST_DEEP_STAGES
from trainfit._text import shown
from trainfit.algorithms.contract import StaticTensor
from trainfit.algorithms.errors import ConfigurationError
from trainfit.algorithms.local_head.heads import draw_head, draw_trained_head
from trainfit.algorithms.local_head.normalisation import Statistics, predict_forward_
from trainfit.algorithms.local_head.options import (
    Head,
    LocalHeadOptions,
    LocalLoss,
    Predict,
    Schedule,
    check_together,
)
from trainfit.algorithms.models import Mlp
from trainfit.algorithms.models.mlp import linear_init
from trainfit.algorithms.nets.fully_connected import FullyConnected
from trainfit.algorithms.numerics.batch_norm import check_rows
from trainfit.algorithms.numerics.dropout import Dropout
from trainfit.algorithms.phases import Category

_OF_HEADS = {"v", "c"}
"""Kinds of a head's parameters."""
_OF_LOSSES = _OF_HEADS | {"u"}
"""Kinds of parameters that only a layer's own loss needs."""


def _split(name: str) -> tuple[str, int]:
    """A tensor's kind and its layer: ``gain12`` is the gain of layer 12."""
    kind = name.rstrip(digits)
    return kind, int(name.removeprefix(kind))


Part = tuple[str, slice]
"""Units of a layer that are trained together: the name of their optimiser states, and the units."""


class LocalHeadNet(FullyConnected[LocalHeadOptions]):
    """Tensors, stages and prediction; a subclass adds ``step``."""

    storage_note = "no step uses it: layers and heads that other stages train"

    def __init__(self, model: Mlp, options: LocalHeadOptions, *, seed: int = 0) -> None:
        check_together(options)
        super().__init__(model, options, seed=seed)
        self._active = 0  # index of the stage
        self._need_hidden_layers()
        self._refuse_options_of_units()
        self._check_sizes()
        self._add_states()
        self._dropout = Dropout(options.keep, self.generator)
        self._statistics = {
            f"{kind}{number}": torch.full((outputs,), value)
            for number, outputs in enumerate(model.hidden if options.batch_norm else (), start=1)
            for kind, value in (("mean", 0.0), ("variance", 1.0))
        }
        self._fixed_CO = (
            [
                draw_head(options.initial_heads, outputs, model.classes, self.generator)
                for outputs in model.hidden
            ]
            if options.head is Head.FIXED
            else []
        )

    def _refuse_options_of_units(self) -> None:
        name = "head_features"
        if getattr(self.options, name) != LocalHeadOptions.model_fields[name].default:
            raise ConfigurationError(
                f"option {name!r} of {self.name} is for convolutional nets, whose maps are"
                f" averaged; {self.model.name!r} is {self.model.kind}, and its heads see all units:"
                " leave it out"
            )

    def _check_sizes(self) -> None:
        model, parts = self.model, self.options.parts
        if parts > min(model.hidden):
            raise ConfigurationError(
                f"option 'parts' of {self.name}: {parts} parts of a layer with"
                f" {min(model.hidden)} units in {model.name!r}; use at most {min(model.hidden)}"
            )
        if self.options.schedule is Schedule.GREEDY and len(model.hidden) > MOST_DEEP_STAGES:
            raise ConfigurationError(
                f"{self.name} with schedule=greedy trains every hidden layer on all below it, of"
                f" which {shown(model.name)} has {len(model.hidden)}; use at most"
                f" {MOST_DEEP_STAGES}"
            )

    def _layer_parameters(
        self, number: int, w_OI: torch.Tensor, b_O: torch.Tensor
    ) -> dict[str, torch.Tensor]:
        """A hidden layer and its head; the net's own classifier is the last hidden layer's head."""
        if number > len(self.model.hidden):
            return {}
        parameters = {f"w{number}": w_OI}
        if self.options.batch_norm:
            parameters[f"gain{number}"] = torch.ones(len(b_O))
            parameters[f"shift{number}"] = torch.zeros(len(b_O))
        else:
            parameters[f"b{number}"] = b_O
        if self.options.head is Head.TRAINED and self._has_head(number):
            v_CO, c_C = draw_trained_head(
                self.options.initial_heads, len(b_O), self.model.classes, self.generator
            )
            parameters |= {f"v{number}": v_CO, f"c{number}": c_C}
        if self.options.projects:
            parameters[f"u{number}"] = linear_init(len(b_O), len(b_O), self.generator)[0]
        return parameters

    def _has_head(self, number: int) -> bool:
        """With ``loss=sim`` the last layer alone has one, from which it learns nothing."""
        return self.options.loss is not LocalLoss.SIM or number == len(self.model.hidden)

    def check_batch(self, batch_size: int) -> None:
        """Batch normalisation and similarities need more than one sample."""
        if self.options.batch_norm:
            check_rows(batch_size)
        if self.options.similarity and batch_size < 2:
            raise ConfigurationError(
                f"{self.name} with loss={self.options.loss} compares the samples of a batch, and"
                f" batch size {batch_size} has no two; use at least 2"
            )

    # ---- stages -----------------------------------------------------------------------------

    @property
    def stages(self) -> tuple[str, ...]:
        """With ``schedule=greedy`` the hidden layers, trained one after the other."""
        if self.options.schedule is Schedule.JOINT:
            return super().stages
        return tuple(f"layer{number}" for number in range(1, len(self.model.hidden) + 1))

    def enter_stage(self, index: int) -> None:
        """Train another hidden layer from now on, with a new optimiser."""
        super().enter_stage(index)
        if self.options.schedule is Schedule.GREEDY:
            self._active = index
            self._restart_optimiser()
            self._add_states()

    @property
    def _trained(self) -> range:
        """Numbers of the layers that a step trains."""
        if self.options.schedule is Schedule.GREEDY:
            return range(self._active + 1, self._active + 2)
        return range(1, len(self.model.hidden) + 1)

    def _add_states(self) -> None:
        """States of the optimiser: one per part of a trained layer, one per trained head."""
        for name in self._trained_heads():
            self._optimiser.add(name, self._parameters[name])
        for number in self._trained:
            for label, units in self._parts(number):
                for kind in self._kinds:
                    self._optimiser.add(
                        f"{kind}{label}", self._parameters[f"{kind}{number}"][units]
                    )

    @property
    def _kinds(self) -> tuple[str, ...]:
        """First parts of the names of a layer's parameters, which have a row or number per unit."""
        kinds = ("w", "gain", "shift") if self.options.batch_norm else ("w", "b")
        return (*kinds, "u") if self.options.projects else kinds

    def _trained_heads(self) -> list[str]:
        """Names of the heads' parameters that have a state."""
        named = {name: _split(name) for name in self._parameters}
        return [n for n, (kind, of) in named.items() if kind in _OF_HEADS and of in self._trained]

    def _is_trained(self, name: str) -> bool:
        """States are added in ``_add_states``, once the parts of a layer are known."""
        return False

    def _in_storage(self, name: str) -> bool:
        """Tensors that no step of the stage uses."""
        kind, number = _split(name)
        return self._is_idle(number, of_loss=kind in _OF_LOSSES)

    def _is_idle(self, number: int, *, of_loss: bool) -> bool:
        return number not in self._trained if of_loss else number >= self._trained.stop

    def _parts(self, number: int) -> list[Part]:
        """A layer's units, in parts of nearly equal size."""
        outputs, parts = self.model.hidden[number - 1], self.options.parts
        ends = pairwise(outputs * part // parts for part in range(parts + 1))
        return [
            (f"{number}" if parts == 1 else f"{number}[{start}:{end}]", slice(start, end))
            for start, end in ends
        ]

    # ---- forward ----------------------------------------------------------------------------

    def _input(self, x_BI: torch.Tensor) -> torch.Tensor:
        """Input of the first trained layer: the batch, or the output of the layers below."""
        h_BI, first = x_BI, self._trained.start
        for number in range(1, first):
            h_BI = self._hidden(h_BI, number)
        return self._dropout.apply_(h_BI, first - 1) if first > 1 else h_BI

    def _hidden(self, h_BI: torch.Tensor, number: int) -> torch.Tensor:
        """Output of a layer that is not trained."""
        z_BO = self._linear(h_BI, number)
        return predict_forward_(z_BO, self._norm(number)) if self._statistics else z_BO.relu_()

    def _norm(self, number: int) -> Statistics:
        """What a layer keeps for batch normalisation."""
        return Statistics(
            self._parameters[f"gain{number}"],
            self._parameters[f"shift{number}"],
            self._statistics[f"mean{number}"],
            self._statistics[f"variance{number}"],
        )

    def _head(self, number: int) -> tuple[torch.Tensor, torch.Tensor | None]:
        """Weights (C, O) and bias, if any, of a head."""
        if self.options.head is Head.FIXED:
            return self._fixed_CO[number - 1], None
        return self._parameters[f"v{number}"], self._parameters[f"c{number}"]

    def _scores(self, h_BO: torch.Tensor, number: int) -> torch.Tensor:
        return functional.linear(h_BO, *self._head(number))

    def predict(self, x: torch.Tensor) -> torch.Tensor:
        """Scores of the last head, or of all added up, of the layers up to those in training."""
        scores_BC = torch.zeros(len(x), self.model.classes)
        with torch.no_grad():
            h_BI = x
            for number in range(1, self._trained.stop):
                h_BI = self._hidden(h_BI, number)
                if self.options.predict is Predict.SUM or number == self._trained.stop - 1:
                    scores_BC += self._scores(h_BI, number)
        return scores_BC

    # ---- what is kept -----------------------------------------------------------------------

    def static_tensors(self) -> Iterator[StaticTensor]:
        """Parameters, optimiser state, running statistics and, if fixed, the heads."""
        yield from super().static_tensors()
        for name, values_O in self._statistics.items():
            yield StaticTensor(name, values_O, Category.BUFFERS, storage=self._in_storage(name))
        for number, head_CO in enumerate(self._fixed_CO, start=1):
            idle = self._is_idle(number, of_loss=True)
            yield StaticTensor(f"head{number}", head_CO, Category.BUFFERS, storage=idle)
