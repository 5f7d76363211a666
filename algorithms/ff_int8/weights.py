"""Weights with INT8 products: kept as integers only, or as float32 and quantised when used.

Shape suffixes: B rows of activations, I inputs and O outputs of a layer.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator

import torch

from trainfit.algorithms.numerics.int8.layer import QuantConfig, RowQuantized
from trainfit.algorithms.numerics.int8.quantise import (
    quantise,
    scale_of,
)
from trainfit.algorithms.numerics.int8.update import (
    update_fp32,
    update_int8,
)
from trainfit.algorithms.numerics.shrinking import LEAST_OF_SCALES, Shrinking
from trainfit.algorithms.options import Rounding
from trainfit.algorithms.phases import Category, tag


class Weights(ABC):
    """The weights of one layer, shape (O, I), with a scale per output."""

    def __init__(self, shape: tuple[int, int]) -> None:
        self.shape = shape

    @abstractmethod
    def integers(self, way: QuantConfig) -> RowQuantized:
        """The INT8 weights that products are computed with."""

    @abstractmethod
    def scales(self) -> torch.Tensor:
        """The scales of these integers, shape (O,)."""

    @abstractmethod
    def descend(  # noqa: PLR0917
        self,
        d_BO: torch.Tensor,
        h_BI: torch.Tensor,
        scale: float,
        lr: float,
        way: QuantConfig,
        seed: int,
    ) -> None:
        """One update by ``- lr scale d^T h``, with INT8 operands."""

    @abstractmethod
    def held(self) -> Iterator[tuple[str, torch.Tensor, Category]]:
        """Tensors kept between steps: a suffix of the name, the tensor, its category."""


class Int8Weights(Weights):
    """Integers and a scale per row; updates are rounded stochastically, see ``update_int8``.

    Weight decay makes the scales smaller, which rounds no integer.
    """

    def __init__(self, w_OI: torch.Tensor, *, weight_decay: float = 0.0) -> None:
        super().__init__((w_OI.shape[0], w_OI.shape[1]))
        self._weight_decay = weight_decay
        self._shrinking = Shrinking(LEAST_OF_SCALES)
        self._rows = RowQuantized(*quantise(w_OI, rounding=Rounding.NEAREST, axis=0))

    def integers(self, way: QuantConfig) -> RowQuantized:
        """The integers that are kept."""
        return self._rows

    def scales(self) -> torch.Tensor:
        """The scales that are kept."""
        return self._rows.scale

    def descend(  # noqa: PLR0917
        self,
        d_BO: torch.Tensor,
        h_BI: torch.Tensor,
        scale: float,
        lr: float,
        way: QuantConfig,
        seed: int,
    ) -> None:
        """A few rows of the gradient at a time, added and rounded."""
        if self._weight_decay:
            self._rows.scale.mul_(self._shrinking.factor(lr * self._weight_decay))
        update_int8(self._rows, d_BO, h_BI, -lr * scale, way, seed)

    def held(self) -> Iterator[tuple[str, torch.Tensor, Category]]:
        """One byte per weight and four per row."""
        yield "", self._rows.q, Category.PARAMETERS
        yield ".scale", self._rows.scale, Category.PARAMETERS


class LatentWeights(Weights):
    """float32 weights, and their momentum if there is one.

    For each product they are rounded to the nearest integers, which are then freed.

    The kernel takes a plain step of momentum. Weight decay and Nesterov's form of it come before
    and after, as in :meth:`trainfit.algorithms.numerics.optimisers.Sgd.apply_product`; the decay is
    divided by the momentum, since the kernel multiplies with it.
    """

    def __init__(
        self,
        w_OI: torch.Tensor,
        momentum: float,
        *,
        weight_decay: float = 0.0,
        nesterov: bool = False,
    ) -> None:
        super().__init__((w_OI.shape[0], w_OI.shape[1]))
        self._weight_decay = weight_decay
        self._nesterov = nesterov
        self._shrinking = Shrinking()
        self._w_OI = w_OI
        self._momentum = momentum
        self._m_OI = w_OI.new_zeros(w_OI.shape) if momentum else w_OI[:0]

    def integers(self, way: QuantConfig) -> RowQuantized:
        """The weights quantised again, one byte per weight of this layer."""
        q_OI, scale_O = quantise(self._w_OI, rounding=Rounding.NEAREST, axis=0, kernel=way.kernel)
        tag(scale_O, Category.PARAMETERS, "scale of the INT8 weights")
        return RowQuantized(tag(q_OI, Category.PARAMETERS, "INT8 weights"), scale_O)

    def scales(self) -> torch.Tensor:
        """The scales computed again, without the integers."""
        return scale_of(self._w_OI, axis=0)

    def descend(  # noqa: PLR0917
        self,
        d_BO: torch.Tensor,
        h_BI: torch.Tensor,
        scale: float,
        lr: float,
        way: QuantConfig,
        seed: int,
    ) -> None:
        """The gradient of the integers is used as that of the float32 weights."""
        part = lr * self._weight_decay
        if self._nesterov:
            self._w_OI.add_(self._m_OI, alpha=lr * self._momentum)
        if part and not self._momentum:
            self._w_OI.mul_(self._shrinking.factor(part))
        elif part:
            if self._nesterov:
                self._m_OI.mul_(1.0 - part)
            self._m_OI.add_(self._w_OI, alpha=self._weight_decay / self._momentum)
        update_fp32(
            self._w_OI,
            self._m_OI,
            d_BO,
            h_BI,
            scale=scale,
            momentum=self._momentum,
            rate=lr,
            way=way,
        )
        if self._nesterov:
            self._w_OI.add_(self._m_OI, alpha=-lr * self._momentum)

    def held(self) -> Iterator[tuple[str, torch.Tensor, Category]]:
        """The latent weights and their momentum."""
        yield "", self._w_OI, Category.PARAMETERS
        if self._momentum:
            yield ".momentum", self._m_OI, Category.OPTIMIZER_STATE
