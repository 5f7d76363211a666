"""Sizes shared by INT8 kernels and the scratch memory that is passed to them.

numba recompiles a cached function only when the function's own file changes: after a change here,
touch the modules with kernels.
"""

from __future__ import annotations

GROUP = 8
"""Rows of activations that are multiplied with a row of weights in the first-level cache."""

SPREAD_ROWS = 4
"""Rows of a block of scaled rows; each has 16 sums."""

DOUBLINGS = 4
"""Most doublings of a weight row's scale in one step; beyond that, weights are clipped."""
