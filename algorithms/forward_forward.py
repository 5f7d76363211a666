"""The Forward-Forward algorithm (Hinton 2022, arXiv 2212.13345).

Every hidden layer learns alone: its goodness, the sum of squares of its output, should exceed a
threshold for an image with its true label written into the first pixels, and stay below it with a
wrong label; see :mod:`algorithms.forward_forward_layer` for loss and gradient. Inputs and outputs
have their rows scaled to a mean square of 1, so that a layer cannot read the goodness of the one
below. What an image shows is the label with which all layers but the first have most goodness.

Two facts make the closed form small. The factor that turns z into dL/dz belongs to a row, so it can
scale the layer's input, which dies here, instead of z, which lives on: no gradient of z exists, but
in a first layer whose input is the caller's. And the product z^T h goes straight into the momentum:
no gradient of w exists (with ``optimizer=sgd``).

Choices that are in use, each with bytes or accuracy of its own:

* ``passes=sequential``: the positive pass through all layers, each updated on the way, then the
  negative one. ``joint``: both as one batch of twice the rows, one update; SymBa's loss needs it.
* ``negatives=random``: any wrong label. ``hard``: what a classifier on the activities takes it for.
* ``score=head``: that classifier, which needs one pass, says what an image shows.
* ``peer``: pulls a unit's mean activity towards the layer's (peer/2 times the sum of squared
  differences, through a running mean), against units that never or always speak.
* ``implementation=autograd``: the form usually written, for comparison.

Decisions where the paper is silent: weights are drawn from N(0, 1/I) without bias, so that the
goodness starts near the threshold; the threshold is a mean square of 1 unless given. The gradient
is that of the mean over the batch, positive and negative added.

Shape suffixes: R rows of a pass, B batch, I inputs and O outputs of a layer, C classes.
"""

from __future__ import annotations

from collections.abc import Iterator
from enum import StrEnum
from typing import Any, ClassVar, NamedTuple

import torch
from pydantic import Field
from torch.nn import functional

from .base import Algorithm, AlgorithmOptions, StaticTensor
from .errors import ConfigurationError
from .forward_forward_autograd import autograd_step
from .forward_forward_autograd_memory import plan_autograd
from .forward_forward_head import FeatureHead, judging_layers
from .forward_forward_layer import Goodness, Loss, Objective, inverse_length_, normalise_
from .forward_forward_memory import Parts, plan_closed_form
from .fully_connected import TrainingOptions
from .labels import (
    check_room_for_labels,
    hard_wrong_labels,
    labelled,
    random_wrong_labels,
    write_labels,
)
from .models import Mlp
from .numerics.optimisers import make_optimiser
from .numerics.schedules import rate_factor
from .phases import Category, phase, tag
from .plan import MemoryPlan

PEER_MEMORY = 0.9
"""How much of a unit's running mean activity stays from step to step."""


class Implementation(StrEnum):
    """How the local gradient is had."""

    CLOSED_FORM = "closed_form"
    AUTOGRAD = "autograd"


class Passes(StrEnum):
    """How the two passes follow each other."""

    SEQUENTIAL = "sequential"
    JOINT = "joint"


class Negatives(StrEnum):
    """Where wrong labels come from."""

    RANDOM = "random"
    HARD = "hard"


class Score(StrEnum):
    """What says which class an image shows."""

    GOODNESS = "goodness"
    HEAD = "head"


class ForwardForwardOptions(TrainingOptions):
    """Options of ``forward_forward``."""

    implementation: Implementation = Implementation.CLOSED_FORM
    passes: Passes = Passes.SEQUENTIAL
    lr: float = Field(default=1e-3, gt=0)
    goodness: Goodness = Goodness.SUM
    loss: Loss = Loss.LOGISTIC
    threshold: float | None = Field(default=None, gt=0)
    """Theta, in units of the chosen goodness; by default that of a mean square of 1."""
    symba_scale: float = Field(default=4.0, gt=0)
    """Alpha of ``loss=symba``."""
    negatives: Negatives = Negatives.RANDOM
    score: Score = Score.GOODNESS
    head_lr: float = Field(default=0.01, gt=0)
    """Learning rate of the classifier on the activities, where there is one."""
    peer: float = Field(default=0.0, ge=0)
    label_scale: float = Field(default=1.0, gt=0)
    """Value written into the pixel of the label."""

    @property
    def objective(self) -> Objective:
        """What a layer is trained for."""
        return Objective(self.goodness, self.loss, self.threshold, self.symba_scale)


