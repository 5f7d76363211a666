"""The layers of Forward-Forward: output, gradient of their own loss, update.

Two facts keep the memory small. The factor that turns z into dL/dz is one number per row, so it can
scale the layer's input, which dies here, instead of z, which lives on: no gradient of z exists,
except in the first layer if its input is the caller's. And the product z^T h goes straight into the
momentum: no gradient of w exists (with ``optimizer=sgd``).

Shape suffixes: R rows of a pass, B batch, I inputs and O outputs of a layer, C classes.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import torch
from torch.nn import functional

from trainfit.algorithms.contract import Algorithm, StaticTensor
from trainfit.algorithms.forward_forward.binary.head import BitFeatureHead
from trainfit.algorithms.forward_forward.binary.layers import BinaryLayers
from trainfit.algorithms.forward_forward.head import Activities, FeatureHead, judging_layers
from trainfit.algorithms.forward_forward.labels import check_room_for_labels
from trainfit.algorithms.forward_forward.objective import (
    PEER_MEMORY,
    Objective,
    input_scale,
    normalise_,
    peer_pull,
)
from trainfit.algorithms.forward_forward.options import (
    ForwardForwardOptions,
    Implementation,
    check_together,
)
from trainfit.algorithms.models import Mlp
from trainfit.algorithms.numerics.optimisers import make_optimiser
from trainfit.algorithms.numerics.schedules import rate_factor
from trainfit.algorithms.options import Precision
from trainfit.algorithms.phases import Category, phase


class _Rows(NamedTuple):
    """A layer's rows: output, input, factors from z to dL/dz, pending factors of the input."""

    z_RO: torch.Tensor
    h_RI: torch.Tensor
    factor_R: torch.Tensor
    scale_R: torch.Tensor | None


class ForwardForwardNet(Algorithm[ForwardForwardOptions]):
    """Hidden layers, each with its own loss, and their tensors between steps."""

    model: Mlp
    _binary: BinaryLayers | None = None
    """Layers of the binarised form, used instead of those of this class."""

    def __init__(self, model: Mlp, options: ForwardForwardOptions, *, seed: int = 0) -> None:
        super().__init__(model, options, seed=seed)
        check_room_for_labels(self.name, model)
        check_together(options)
        self._objective = Objective(
            options.goodness, options.loss, options.threshold, options.symba_scale
        )
        self._optimiser = make_optimiser(
            options.optimizer,
            options.lr,
            options.momentum,
            weight_decay=options.weight_decay,
            nesterov=options.nesterov,
        )
        self._parameters: dict[str, torch.Tensor] = {}
        self._peers: list[torch.Tensor] = []
        naive = options.implementation is Implementation.AUTOGRAD
        for number, (inputs, outputs) in enumerate(model.layers[:-1], start=1):
            w_OI = torch.empty(outputs, inputs).normal_(0, inputs**-0.5, generator=self.generator)
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
        """Rectified output of a layer; ``scale_R`` are the input's row factors, not yet applied."""
        w_OI, b_O = self._parameters[f"w{number}"], self._parameters[f"b{number}"]
        if scale_R is None:
            return functional.linear(h_RI, w_OI, b_O).relu_()
        return (h_RI @ w_OI.T).mul_(scale_R[:, None]).add_(b_O).relu_()

    def _update(self, number: int, rows: _Rows, suffix: str) -> None:
        """``dw = (factor z)^T h``: the factor scales the one of the two that may be changed."""
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
            pull_O = peer_pull(running_O, self.options.peer / batch)
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
