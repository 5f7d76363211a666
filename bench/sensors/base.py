"""What a sensor is: something that reads energy or power, and says what it covers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from trainfit.bench.errors import BenchError


class SensorError(BenchError):
    """A sensor was asked for that does not exist, or a recording that cannot be replayed."""


@dataclass(frozen=True)
class Reading:
    """What a sensor showed at one moment.

    Attributes:
        at_seconds: When it was read, on a clock that only goes forward.
        joules: By rail, the energy since some moment in the past. It only grows: a counter that
            wraps is unwrapped by its sensor.
        watts: By rail, the power. Either this or ``joules``.
    """

    at_seconds: float
    joules: dict[str, float] | None = None
    watts: dict[str, float] | None = None

    def __post_init__(self) -> None:
        if (self.joules is None) == (self.watts is None):
            raise ValueError("a reading has either joules or watts")

    @property
    def values(self) -> dict[str, float]:
        """By rail, whichever of both there is."""
        return self.joules if self.joules is not None else self.watts or {}


@dataclass(frozen=True)
class Unavailable:
    """There is no reading; ``reason`` is one line that says why, and what would help."""

    reason: str


class Sensor(Protocol):
    """Reads the rails of one machine.

    ``read`` never raises, and never puts a number where there is none: a rail of ``total`` that
    cannot be read makes the reading :class:`Unavailable`; any other is left out of it.
    """

    @property
    def name(self) -> str:
        """As in ``open_sensor``."""

    @property
    def rails(self) -> tuple[str, ...]:
        """What is read, under the names that the maker of the board or chip gives."""

    @property
    def total(self) -> tuple[str, ...]:
        """The rails whose sum is the figure reported, so that nothing is counted twice."""

    @property
    def coverage(self) -> str:
        """What the sum of ``total`` feeds, and what it leaves out; one sentence."""

    @property
    def interval_seconds(self) -> float:
        """How often a new value comes, or is worth asking for."""

    def read(self) -> Reading | Unavailable:
        """Read all rails now."""

    def close(self) -> None:
        """Let go of what was opened."""


def one_line(error: BaseException) -> str:
    """An error's own words on one line; its kind where it has none."""
    return " ".join(str(error).split()) or type(error).__name__
