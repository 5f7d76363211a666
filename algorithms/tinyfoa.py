"""TinyFoA (Huang & Aminifar, AAAI 2025, doi 10.1609/aaai.v39i16.33910).

Hidden layers are trained one after the other, each against a fixed random classifier of its own
("horizontal"), a slice of its weights at a time ("vertical"), with binary weights and activations::

    z = s_w sign(W) h + b            h' = s_z 1[z > 0]        s_t = mean(abs(t))
    a = B h'                         dh' = B^T da             (B fixed, softmax cross-entropy)
    dz = dh' 1[z > 0] 1[abs(z) < 1]  dW = dz h^T 1[abs(W) <= 1]

Two variants, because the paper's figure and its authors' released code differ:

* ``variant=described`` (:mod:`algorithms.tinyfoa_described`): what the figure says. Only slice
  (i, j) of the active layer has a gradient, optimiser state and latent weights in RAM; the
  forward pass reads packed one-bit weights; all other latent weights are in storage.
* ``variant=released`` (:mod:`algorithms.tinyfoa_released`): what the code does. Dense latent
  weights, dense gradient, dense Adam; each epoch all but one diagonal block is updated.

Training starts with layer 1; ``epochs`` counts passes per layer. The model's last width is the
number of classes of the fixed heads.
"""

from __future__ import annotations

from collections.abc import Iterator
from enum import StrEnum
from typing import ClassVar

import torch
from pydantic import Field

from .base import Algorithm, AlgorithmOptions, StaticTensor
from .errors import ConfigurationError
from .models import Mlp
from .plan import MemoryPlan
from .tinyfoa_described import Described, Kernel
from .tinyfoa_released import Released
from .tinyfoa_rule import Rule


class Variant(StrEnum):
    """Whose TinyFoA: the paper's description or its released code."""

    DESCRIBED = "described"
    RELEASED = "released"


class SliceUpdate(StrEnum):
    """Whether the slice's gradient is held whole or applied some rows at a time."""

    WHOLE = "whole"
    FUSED = "fused"


class TinyFoAOptions(AlgorithmOptions):
    """Options of ``tinyfoa``."""

    variant: Variant = Variant.DESCRIBED
    slices: int = Field(default=2, ge=1)
    """M: a layer's weight is cut into M x M slices."""
    lr: float = Field(default=1e-3, gt=0)
    update: SliceUpdate = SliceUpdate.WHOLE
    """Only for ``variant=described``."""
    kernel: Kernel = Kernel.POPCOUNT
    """Only for ``variant=described``: population count, or tiles unpacked for a float product."""


class TinyFoA(Algorithm[TinyFoAOptions]):
    """Layer-wise training of binary nets, a slice at a time."""

    name: ClassVar[str] = "tinyfoa"
    summary: ClassVar[str] = "TinyFoA: layer-wise, a slice at a time, binary weights, fixed heads"
    paper: ClassVar[str] = "Huang & Aminifar, AAAI 39(16), 2025"
    options_type: ClassVar[type[AlgorithmOptions]] = TinyFoAOptions

    def __init__(self, model: Mlp, options: TinyFoAOptions, *, seed: int = 0) -> None:
        super().__init__(model, options, seed=seed)
        if not model.hidden:
            raise ConfigurationError(
                f"tinyfoa trains hidden layers, {model.name!r} has none;"
                f" use for instance mlp-{model.inputs}-128-{model.classes}"
            )
        for width in model.sizes[:-1]:
            if width % options.slices:
                raise ConfigurationError(
                    f"tinyfoa: slices={options.slices} does not divide width {width} of"
                    f" {model.name!r}; choose a divisor of all widths but the last"
                )
        if options.variant is Variant.RELEASED and options.update is SliceUpdate.FUSED:
            raise ConfigurationError(
                "tinyfoa: update=fused needs variant=described; the released code applies its"
                " dense gradient whole"
            )
        self._rule: Rule = (
            Released(model, options.slices, options.lr, self.generator)
            if options.variant is Variant.RELEASED
            else Described(
                model,
                options.slices,
                options.lr,
                self.generator,
                fused=options.update is SliceUpdate.FUSED,
                kernel=options.kernel,
            )
        )
        self._rule.enter_layer(0)

    @property
    def stages(self) -> tuple[str, ...]:
        """Hidden layers, trained one after the other."""
        return tuple(f"layer{number}" for number in range(1, len(self.model.hidden) + 1))

    def enter_stage(self, index: int) -> None:
        """Train another hidden layer from now on."""
        super().enter_stage(index)
        self._rule.enter_layer(index)

    def begin_epoch(self, epoch: int, epochs: int) -> None:
        """Next layer after ``epochs`` passes, next slice after every pass."""
        super().begin_epoch(epoch, epochs)
        self._rule.enter_slice(epoch % epochs)

    def step(self, x: torch.Tensor, y: torch.Tensor) -> None:
        """One update of the active layer (``described``: of its active slice)."""
        self._rule.step(x, y)

    def predict(self, x: torch.Tensor) -> torch.Tensor:
        """Scores of the active layer's fixed head."""
        with torch.no_grad():
            return self._rule.predict(x)

    def static_tensors(self) -> Iterator[StaticTensor]:
        """What the variant holds between steps."""
        return self._rule.static_tensors()

    def memory_model(self, batch_size: int) -> MemoryPlan:
        """See the variant's module."""
        return self._rule.memory_model(batch_size)
