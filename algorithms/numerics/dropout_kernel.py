"""The loop of :mod:`trainfit.algorithms.numerics.dropout`, compiled."""

from __future__ import annotations

from typing import Any

import numpy as np

from trainfit.algorithms.numerics.compiled import compiled


@compiled("void(float32[::1], uint64, uint64, float32)", nogil=True)
def drop(values: Any, seed: Any, limit: Any, scale: Any) -> None:  # pragma: no cover  (compiled)
    """Keep a value, times ``scale``, if the hash of seed and index is below ``limit``."""
    state = seed
    for place in range(values.size):
        state += np.uint64(0x9E3779B97F4A7C15)
        word = (state ^ (state >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        word = (word ^ (word >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        word ^= word >> np.uint64(31)
        values[place] = values[place] * scale if word < limit else np.float32(0.0)
