"""TinyFoA as its paper describes it: one slice of one layer in RAM, everything else one bit.

:mod:`trainfit.algorithms.tinyfoa.described.mlp.slices` has the tensors kept between steps and the
change of slices.

Activations between layers are packed bits with one scale for the batch. The whole pre-activation
z_BO of one layer exists in float32, because the scale is s_z = mean(abs(z)).

Decisions where the paper is silent: sign(0) is +1, since a bit has two values; weights are clipped
to [-1, 1] after each update, so the cut 1[abs(W) <= 1] never takes effect; the scale s_w is the
mean over the whole layer, for which the contribution of the inactive slices is stored.

Shape suffixes: B batch, I inputs and O outputs of a layer, J outputs and K inputs of a slice,
C classes, M slices per side, b bytes of packed bits.
"""

from __future__ import annotations

import torch

from trainfit.algorithms.models import Mlp
from trainfit.algorithms.numerics.binary import pack_columns, packing
from trainfit.algorithms.numerics.binary.activations import mean_abs
from trainfit.algorithms.numerics.binary.bit_products import add_binary_product
from trainfit.algorithms.numerics.binary.lookups import add_signed, bit_gradient, make_workspace
from trainfit.algorithms.numerics.binary.packing import packed_width, unpack
from trainfit.algorithms.numerics.losses import cross_entropy_error_
from trainfit.algorithms.phases import Category, phase, tag
from trainfit.algorithms.tiling import in_tiles
from trainfit.algorithms.tinyfoa.described.mlp.slices import SlicedLayer, SlicedRule
from trainfit.algorithms.tinyfoa.described.mlp.tiles import Tiles, choose_tiles
from trainfit.algorithms.tinyfoa.features import Features
from trainfit.algorithms.tinyfoa.options import FeatureSource, Kernel
from trainfit.algorithms.tinyfoa.variant import AdamSettings


