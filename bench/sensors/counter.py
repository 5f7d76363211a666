"""A counter of energy that starts again at 0 when it is full."""

from __future__ import annotations

MOST_WATTS = 2000.0
"""No single rail draws more. A step back that would need more is a counter that was set back."""


class WrappingCounter:
    """Makes one growing figure of a counter's readings.

    It must be read at least once in the time that the counter takes to go round: RAPL's 262 kJ
    last 20 minutes at 200 W, the 65 kJ of older processors 5 minutes.
    """

    def __init__(self, range_joules: float) -> None:
        self._range_joules = range_joules
        self._added_joules = 0.0
        self._last: tuple[float, float] | None = None

    def unwrap(self, raw_joules: float, at_seconds: float) -> float:
        """The energy in joules since the counter's first start, whole turns included.

        A step back that no possible power explains is not a turn: then the result steps back as
        well, for its readers to see.
        """
        if self._last is not None:
            last_joules, last_seconds = self._last
            gained = raw_joules + self._range_joules - last_joules
            if raw_joules < last_joules and gained <= MOST_WATTS * (at_seconds - last_seconds):
                self._added_joules += self._range_joules
        self._last = raw_joules, at_seconds
        return raw_joules + self._added_joules
