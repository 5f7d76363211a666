"""The closed form of a TinyFoA step on a fully connected net as the released code runs it.

Everything is dense: see :mod:`trainfit.algorithms.tinyfoa.released.parts_memory`; autograd keeps
the pre-activation and the rectified output.

Shape suffixes: B batch, I inputs and O outputs of a layer, C classes.
"""

from __future__ import annotations

from trainfit.algorithms.contract import hold_inputs
from trainfit.algorithms.memory.operations import Kind, NumberFormat
from trainfit.algorithms.memory.plan import Item, MemoryPlan
from trainfit.algorithms.models import Mlp
from trainfit.algorithms.phases import Category
from trainfit.algorithms.tinyfoa.released.parts_memory import ReleasedPlan


def plan_step(model: Mlp, active: int, slices: int, batch_size: int, *, decays: bool) -> MemoryPlan:
    """The closed form of one step of layer ``active`` (from 0); ``decays``: with weight decay."""
    plan = MemoryPlan()
    hold_inputs(plan, model, batch_size)
    for index, (inputs, outputs) in enumerate(model.layers[:-1]):
        number, above = index + 1, index > active
        plan.hold(f"w{number}", (outputs, inputs), Category.PARAMETERS, storage=above)
        plan.hold(f"b{number}", (outputs,), Category.PARAMETERS, storage=above)
        head = (model.classes, outputs)
        plan.hold(f"head{number}", head, Category.BUFFERS, storage=index != active)
    _Step(plan, model, batch_size, decays=decays).run(active, slices)
    return plan


class _Step(ReleasedPlan):
    """The tensors of one step."""

    def __init__(self, plan: MemoryPlan, model: Mlp, batch: int, *, decays: bool) -> None:
        super().__init__(plan, batch, model.classes, decays=decays)
        self._model = model

    def run(self, active: int, slices: int) -> None:
        """Forward, gradient and update of the active layer."""
        plan = self._plan
        inputs, outputs = self._model.layers[active]
        weight, bias = (outputs, inputs), (outputs,)
        self._hold_adam({"w": weight, "b": bias})
        with plan.phase("forward"):
            below = None
            for index in range(active):
                below = self._frozen_layer(index, below)
            z, h = self._layer(active)
            loss, loss_weight, log_p = self._loss(outputs)
        with plan.phase("gradient"):
            seed = self._scalar("gradient of the loss")
            d_h = self._head_backward(outputs, loss_weight, log_p)
            plan.each(Kind.COMPARE, h.elements)
            d_binary = self._gradient("d sign(z)", h.shape, essential=False)
            plan.hand_over(d_h, d_binary)
            plan.free(h)
            d_z = self._cut("z", d_binary, z)
            hidden = NumberFormat.FP32_BINARY if active else NumberFormat.FP32
            plan.product(outputs, self._batch, inputs, hidden)
            plan.each(Kind.ADD, self._batch * outputs)
            d_binary = self._gradient("d sign(W)", weight)
            d_bias = self._gradient("db", bias)
            plan.free(d_z, *([below] if below else []))
            d_weight = self._cut("W", d_binary, None)
            plan.free(seed, loss)
        with plan.phase("update"):
            self._update((outputs // slices, inputs // slices), [d_weight, d_bias])

    def _count_linear(self, index: int) -> None:
        inputs, outputs = self._model.layers[index]
        binary = NumberFormat.BINARY if index else NumberFormat.FP32_BINARY
        self._plan.product(self._batch, inputs, outputs, binary)
        self._plan.each(Kind.ADD, self._batch * outputs)
        self._plan.each(Kind.COMPARE, self._batch * outputs)  # the rectifier, after binarisation

    def _frozen_layer(self, index: int, below: Item | None) -> Item:
        """A layer below the active one, run again; returns its output."""
        plan = self._plan
        inputs, outputs = self._model.layers[index]
        wide = (self._batch, outputs)
        weight = self._binarise("W", (outputs, inputs), 1)
        z = self._activation("z", wide, essential=True)
        self._count_linear(index)
        plan.free(weight)
        binary = self._binarise("z", wide, 1)
        plan.free(z)
        output = plan.alloc("h", wide, Category.ACTIVATIONS, bits=1, stored_bits=32)
        plan.free(binary, *([below] if below else []))
        return output

    def _layer(self, index: int) -> tuple[Item, Item]:
        """The active layer; returns what autograd keeps: z and the rectified output."""
        plan = self._plan
        inputs, outputs = self._model.layers[index]
        wide = (self._batch, outputs)
        weight = self._binarise("W", (outputs, inputs), 1)
        z = self._activation("z", wide, essential=True)
        self._count_linear(index)
        plan.free(weight)
        binary = self._binarise("z", wide, 1)
        output = plan.alloc("h", wide, Category.ACTIVATIONS, bits=1, stored_bits=32)
        plan.free(binary)
        return z, output
