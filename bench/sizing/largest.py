"""The inverse question: the largest batch, width or depth that fits a device.

By narrowing down between a size that fits and one that does not, over the prediction. That presumes
that more needs more, which is checked, on every size probed and on a sweep around the answer; where
it does not hold the result says so.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from enum import StrEnum
from itertools import chain, islice

from trainfit.algorithms import get_algorithm, get_model
from trainfit.algorithms.contract import check_model, parse_options
from trainfit.algorithms.errors import ConfigurationError
from trainfit.algorithms.models import fully_connected, with_depth, with_width
from trainfit.bench.errors import BenchError
from trainfit.bench.records.schema import Workload
from trainfit.bench.sizing.edge import halfway, last_fitting
from trainfit.bench.sizing.judged import Judged
from trainfit.bench.sizing.predicted_workload import predicted_workload
from trainfit.bench.verdicts.judge import FITTING as FITTING  # noqa: PLC0414
from trainfit.bench.verdicts.memory import Status, Verdict
from trainfit.hardware_profiles import Budgets, Device


class Dimension(StrEnum):
    """What is made larger."""

    BATCH = "batch"
    WIDTH = "width"
    DEPTH = "depth"


CEILING = {Dimension.BATCH: 2**20, Dimension.WIDTH: 2**16, Dimension.DEPTH: 99}
"""Where the search ends: beyond this nobody asks."""

REFUSED_IN_A_ROW = 1024
"""So many neighbouring sizes may be none that a rule can be trained on (slices divide widths)."""

FIRST_SIZES = 32
"""Where only the reach is asked for, the smallest size that can be trained is one of so many."""

SWEEP = {Dimension.BATCH: 24, Dimension.WIDTH: 24, Dimension.DEPTH: 6}
"""Sizes probed to see whether more needs more, spread evenly over the logarithm.

Few of the depth: the prediction of a rule with a stage per layer takes its depth squared.
"""

REACH = {Dimension.BATCH: 4.0, Dimension.WIDTH: 4.0, Dimension.DEPTH: 1.5}
"""Up to how many times the answer they go."""

NEIGHBOURS = {Dimension.BATCH: 8, Dimension.WIDTH: 8, Dimension.DEPTH: 1}
"""Sizes right above the answer, and right below it, that are probed as well."""

ROUNDS = 16
"""How often a sweep may find a larger size that fits, and the search go on from there."""


class LargestError(BenchError):
    """The largest size cannot be found."""


@dataclass(frozen=True)
class Probe:
    """One size that was looked at.

    Attributes:
        size: The batch, width or depth.
        ram_bytes: What it needs under the device's allocator.
        torch_ram_bytes: The same under torch.
        verdict: The one that decides.
    """

    size: int
    ram_bytes: int
    torch_ram_bytes: int
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
        size: The largest that fits; None where none is sure to.
        workload: Of that size; of the smallest where none fits.
        probe: What it needs; of the smallest where none fits.
        next_probe: The next size that can be trained, which does not fit; None where the search
            met its ceiling, or where none fits.
        monotone: On every size probed, more needed more, and none below the answer does not fit.
        exceptions: Sizes below the answer that do not fit, though the answer does.
        probes: Every size that was looked at, ascending.
    """

    dimension: Dimension
    size: int | None
    workload: Workload
    probe: Probe
    next_probe: Probe | None
    monotone: bool
    exceptions: tuple[int, ...]
    probes: tuple[Probe, ...]


@dataclass
class _Search:
    """Probes sizes, each once."""

    device: Device
    make: Callable[[int], Workload]
    budgets: Budgets
    seen: dict[int, Probe] = field(default_factory=dict)
    refused: dict[int, ConfigurationError] = field(default_factory=dict)

    def probe(self, size: int) -> Probe | None:
        """What a size needs; None for one that the rule cannot be trained on."""
        if size not in self.seen and size not in self.refused:
            try:
                form = predicted_workload(self.make(size))
            except ConfigurationError as error:
                self.refused[size] = error
                return None
            found = Judged.on(form, self.device, self.budgets)
            self.seen[size] = Probe(size, found.ram_bytes, form.ram_bytes, found.verdict)
        return self.seen.get(size)

    def first(self, sizes: Iterable[int]) -> Probe | None:
        """Of the first of these sizes that the rule can be trained on."""
        return next(filter(None, map(self.probe, sizes)), None)

    def top(self) -> int | None:
        """The largest size probed that fits."""
        return max((size for size, probe in self.seen.items() if probe.fits), default=None)


def largest(
    workload: Workload, device: Device, dimension: Dimension, budgets: Budgets | None = None
) -> Largest:
    """Find the largest batch, width or depth of a workload that fits a device.

    Args:
        workload: Everything but the dimension is taken from it.
        device: What it has to fit.
        dimension: What is made larger. Width is that of all hidden layers, depth their number.
        budgets: Budgets beside those of the device's profile.

    Raises:
        LargestError: A figure of the device is unknown, so that no size can be judged.
        ConfigurationError: The workload is not one, or has no such dimension.
    """
    own = _own_size(workload, dimension)
    search = _Search(device, sized(workload, dimension), budgets or Budgets())
    first = search.first([*range(1, REFUSED_IN_A_ROW + 1), own])
    if first is None:
        raise search.refused[own]
    if first.verdict.status is Status.UNKNOWN and first.verdict.margin is None:
        raise LargestError(
            f"{device.name}: the largest {dimension} cannot be found: {first.verdict.budget}:"
            f" {first.verdict.reason}; a device file of your own (--device FILE.toml) can give"
            " what is unknown"
        )
    if own <= CEILING[dimension]:
        search.probe(own)
    _sweep(search, first.size, dimension)
    for _ in range(ROUNDS):
        start = search.top()
        if start is None:
            break
        found = _climb(search, start, CEILING[dimension])
        _sweep(search, found, dimension)
        if search.top() == found:
            break
    return _answer(search, dimension, search.top(), first)


