"""A linear classifier on every hidden layer: the simplest layer-local rule.

Each hidden layer l has a head, and its own cross-entropy that reaches no other layer::

    h_l = max(0, w_l h_{l-1} + b_l)     a_l = v_l h_l + c_l     e_l = (softmax(a_l) - y*) / B
    dz_l = v_l^T e_l . 1[h_l > 0]       dw_l = dz_l h_{l-1}^T   dv_l = e_l h_l^T

A layer is updated as soon as its output is known, during the forward pass, and then its head: dz_l
is computed with the head before its update. Two layers' activations and one dz_l are alive, and
with ``optimizer=sgd`` the product dw_l goes straight into the momentum. A unit's gradient does not
depend on other units, so ``parts`` can process a layer's units in turns, in the same step and with
the same result: dz_l, and with Adam dw_l, then exist for one part of the layer at a time.

``head=trained`` is the prediction loss ("pred") of Local Error Signals (Nokland & Eidnes, ICML
2019, arXiv 1901.06656), and Mono-Forward (Gong, Li & Abdulla, arXiv 2501.09238). ``head=fixed``
keeps the initial heads, He-normal and without bias: Bio-FO (Huang & Aminifar, MLSys 2025), which is
TinyFoA without its bits and slices.

Decisions. The classifier of the net is the head of its last hidden layer; there is no second one.
Nokland's code has batch normalisation, which is left out here: its statistics would be state and
bytes that no other rule has. As in that code, dropout comes after the layer's own loss, so the head
sees all units and only the next layer misses some; nothing is dropped before a classifier.
``predict=last`` uses the last head, ``predict=sum`` adds up the scores of all heads.

Shape suffixes: B batch, I inputs and O outputs of a layer, C classes.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

import torch
from torch.nn import functional

from trainfit.algorithms.contract import StaticTensor
from trainfit.algorithms.errors import ConfigurationError
from trainfit.algorithms.local_head.memory import Part, PlanLocalHead, plan_parts
from trainfit.algorithms.local_head.options import LOCAL_HEAD, Head, LocalHeadOptions, Predict
from trainfit.algorithms.memory.plan import MemoryPlan
from trainfit.algorithms.models import Mlp
from trainfit.algorithms.models.mlp import linear_init
from trainfit.algorithms.nets.fully_connected import FullyConnected
from trainfit.algorithms.numerics.dropout import Dropout
from trainfit.algorithms.numerics.losses import cross_entropy_error_
from trainfit.algorithms.phases import Category, phase, tag
from trainfit.algorithms.tinyfoa.variant import fixed_head


class LocalHead(FullyConnected[LocalHeadOptions], about=LOCAL_HEAD):
    """Layers trained with one head each."""

    def __init__(self, model: Mlp, options: LocalHeadOptions, *, seed: int = 0) -> None:
        super().__init__(model, options, seed=seed)
        self._need_hidden_layers()
        if options.parts > min(model.hidden):
            raise ConfigurationError(
                f"option 'parts' of {self.name}: {options.parts} parts of a layer with"
                f" {min(model.hidden)} units in {model.name!r}; use at most {min(model.hidden)}"
            )
        for number in range(1, len(model.hidden) + 1):
            for label, units in self._parts(number):
                self._optimiser.add(f"w{label}", self._parameters[f"w{number}"][units])
                self._optimiser.add(f"b{label}", self._parameters[f"b{number}"][units])
        self._dropout = Dropout(options.keep, self.generator)
        self._fixed_CO = (
            [fixed_head(outputs, model.classes, self.generator) for outputs in model.hidden]
            if options.head is Head.FIXED
            else []
        )

    def _layer_parameters(
        self, number: int, w_OI: torch.Tensor, b_O: torch.Tensor
    ) -> dict[str, torch.Tensor]:
        """A hidden layer and its head; the net's own classifier is the last hidden layer's head."""
        if number > len(self.model.hidden):
            return {}
        parameters = {f"w{number}": w_OI, f"b{number}": b_O}
        if self.options.head is Head.TRAINED:
            v_CO, c_C = linear_init(len(b_O), self.model.classes, self.generator)
            parameters |= {f"v{number}": v_CO, f"c{number}": c_C}
        return parameters

    def _is_trained(self, name: str) -> bool:
        """Layers have one state per part, see ``__init__``."""
        return name[0] in "vc"

    def _parts(self, number: int) -> list[Part]:
        """A layer's units, in parts of nearly equal size."""
        outputs, parts = self.model.hidden[number - 1], self.options.parts
        ends = pairwise(outputs * part // parts for part in range(parts + 1))
        return [
            (f"{number}" if parts == 1 else f"{number}[{start}:{end}]", slice(start, end))
            for start, end in ends
        ]

    # ---- the step ---------------------------------------------------------------------------

    def step(self, x: torch.Tensor, y: torch.Tensor) -> None:
        """One update of every layer and head, during the forward pass."""
        self._optimiser.begin_step()
        with torch.no_grad():
            with phase("forward"):
                self._dropout.begin_step()
            h_BI = x
            for number in range(1, len(self.model.hidden) + 1):
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
                if number < len(self.model.hidden):
                    with phase("forward"):
                        self._dropout.apply_(h_BI, number)

    def _head(self, number: int) -> tuple[torch.Tensor, torch.Tensor | None]:
        """Weights (C, O) and bias, if any, of a head."""
        if self.options.head is Head.FIXED:
            return self._fixed_CO[number - 1], None
        return self._parameters[f"v{number}"], self._parameters[f"c{number}"]

    def _scores(self, h_BO: torch.Tensor, number: int) -> torch.Tensor:
        return functional.linear(h_BO, *self._head(number))

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

    def predict(self, x: torch.Tensor) -> torch.Tensor:
        """Scores of the last head, or of all of them added up."""
        scores_BC = torch.zeros(len(x), self.model.classes)
        with torch.no_grad():
            h_BI = x
            for number in range(1, len(self.model.hidden) + 1):
                h_BI = self._linear(h_BI, number).relu_()
                if self.options.predict is Predict.SUM or number == len(self.model.hidden):
                    scores_BC += self._scores(h_BI, number)
        return scores_BC

    # ---- what is kept -----------------------------------------------------------------------

    def static_tensors(self) -> Iterator[StaticTensor]:
        """Parameters, optimiser state and, if fixed, the heads."""
        yield from super().static_tensors()
        for number, head_CO in enumerate(self._fixed_CO, start=1):
            yield StaticTensor(f"head{number}", head_CO, Category.BUFFERS)

    def memory_model(self, batch_size: int) -> MemoryPlan:
        """See :mod:`trainfit.algorithms.local_head.memory`."""
        plan = self._plan_static(batch_size)
        for number, head_CO in enumerate(self._fixed_CO, start=1):
            plan.hold(f"head{number}", tuple(head_CO.shape), Category.BUFFERS)
        parts = [self._parts(number) for number in range(1, len(self.model.hidden) + 1)]
        plan_parts(plan, self._optimiser, self.model, parts)
        trained = self.options.head is Head.TRAINED
        walk = PlanLocalHead(plan, self._optimiser, self._dropout, self.model, trained=trained)
        walk.step(batch_size, parts)
        return plan
