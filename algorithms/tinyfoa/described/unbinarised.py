"""TinyFoA as described with float weights, float activations, or both, on fully connected nets.

What is left of TinyFoA when binarising is taken out of it: layers one after the other, a fixed
classifier B each, Adam that starts again with each of M x M slices, in the order of the binary
form. It answers what binarising costs, for which nothing else may differ::

                    binary                              float
    weights         z = s_w sign(W) h + b               z = W h + b
    activations     h' = s_z 1[z > 0]                   h' = max(z, 0)
                    dz = dh' 1[0 < z < 1]               dz = dh' 1[z > 0]

Decisions. The float activation is the rectifier, not z clipped to [0, 1], whose derivative is the
straight-through one. The figure of the paper has the rectifier's derivative, 1[z > 0], in its row
before binarising ("Horizontal+Vertical"); Bio-FO, which its authors binarised (MLSys 2025), has
rectifiers; and the other rules are compared with their authors' own activation too: PEPITA,
Forward-Forward and ``backprop`` with the rectifier, DRTP with tanh. The upper cut belongs to the
sign, which it keeps from following pre-activations that nothing bounds; a float activation that
stopped at 1 could not pass on what its scale s_z passes on, and would make binarising look cheap.

Parameters are clipped to [-1, 1] if weights are binary, whatever activations are, since a sign does
not see how far a weight has gone; then 1[abs(W) <= 1] never takes effect. Float weights are neither
clipped nor cut, as in the float forms of the other rules here. Biases go with the weights.

Float weights are read whole by every product, so those up to the active layer are in RAM, and the
slice is trained where it lies. Binary ones are packed bits, their latent weights in storage, as in
the binary form. Bits are unpacked a tile at a time for torch's products; ``kernel`` is Adam's only.
Of the active layer's pre-activation only a bit per unit of the slice lives until the gradient.

Shape suffixes: B batch, I inputs and O outputs of a layer, J outputs and K inputs of a slice,
C classes, M slices per side, b bytes of packed bits.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import torch

from trainfit.algorithms.contract import StaticTensor
from trainfit.algorithms.models import Mlp
from trainfit.algorithms.models.mlp import linear_init
from trainfit.algorithms.nets.binary_layer import BinaryLayer
from trainfit.algorithms.numerics.binary.activations import (
    Hidden,
    binarise,
    mask_,
    mean_abs,
    tile_extent,
    weight_gradient,
)
from trainfit.algorithms.numerics.binary.packing import (
    pack_open_unit,
    pack_positive,
    packed_width,
)
from trainfit.algorithms.numerics.binary.weights import linear
from trainfit.algorithms.numerics.losses import cross_entropy_error_
from trainfit.algorithms.numerics.optimisers import Adam
from trainfit.algorithms.options import Precision
from trainfit.algorithms.phases import Category, phase
from trainfit.algorithms.tiling import in_tiles
from trainfit.algorithms.tinyfoa.options import Kernel
from trainfit.algorithms.tinyfoa.variant import AdamSettings, VariantRule, fixed_head


class Unbinarised(VariantRule):
    """One slice at a time, of weights or activations that are not both binary.

    Args:
        model: The net, with hidden layers whose widths M divides, as it does the inputs.
        slices: M.
        adam: What the optimiser of each slice is made with.
        generator: Draws weights and heads, in the order of the binary form.
        weights: Number format of the hidden layers' weights.
        activations: Number format of the hidden activations.
        fused: Whether the slice's gradient is applied some rows at a time.
        kernel: Whether Adam is compiled.
    """

    def __init__(
        self,
        model: Mlp,
        slices: int,
        adam: AdamSettings,
        generator: torch.Generator,
        *,
        weights: Precision,
        activations: Precision,
        fused: bool,
        kernel: Kernel,
    ) -> None:
        self._model = model
        self._slices = slices
        self._adam_settings = adam
        self._clips = weights is Precision.BINARY
        self._bits = activations is Precision.BINARY
        self._fused = fused
        self._compiled = kernel is Kernel.POPCOUNT
        self._layers: list[BinaryLayer] = []
        self._heads_CO: list[torch.Tensor] = []
        for number, (inputs, outputs) in enumerate(model.layers[:-1], start=1):
            drawn = linear_init(inputs, outputs, generator)
            layer = BinaryLayer(number, *drawn, groups=slices, binary=self._clips, packed=True)
            layer.leave()
            self._layers.append(layer)
            self._heads_CO.append(fixed_head(outputs, model.classes, generator))
        self._active = 0

    # ---- turns ------------------------------------------------------------------------------

    def enter_layer(self, index: int) -> None:
        """Write the active slice back, train the first one of another layer."""
        self._layer.leave()
        self._active = index
        self.enter_slice(0)

    def enter_slice(self, epoch: int) -> None:
        """Slices take turns, row by row of the grid; Adam starts again."""
        self._layer.enter_slice(*divmod(epoch % self._slices**2, self._slices))
        lr, weight_decay = self._adam_settings
        self._adam = Adam(lr, weight_decay=weight_decay, compiled=self._compiled)
        self._layer.add_to(self._adam)

    @property
    def _layer(self) -> BinaryLayer:
        """The active layer."""
        return self._layers[self._active]

    # ---- the step ---------------------------------------------------------------------------

    def step(self, x: torch.Tensor, y: torch.Tensor) -> None:
        """One Adam step of the active slice."""
        layer, head_CO = self._layer, self._heads_CO[self._active]
        w_JK, b_J = layer.weight_JK, layer.bias
        self._adam.begin_step()
        with torch.no_grad():
            with phase("forward"):
                h = self._input(x)
                z_BO = self._preactivation(layer, h)
                inside_Bb = self._inside(z_BO, layer.rows)
                logits_BC = self._logits(z_BO, head_CO)
                del z_BO
            with phase("gradient"):
                error_BC = cross_entropy_error_(logits_BC, y)
                del logits_BC
                dz_BJ = error_BC @ head_CO[:, layer.rows]
                del error_BC
                mask_(dz_BJ, inside_Bb)
                del inside_Bb
                db_J = dz_BJ.sum(0)
            with phase("update"):
                self._adam.apply(f"b{layer.number}", b_J, db_J)
                del db_J
            for rows in in_tiles(len(w_JK), self._gradient_rows()):
                with phase("gradient"):
                    dw_JK = weight_gradient(dz_BJ[:, rows], h, layer.group, layer.weights.width)
                with phase("update"):
                    self._adam.apply_rows(f"w{layer.number}", w_JK, dw_JK, rows)
                    del dw_JK
            with phase("update"):
                del dz_BJ, h
                if self._clips:
                    layer.clip()

    def _input(self, h: Hidden) -> Hidden:
        """Input of the active layer, from samples."""
        for layer in self._layers[: self._active]:
            h = self._output(layer, h)
        return h

    def _output(self, layer: BinaryLayer, h: Hidden) -> Hidden:
        """Activations of a layer below the active one."""
        z_BO = self._preactivation(layer, h)
        return binarise(z_BO, self._slices, mask=False) if self._bits else z_BO.relu_()

    def _preactivation(self, layer: BinaryLayer, h: Hidden) -> torch.Tensor:
        return linear(h, layer.weights, layer.bias_O, layer.weights.scale())

    def _inside(self, z_BO: torch.Tensor, columns: slice) -> torch.Tensor:
        """Packed bits of where the gradient passes, for the slice's outputs."""
        z_BJ = z_BO[:, columns]
        batch, height = z_BJ.shape
        inside_Bb = torch.empty(batch, packed_width(height), dtype=torch.uint8)
        pack = pack_open_unit if self._bits else pack_positive
        pack(z_BJ, inside_Bb, tile_extent(batch, 2 * height))
        return inside_Bb

    def _logits(self, z_BO: torch.Tensor, head_CO: torch.Tensor) -> torch.Tensor:
        """Scores of a head; the pre-activation is overwritten."""
        if not self._bits:
            return z_BO.relu_() @ head_CO.T
        scale = mean_abs(z_BO)
        z_BO.sign_().clamp_(min=0)  # the binary activation, still as float32
        return (z_BO @ head_CO.T).mul_(scale)

    def _gradient_rows(self) -> int:
        """Rows of the slice whose gradient exists at a time."""
        height, width = self._layer.weight_JK.shape
        return tile_extent(height, 4 * width) if self._fused else height

    def predict(self, x: torch.Tensor) -> torch.Tensor:
        """Scores of the active layer's head."""
        z_BO = self._preactivation(self._layer, self._input(x))
        return self._logits(z_BO, self._heads_CO[self._active])

    # ---- what is kept -----------------------------------------------------------------------

    def static_tensors(self) -> Iterator[StaticTensor]:
        """The layers up to the active one, its head, the slice's state; others in storage."""
        for index, (layer, head_CO) in enumerate(zip(self._layers, self._heads_CO, strict=True)):
            for held in layer.static_tensors():
                yield replace(held, storage=held.storage or index > self._active)
            idle = index != self._active
            yield StaticTensor(f"head{index + 1}", head_CO, Category.BUFFERS, storage=idle)
        for name, state in self._adam.states():
            yield StaticTensor(name, state, Category.OPTIMIZER_STATE)