def reach(
    workload: Workload, device: Device, dimension: Dimension, budgets: Budgets | None = None
) -> Probe | None:
    """The largest size that bisection alone finds, without looking for exceptions around it.

    Args:
        workload: As for :func:`largest`.
        device: Likewise.
        dimension: Likewise.
        budgets: Likewise.

    Returns:
        None where no size fits or can be trained.
    """
    try:
        own = _own_size(workload, dimension)
    except ConfigurationError:
        return None
    search = _Search(device, sized(workload, dimension), budgets or Budgets())
    first = search.first([*range(1, FIRST_SIZES + 1), own])
    if first is None:
        return None
    start = own if (probe := search.probe(own)) is not None and probe.fits else first.size
    if search.seen[start].fits:
        _climb(search, start, CEILING[dimension])
    top = search.top()
    return None if top is None else search.seen[top]


def _own_size(workload: Workload, dimension: Dimension) -> int:
    """The size that the workload has now; what would be wrong at any size is an error here."""
    algorithm, model = get_algorithm(workload.algorithm), get_model(workload.model)
    check_model(algorithm, model)
    parse_options(algorithm, workload.options)
    if dimension is Dimension.BATCH:
        return workload.batch_size
    sized(workload, dimension)(1)  # refuses a net that has no such dimension
    hidden = fully_connected(workload.model).hidden
    return hidden[0] if dimension is Dimension.WIDTH else len(hidden)


def sized(workload: Workload, dimension: Dimension) -> Callable[[int], Workload]:
    """Makes the workload in any size.

    Args:
        workload: Everything but the dimension is taken from it.
        dimension: What changes. Calling the result with a size of a net that has no such dimension
            raises :class:`~trainfit.algorithms.errors.ConfigurationError`.
    """
    if dimension is Dimension.BATCH:
        return lambda size: workload.model_copy(update={"batch_size": size})
    rename = with_width if dimension is Dimension.WIDTH else with_depth
    return lambda size: workload.model_copy(update={"model": rename(workload.model, size)})


def _climb(search: _Search, low: int, ceiling: int) -> int:
    """From a size that fits to the next that does not; the largest in between that fits.

    What is left falls nearly in a line, so where it will be used up is guessed from two sizes. A
    guess may come closer by one size only: where two in a row have not halved the way, the next
    step does.
    """
    beyond = (size for size, probe in search.seen.items() if size > low and not probe.fits)
    high, guessed, way = min(beyond, default=None), 0, 2 * ceiling
    while low < ceiling if high is None else high - low > 1:
        wide = (2 * low if high is None else high) - low
        if 2 * wide <= way:
            guessed, way = 0, wide
        guess = _guess(search, low, high, beyond=guessed == 1) if guessed < 2 else None
        guessed = 0 if guess is None else guessed + 1
        way = wide if guess is None else way
        if high is None:
            size = min(2 * low if guess is None else guess, ceiling)
            probe = search.first(range(size, min(size + REFUSED_IN_A_ROW, ceiling) + 1))
        else:
            size = halfway(low, high) if guess is None else guess
            # sizes that the rule cannot be trained on are stepped over, downwards, then upwards
            between = chain(range(size, low, -1), range(size + 1, high))
            probe = search.first(islice(between, REFUSED_IN_A_ROW))
        if probe is not None and probe.fits:
            low = probe.size
        elif probe is not None:
            high = probe.size
        elif high is None:
            high = ceiling + 1  # what lies below may still be trained
        else:
            break
    return low


def _guess(search: _Search, low: int, high: int | None, *, beyond: bool) -> int | None:
    """The last size that fits, as the sizes around tell; None where they do not.

    With ``beyond``, and where nothing is known above, the last two that fit tell: what is left and
    bends is thereby met from both sides.
    """
    other = None if high is None or beyond else search.seen.get(high)
    if other is None:
        below = (probe for probe in search.seen.values() if probe.size < low and probe.fits)
        other = max(below, key=lambda probe: probe.size, default=None)
    if other is None:
        return None
    guess = last_fitting((low, search.seen[low].verdict), (other.size, other.verdict))
    return guess if guess is None or high is None or guess < high else None


def _sweep(search: _Search, answer: int, dimension: Dimension) -> None:
    """Probe sizes up to some times the answer, and those right around it.

    And beyond it powers of two: a loop over tiles that leaves no rest may need less.
    """
    ceiling, count, near = CEILING[dimension], SWEEP[dimension], NEIGHBOURS[dimension]
    top = min(round(REACH[dimension] * answer), ceiling)
    sizes = {round(top ** (index / count)) for index in range(count + 1)}
    sizes |= set(range(answer - near, answer + near + 1))
    sizes |= {2**power for power in range(answer.bit_length(), top.bit_length())}
    for size in sorted(sizes):
        if 1 <= size <= ceiling:
            search.probe(size)


def _answer(search: _Search, dimension: Dimension, size: int | None, first: Probe) -> Largest:
    ordered = [search.seen[each] for each in sorted(search.seen)]
    needs = [probe.ram_bytes for probe in ordered]
    shown = first if size is None else search.seen[size]
    above = [probe for probe in ordered if size is not None and probe.size > size]
    exceptions = [p.size for p in ordered if size is not None and p.size < size and not p.fits]
    return Largest(
        dimension=dimension,
        size=size,
        workload=search.make(shown.size),
        probe=shown,
        next_probe=above[0] if above else None,
        monotone=needs == sorted(needs) and not exceptions,
        exceptions=tuple(exceptions),
        probes=tuple(ordered),
    )
