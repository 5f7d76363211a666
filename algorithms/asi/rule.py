"""ASI: backpropagation whose stored inputs are low-rank factors, found by subspace iteration.

Nguyen et al., "Beyond Low-rank Decomposition: A Shortcut Approach for Efficient On-Device
Learning", ICML 2025, arXiv 2505.05086 (Activation Subspace Iteration). Of the input h of every
chosen layer, in the forward pass, with the subspace V of the batch before (warm start)::

    V <- orth(V h^T h)            one step of subspace iteration, r orthonormal rows
    U = V h^T                     stored with V instead of h
    dW = (U dz)^T V               = dz^T h V^T V: the gradient for the projected input
    dz_below = dz W . 1[h > 0]    exact: one bit per unit is stored for the rectifier

So the gradients of the layers below and of the biases are those of backpropagation, and so is dW
where r reaches the batch or the width of the input. Without a warm start ``V = orth(G h)``, G
random numbers of shape (r, B): a randomised range finder, as in the released code (which draws the
same numbers in every step; new ones are drawn here).

The paper factorises tensors by a subspace per mode and a core (Tucker). For a matrix, one subspace
of rank r makes it of rank r; here it is that of the features, since rows of different batches are
different samples, between which no subspace can be handed on. The core is contained in U. Where the
paper is silent or other:

* V stays between steps as the warm start. It is counted as static, whether a step is going on or
  not, and no second copy is stored. Before the first step it is Gaussian.
* The released code makes V orthonormal by LAPACK's QR; here it is Gram-Schmidt in place, the
  workspace of which is r - 1 numbers (:mod:`trainfit.algorithms.asi.subspace`).
* A rank above the width of an input is that width; above the rows of a batch, those rows.
* The batch is there before and after a step, so that factorising it (``layers`` with 1) stores
  more, not less; ``layers`` can leave it whole.
* ReLUs keep a bit per unit. The released code leaves them their whole outputs and does not count
  these; nor does it count gradients, the optimiser, or the input, which is alive while it is
  factorised.

Not implemented: the paper's search for the ranks by perplexity, and WASI's factors of weights.

Shape suffixes: B batch, I inputs and O outputs of a layer, K rank.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import torch

from trainfit.algorithms.asi.options import ASI, AsiOptions
from trainfit.algorithms.asi.subspace import factorise
from trainfit.algorithms.contract import StaticTensor
from trainfit.algorithms.errors import ConfigurationError
from trainfit.algorithms.models import Mlp
from trainfit.algorithms.nets.fully_connected import FullyConnected
from trainfit.algorithms.nets.layer_numbers import layer_numbers
from trainfit.algorithms.numerics.losses import logit_gradient_
from trainfit.algorithms.phases import Category, phase, tag
from trainfit.algorithms.sparse_update.stored_input import (
    Kept,
    keep,
    through_rectifier_,
)


class _Stored(NamedTuple):
    """What is stored of a layer's input: factors and the rectifier's bits, or all of it."""

    factors: tuple[torch.Tensor, torch.Tensor] | None
    kept: Kept


class Asi(FullyConnected[AsiOptions], about=ASI):
    """Closed-form gradients from factors of the activations, on a rectifier net."""

    def __init__(self, model: Mlp, options: AsiOptions, *, seed: int = 0) -> None:
        super().__init__(model, options, seed=seed)
        self._chosen = layer_numbers(model, options.layers, rule=self.name, option="layers")
        if not self._chosen:
            raise ConfigurationError(
                "asi: layers=none factorises nothing; choose layers, or use backprop"
            )
        self._subspaces: dict[int, torch.Tensor] = {}
        if options.warm_start:  # drawn after the weights, so that these are backprop's
            for number in sorted(self._chosen):
                rank, width = self._most(number), model.sizes[number - 1]
                start_KI = torch.empty(rank, width).normal_(generator=self.generator)
                self._subspaces[number] = start_KI

    def _most(self, number: int) -> int:
        """Rank of a layer's factors, for a batch of at least as many rows."""
        return min(self.options.rank, self.model.sizes[number - 1])

    # ---- the step ---------------------------------------------------------------------------

    def step(self, x: torch.Tensor, y: torch.Tensor) -> None:
        """One update, the last layer first."""
        self._optimiser.begin_step()
        layers = len(self.model.layers)
        stored: list[_Stored] = []
        with torch.no_grad():
            with phase("forward"):
                h_BI = x
                for number in range(1, layers + 1):
                    stored.append(self._store(h_BI, number))
                    h_BI = self._linear(h_BI, number)
                    if number < layers:
                        h_BI.relu_()
            with phase("gradient"):
                dz_BO = logit_gradient_(h_BI, y, self.options.loss)
                del h_BI
            for number in range(layers, 1, -1):
                below = stored.pop()
                with phase("gradient"):  # before that weight is updated
                    dh_BI = dz_BO @ self._parameters[f"w{number}"]
                    through_rectifier_(dh_BI, below.kept)
                self._update(number, dz_BO, below)
                dz_BO = dh_BI
                del below, dh_BI
            self._update(1, dz_BO, stored.pop())

    def _store(self, h_BI: torch.Tensor, number: int) -> _Stored:
        if number not in self._chosen:
            return _Stored(None, keep(h_BI, h_BI.shape[1], masked=False, copied=False))
        rank = min(self._most(number), len(h_BI))
        start_KI = self._subspaces[number][:rank] if self.options.warm_start else None
        factors = factorise(h_BI, start_KI, rank, self.generator)
        return _Stored(factors, keep(h_BI, 0, masked=number > 1, copied=False))

    def _update(self, number: int, dz_BO: torch.Tensor, below: _Stored) -> None:
        if below.factors is None:
            assert below.kept.h_BK is not None
            self._apply(number, dz_BO, below.kept.h_BK)
            return
        u_KB, v_KI = below.factors
        with phase("update"):
            self._apply_bias(number, dz_BO)
            left_OK = tag((u_KB @ dz_BO).T, Category.GRADIENTS, f"dw{number} v")
            name = f"w{number}"
            self._optimiser.apply_product(name, self._parameters[name], left_OK, v_KI)

    # ---- what is kept ------------------------------------------------------------------------

    def static_tensors(self) -> Iterator[StaticTensor]:
        """Parameters, optimiser state, and the subspaces to start from."""
        yield from super().static_tensors()
        for number, v_KI in self._subspaces.items():
            yield StaticTensor(f"subspace{number}", v_KI, Category.BUFFERS)
