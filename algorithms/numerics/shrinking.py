"""Weight decay as a factor on weights: ``1 - lr weight_decay``, exact in the long run.

Such a factor is close to 1, where float32 has steps of 6e-8: with a rate of 1e-3 and a decay of
1e-4 the nearest one decays 20 % too fast, and with a tenth of either not at all. So what has to be
taken off is gathered in a double until it is worth a float32, and what that rounds away is carried
to the next one.
"""

from __future__ import annotations

LEAST = 2.0**-20
"""Taken off at once: sixteen float32 steps, and less than a step's arithmetic rounds away."""

LEAST_OF_SCALES = 2.0**-14
"""The same for scales of INT8 weights: far less than one of their 127 steps, and nothing is added
to scales that would even out their rounding, so it has to be small beside what is taken off."""

_STEPS = 2.0**24  # of a float32 between 1/2 and 1; below there are more, so all of these exist


class Shrinking:
    """The factors on one tensor, step after step.

    Args:
        least: Smallest part that is taken off; until so much is due, the factor is 1.
    """

    def __init__(self, least: float = LEAST) -> None:
        self._least = least
        self._due = 1.0

    def factor(self, part: float) -> float:
        """The factor of a step that should take off ``part`` of the tensor; a float32."""
        self._due *= 1.0 - part
        if abs(1.0 - self._due) < self._least:
            return 1.0
        factor = round(self._due * _STEPS) / _STEPS
        self._due = self._due / factor if factor else 1.0
        return factor
