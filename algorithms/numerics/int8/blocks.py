"""Sizes that INT8 kernels and the scratch memory they are handed have in common.

numba compiles a cached function again when the file of that function changes, whatever it reads:
after a change here, touch the modules of kernels.
"""

from __future__ import annotations

GROUP = 8
"""Rows of activations that meet a row of weights while it is in the first-level cache."""

SPREAD_ROWS = 4
"""Rows of a block of scaled rows; each has 16 sums."""

DOUBLINGS = 4
"""How often the scale of a row of weights can double in one step; beyond, weights are clipped."""
