"""A loss on every hidden layer, by default of a linear classifier: the simplest layer-local rule.

Each hidden layer l has a head, and its own cross-entropy that reaches no other layer::

    h_l = max(0, w_l h_{l-1} + b_l)     a_l = v_l h_l + c_l     e_l = (softmax(a_l) - y*) / B
    dz_l = v_l^T e_l . 1[h_l > 0]       dw_l = dz_l h_{l-1}^T   dv_l = e_l h_l^T

A layer is updated as soon as its output is known, during the forward pass, and then its head: dz_l
is computed with the head before its update. Two layers' activations and one dz_l are alive, and
with ``optimizer=sgd`` the product dw_l goes straight into the momentum. A unit's gradient does not
depend on other units, so ``parts`` can process a layer's units in turns, in the same step and with
the same result: dz_l, and with Adam dw_l, then exist for one part of the layer at a time.

``loss=sim`` compares the outputs of the samples of a batch instead, after a trained linear map
``u_l`` or directly (:mod:`trainfit.algorithms.local_head.similarity`), and ``loss=predsim`` is
(1 - beta) times the cross-entropy and beta times that. ``batch_norm`` is in
:mod:`trainfit.algorithms.local_head.normalisation`, the initial weights of heads in
:mod:`trainfit.algorithms.local_head.heads`, ``schedule=greedy`` in
:mod:`trainfit.algorithms.local_head.layers`.

Nets of units are trained by :mod:`trainfit.algorithms.local_head.units`.

Published settings, and the options that give them:

* Local Error Signals (Nokland & Eidnes, ICML 2019, arXiv 1901.06656, and their released code):
  ``loss=predsim,head_init=zeros,batch_norm=true,optimizer=adam,lr=5e-4,keep=0.9``; likewise
  ``loss=pred`` and ``loss=sim``. All layers learn in every step. As in that code, ``zeros`` are the
  weights of the heads; their biases are drawn as ``torch.nn.Linear`` draws them. With ``pred`` the
  first step then trains the heads only: no gradient passes them. ``projection=none`` is the
  similarity of their biologically plausible variant; its random targets are not here. Their recipes
  use leaky rectifiers, which no rule here has.
* Mono-Forward (Gong, Li & Abdulla, arXiv 2501.09238): ``head=trained``.
* Bio-FO (Huang & Aminifar, MLSys 2025, and its released code): ``head=fixed,schedule=greedy,
  optimizer=adam,lr=1e-4``, with ``head_init=normal`` for MNIST and MIT-BIH, ``head_init=sign`` for
  CIFAR-10, CIFAR-100 and CHB-MIT, and ``epochs = 100``, which are passes per layer: the next layer
  is trained only after. Its heads have no biases. With signs that code uses one matrix for all
  layers; here every layer draws its own. The default ``head_init`` of fixed heads, ``he``, is
  TinyFoA's, not Bio-FO's: Bio-FO is TinyFoA without its bits and slices.

Decisions. The classifier of the net is the head of its last hidden layer; there is no second one.
Nokland's code has one, an output layer with a cross-entropy of its own, beside the last head. So
heads follow their cross-entropy in full, as that output layer does, whatever its share in
``predsim`` (with Adam, as in that code, a gradient's scale matters little): a layer hears
(1 - beta) of it. With ``sim`` the last layer alone has a head, from which it hears nothing.

As in that code, dropout comes after the layer's own loss, so the head sees all units and only the
next layer misses some; nothing is dropped before a classifier. ``predict=last`` uses the last head,
``predict=sum`` adds up the scores of all heads; in a stage of ``schedule=greedy`` these are the
heads of the layers up to the one in training. Layers below it run as in prediction: only its own
input misses units.

Shape suffixes: B batch, I inputs and O outputs of a layer, J units of a part, C classes, X features
of a loss (classes, samples or outputs).
"""

from __future__ import annotations

from typing import Any, ClassVar, NamedTuple

import torch
from torch.nn import functional

from trainfit.algorithms.contract import Algorithm
from trainfit.algorithms.local_head.layers import LocalHeadNet, Part
from trainfit.algorithms.local_head.normalisation import Normalised, backward, train_forward
from trainfit.algorithms.local_head.options import LOCAL_HEAD, Head, LocalLoss
from trainfit.algorithms.local_head.similarity import (
    directions_,
    gradient_matrix,
    row_means,
)
from trainfit.algorithms.local_head.units import LocalHeadOnUnits
from trainfit.algorithms.models import Mlp, Model, UnitNet
from trainfit.algorithms.numerics.losses import cross_entropy_error_
from trainfit.algorithms.phases import Category, phase, tag


class _Signal(NamedTuple):
    """A loss as a layer hears of it: its gradient with respect to h is ``weight left right``."""

    left_BX: torch.Tensor
    right_XO: torch.Tensor
    weight: float = 1.0