class _Rows(NamedTuple):
    """A layer's rows: output, input, what turns z into dL/dz, and what the input is yet to get."""

    z_RO: torch.Tensor
    h_RI: torch.Tensor
    factor_R: torch.Tensor
    scale_R: torch.Tensor | None


class ForwardForward(Algorithm[ForwardForwardOptions]):
    """Layer-local loss on goodness; hidden layers only."""

    name: ClassVar[str] = "forward_forward"
    summary: ClassVar[str] = "Forward-Forward: two forward passes, one local loss per layer"
    paper: ClassVar[str] = "Hinton, arXiv 2212.13345, 2022"
    options_type: ClassVar[type[AlgorithmOptions]] = ForwardForwardOptions
    model: Mlp
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

    def __init__(self, model: Mlp, options: ForwardForwardOptions, *, seed: int = 0) -> None:
        super().__init__(model, options, seed=seed)
        check_room_for_labels(self.name, model)
        _check_together(options)
        self._objective = options.objective
        self._optimiser = make_optimiser(options.optimizer, options.lr, options.momentum)
        self._parameters: dict[str, torch.Tensor] = {}
        self._peers: list[torch.Tensor] = []
        naive = options.implementation is Implementation.AUTOGRAD
        for number, (inputs, outputs) in enumerate(model.layers[:-1], start=1):
            w_OI = torch.empty(outputs, inputs).normal_(0, inputs**-0.5, generator=self.generator)
            self._parameters[f"w{number}"] = w_OI.requires_grad_(naive)
            self._parameters[f"b{number}"] = torch.zeros(outputs, requires_grad=naive)
            if options.peer:
                self._peers.append(torch.full((outputs,), 0.5))
        for name, parameter in self._parameters.items():
            self._optimiser.add(name, parameter.detach())
        wanted = options.negatives is Negatives.HARD or options.score is Score.HEAD
        self._head = FeatureHead(model, options.head_lr, options.momentum) if wanted else None

    def begin_epoch(self, epoch: int, epochs: int) -> None:
        """Set the learning rates of the pass."""
        super().begin_epoch(epoch, epochs)
        factor = rate_factor(self.options.decay, epoch, epochs)
        self._optimiser.lr = self.options.lr * factor
        if self._head:
            self._head.optimiser.lr = self.options.head_lr * factor

    # ---- the step ---------------------------------------------------------------------------

    def step(self, x: torch.Tensor, y: torch.Tensor) -> None:
        """One update of every hidden layer from true and from wrong labels."""
        self._optimiser.begin_step()
        if self.options.implementation is Implementation.AUTOGRAD:
            autograd_step(
                self._parameters,
                self._optimiser,
                self._objective,
                x,
                y,
                classes=self.model.classes,
                label_scale=self.options.label_scale,
                generator=self.generator,
            )
            return
        with torch.no_grad():
            wrong_B = self._neutral_pass(x, y) if self._head else None
            if self.options.passes is Passes.JOINT:
                self._joint_pass(x, y, wrong_B)
                return
            self._pass(x, y, positive=True)
            if wrong_B is None:
                with phase("forward.negative"):
                    wrong_B = random_wrong_labels(y, self.model.classes, self.generator)
            self._pass(x, wrong_B, positive=False)

    def _pass(self, x_BI: torch.Tensor, y_B: torch.Tensor, *, positive: bool) -> None:
        """One pass through all layers, each updated on the way."""
        suffix = ".positive" if positive else ".negative"
        with labelled(x_BI, y_B, self.model.classes, self.options.label_scale, f"forward{suffix}"):
            with phase(f"forward{suffix}"):
                held = [x_BI, _input_scale(x_BI)]
            self._layers(held, suffix, len(x_BI), positive=positive)

    def _joint_pass(
        self, x_BI: torch.Tensor, y_B: torch.Tensor, wrong_B: torch.Tensor | None
    ) -> None:
        """Both passes at once, the positive rows first."""
        with phase("forward"):
            if wrong_B is None:
                wrong_B = random_wrong_labels(y_B, self.model.classes, self.generator)
            pair_RI = tag(torch.cat((x_BI, x_BI)), Category.INPUTS, "inputs of both passes")
            for half_BI, label_B in ((pair_RI[: len(x_BI)], y_B), (pair_RI[len(x_BI) :], wrong_B)):
                write_labels(half_BI, label_B, self.model.classes, self.options.label_scale)
            normalise_(pair_RI, torch.linalg.vector_norm(pair_RI, dim=1))
            held = [pair_RI]
            del pair_RI, half_BI
        self._layers(held, "", len(x_BI), positive=None)

    def _layers(
        self, held: list[torch.Tensor], suffix: str, batch: int, *, positive: bool | None
    ) -> None:
        """Train every layer on the way.

        Args:
            held: The input, and its row factors if it is the caller's and must stay as it is.
                Both are taken out, so that they die as soon as they can.
            suffix: Of the phases.
            batch: Samples.
            positive: Which pass it is; None for both at once.
        """
        scale_R = held.pop() if len(held) > 1 else None
        h_RI = held.pop()
        for number in range(1, len(self.model.hidden) + 1):
            with phase(f"forward{suffix}"):
                z_RO = self._output(h_RI, number, scale_R)
                length_R = torch.linalg.vector_norm(z_RO, dim=1)
            with phase(f"gradient{suffix}"):
                factor_R = self._objective.factors_(
                    length_R * length_R, z_RO.shape[1], batch, positive
                )
            rows = _Rows(z_RO, h_RI, factor_R, scale_R)
            if self.options.peer and positive is not False:
                self._update_with_peers(number, rows, suffix, batch)
            else:
                self._update(number, rows, suffix)
            del factor_R, rows
            scale_R = None
            with phase(f"forward{suffix}"):
                h_RI = normalise_(z_RO, length_R)
                del z_RO, length_R

    def _output(
        self, h_RI: torch.Tensor, number: int, scale_R: torch.Tensor | None
    ) -> torch.Tensor:
        """Rectified output of a layer, of which ``scale_R`` would scale the input's rows."""
        w_OI, b_O = self._parameters[f"w{number}"], self._parameters[f"b{number}"]
        if scale_R is None:
            return functional.linear(h_RI, w_OI, b_O).relu_()
        return (h_RI @ w_OI.T).mul_(scale_R[:, None]).add_(b_O).relu_()

    def _update(self, number: int, rows: _Rows, suffix: str) -> None:
        """``dw = (factor z)^T h``: the factor scales whichever of the two may be changed."""
        z_RO, h_RI, factor_R, scale_R = rows
        with phase(f"gradient{suffix}"):
            if scale_R is None:
                left_RO, right_RI = z_RO, h_RI.mul_(factor_R[:, None])
            else:
                left_RO, right_RI = z_RO * (factor_R * scale_R)[:, None], h_RI
        with phase(f"update{suffix}"):
            w_OI, b_O = self._parameters[f"w{number}"], self._parameters[f"b{number}"]
            self._optimiser.apply_product(f"b{number}", b_O, z_RO.T, factor_R)
            self._optimiser.apply_product(f"w{number}", w_OI, left_RO.T, right_RI)

    def _update_with_peers(self, number: int, rows: _Rows, suffix: str, batch: int) -> None:
        """``dz = factor z + peer (m_o - mean m) 1[z > 0]`` on the positive rows."""
        z_RO, h_RI, factor_R, scale_R = rows
        running_O = self._peers[number - 1]
        with phase(f"gradient{suffix}"):
            running_O.lerp_(z_RO[:batch].mean(0), 1.0 - PEER_MEMORY)
            pull_O = (running_O - running_O.mean()).mul_(self.options.peer / batch)
            dz_RO = z_RO.sign().mul_(pull_O)
            del pull_O
            dz_RO[batch:].zero_()
            dz_RO.addcmul_(z_RO, factor_R[:, None])
            db_O = dz_RO.sum(0)
            if scale_R is not None:
                dz_RO.mul_(scale_R[:, None])
        with phase(f"update{suffix}"):
            self._optimiser.apply(f"b{number}", self._parameters[f"b{number}"], db_O)
            del db_O
            self._optimiser.apply_product(
                f"w{number}", self._parameters[f"w{number}"], dz_RO.T, h_RI
            )

    # ---- the classifier on the activities ---------------------------------------------------

    def _neutral_pass(self, x_BI: torch.Tensor, y_B: torch.Tensor) -> torch.Tensor | None:
        """Train the classifier; draw the labels it confuses, if they are asked for."""
        assert self._head is not None
        wrong_B = None
        activities = self._activities(x_BI, "forward.neutral")
        with phase("forward.neutral"):
            error_BC = self._head.probabilities(activities)
            if self.options.negatives is Negatives.HARD:
                wrong_B = hard_wrong_labels(error_BC, y_B, self.generator)
        with phase("gradient.neutral"):
            self._head.error_(error_BC, y_B)
        with phase("update.neutral"):
            self._head.learn(error_BC, activities)
        return wrong_B

    def _activities(self, x_BI: torch.Tensor, name: str) -> dict[int, torch.Tensor]:
        """Normalised output of every judging layer for the neutral label."""
        activities = {}
        judging = judging_layers(self.model)
        with labelled(x_BI, None, self.model.classes, self.options.label_scale, name), phase(name):
            h_BI = x_BI
            scale_B: torch.Tensor | None = _input_scale(x_BI)
            for number in range(1, len(self.model.hidden) + 1):
                z_BO = self._output(h_BI, number, scale_B)
                scale_B = None
                h_BI = normalise_(z_BO, torch.linalg.vector_norm(z_BO, dim=1))
                del z_BO
                if number in judging:
                    activities[number] = h_BI
        return activities

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
                scores_BC[:, label] = self._goodness(h_BI)
        return scores_BC

    def _goodness(self, h_BI: torch.Tensor) -> torch.Tensor:
        """Sum over the judging layers, shape (B,)."""
        total_B = torch.zeros(len(h_BI))
        judging = judging_layers(self.model)
        scale_B: torch.Tensor | None = _input_scale(h_BI)
        for number in range(1, len(self.model.hidden) + 1):
            z_BO = self._output(h_BI, number, scale_B)
            scale_B = None
            length_B = torch.linalg.vector_norm(z_BO, dim=1)
            if number in judging:
                total_B += length_B.square() * self._objective.share(z_BO.shape[1])
            h_BI = normalise_(z_BO, length_B)
        return total_B

    def static_tensors(self) -> Iterator[StaticTensor]:
        """Parameters of the hidden layers, optimiser state, running means, classifier."""
        for name, parameter in self._parameters.items():
            yield StaticTensor(name, parameter, Category.PARAMETERS)
        for name, state in self._optimiser.states():
            yield StaticTensor(name, state, Category.OPTIMIZER_STATE)
        for number, running_O in enumerate(self._peers, start=1):
            yield StaticTensor(f"mean activity {number}", running_O, Category.BUFFERS)
        if self._head:
            yield from self._head.static_tensors()

    def memory_model(self, batch_size: int) -> MemoryPlan:
        """See :mod:`algorithms.forward_forward_memory`."""
        options = self.options
        if options.implementation is Implementation.AUTOGRAD:
            mean = options.goodness is Goodness.MEAN
            return plan_autograd(self.model, self._optimiser, batch_size, mean=mean)
        parts = Parts(
            objective=self._objective,
            joint=options.passes is Passes.JOINT,
            peer=options.peer > 0,
            head=self._head,
            hard=options.negatives is Negatives.HARD,
        )
        return plan_closed_form(self.model, self._optimiser, batch_size, parts)


def _input_scale(x_BI: torch.Tensor) -> torch.Tensor:
    """Row factors that give the input a mean square of 1."""
    return inverse_length_(torch.linalg.vector_norm(x_BI, dim=1), x_BI.shape[1])


def _check_together(options: ForwardForwardOptions) -> None:
    """Refuse choices that exclude each other.

    Raises:
        ConfigurationError: Naming both.
    """
    if options.loss is Loss.SYMBA and options.passes is not Passes.JOINT:
        raise ConfigurationError(
            "forward_forward: loss=symba compares the two passes and needs passes=joint"
        )
    plain: dict[str, Any] = {
        "passes": Passes.SEQUENTIAL,
        "negatives": Negatives.RANDOM,
        "score": Score.GOODNESS,
    }
    plain |= {"loss": Loss.LOGISTIC, "peer": 0.0}
    changed = [key for key, value in plain.items() if getattr(options, key) != value]
    if options.implementation is Implementation.AUTOGRAD and changed:
        raise ConfigurationError(
            f"forward_forward: implementation=autograd knows nothing of {', '.join(changed)};"
            " leave it out or take implementation=closed_form"
        )
