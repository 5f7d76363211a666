"""Symmetric uniform quantisation to INT8, and how close to a border any number was.

t = s q with q = clip(round(t / s), -127, 127); to the nearest integer, halves to even, or
stochastic, floor(t / s + u) (Gupta et al., ICML 2015). u is a hash of a seed and an element's index
in its tensor, as ``numerics.int8.quantise`` says: SplitMix64 (Steele et al., OOPSLA 2014) from
seed to seed, Wellons's lowbias32 (2018) with both words of it from element to element.

float32 and float64 give the same integers unless a number is closer to a border than float32 can
tell. ``Borders`` knows the closest one, so that a test can make sure.
"""

from __future__ import annotations

import numpy as np

from tests.unit.transcriptions.arithmetic import Array

LEVELS = 127

SURE = 2e-7
"""What is this far from every border, relative to the range, is rounded alike in float32."""

CLEAR = 7840
"""The first of 20 batches of which no input is close to a border."""


def nth_seed(seed: int, number: int) -> int:
    """SplitMix64: the seed of the ``number``-th tensor, from 0."""
    z = (seed + (number + 1) * 0x9E3779B97F4A7C15) % 2**64
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9 % 2**64
    z = (z ^ (z >> 27)) * 0x94D049BB133111EB % 2**64
    return z ^ (z >> 31)


def uniforms(shape: tuple[int, ...], seed: int) -> Array:
    """The random numbers of a tensor, 2^16 values between 0 and 1."""
    high, low = divmod(nth_seed(seed, 0), 2**32)
    x = (np.arange(np.prod(shape), dtype=np.uint64) + np.uint64(low)) % 2**32
    x = (x ^ (x >> 16)) * 0x7FEB352D % 2**32
    x = (x ^ (x >> 15) ^ np.uint64(high)) * 0x846CA68B % 2**32
    return ((x >> 16) * 2.0**-16 + 2.0**-17).reshape(shape)


class Borders:
    """Rounds, and remembers the closest call.

    Attributes:
        closest: Smallest distance from a border, relative to the range of the numbers: that is how
            large the rounding of a float32 sum is that comes out small.
    """

    def __init__(self) -> None:
        self.closest = 1.0

    def see(self, value: Array | float, border: Array | float, span: float = LEVELS) -> None:
        """Numbers that are compared with a border, and how large a number is."""
        apart = np.abs(value - np.asarray(border)) / span
        self.closest = min([self.closest, *apart.ravel()])

    def rounded(self, t: Array, u: Array | None = None) -> Array:
        """As INT8, to the nearest or with random numbers."""
        inside = np.abs(t) < LEVELS  # others are clipped
        if u is None:
            self.see(t[inside], np.floor(t[inside]) + 0.5)
            return np.clip(np.rint(t), -LEVELS, LEVELS)
        whole = np.abs(t - np.rint(t)) < 1e-9
        some = inside & ~whole
        self.see(t[some], np.rint(t + u)[some] - u[some])
        return np.clip(np.floor(np.where(whole, np.rint(t), t) + u), -LEVELS, LEVELS)


def inverse(scale: Array) -> Array:
    """1 / s; of a tensor of zeros, anything."""
    return 1.0 / np.where(scale > 0, scale, 1.0)
