"""The closed form of a TinyFoA step on a locally connected net as the released code runs it.

Everything is dense: see :mod:`trainfit.algorithms.tinyfoa.released.parts_memory`; autograd keeps
the pre-activation, the batch's statistics and the rectified output, and makes the gradients of
biases, gains, shifts.

Shape suffixes: B batch, R rows (samples and positions), P positions, O outputs of a layer, K inputs
at one position.
"""

from __future__ import annotations

from collections.abc import Sequence

from trainfit.algorithms.contract import hold_inputs
from trainfit.algorithms.memory.operations import Kind, NumberFormat
from trainfit.algorithms.memory.plan import Item, MemoryPlan
from trainfit.algorithms.models import LocallyConnected
from trainfit.algorithms.models.locally_connected import WINDOW
from trainfit.algorithms.numerics.locally_connected import plan_real_patches
from trainfit.algorithms.phases import Category
from trainfit.algorithms.tinyfoa.released.parts_memory import ReleasedPlan


def tile_positions(shape: Sequence[int]) -> int:
    """Positions whose patches exist at a time: at most as many values as the map has.

    Args:
        shape: Shape of the layer's weights, (P, O, K).
    """
    positions, outputs, inner = shape
    return max(1, positions * outputs // inner)


def plan_step(
    model: LocallyConnected, active: int, slices: int, batch_size: int, *, decays: bool
) -> MemoryPlan:
    """The closed form of one step of layer ``active`` (from 0); ``decays``: with weight decay."""
    plan = MemoryPlan()
    hold_inputs(plan, model, batch_size)
    parameters, buffers = Category.PARAMETERS, Category.BUFFERS
    for index, (inputs, outputs) in enumerate(model.layers):
        number, above, idle = index + 1, index > active, index != active
        units = model.positions * outputs
        plan.hold(f"w{number}", (units, WINDOW * inputs), parameters, storage=above)
        plan.hold(f"b{number}", (units,), parameters, storage=above)
        plan.hold(f"gain{number}", (outputs,), parameters, storage=above)
        plan.hold(f"shift{number}", (outputs,), parameters, storage=above)
        plan.hold(f"mean{number}", (outputs,), buffers, storage=above)
        plan.hold(f"variance{number}", (outputs,), buffers, storage=above)
        plan.hold(f"head{number}", (model.classes, units), buffers, storage=idle)
        plan.hold(f"head_bias{number}", (model.classes,), buffers, storage=idle)
    _Step(plan, model, batch_size, decays=decays).run(active, slices)
    return plan


class _Step(ReleasedPlan):
    """The tensors of one step."""

    def __init__(
        self, plan: MemoryPlan, model: LocallyConnected, batch: int, *, decays: bool
    ) -> None:
        super().__init__(plan, batch, model.classes, decays=decays)
        self._model = model

    def run(self, active: int, slices: int) -> None:
        """Forward, gradient and update of the active layer."""
        plan, positions = self._plan, self._model.positions
        inputs, outputs = self._model.layers[active]
        weight, bias = self._weight(active), (positions, outputs)
        channels = (outputs,)
        self._hold_adam({"w": weight, "b": bias, "gain": channels, "shift": channels})
        with plan.phase("forward"):
            below: list[Item] = []
            for index in range(active):
                r, kept = self._rectified(index, essential=False)
                output = self._binarise("r", r.shape, 1)
                plan.free(r, *kept, *below)
                below = [output]
            r, kept = self._rectified(active, essential=True)
            binary = self._binarise("r", r.shape, 1)
            loss, loss_weight, log_p = self._loss(positions * outputs)
            plan.free(binary)
        with plan.phase("gradient"):
            seed = self._scalar("gradient of the loss")
            d_h = self._head_backward(positions * outputs, loss_weight, log_p)
            d_r = self._cut("r", d_h, None)
            d_u = self._gradient("du", r.shape, essential=False)
            plan.each(Kind.COMPARE, r.elements)
            plan.hand_over(d_r, d_u)
            plan.free(r)
            d_z, d_gain, d_shift = self._normalisation_backward(d_u)
            plan.free(*kept)
            d_bias = self._gradient("db", bias)
            plan.each(Kind.ADD, d_z.elements)
            d_binary = self._gradient("d sign(W)", weight)
            self._each_tile(active)
            hidden = NumberFormat.FP32_BINARY if active else NumberFormat.FP32
            plan.product(positions * outputs, self._batch, weight[2], hidden)
            plan.free(d_z, *below)
            d_weight = self._cut("W", d_binary, None)
            plan.free(seed, loss)
        with plan.phase("update"):
            cut = (slices, slices) if active else (slices, 1)
            block = (positions, outputs // cut[0], WINDOW, inputs // cut[1])
            self._update(block, [d_weight, d_bias, d_gain, d_shift])

    def _weight(self, index: int) -> tuple[int, int, int]:
        inputs, outputs = self._model.layers[index]
        return self._model.positions, outputs, WINDOW * inputs

    def _each_tile(self, index: int) -> None:
        """The patches of some positions at a time."""
        channels = self._model.layers[index][0]
        for some in self._plan.tiles(self._model.positions, tile_positions(self._weight(index))):
            self._plan.free(plan_real_patches(self._plan, some, self._batch, channels))

    def _rectified(self, index: int, *, essential: bool) -> tuple[Item, list[Item]]:
        """A layer up to its rectifier; returns its output, and other tensors for the gradient."""
        plan = self._plan
        positions, outputs, inner = self._weight(index)
        rows = self._batch * positions
        wide = (rows, outputs)
        weight = self._binarise("W", (positions, outputs, inner), 1)
        z = self._activation("z", wide, essential=essential)
        self._each_tile(index)
        binary = NumberFormat.BINARY if index else NumberFormat.FP32_BINARY
        plan.product(rows, inner, outputs, binary)
        plan.each(Kind.ADD, rows * outputs)
        plan.free(weight)
        u = self._activation("u", wide)
        kept = [z, *self._statistics(outputs)]
        plan.each(Kind.ADD, 5 * u.elements)  # mean, differences twice, variance, shift
        plan.each(Kind.MULTIPLY, 3 * u.elements)  # squares, deviation, gain
        r = self._activation("r", wide)
        plan.each(Kind.COMPARE, r.elements)
        plan.free(u)
        return r, kept

    def _statistics(self, channels: int) -> list[Item]:
        """The normalisation's tensors per channel; mean and deviation are kept."""
        plan, shape = self._plan, (channels,)
        kept = [self._activation(name, shape) for name in ("mean", "1 / deviation")]
        for count in (3, 2):
            work = [
                plan.alloc("per channel", shape, Category.WORKSPACE, essential=False)
                for _ in range(count)
            ]
            plan.free(*work)
        return kept

    def _normalisation_backward(self, d_u: Item) -> tuple[Item, Item, Item]:
        plan, channels = self._plan, d_u.shape[-1]
        d_z = self._gradient("dz", d_u.shape, essential=False)
        d_gain = self._gradient("dgain", (channels,))
        d_shift = self._gradient("dshift", (channels,))
        copy = plan.alloc("of the operator", d_u.shape, Category.WORKSPACE, essential=False)
        plan.free(copy)
        plan.free(plan.alloc("sums", (2, channels), Category.WORKSPACE, essential=False))
        plan.each(Kind.ADD, 4 * d_u.elements)  # two sums, two differences
        plan.each(Kind.MULTIPLY, 3 * d_u.elements)
        plan.hand_over(d_u, d_z)
        return d_z, d_gain, d_shift
