"""The Forward-Forward algorithm (Hinton 2022, arXiv 2212.13345).

Every hidden layer learns on its own: its goodness, the sum of squares of its output, should exceed
a threshold for an image with its true label written into the first pixels, and stay below it with a
wrong label; see :mod:`trainfit.algorithms.forward_forward.objective` for loss and gradient. The
rows of inputs and outputs are scaled to a mean square of 1, so that a layer cannot read the
goodness of the one below. The predicted class is the label that gives the largest goodness, summed
over all layers but the first; in the binarised form
(:mod:`trainfit.algorithms.forward_forward.binary.layers`), over all layers.

The form that trains in place is in :mod:`trainfit.algorithms.forward_forward.layers`, the variants
in :mod:`trainfit.algorithms.forward_forward.options`; nets of units are trained by
:mod:`trainfit.algorithms.forward_forward.units`.

Decisions where the paper is silent: weights are drawn from N(0, 1/I) without bias, so that the
goodness starts near the threshold (``init=fan_out``: N(0, 1/O)); the threshold is a mean square of
1 unless given. The gradient is that of the mean over the batch, the sum of the positive and
negative gradients.

Shape suffixes: R rows of a pass, B batch, I inputs and O outputs of a layer, C classes.
"""

from __future__ import annotations

from typing import Any, ClassVar

import torch

from trainfit.algorithms.contract import Algorithm
from trainfit.algorithms.forward_forward.autograd import autograd_step
from trainfit.algorithms.forward_forward.binary.layers import BinaryLayers
from trainfit.algorithms.forward_forward.head import Activities
from trainfit.algorithms.forward_forward.labels import (
    labelled,
    random_wrong_labels,
    sample_hard_negatives,
    write_labels,
)
from trainfit.algorithms.forward_forward.layers import ForwardForwardNet
from trainfit.algorithms.forward_forward.objective import input_scale, normalise_
from trainfit.algorithms.forward_forward.options import (
    FORWARD_FORWARD,
    Implementation,
    Negatives,
    Passes,
    Score,
)
from trainfit.algorithms.forward_forward.units import ForwardForwardOnUnits
from trainfit.algorithms.models import Mlp, Model, UnitNet
from trainfit.algorithms.phases import Category, phase, tag


class ForwardForward(ForwardForwardNet, about=FORWARD_FORWARD):
    """Layer-local loss on goodness; hidden layers only."""

    models: ClassVar[tuple[type[Model], ...]] = (Mlp, UnitNet)
    forms: ClassVar[tuple[type[Algorithm[Any]], ...]] = (ForwardForwardOnUnits,)
    phases: ClassVar[tuple[str, ...]] = (
        "forward",
        "gradient",
        "update",
        *(
            f"{phase}.{part}"
            for phase in ("forward", "gradient", "update")
            for part in ("neutral", "positive", "negative")
        ),
    )

    # ---- the step ---------------------------------------------------------------------------

    def step(self, x: torch.Tensor, y: torch.Tensor) -> None:
        """One update of every hidden layer from true and wrong labels."""
        if self.options.implementation is Implementation.AUTOGRAD:
            self._optimiser.begin_step()
            autograd_step(
                self._parameters,
                self._optimiser,
                self._objective,
                x,
                y,
                classes=self.model.classes,
                label_scale=self.options.label_scale,
                generator=self.generator,
                peers=self._peers,
                peer=self.options.peer,
            )
            return
        with torch.no_grad():
            wrong_B = self._neutral_pass(x, y) if self._head else None
            if self.options.passes is Passes.JOINT:
                self._optimiser.begin_step()
                self._joint_pass(x, y, wrong_B)
                return
            self._pass(x, y, positive=True)
            if wrong_B is None:
                with phase("forward.negative"):
                    wrong_B = random_wrong_labels(y, self.model.classes, self.generator)
            self._pass(x, wrong_B, positive=False)

    def _pass(self, x_BI: torch.Tensor, y_B: torch.Tensor, *, positive: bool) -> None:
        """One pass through all layers, each updated during the pass; a step of the optimiser."""
        self._optimiser.begin_step()
        suffix = ".positive" if positive else ".negative"
        with labelled(x_BI, y_B, self.model.classes, self.options.label_scale, f"forward{suffix}"):
            with phase(f"forward{suffix}"):
                held = [x_BI, input_scale(x_BI)]
            self._net.train_layers(held, suffix, len(x_BI), positive=positive)

    def _joint_pass(
        self, x_BI: torch.Tensor, y_B: torch.Tensor, wrong_B: torch.Tensor | None
    ) -> None:
        """Both passes at once, the positive rows first."""
        with phase("forward"):
            if wrong_B is None:
                wrong_B = random_wrong_labels(y_B, self.model.classes, self.generator)
            batch = len(x_BI)
            both_SI = torch.cat((x_BI, x_BI, x_BI[: self._net.spare_rows]))
            tag(both_SI, Category.INPUTS, "inputs of both passes")
            for start, label_B in ((0, y_B), (batch, wrong_B)):
                half_BI = both_SI[start : start + batch]
                write_labels(half_BI, label_B, self.model.classes, self.options.label_scale)
            pair_RI = both_SI[: 2 * batch]
            normalise_(pair_RI, torch.linalg.vector_norm(pair_RI, dim=1))
            held = [both_SI]
            del both_SI, pair_RI, half_BI
        self._net.train_layers(held, "", len(x_BI), positive=None)

    @property
    def _net(self) -> ForwardForwardNet | BinaryLayers:
        """The layers that a pass goes through."""
        return self._binary or self

    # ---- the classifier on the activities ---------------------------------------------------

    def _neutral_pass(self, x_BI: torch.Tensor, y_B: torch.Tensor) -> torch.Tensor | None:
        """Train the classifier; with ``negatives=hard`` draw the labels that it confuses."""
        assert self._head is not None
        wrong_B = None
        activities = self._activities(x_BI, "forward.neutral")
        with phase("forward.neutral"):
            error_BC = self._head.probabilities(activities)
            if self.options.negatives is Negatives.HARD:
                wrong_B = sample_hard_negatives(error_BC, y_B, self.generator)
        with phase("gradient.neutral"):
            self._head.error_(error_BC, y_B)
        with phase("update.neutral"):
            self._head.learn(error_BC, activities)
        return wrong_B

    def _activities(self, x_BI: torch.Tensor, name: str) -> Activities:
        """Normalised output of every judging layer for the neutral label."""
        scale = self.options.label_scale
        with labelled(x_BI, None, self.model.classes, scale, name), phase(name):
            return self._net.activities(x_BI)

    # ---- prediction and contract ------------------------------------------------------------

    def predict(self, x: torch.Tensor) -> torch.Tensor:
        """Goodness of the judging layers with each label in turn, or the classifier's scores."""
        with torch.no_grad():
            if self.options.score is Score.HEAD:
                assert self._head is not None
                return self._head.logits(self._activities(x.clone(), "forward"))
            scores_BC = torch.empty(len(x), self.model.classes)
            h_BI = x.clone()
            for label in range(self.model.classes):
                y_B = torch.full((len(x),), label)
                write_labels(h_BI, y_B, self.model.classes, self.options.label_scale)
                scores_BC[:, label] = self._net.goodness(h_BI)
        return scores_BC
