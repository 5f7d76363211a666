"""Dropout whose mask takes no memory: a hash of a seed and a unit's index decides whether it stays.

A rule that needs the same mask twice, like PEPITA, can keep it or compute it again. A kept mask
takes a bit per unit from the first pass to the second; computing it again takes only the seed. So
it is computed again: the hash is SplitMix64 (Steele, Lea & Flood, OOPSLA 2014), compiled, and
applied to the activations in place. Remaining units are divided by the probability of staying, so
that prediction needs no factor.

Shape suffix: N elements.
"""

from __future__ import annotations

import torch

from trainfit.algorithms.numerics.lazy_kernels import dropout_kernel
from trainfit.algorithms.numerics.operators import operator


class Dropout:
    """Drops units of a step's activations; the same units of the same tensor every time.

    Args:
        keep: Probability that a unit stays; at 1 nothing is drawn or changed.
        generator: Source of the steps' seeds.
    """

    def __init__(self, keep: float, generator: torch.Generator) -> None:
        self.keep = keep
        self._generator = generator
        self._seed = 0

    def begin_step(self) -> None:
        """Draw the masks of a step; call once before its first ``apply_``."""
        if self.keep < 1.0:
            drawn = torch.empty((), dtype=torch.int64, device="cpu")
            self._seed = int(drawn.random_(generator=self._generator))

    def apply_(self, values: torch.Tensor, number: int) -> torch.Tensor:
        """Drop units of tensor ``number`` of the step, in place.

        Args:
            values: float32, contiguous, any shape.
            number: Index of the tensor in the step; each tensor has its own mask.
        """
        if self.keep < 1.0:
            # No small multiple of this is a small multiple of the kernel's increment: the counters
            # of one tensor do not run into those of another.
            seed = (self._seed + number * 0xD1342543DE82EF95) % 2**64
            drop_units(values.view(-1), seed >> 32, seed % 2**32, self.keep)
        return values


@operator("drop_units(Tensor(a!) values_N, int high, int low, float keep) -> ()")
def drop_units(values_N: torch.Tensor, high: int, low: int, keep: float) -> None:
    """Keep a value, times ``1 / keep``, if the hash of seed and index is below ``keep``.

    Args:
        values_N: float32, contiguous.
        high: Upper 32 bits of the seed: numbers of torch's operators have a sign.
        low: Lower 32 bits.
        keep: Probability that a unit stays, below 1.
    """
    dropout_kernel.drop(values_N.numpy(), high << 32 | low, int(keep * 2**64), 1.0 / keep)