class Described(SlicedRule):
    """One slice at a time."""

    def __init__(
        self,
        model: Mlp,
        slices: int,
        adam: AdamSettings,
        generator: torch.Generator,
        *,
        fused: bool,
        kernel: Kernel,
        features: FeatureSource,
    ) -> None:
        super().__init__(model, slices, adam, generator, kernel=kernel, features=features)
        self._fused = fused
        self._compiled = kernel is Kernel.POPCOUNT

    def step(self, x: torch.Tensor, y: torch.Tensor) -> None:
        """One Adam step of the active slice."""
        layer = self._layers[self._active]
        outputs = len(layer.latent_OI)
        tiles = self._tiles(len(x), self._active)
        rows_J, w_JK = self._rows(), self._slice
        self._adam.begin_step()
        with torch.no_grad():
            with phase("forward"):
                features = self._step_input(x)
                h, scale_h = features.values, features.scale
                del features
                z_BO = self._preactivation(self._active, h, scale_h)
                scale_z = mean_abs(z_BO)
                inside_Bb = torch.empty(
                    len(x), packed_width(outputs // self._slices), dtype=torch.uint8
                )
                self._pack("pack_open_unit", z_BO, rows_J, inside_Bb, tiles.pack_rows)
                z_BO.sign_().clamp_(min=0)  # the binary activation, still as float32
                logits_BC = (z_BO @ layer.head_CO.T).mul_(scale_z)
                del z_BO, scale_z
            with phase("gradient"):
                error_BC = cross_entropy_error_(logits_BC, y)
                del logits_BC
                dz_BJ = error_BC @ layer.head_CO[:, rows_J]
                del error_BC
                for part in in_tiles(len(x), tiles.mask_rows):
                    dz_BJ[part] *= unpack(inside_Bb[part], dz_BJ.shape[1])
                del inside_Bb
                db_J = dz_BJ.sum(0)
                if scale_h is not None:
                    dz_BJ.mul_(scale_h)
            with phase("update"):
                self._adam.apply("b", layer.bias_O[rows_J], db_J)
                layer.bias_O[rows_J].clamp_(-1, 1)
                del db_J
            for rows in in_tiles(len(w_JK), tiles.gradient_rows):
                with phase("gradient"):
                    dw_JK = self._weight_gradient(dz_BJ, rows, h, tiles)
                with phase("update"):
                    self._adam.apply_rows("w", w_JK, dw_JK, rows)
                    del dw_JK
            with phase("update"):
                del dz_BJ, h, scale_h
                w_JK.clamp_(-1, 1)
                packed_Jb = layer.packed_MOb[self._place[1], rows_J]
                every = slice(0, w_JK.shape[1])
                self._pack("pack_signs", w_JK, every, packed_Jb, tiles.sign_rows)
                self._rescale(layer.scale)

    def _advance(self, index: int, features: Features, *, training: bool) -> None:
        del training  # nothing here differs between training and prediction
        z_BO = self._preactivation(index, features.values, features.scale)
        batch, outputs = z_BO.shape
        features.scale = mean_abs(z_BO)
        rows = self._tiles(batch, index).pack_rows
        width = outputs // self._slices
        features.values = torch.empty(self._slices, batch, packed_width(width), dtype=torch.uint8)
        for m in range(self._slices):
            columns = slice(m * width, (m + 1) * width)
            self._pack("pack_positive", z_BO, columns, features.values[m], rows)

    def _pack(
        self, form: str, values_RC: torch.Tensor, columns: slice, out_Rb: torch.Tensor, rows: int
    ) -> None:
        """Pack comparisons of some columns, compiled or ``rows`` rows at a time."""
        if self._compiled:
            getattr(pack_columns, form)(values_RC, columns, out_Rb)
        else:
            getattr(packing, form)(values_RC[:, columns], out_Rb, rows)

    def _tiles(self, batch: int, index: int) -> Tiles:
        return choose_tiles(
            self._model,
            index,
            self._active,
            batch,
            self._slices,
            fused=self._fused,
            compiled=self._compiled,
        )

    def _preactivation(
        self, index: int, h: torch.Tensor, scale_h: torch.Tensor | None
    ) -> torch.Tensor:
        """Z = s_w s_h sign(W) h + b."""
        layer = self._layers[index]
        if scale_h is None:
            z_BO = self._product_with_batch(layer, h, self._tiles(len(h), index))
            z_BO *= layer.scale
        else:
            z_BO = torch.zeros(h.shape[1], len(layer.latent_OI))
            width = layer.latent_OI.shape[1] // self._slices
            for m in range(self._slices):
                if self._compiled:
                    add_binary_product(h[m], layer.packed_MOb[m], z_BO, width)
                else:
                    self._add_tiles(layer, m, h, z_BO, self._tiles(h.shape[1], index))
            z_BO *= layer.scale * scale_h
        z_BO += layer.bias_O
        return z_BO

    def _product_with_batch(
        self, layer: SlicedLayer, x_BI: torch.Tensor, tiles: Tiles
    ) -> torch.Tensor:
        """sign(W) x by lookup, or as 2 bits x - sum x, some rows of bits at a time."""
        outputs, inputs = layer.latent_OI.shape
        width = inputs // self._slices
        groups = [slice(m * width, (m + 1) * width) for m in range(self._slices)]
        z_BO = torch.zeros(len(x_BI), outputs)
        if tiles.weight_groups:
            work = make_workspace(tiles.weight_groups, outputs)
            for columns, packed_Ob in zip(groups, layer.packed_MOb, strict=True):
                add_signed(x_BI, columns, packed_Ob, z_BO, work)
            return z_BO
        z_BO -= x_BI.sum(1)[:, None]
        for columns, packed_Ob in zip(groups, layer.packed_MOb, strict=True):
            for rows in in_tiles(outputs, tiles.weight_rows):
                w_OK = unpack(packed_Ob[rows], width)
                z_BO[:, rows].addmm_(x_BI[:, columns], w_OK.T, alpha=2.0)
                del w_OK
        return z_BO

    def _add_tiles(
        self, layer: SlicedLayer, m: int, h_MBb: torch.Tensor, z_BO: torch.Tensor, tiles: Tiles
    ) -> None:
        """The product of ``add_binary_product``, by unpacking tiles of both; the same bits."""
        outputs, inputs = layer.latent_OI.shape
        width = inputs // self._slices
        for columns in in_tiles(width, tiles.columns):
            bits = slice(columns.start // 8, packed_width(columns.stop))
            h_BK = unpack(h_MBb[m, :, bits], columns.stop - columns.start)
            for rows in in_tiles(outputs, tiles.tile_rows):
                w_OK = unpack(layer.packed_MOb[m, rows, bits], h_BK.shape[1])
                z_BO[:, rows].addmm_(h_BK, w_OK.T, alpha=2.0)
                del w_OK
            z_BO -= tag(h_BK.sum(1), Category.WORKSPACE, "row sums")[:, None]
            del h_BK

    def _weight_gradient(
        self, dz_BJ: torch.Tensor, rows: slice, h: torch.Tensor, tiles: Tiles
    ) -> torch.Tensor:
        """dz^T h for some rows of the slice: by lookup, or some unpacked columns of h at a time."""
        width = self._slice.shape[1]
        m = self._place[1]
        dw_JK = torch.empty(rows.stop - rows.start, width)
        binary = h.dtype is not torch.float32
        if binary and tiles.gradient_groups:
            work = make_workspace(tiles.gradient_groups, width)
            bit_gradient(dz_BJ, rows.start, h[m], dw_JK, work)
            return dw_JK
        for columns in in_tiles(width, tiles.gradient_columns):
            start, stop = columns.start, columns.stop
            h_BK = (
                unpack(h[m, :, start // 8 : packed_width(stop)], stop - start)
                if binary
                else h[:, m * width + start : m * width + stop]
            )
            torch.mm(dz_BJ[:, rows].T, h_BK, out=dw_JK[:, columns])
            del h_BK
        return dw_JK

    def predict(self, x: torch.Tensor) -> torch.Tensor:
        """Scores of the active layer's head."""
        features = self._features(x, training=False)
        z_BO = self._preactivation(self._active, features.values, features.scale)
        scale_z = mean_abs(z_BO)
        z_BO.sign_().clamp_(min=0)
        return (z_BO @ self._layers[self._active].head_CO.T).mul_(scale_z)
