"""The layers of Forward-Forward: output, gradient of their own loss, update.

Two facts keep the memory small. The factor that turns z into dL/dz is one number per row, so it can
scale the layer's input, which dies here, instead of z, which lives on: no gradient of z exists,
except in the first layer if its input is the caller's. And the product z^T h goes straight into the
momentum: no gradient of w exists (with ``optimizer=sgd``). Most outputs of a trained layer are 0,
and both products skip them (:mod:`trainfit.algorithms.numerics.rectified`).

Shape suffixes: R rows of a pass, S the same with a spare row for the peers if they pull, B batch, I
inputs and O outputs of a layer, C classes.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import torch

from trainfit.algorithms.contract import Algorithm, StaticTensor
from trainfit.algorithms.errors import ConfigurationError
from trainfit.algorithms.forward_forward.binary.head import BitFeatureHead
from trainfit.algorithms.forward_forward.binary.layers import BinaryLayers
from trainfit.algorithms.forward_forward.head import Activities, FeatureHead, judging_layers
from trainfit.algorithms.forward_forward.labels import check_room_for_labels
from trainfit.algorithms.forward_forward.objective import (
    Objective,
    input_scale,
    normalise_,
)
from trainfit.algorithms.forward_forward.options import (
    ForwardForwardOptions,
    Implementation,
    Init,
    Labels,
    check_together,
)
from trainfit.algorithms.forward_forward.peers import pull_
from trainfit.algorithms.models import Mlp
from trainfit.algorithms.numerics.optimisers import optimiser_of
from trainfit.algorithms.numerics.rectified import apply_rectified, linear_
from trainfit.algorithms.numerics.schedules import rate_factor
from trainfit.algorithms.options import Precision
from trainfit.algorithms.phases import Category, phase


class _Rows(NamedTuple):
    """A layer's rows: output, input, factors from z to dL/dz, pending factors of the input.

    With a spare row, the last row is that of the pull of the peers. An input that is the caller's
    has none.
    """

    z_SO: torch.Tensor
    h_SI: torch.Tensor
    factor_S: torch.Tensor
    scale_R: torch.Tensor | None
    spare: int


class ForwardForwardNet(Algorithm[ForwardForwardOptions]):
    """Hidden layers, each with its own loss, and their tensors between steps."""

    model: Mlp
    _binary: BinaryLayers | None = None
    """Layers of the binarised form, used instead of those of this class."""

    def __init__(self, model: Mlp, options: ForwardForwardOptions, *, seed: int = 0) -> None:
        super().__init__(model, options, seed=seed)
        check_room_for_labels(self.name, model)
        check_together(options)
        if options.labels is not Labels.PIXELS:
            raise ConfigurationError(
                f"forward_forward: labels={options.labels} is for convolutional nets,"
                f" {model.name!r} is {model.kind}; leave it out"
            )
        self._objective = Objective(
            options.goodness, options.loss, options.threshold, options.symba_scale
        )
        self._optimiser = optimiser_of(options)
        self._parameters: dict[str, torch.Tensor] = {}
        self._peers: list[torch.Tensor] = []
        naive = options.implementation is Implementation.AUTOGRAD
        for number, (inputs, outputs) in enumerate(model.layers[:-1], start=1):
            fan = inputs if options.init is Init.FAN_IN else outputs
            w_OI = torch.empty(outputs, inputs).normal_(0, fan**-0.5, generator=self.generator)
            self._parameters[f"w{number}"] = w_OI.requires_grad_(naive)
            self._parameters[f"b{number}"] = torch.zeros(outputs, requires_grad=naive)
            if options.peer:
                self._peers.append(torch.full((outputs,), 0.5))
        if options.binarised:
            self._binary = BinaryLayers(
                self._parameters,
                self._optimiser,
                objective=self._objective,
                peers=self._peers,
                options=options,
                judging=judging_layers(model),
            )
            self._parameters = {}
        for name, parameter in self._parameters.items():
            self._optimiser.add(name, parameter.detach())
        head = BitFeatureHead if options.activations is Precision.BINARY else FeatureHead
        self._head = head(model, options) if options.has_head else None

    def begin_epoch(self, epoch: int, epochs: int) -> None:
        """Set the learning rates of the pass."""
        super().begin_epoch(epoch, epochs)
        factor = rate_factor(self.options.decay, epoch, epochs)
        self._optimiser.lr = self.options.lr * factor
        if self._head:
            self._head.optimiser.lr = self.options.head_lr * factor

    @property
    def spare_rows(self) -> int:
        """Rows that the input of a pass with positive rows has at its end, for the peers."""
        return 1 if self.options.peer else 0

    # ---- a pass -----------------------------------------------------------------------------

    def train_layers(
        self, held: list[torch.Tensor], suffix: str, batch: int, *, positive: bool | None
    ) -> None:
        """Train every layer during the pass.

        Args:
            held: The input, and its row factors if it is the caller's and must stay unchanged.
                Both are removed from the list, so that they die as early as possible.
            suffix: Suffix of the phases.
            batch: Samples.
            positive: Which pass it is; None for both at once.
        """
        scale_R = held.pop() if len(held) > 1 else None
        h_SI = held.pop()
        spare = 0 if positive is False else self.spare_rows
        count = batch if positive is not None else 2 * batch
        for number, outputs in enumerate(self.model.hidden, start=1):
            with phase(f"forward{suffix}"):
                z_SO = h_SI.new_empty(count + spare, outputs)
                self._output(h_SI[:count], number, scale_R, z_SO[:count])
                length_R = torch.linalg.vector_norm(z_SO[:count], dim=1)
            with phase(f"gradient{suffix}"):
                factor_S = torch.empty(count + spare)
                torch.mul(length_R, length_R, out=factor_S[:count])
                self._objective.factors_(factor_S[:count], outputs, batch, positive)
            rows = _Rows(z_SO, h_SI, factor_S, scale_R, spare)
            if spare:
                with phase(f"gradient{suffix}"):
                    self._pull(number, rows, batch)
            self._update(number, rows, suffix)
            del factor_S, rows
            scale_R = None
            with phase(f"forward{suffix}"):
                normalise_(z_SO[:count], length_R)
                h_SI = z_SO
                del z_SO, length_R

    def _output(
        self,
        h_RI: torch.Tensor,
        number: int,
        scale_R: torch.Tensor | None,
        z_RO: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """Rectified output of a layer, in ``z_RO`` if that is given.

        ``scale_R`` are the input's row factors, not yet applied.
        """
        w_OI, b_O = self._parameters[f"w{number}"], self._parameters[f"b{number}"]
        if z_RO is None:
            z_RO = h_RI.new_empty(len(h_RI), len(w_OI))
        if scale_R is None:
            return linear_(h_RI, w_OI, b_O, z_RO).relu_()
        return linear_(h_RI, w_OI, None, z_RO).mul_(scale_R[:, None]).add_(b_O).relu_()

    def _pull(self, number: int, rows: _Rows, batch: int) -> None:
        """Fill the spare row: the pull as output, the sum of the positive rows as input.

        The bias has an input of 1 in each of them.
        """
        z_SO, h_SI, factor_S, scale_R, _ = rows
        torch.mean(z_SO[:batch], 0, out=z_SO[-1])
        pull_(z_SO[-1], self._peers[number - 1], self.options.peer, batch)
        factor_S[-1:].fill_(batch)
        if scale_R is None:
            torch.sum(h_SI[:batch], 0, out=h_SI[-1])

    def _update(self, number: int, rows: _Rows, suffix: str) -> None:
        """``dw = (factor z)^T h``: the factor scales the one of the two that may be changed."""
        z_SO, h_SI, factor_S, scale_R, spare = rows
        count = len(z_SO) - spare
        with phase(f"gradient{suffix}"):
            if scale_R is None:
                h_SI[:count].mul_(factor_S[:count, None])
                left_SO = z_SO
            else:
                left_SO = z_SO[:count] * (factor_S[:count] * scale_R)[:, None]
                if spare:
                    left_SO.addr_(scale_R, z_SO[-1])
        with phase(f"update{suffix}"):
            w_OI, b_O = self._parameters[f"w{number}"], self._parameters[f"b{number}"]
            self._optimiser.apply_product(f"b{number}", b_O, z_SO.T, factor_S)
            apply_rectified(self._optimiser, f"w{number}", w_OI, left_SO, h_SI)

    def activities(self, h_BI: torch.Tensor) -> Activities:
        """Normalised output of every judging layer."""
        activities: Activities = {}
        judging = judging_layers(self.model)
        scale_B: torch.Tensor | None = input_scale(h_BI)
        for number in range(1, len(self.model.hidden) + 1):
            z_BO = self._output(h_BI, number, scale_B)
            scale_B = None
            h_BI = normalise_(z_BO, torch.linalg.vector_norm(z_BO, dim=1))
            del z_BO
            if number in judging:
                activities[number] = h_BI
        return activities

    def goodness(self, h_BI: torch.Tensor) -> torch.Tensor:
        """Sum over the judging layers, shape (B,)."""
        total_B = torch.zeros(len(h_BI))
        judging = judging_layers(self.model)
        scale_B: torch.Tensor | None = input_scale(h_BI)
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
        if self._binary:
            yield from self._binary.static_tensors()
        for name, state in self._optimiser.states():
            yield StaticTensor(name, state, Category.OPTIMIZER_STATE)
        for number, running_O in enumerate(self._peers, start=1):
            yield StaticTensor(f"mean activity {number}", running_O, Category.BUFFERS)
        if self._head:
            yield from self._head.static_tensors()
