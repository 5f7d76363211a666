"""The closed form of a TinyFoA step as the released code runs it.

Everything is dense: binarised weights are made in float32 beside the latent ones, autograd keeps
the pre-activation and the rectified output, the straight-through cut makes masks and their
float32 copies, and Adam makes two temporaries of the weight's size.

Shape suffixes: B batch, I inputs and O outputs of a layer, C classes.
"""

from __future__ import annotations

from .base import hold_inputs
from .models import Mlp
from .operations import Kind, NumberFormat
from .phases import Category
from .plan import Item, MemoryPlan
from .tinyfoa_described_memory import count_head_error


def plan_step(model: Mlp, active: int, slices: int, batch_size: int) -> MemoryPlan:
    """The closed form of one step of layer ``active`` (from 0)."""
    plan = MemoryPlan()
    hold_inputs(plan, model, batch_size)
    for index, (inputs, outputs) in enumerate(model.layers[:-1]):
        number, above = index + 1, index > active
        plan.hold(f"w{number}", (outputs, inputs), Category.PARAMETERS, storage=above)
        plan.hold(f"b{number}", (outputs,), Category.PARAMETERS, storage=above)
        head = (model.classes, outputs)
        plan.hold(f"head{number}", head, Category.BUFFERS, storage=index != active)
    inputs, outputs = model.layers[active]
    for name, shape in (("w", (outputs, inputs)), ("b", (outputs,))):
        plan.hold(f"{name}.step", (), Category.OPTIMIZER_STATE)
        plan.hold(f"{name}.exp_avg", shape, Category.OPTIMIZER_STATE)
        plan.hold(f"{name}.exp_avg_sq", shape, Category.OPTIMIZER_STATE)
    _Step(plan, model, batch_size).run(active, slices)
    return plan


