"""The turns of a layer's slices, for any architecture.

Latent weights of all layers are in storage. The active slice is fetched into RAM and written back
after its turn; its moments start at zero. Slices take turns pass by pass, row by row of the grid
of the layer's weights.
"""

from __future__ import annotations

from abc import abstractmethod

import torch

from trainfit.algorithms.numerics.binary.activations import abs_of_others
from trainfit.algorithms.numerics.optimisers import Adam
from trainfit.algorithms.numerics.sums import sum_abs
from trainfit.algorithms.tinyfoa.options import Kernel
from trainfit.algorithms.tinyfoa.variant import AdamSettings, VariantRule


class TurnTaking(VariantRule):
    """A rule with one slice of one layer in RAM.

    A subclass defines a layer's grid, the view of slice ``self._place`` (row, column) of layer
    ``self._active`` in storage, and the small parameters that are trained together with it.
    """

    def __init__(self, adam: AdamSettings, kernel: Kernel) -> None:
        self._adam_settings = adam
        self._kernel = kernel
        self._active = -1
        self._place = (0, 0)

    @abstractmethod
    def _grid_size(self) -> tuple[int, int]:
        """Rows and columns of the active layer's grid."""

    @abstractmethod
    def _latent(self) -> torch.Tensor:
        """The active layer's latent weights in storage, whole."""

    @abstractmethod
    def _stored_slice(self) -> torch.Tensor:
        """View of the active slice in storage."""

    @abstractmethod
    def _companions(self) -> dict[str, torch.Tensor]:
        """Views of the small parameters that are trained with the active slice, by name."""

    def enter_layer(self, index: int) -> None:
        """Write the active slice back, fetch the first one of another layer."""
        self._put_back()
        self._active = index
        self._fetch(0, 0)

    def enter_slice(self, epoch: int) -> None:
        """Slices take turns, row by row of the grid."""
        self._put_back()
        rows, columns = self._grid_size()
        self._fetch(*divmod(epoch % (rows * columns), columns))

    def _put_back(self) -> None:
        if self._active >= 0:
            self._stored_slice().copy_(self._slice)

    def _fetch(self, row: int, column: int) -> None:
        self._place = (row, column)
        self._slice = self._stored_slice().clone()
        # The other slices' contribution to the layer's scale, which does not change.
        self._others = abs_of_others(self._latent(), self._slice)
        lr, weight_decay = self._adam_settings
        compiled = self._kernel is Kernel.POPCOUNT
        self._adam = Adam(lr, weight_decay=weight_decay, compiled=compiled)
        self._adam.add("w", self._slice)
        for name, parameter in self._companions().items():
            self._adam.add(name, parameter)

    def _rescale(self, scale: torch.Tensor) -> None:
        """Set a layer's scale, mean(abs(latent)), after a step of the active slice."""
        total = sum_abs(self._slice).add_(self._others)
        scale.copy_(total.mul_(1.0 / self._latent().numel()))
