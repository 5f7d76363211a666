"""Sparse update: backpropagation that trains chosen layers only, or only biases.

Only what the trained parameters need is stored (Lin et al., NeurIPS 2022, arXiv 2206.15472, sparse
update; Cai et al., NeurIPS 2020, arXiv 2007.11622, biases alone)::

    dw_n = dz_n^T h_(n-1)                      the input of every chosen weight is stored
    db_n = sum dz_n                            nothing is stored
    dz_(n-1) = dz_n w_n . 1[h_(n-1) > 0]       one bit per unit whose value is not stored

Below the lowest trained parameter nothing is stored and no gradient is computed. A layer is updated
as soon as its gradient has been propagated, so at most one weight gradient exists, and none with
``optimizer=sgd``. Only trained parameters have optimiser state.

* ``layers``: the weights to train: ``last:N``, ``all``, ``none``, or numbers from 1 (``1,3``).
* ``biases``: the same, or ``chosen``: every layer from the lowest chosen weight up, which the
  gradient passes anyway. The paper trains the biases of the last k layers, with k at least
  that deep: ``last:k``.
* ``ratio``, ``part``: of every chosen weight, the columns of the first ``ratio`` of its inputs,
  or the rows of the first ``ratio`` of its outputs. The released code takes inputs, the default
  here, so that only these inputs are stored. It picks those with the largest weights of a
  pre-trained net; newly drawn weights give no reason to prefer any, so the first are taken here.
  The number is rounded down, as there. Biases are trained whole.
* ``frozen``: whether parameters that are only read are in RAM or in flash.

Nets of units are trained by :mod:`trainfit.algorithms.sparse_update.units`.

Not implemented: the paper's INT8 weights with their scaling, its search for the best choice, and
TinyTL's lite residual modules.

Shape suffixes: B batch, I inputs and O outputs of a layer, K inputs that are stored.
"""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from torch.nn import functional

from trainfit.algorithms.contract import Algorithm
from trainfit.algorithms.models import Mlp, Model, UnitNet
from trainfit.algorithms.nets.fully_connected import FullyConnected
from trainfit.algorithms.numerics.losses import logit_gradient_
from trainfit.algorithms.phases import phase
from trainfit.algorithms.sparse_update.choice import choose
from trainfit.algorithms.sparse_update.options import (
    SPARSE_UPDATE,
    Frozen,
    Part,
    SparseUpdateOptions,
)
from trainfit.algorithms.sparse_update.stored_input import (
    Kept,
    keep,
    through_rectifier_,
)
from trainfit.algorithms.sparse_update.units import SparseUpdateOnUnits


class SparseUpdate(FullyConnected[SparseUpdateOptions], about=SPARSE_UPDATE):
    """Closed-form gradients of chosen parameters only, on a rectifier net."""

    models: ClassVar[tuple[type[Model], ...]] = (Mlp, UnitNet)
    forms: ClassVar[tuple[type[Algorithm[Any]], ...]] = (SparseUpdateOnUnits,)
    storage_note = SparseUpdateOnUnits.storage_note

    def __init__(self, model: Mlp, options: SparseUpdateOptions, *, seed: int = 0) -> None:
        # first, since drawing the weights uses it
        self._choice = choose(model, options.layers, options.biases, options.ratio, options.part)
        super().__init__(model, options, seed=seed)

    # ---- the trained parameters, and their memory -------------------------------------------

    def _layer_parameters(
        self, number: int, w_OI: torch.Tensor, b_O: torch.Tensor
    ) -> dict[str, torch.Tensor]:
        """A weight that is trained in part becomes two tensors, one of which may be in flash."""
        if not self._choice.is_split(number):
            return super()._layer_parameters(number, w_OI, b_O)
        columns, rows = self._choice.columns[number], self._choice.rows[number]
        trained = w_OI[:rows, :columns].clone()
        frozen = (w_OI[:, columns:] if rows == len(w_OI) else w_OI[rows:]).clone()
        return {f"w{number}": trained, f"w{number}.frozen": frozen, f"b{number}": b_O}

    def _is_trained(self, name: str) -> bool:
        return name in self._choice.names

    def _in_storage(self, name: str) -> bool:
        return self.options.frozen is Frozen.FLASH and not self._is_trained(name)

    # ---- the step ---------------------------------------------------------------------------

    def step(self, x: torch.Tensor, y: torch.Tensor) -> None:
        """One update of the chosen parameters, the last layer first."""
        self._optimiser.begin_step()
        layers, lowest = len(self.model.layers), self._choice.lowest
        kept: list[Kept] = []
        with torch.no_grad():
            with phase("forward"):
                h_BI = x
                for number in range(1, layers + 1):
                    kept.append(self._keep(h_BI, number))
                    h_BI = self._linear(h_BI, number)
                    if number < layers:
                        h_BI.relu_()
            with phase("gradient"):
                dz_BO = logit_gradient_(h_BI, y, self.options.loss)
                del h_BI
            for number in range(layers, lowest, -1):
                below = kept.pop()
                with phase("gradient"):  # before that weight is updated
                    dh_BI = through_rectifier_(self._input_gradient(dz_BO, number), below)
                self._update(number, dz_BO, below)
                dz_BO = dh_BI
                del below, dh_BI
            self._update(lowest, dz_BO, kept.pop())

    def _update(self, number: int, dz_BO: torch.Tensor, below: Kept) -> None:
        with phase("update"):
            if number in self._choice.biases:
                self._apply_bias(number, dz_BO)
            if below.h_BK is not None:
                rows = self._choice.rows[number]
                self._apply_weight(number, dz_BO[:, :rows], below.h_BK)

    def _keep(self, h_BI: torch.Tensor, number: int) -> Kept:
        columns = self._choice.columns.get(number, 0)
        masked = number > self._choice.lowest
        copied = number > 1 and columns < h_BI.shape[1]  # the batch is not the step's to free
        return keep(h_BI, columns, masked=masked, copied=copied)

    def _linear(self, h_BI: torch.Tensor, number: int) -> torch.Tensor:
        if not self._choice.is_split(number):
            return super()._linear(h_BI, number)
        w, frozen = self._parameters[f"w{number}"], self._parameters[f"w{number}.frozen"]
        b_O, at = self._parameters[f"b{number}"], self._choice.border(number)
        if self.options.part is Part.INPUTS:
            return functional.linear(h_BI[:, :at], w, b_O).addmm_(h_BI[:, at:], frozen.T)
        z_BO = h_BI.new_empty(len(h_BI), len(b_O))
        torch.addmm(b_O[:at], h_BI, w.T, out=z_BO[:, :at])
        torch.addmm(b_O[at:], h_BI, frozen.T, out=z_BO[:, at:])
        return z_BO

    def _input_gradient(self, dz_BO: torch.Tensor, number: int) -> torch.Tensor:
        """``dz w``, shape (B, I)."""
        w = self._parameters[f"w{number}"]
        if not self._choice.is_split(number):
            return dz_BO @ w
        frozen, at = self._parameters[f"w{number}.frozen"], self._choice.border(number)
        if self.options.part is Part.OUTPUTS:
            return (dz_BO[:, :at] @ w).addmm_(dz_BO[:, at:], frozen)
        dh_BI = dz_BO.new_empty(len(dz_BO), self.model.sizes[number - 1])
        torch.mm(dz_BO, w, out=dh_BI[:, :at])
        torch.mm(dz_BO, frozen, out=dh_BI[:, at:])
        return dh_BI
