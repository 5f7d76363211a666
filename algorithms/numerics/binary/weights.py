"""Layers with binary weights or binary inputs: forward and backward products.

The form of a product depends on its two operands::

    float h   and float W     one float product
    bits of h and float W     h unpacked a tile of columns at a time
    float h   and sign(W)     signs a tile of rows at a time    (sign_weights.py)
    bits of h and sign(W)     packed bits, AND and population count            (as above)

Weights lie in M groups of columns, one after the other, so that slice (i, j) of an M x M grid is
contiguous; M = 1 is the plain matrix.

Shape suffixes: B batch, O outputs and I = M K inputs of a layer, M groups of K columns.
"""

from __future__ import annotations

from abc import ABC, abstractmethod

import torch

from trainfit.algorithms.numerics.binary.activations import (
    Bits,
    Hidden,
    bit_tiles,
    unpack_tile,
)


class Weights(ABC):
    """Weights of a layer, as operands of its products.

    Attributes:
        groups: M.
        outputs: O.
        width: K.
        binary: Whether it is ``alpha sign(W)``.
    """

    binary: bool

    def __init__(self, groups: int, outputs: int, width: int) -> None:
        self.groups = groups
        self.outputs = outputs
        self.width = width

    @property
    def inputs(self) -> int:
        """I, the number of inputs."""
        return self.groups * self.width

    def columns(self, group: int) -> slice:
        """The inputs of a group."""
        return slice(group * self.width, (group + 1) * self.width)

    def scale(self) -> torch.Tensor | None:
        """``alpha``, a scalar; None for float weights."""
        return None

    @abstractmethod
    def add_product(self, h: Hidden, z_BO: torch.Tensor) -> None:
        """``z += h W^T``, or ``h sign(W)^T``, without scales."""

    @abstractmethod
    def add_transposed(self, dz_BO: torch.Tensor, dh_BI: torch.Tensor) -> None:
        """``dh += dz W``, or ``dz sign(W)``, without the scale."""


class FloatWeights(Weights):
    """Float weights."""

    binary = False

    def __init__(self, w_MOK: torch.Tensor) -> None:
        super().__init__(*w_MOK.shape)
        self._w_MOK = w_MOK

    def add_product(self, h: Hidden, z_BO: torch.Tensor) -> None:
        """Float products, of unpacked columns if ``h`` is bits."""
        for group, w_OK in enumerate(self._w_MOK):
            if isinstance(h, torch.Tensor):
                z_BO.addmm_(h[:, self.columns(group)], w_OK.T)
                continue
            for columns in bit_tiles(self.width, len(z_BO)):
                h_BK = unpack_tile(h, group, columns)
                z_BO.addmm_(h_BK, w_OK[:, columns].T)
                del h_BK

    def add_transposed(self, dz_BO: torch.Tensor, dh_BI: torch.Tensor) -> None:
        """One product per group."""
        for group, w_OK in enumerate(self._w_MOK):
            dh_BI[:, self.columns(group)].addmm_(dz_BO, w_OK)


def linear(
    h: Hidden, weights: Weights, bias_O: torch.Tensor | None, scale: torch.Tensor | None
) -> torch.Tensor:
    """Pre-activation ``z = alpha s (h sign(W)^T) + b`` of shape (B, O), with scales if any.

    Args:
        h: Input of the layer; bits have s, or a factor per row.
        weights: W.
        bias_O: b, if there is one.
        scale: Result of ``weights.scale()``; may include a factor per row, shape (B, 1).
    """
    batch = len(h) if isinstance(h, torch.Tensor) else h.bits_MBb.shape[1]
    z_BO = torch.zeros(batch, weights.outputs)
    weights.add_product(h, z_BO)
    if isinstance(h, Bits):
        z_BO *= h.scale if scale is None else scale * h.scale
    elif scale is not None:
        z_BO *= scale
    if bias_O is not None:
        z_BO += bias_O
    return z_BO


def input_gradient(
    dz_BO: torch.Tensor, weights: Weights, scale: torch.Tensor | None
) -> torch.Tensor:
    """``dh = alpha dz sign(W)`` of shape (B, I)."""
    dh_BI = torch.zeros(len(dz_BO), weights.inputs)
    weights.add_transposed(dz_BO, dh_BI)
    return dh_BI if scale is None else dh_BI.mul_(scale)
