"""A linear classifier on every hidden layer: the simplest layer-local rule.

Each hidden layer l has a head, and its own cross-entropy that reaches no other layer::

    h_l = max(0, w_l h_{l-1} + b_l)     a_l = v_l h_l + c_l     e_l = (softmax(a_l) - y*) / B
    dz_l = v_l^T e_l . 1[h_l > 0]       dw_l = dz_l h_{l-1}^T   dv_l = e_l h_l^T

A layer is updated as soon as its output is known, during the forward pass, and then its head: dz_l
is computed with the head before its update. Two layers' activations and one dz_l are alive, and
with ``optimizer=sgd`` the product dw_l goes straight into the momentum. A unit's gradient does not
depend on other units, so ``parts`` can process a layer's units in turns, in the same step and with
the same result: dz_l, and with Adam dw_l, then exist for one part of the layer at a time.

Published settings, and the options that give them:

* Local Error Signals, "pred" (Nokland & Eidnes, ICML 2019, arXiv 1901.06656, and their released
  code): ``head_init=zeros,optimizer=adam,lr=5e-4,keep=0.9``. All layers learn in every step. As in
  that code, ``zeros`` are the weights of the heads; their biases are drawn as ``torch.nn.Linear``
  draws them. The first step then trains the heads only: no gradient passes them.
* Mono-Forward (Gong, Li & Abdulla, arXiv 2501.09238): ``head=trained``.
* Bio-FO (Huang & Aminifar, MLSys 2025, and its released code): ``head=fixed,schedule=greedy,
  optimizer=adam,lr=1e-4``, with ``head_init=normal`` for MNIST and MIT-BIH, ``head_init=sign`` for
  CIFAR-10, CIFAR-100 and CHB-MIT, and ``epochs = 100``, which are passes per layer: the next layer
  is trained only after. Its heads have no biases. With the same signs that code uses one matrix for
  all layers; here every layer draws its own. The default ``head_init`` of fixed heads, ``he``, is
  TinyFoA's, not Bio-FO's: Bio-FO is TinyFoA without its bits and slices.

Decisions. The classifier of the net is the head of its last hidden layer; there is no second one.
Nokland's code has batch normalisation, which is left out here: its statistics would be state and
bytes that no other rule has. As in that code, dropout comes after the layer's own loss, so the head
sees all units and only the next layer misses some; nothing is dropped before a classifier.
``predict=last`` uses the last head, ``predict=sum`` adds up the scores of all heads; in a stage of
``schedule=greedy`` these are the heads of the layers up to the one in training. Layers below it run
as in prediction: only its own input misses units.

Shape suffixes: B batch, I inputs and O outputs of a layer, C classes.
"""

from __future__ import annotations

import torch

from trainfit.algorithms.local_head.layers import LocalHeadNet
from trainfit.algorithms.local_head.memory import Part, PlanLocalHead
from trainfit.algorithms.local_head.options import LOCAL_HEAD, Head
from trainfit.algorithms.memory.plan import MemoryPlan
from trainfit.algorithms.numerics.losses import cross_entropy_error_
from trainfit.algorithms.phases import Category, phase, tag


class LocalHead(LocalHeadNet, about=LOCAL_HEAD):
    """Layers trained with one head each."""

    def step(self, x: torch.Tensor, y: torch.Tensor) -> None:
        """One update of every layer in training and its head, during the forward pass."""
        self._optimiser.begin_step()
        with torch.no_grad():
            with phase("forward"):
                self._dropout.begin_step()
                h_BI = self._input(x)
            for number in self._trained:
                with phase("forward"):
                    h_BO = self._linear(h_BI, number).relu_()
                    error_BC = self._scores(h_BO, number)
                with phase("gradient"):
                    cross_entropy_error_(error_BC, y)
                for part in self._parts(number):
                    with phase("gradient"):
                        dz_BO = self._gradient(error_BC, h_BO, number, part[1])
                    self._follow(("w", "b"), number, part, dz_BO, h_BI)
                    del dz_BO
                if self.options.head is Head.TRAINED:
                    whole = (str(number), slice(None))
                    self._follow(("v", "c"), number, whole, error_BC, h_BO)
                del error_BC
                h_BI = h_BO
                del h_BO
                if number < self._trained.stop - 1:
                    with phase("forward"):
                        self._dropout.apply_(h_BI, number)

    def _gradient(
        self, error_BC: torch.Tensor, h_BO: torch.Tensor, number: int, units: slice
    ) -> torch.Tensor:
        """The gradient dz of some units, from the head's error."""
        dz_BO = error_BC @ self._head(number)[0][:, units]
        torch.ops.aten.threshold_backward.grad_input(dz_BO, h_BO[:, units], 0, grad_input=dz_BO)
        return dz_BO

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
            b_O = self._parameters[f"{bias}{number}"][units]
            self._optimiser.apply(f"{bias}{label}", b_O, db_O)
            del db_O
            w_OI = self._parameters[f"{weight}{number}"][units]
            self._optimiser.apply_product(f"{weight}{label}", w_OI, dz_BO.T, h_BI)

    def memory_model(self, batch_size: int) -> MemoryPlan:
        """See :mod:`trainfit.algorithms.local_head.memory`."""
        plan = self._plan_static(batch_size)
        walk = PlanLocalHead(plan, self._optimiser, self._dropout, self.model, self.options)
        walk.step(batch_size, {number: self._parts(number) for number in self._trained})
        return plan
