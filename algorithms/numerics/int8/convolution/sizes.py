"""Sizes shared by the kernels of convolutions and the scratch memory that is passed to them.

numba recompiles a cached function only when the function's own file changes: after a change here,
touch the modules with kernels.
"""

from __future__ import annotations

LANES = 16
"""Lanes of a block of sums: places, or output channels for the gradient of a weight."""

SCALARS = 8
"""Sums of each lane: output channels, or elements of a window."""
