"""The inverse question: the largest batch, width or depth that fits a device.

By bisection over the closed form. Bisection presumes that more needs more; that is checked, on
every size probed and on a sweep beyond the answer, and where it does not hold the result says so.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from enum import StrEnum

from algorithms.errors import ConfigurationError
from algorithms.models import with_depth, with_width
from hardware_profiles import Budgets, Device

from .budget import Status, Verdict, worst
from .closed_form import closed_form
from .errors import BenchError
from .judging import judge_all
from .schema import Workload


class Dimension(StrEnum):
    """What is made larger."""

    BATCH = "batch"
    WIDTH = "width"
    DEPTH = "depth"


CEILING = {Dimension.BATCH: 2**20, Dimension.WIDTH: 2**16, Dimension.DEPTH: 999}
"""Where the search ends: beyond this nobody asks, or the name of a model cannot say it."""

REFUSED_IN_A_ROW = 64
"""So many neighbouring sizes may be none that a rule can be trained on (slices divide widths)."""

SWEEP = 24
"""Sizes probed to see whether more needs more, spread evenly over the logarithm."""

NEIGHBOURS = 8
"""Sizes right above the answer that are probed as well."""

FITTING = (Status.FITS, Status.TIGHT)


class LargestError(BenchError):
    """The largest size cannot be found."""


@dataclass(frozen=True)
class Probe:
    """One size that was looked at.

    Attributes:
        size: The batch, width or depth.
        ram_bytes: What it needs.
        verdict: The one that decides.
    """

    size: int
    ram_bytes: int
    verdict: Verdict

    @property
    def fits(self) -> bool:
        """It is within every budget."""
        return self.verdict.status in FITTING


@dataclass(frozen=True)
class Largest:
    """The answer.

    Attributes:
        dimension: What was made larger.
        size: The largest that fits; None where none does.
        workload: Of that size; of the smallest where none fits.
        probe: What it needs; of the smallest where none fits.
        next_probe: The next size, which does not fit; None where the search met its ceiling.
        monotone: On every size probed, more needed more.
        exceptions: Sizes below the answer that do not fit, though the answer does.
        probes: How many sizes were looked at.
    """

    dimension: Dimension
    size: int | None
    workload: Workload
    probe: Probe
    next_probe: Probe | None
    monotone: bool
    exceptions: tuple[int, ...]
    probes: int


@dataclass
class _Search:
    """Probes sizes, each once."""

    device: Device
    make: Callable[[int], Workload]
    asked: Budgets
    seen: dict[int, Probe] = field(default_factory=dict)
    refused: dict[int, ConfigurationError] = field(default_factory=dict)

    def probe(self, size: int) -> Probe | None:
        """What a size needs; None for one that the rule cannot be trained on."""
        if size not in self.seen and size not in self.refused:
            try:
                form = closed_form(self.make(size))
            except ConfigurationError as error:
                self.refused[size] = error
                return None
            verdict = worst(judge_all(form.needs(self.device), self.device, self.asked))
            self.seen[size] = Probe(size, form.ram_bytes, verdict)
        return self.seen.get(size)

    def first(self, sizes: Iterable[int]) -> Probe | None:
        """Of the first of these sizes that the rule can be trained on."""
        return next(filter(None, map(self.probe, sizes)), None)


def largest(
    workload: Workload, device: Device, dimension: Dimension, asked: Budgets | None = None
) -> Largest:
    """Find the largest batch, width or depth of a workload that fits a device.

    Args:
        workload: Everything but the dimension is taken from it.
        device: What it has to fit.
        dimension: What is made larger. Width is that of all hidden layers, depth their number.
        asked: Budgets beside those of the device's profile.

    Raises:
        LargestError: A figure of the device is unknown, so that no size can be judged.
        ConfigurationError: The workload is not one, or has no such dimension.
    """
    search = _Search(device, _maker(workload, dimension), asked or Budgets())
    first = search.first(range(1, REFUSED_IN_A_ROW + 1))
    if first is None:
        raise search.refused[REFUSED_IN_A_ROW]
    if first.verdict.status is Status.UNKNOWN:
        raise LargestError(
            f"{device.name}: the largest {dimension} cannot be found; {first.verdict.budget}"
            f" {first.verdict.reason}"
        )
    if not first.fits:
        return _answer(search, dimension, None, first)
    low, high = _bracket(search, first.size, CEILING[dimension])
    while high is not None:
        middle = (low + high) // 2
        # sizes that the rule cannot be trained on are stepped over, downwards, then upwards
        between = [*range(middle, low, -1), *range(middle + 1, high)][:REFUSED_IN_A_ROW]
        probe = search.first(between)
        if probe is None:
            break
        low, high = (probe.size, high) if probe.fits else (low, probe.size)
    _sweep(search, low, CEILING[dimension])
    top = max(size for size, probe in search.seen.items() if probe.fits)
    return _answer(search, dimension, top, search.seen[top])


def _maker(workload: Workload, dimension: Dimension) -> Callable[[int], Workload]:
    if dimension is Dimension.BATCH:
        return lambda size: workload.model_copy(update={"batch_size": size})
    rename = with_width if dimension is Dimension.WIDTH else with_depth
    return lambda size: workload.model_copy(update={"model": rename(workload.model, size)})


def _bracket(search: _Search, low: int, ceiling: int) -> tuple[int, int | None]:
    """A size that fits, and a larger one that does not, or None at the ceiling."""
    while low < ceiling:
        high = min(2 * low, ceiling)
        probe = search.first(range(high, min(high + REFUSED_IN_A_ROW, ceiling) + 1))
        if probe is None:
            break
        if not probe.fits:
            return low, probe.size
        low = probe.size
    return low, None


def _sweep(search: _Search, answer: int, ceiling: int) -> None:
    """Probe sizes up to four times the answer, and those right above it."""
    top = min(4 * answer, ceiling)
    sizes = {round(top ** (index / SWEEP)) for index in range(SWEEP + 1)}
    sizes |= {answer + step for step in range(1, NEIGHBOURS + 1)}
    for size in sorted(sizes):
        if size <= ceiling:
            search.probe(size)


def _answer(search: _Search, dimension: Dimension, size: int | None, shown: Probe) -> Largest:
    ordered = [search.seen[each] for each in sorted(search.seen)]
    needs = [probe.ram_bytes for probe in ordered]
    above = [probe for probe in ordered if size is not None and probe.size > size]
    below = [probe for probe in ordered if size is not None and probe.size < size]
    return Largest(
        dimension=dimension,
        size=size,
        workload=search.make(shown.size),
        probe=shown,
        next_probe=above[0] if above else None,
        monotone=needs == sorted(needs),
        exceptions=tuple(probe.size for probe in below if not probe.fits),
        probes=len(ordered),
    )