class LocalHead(LocalHeadNet, about=LOCAL_HEAD):
    """Layers trained with one head each."""

    models: ClassVar[tuple[type[Model], ...]] = (Mlp, UnitNet)
    forms: ClassVar[tuple[type[Algorithm[Any]], ...]] = (LocalHeadOnUnits,)

    def step(self, x: torch.Tensor, y: torch.Tensor) -> None:
        """One update of every layer in training and its head, during the forward pass."""
        self.check_batch(len(x))
        self._optimiser.begin_step()
        with torch.no_grad():
            with phase("forward"):
                self._dropout.begin_step()
                h_BI = self._input(x)
            for number in self._trained:
                h_BI = self._train(h_BI, y, number)
                if number < self._trained.stop - 1:
                    with phase("forward"):
                        self._dropout.apply_(h_BI, number)

    def _train(self, h_BI: torch.Tensor, y_B: torch.Tensor, number: int) -> torch.Tensor:
        """Update a layer and what its loss needs; returns its output before the update."""
        signals: list[_Signal] = []
        with phase("forward"):
            h_BO, normalised = self._layer(h_BI, number)
            error_BC = self._scores(h_BO, number) if self._has_head(number) else None
            features = self._features(h_BO, number) if self.options.similarity else None
        with phase("gradient"):
            if features:
                signals.append(self._similarity_signal(*features, y_B, number))
                del features
            if error_BC is not None:
                cross_entropy_error_(error_BC, y_B)
                if self.options.loss is not LocalLoss.SIM:
                    share = 1.0 - self.options.similarity
                    signals.append(_Signal(error_BC, self._head(number)[0], share))
        for part in self._parts(number):
            with phase("gradient"):
                dh_BJ = self._gradient(signals, h_BO, part[1])
            if normalised is None:
                self._follow(("w", "b"), number, part, dh_BJ, h_BI)
            else:
                self._follow_normalised(number, part, dh_BJ, h_BI, normalised)
            del dh_BJ
        if error_BC is not None and self.options.head is Head.TRAINED:
            self._follow(("v", "c"), number, (str(number), slice(None)), error_BC, h_BO)
        if self.options.projects:
            self._follow_projection(number, signals[0].left_BX, h_BO)
        return h_BO

    # ---- forward ----------------------------------------------------------------------------

    def _layer(self, h_BI: torch.Tensor, number: int) -> tuple[torch.Tensor, Normalised | None]:
        """Output of a layer in training; with batch normalisation also what is kept for it."""
        z_BO = self._linear(h_BI, number)
        if not self.options.batch_norm:
            return z_BO.relu_(), None
        return train_forward(z_BO, self._norm(number))

    def _features(self, h_BO: torch.Tensor, number: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Directions n of what is compared, and ``1 / length``."""
        if self.options.projects:
            n_BO = functional.linear(h_BO, self._parameters[f"u{number}"])
            n_BO.sub_(row_means(n_BO))
        else:
            n_BO = h_BO - row_means(h_BO)
        return n_BO, directions_(n_BO)

    # ---- gradient ---------------------------------------------------------------------------

    def _similarity_signal(
        self, n_BO: torch.Tensor, inverse_B: torch.Tensor, y_B: torch.Tensor, number: int
    ) -> _Signal:
        weight = self.options.similarity
        m_BB = gradient_matrix(n_BO, inverse_B, y_B, self.model.classes, weight)
        if not self.options.projects:
            return _Signal(m_BB, n_BO)
        return _Signal(m_BB @ n_BO, self._parameters[f"u{number}"])

    def _gradient(self, signals: list[_Signal], h_BO: torch.Tensor, units: slice) -> torch.Tensor:
        """The gradient of some units before the rectifier."""
        first, *others = signals
        dh_BJ = first.left_BX @ first.right_XO[:, units]
        for left_BX, right_XO, weight in others:
            dh_BJ.addmm_(left_BX, right_XO[:, units], alpha=weight)
        torch.ops.aten.threshold_backward.grad_input(dh_BJ, h_BO[:, units], 0, grad_input=dh_BJ)
        return dh_BJ

    # ---- update -----------------------------------------------------------------------------

    def _follow(
        self,
        names: tuple[str, str],
        number: int,
        part: Part,
        dz_BO: torch.Tensor,
        h_BI: torch.Tensor,
    ) -> None:
        """Update the rows of a part of a layer's units, or of a head's."""
        weight, bias = names
        label, units = part
        with phase("update"):
            db_O = tag(dz_BO.sum(0), Category.GRADIENTS, f"d{bias}{label}")
            self._apply_vector(bias, number, part, db_O)
            del db_O
            w_OI = self._parameters[f"{weight}{number}"][units]
            self._optimiser.apply_product(f"{weight}{label}", w_OI, dz_BO.T, h_BI)

    def _follow_normalised(
        self,
        number: int,
        part: Part,
        du_BJ: torch.Tensor,
        h_BI: torch.Tensor,
        normalised: Normalised,
    ) -> None:
        """Update a part of a layer from the gradient behind its normalisation."""
        label, units = part
        with phase("gradient"):
            dz_BJ, dgain_J, dshift_J = backward(normalised, units, du_BJ)
        with phase("update"):
            self._apply_vector("gain", number, part, dgain_J)
            self._apply_vector("shift", number, part, dshift_J)
            del dgain_J, dshift_J
            w_JI = self._parameters[f"w{number}"][units]
            self._optimiser.apply_product(f"w{label}", w_JI, dz_BJ.T, h_BI)

    def _follow_projection(self, number: int, dg_BO: torch.Tensor, h_BO: torch.Tensor) -> None:
        """Update the linear map before the similarities."""
        for label, units in self._parts(number):
            with phase("update"):
                u_JO = self._parameters[f"u{number}"][units]
                self._optimiser.apply_product(f"u{label}", u_JO, dg_BO[:, units].T, h_BO)

    def _apply_vector(self, kind: str, number: int, part: Part, gradient_J: torch.Tensor) -> None:
        label, units = part
        parameter_J = self._parameters[f"{kind}{number}"][units]
        self._optimiser.apply(f"{kind}{label}", parameter_J, gradient_J)