class _Step:
    """The tensors of one step."""

    def __init__(self, plan: MemoryPlan, model: Mlp, batch: int) -> None:
        self._plan = plan
        self._model = model
        self._batch = batch
        self._active = 0

    def run(self, active: int, slices: int) -> None:
        """Forward, gradient and update of the active layer."""
        self._active = active
        plan = self._plan
        inputs, outputs = self._model.layers[active]
        weight, bias = (outputs, inputs), (outputs,)
        with plan.phase("forward"):
            below = None
            for index in range(active):
                below = self._frozen_layer(index, below)
            z, h = self._layer(active)
            loss, loss_weight, log_p = self._loss()
        with plan.phase("gradient"):
            seed = self._scalar("gradient of the loss")
            d_z = self._head_backward(z, h, loss_weight, log_p)
            hidden = NumberFormat.FP32_BINARY if active else NumberFormat.FP32
            plan.product(outputs, self._batch, inputs, hidden)
            plan.each(Kind.ADD, self._batch * outputs)
            d_binary = self._gradient("d sign(W)", weight)
            d_bias = self._gradient("db", bias)
            plan.free(d_z, *([below] if below else []))
            d_weight = self._cut("W", d_binary, None)
            plan.free(seed, loss)
        with plan.phase("update"):
            block = (outputs // slices, inputs // slices)
            kept = plan.alloc("block put back", block, Category.WORKSPACE, essential=False)
            self._adam([weight, bias])
            plan.each(Kind.COMPARE, 2 * (outputs * inputs + outputs))  # the clip
            plan.free(kept, d_weight, d_bias)

    def _scalar(self, name: str) -> Item:
        return self._plan.alloc(name, (), Category.WORKSPACE, essential=False)

    def _activation(self, name: str, shape: tuple[int, ...], *, essential: bool = False) -> Item:
        return self._plan.alloc(name, shape, Category.ACTIVATIONS, essential=essential)

    def _gradient(self, name: str, shape: tuple[int, ...], *, essential: bool = True) -> Item:
        return self._plan.alloc(name, shape, Category.GRADIENTS, essential=essential)

    def _binarise(self, name: str, shape: tuple[int, ...], bits: int) -> Item:
        """mean(abs(t)) sign(t), which needs one bit an element and takes thirty-two."""
        plan = self._plan
        binary = plan.alloc(f"sign({name})", shape, Category.ACTIVATIONS, bits=bits, stored_bits=32)
        absolute = self._activation(f"abs({name})", shape)
        mean = self._scalar("mean(abs)")
        plan.scalar()
        plan.free(absolute, mean)
        elements = binary.elements
        plan.each(Kind.COMPARE, elements)
        plan.each(Kind.ADD, elements)
        plan.each(Kind.MULTIPLY, elements)
        return binary

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
        """The active layer; returns what autograd keeps of it: z and the rectified output."""
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

    def _loss(self) -> tuple[Item, Item, Item]:
        output = (self._batch, self._model.classes)
        logits = self._activation("logits", output)
        inner = self._model.layers[self._active][1]
        self._plan.product(self._batch, inner, self._model.classes, NumberFormat.FP32_BINARY)
        log_p = self._activation("log softmax", output, essential=True)
        loss, weight = self._scalar("loss"), self._scalar("loss weight")
        self._plan.free(logits)
        return loss, weight, log_p

    def _head_backward(self, z: Item, h: Item, loss_weight: Item, log_p: Item) -> Item:
        """From the loss through the fixed head, the rectifier and the binarisation to dz."""
        plan = self._plan
        d_log = self._gradient("d log softmax", log_p.shape, essential=False)
        plan.free(loss_weight)
        d_logits = self._gradient("d logits", log_p.shape, essential=False)
        plan.free(d_log)
        plan.hand_over(log_p, d_logits)
        count_head_error(plan, self._batch, self._model.classes)
        plan.product(self._batch, self._model.classes, h.shape[1])
        plan.each(Kind.COMPARE, h.elements)
        d_h = self._gradient("dh", h.shape)
        plan.free(d_logits)
        d_binary = self._gradient("d sign(z)", h.shape, essential=False)
        plan.hand_over(d_h, d_binary)
        plan.free(h)
        return self._cut("z", d_binary, z)

    def _cut(self, name: str, gradient: Item, saved: Item | None) -> Item:
        """The straight-through cut: ``gradient`` and the saved tensor die."""
        plan = self._plan
        absolute = self._gradient(f"abs({name})", gradient.shape, essential=False)
        plan.each(Kind.COMPARE, gradient.elements)
        plan.each(Kind.MULTIPLY, gradient.elements)
        with plan.number():
            mask = plan.alloc(
                f"abs({name}) < 1",
                gradient.shape,
                Category.GRADIENTS,
                bits=1,
                stored_bits=8,
                essential=False,
            )
        plan.free(absolute)
        copy = plan.alloc("mask as float32", gradient.shape, Category.WORKSPACE, essential=False)
        cut = self._gradient(f"d{name}", gradient.shape, essential=False)
        plan.free(copy, mask)
        if gradient.essential:
            plan.hand_over(gradient, cut)
        else:
            plan.free(gradient)
        plan.free(*([saved] if saved else []))
        return cut

    def _adam(self, shapes: list[tuple[int, ...]]) -> None:
        """``torch.optim.Adam``, one tensor after the other; a denominator lives until the next."""
        plan = self._plan
        previous: Item | None = None
        for shape in shapes:
            plan.scalar()
            plan.scalar()
            root = plan.alloc("sqrt(v)", shape, Category.WORKSPACE, essential=False)
            with plan.number():
                divided = plan.alloc("denominator", shape, Category.WORKSPACE, essential=False)
            elements = divided.elements
            plan.each(Kind.MULTIPLY, 4 * elements)
            plan.each(Kind.ADD, 5 * elements)
            plan.each(Kind.DIVIDE, 3 * elements)
            plan.free(root)
            plan.scalar()
            plan.free(*([previous] if previous else []))
            previous = divided
        plan.free(*([previous] if previous else []))
