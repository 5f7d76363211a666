"""What to train on a device: what fits of many algorithms and model sizes, and how well it trains.

What fits comes from the prediction, or from a record's own measurement where it has one; how well
it trains comes from records, and from nowhere else. What fits and has not been trained is offered
as a suite, so that the question can be answered.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property

from trainfit.bench.costs.device_model import model_device
from trainfit.bench.costs.intervals import bounds, scaled, summed
from trainfit.bench.records.schema import Bounds, Workload
from trainfit.bench.sizing.grid import Family, Forms, key
from trainfit.bench.sizing.largest import FITTING
from trainfit.bench.sizing.predicted_workload import PredictedWorkload
from trainfit.bench.sizing.trained import Trained
from trainfit.bench.verdicts.judge import ResourceDemand, judge_all
from trainfit.bench.verdicts.memory import Status, Verdict, worst
from trainfit.bench.verdicts.ram import RamNeed
from trainfit.hardware_profiles import Allocator, Budgets, Device


class Objective(StrEnum):
    """What is traded against accuracy."""

    BYTES = "bytes"
    ENERGY = "energy"
    LATENCY = "latency"


@dataclass(frozen=True)
class Candidate:
    """A workload on a device.

    Attributes:
        device: Name of the device.
        form: Its prediction, which workloads of one :func:`key` share.
        trained: How well it trains; None where no record says so.
        verdict: The one that decides.
        ram: What it needs there, and under which allocator: measured if a record has it, else by
            prediction.
        costs: Gives seconds and joules per training sample, as modelled; they take as long to
            compute as the bytes, and are asked of few candidates.
        planned: What would be trained where nothing is; a form may have been made for another
            workload of its :func:`key`.
    """

    device: str
    form: PredictedWorkload
    trained: Trained | None
    verdict: Verdict
    ram: RamNeed
    costs: Callable[[], tuple[Bounds | None, Bounds | None]]
    planned: Workload | None = None

    @cached_property
    def _costs(self) -> tuple[Bounds | None, Bounds | None]:
        return self.costs()

    @property
    def sample_seconds(self) -> Bounds | None:
        """Modelled per training sample, which is shown to every stage; None where unknown."""
        return self._costs[0]

    @property
    def sample_joules(self) -> Bounds | None:
        """Likewise."""
        return self._costs[1]

    @property
    def workload(self) -> Workload:
        """As it was trained; as it would be where no record says so."""
        return self.trained.workload if self.trained else self.planned or self.form.workload

    @property
    def ram_bytes(self) -> int:
        """RAM under the device's allocator."""
        found = self.ram.ram_bytes
        assert found is not None  # a prediction has it, and so has a record that counts as measured
        return found

    @property
    def torch_ram_bytes(self) -> int:
        """RAM under torch: measured if a record has it, else by prediction."""
        memory = self.trained.memory if self.trained else None
        return memory.worst.ram_bytes if memory else self.form.ram_bytes

    @property
    def arena_ram_bytes(self) -> int | None:
        """RAM with a planned arena; None where the device has none, or the arena says nothing."""
        return self.ram_bytes if self.ram.allocator is Allocator.ARENA else None

    @property
    def fits(self) -> bool:
        """It is within every budget."""
        return self.verdict.status in FITTING

    def cost(self, objective: Objective) -> float | None:
        """Bytes, or seconds or joules per sample at their upper bound; None where not known."""
        if objective is Objective.BYTES:
            return self.ram_bytes
        interval = self.sample_joules if objective is Objective.ENERGY else self.sample_seconds
        return interval.high if interval else None


def candidates(
    in_hand: Sequence[Trained],
    sizes: Iterable[Family],
    device: Device,
    budgets: Budgets,
    made: Forms,
) -> list[Candidate]:
    """Everything trained, then what of the grid is not, judged against a device.

    Of a net of the grid there is the largest batch that fits, or the smallest one where none does.
    A wider net is tried in no larger batch, and none is that is wider than the first that exceeds
    the device.

    Args:
        in_hand: What has been trained.
        sizes: The grid.
        device: The device.
        budgets: Budgets beside those of its profile.
        made: Predictions, also for other devices.
    """
    found: list[Candidate] = []
    for each in in_hand:
        form = made.of(each.workload)
        if form is not None:
            found.append(_candidate(form, each, device, budgets))
    known = {key(each.workload) for each in in_hand if each.workload.train_samples is None}

    def judged(workload: Workload) -> Candidate | None:
        form = made.of(workload)
        return None if form is None else _candidate(form, None, device, budgets, workload)

    for family in sizes:
        most: int | None = None
        for net in family.nets:
            best = _largest_batch([w for w in net if most is None or w.batch_size <= most], judged)
            if best is None:
                continue  # a rule that does not train this net
            most = best.workload.batch_size
            if key(best.workload) not in known:
                found.append(best)
            if best.verdict.status is Status.EXCEEDS:
                break
    return found


def _largest_batch(
    net: Sequence[Workload], judged: Callable[[Workload], Candidate | None]
) -> Candidate | None:
    """Of one net with the largest batch that fits; with the smallest where none does."""
    able = (each for w in net if (each := judged(w)) is not None)  # from the largest
    largest = next(able, None)
    if largest is None or largest.fits:
        return largest
    smallest = next(each for w in reversed(net) if (each := judged(w)) is not None)
    return next((each for each in able if each.fits), smallest) if smallest.fits else smallest


def _candidate(
    form: PredictedWorkload,
    each: Trained | None,
    device: Device,
    budgets: Budgets,
    planned: Workload | None = None,
) -> Candidate:
    demand = form.demand(device)
    if each and each.measured:
        demand = ResourceDemand.of(each.measured, demand.model)

    def costs() -> tuple[Bounds | None, Bounds | None]:
        seconds = _sample_seconds(form, device, demand.modelled.latency.step)
        return seconds, demand.modelled.energy_per_sample

    return Candidate(
        device=device.name,
        form=form,
        trained=each,
        verdict=worst(judge_all(demand, device, budgets)),
        ram=demand.ram(device.allocator),
        costs=costs,
        planned=planned,
    )


def _sample_seconds(
    form: PredictedWorkload, device: Device, longest: Bounds | None
) -> Bounds | None:
    """From the longest step of any stage where there is but one, else from those of all."""
    batch, steps = form.workload.batch_size, [longest]
    if longest is not None and len(form.stages) > 1:
        steps = [model_device([each], device, batch).latency.step for each in form.operations]
    known = [(step.low, step.high) for step in steps if step is not None]
    return bounds(scaled(summed(known), 1 / batch)) if len(known) == len(steps) else None


def front(
    found: Iterable[Candidate], objective: Objective, min_accuracy: float = 0.0
) -> list[Candidate]:
    """The Pareto front: trained, fitting, and no other is at least as accurate for less.

    Returns:
        Candidates from the most accurate to the cheapest. What has no figure for the objective is
        not among them.
    """
    eligible = [
        (each.trained.accuracy, cost, each)
        for each in found
        if each.fits and each.trained is not None and each.trained.accuracy >= min_accuracy
        if (cost := each.cost(objective)) is not None
    ]
    chosen: list[Candidate] = []
    cheapest = float("inf")
    for _, cost, each in sorted(eligible, key=lambda row: (-row[0], row[1])):
        if cost < cheapest:
            chosen.append(each)
            cheapest = cost
    return chosen


def runners_up(
    found: Iterable[Candidate], chosen: Iterable[Candidate], min_accuracy: float = 0.0
) -> list[Candidate]:
    """Of every algorithm that is not on the front the most accurate that fits.

    Args:
        found: Candidates of a device.
        chosen: Its front.
        min_accuracy: As for :func:`front`.

    Returns:
        One candidate per algorithm, the most accurate first.
    """
    there = {each.workload.algorithm for each in chosen}
    best: dict[str, tuple[float, int, Candidate]] = {}
    for each in found:
        if each.trained is None or not each.fits or each.trained.accuracy < min_accuracy:
            continue
        rank = each.trained.accuracy, -each.ram_bytes
        name = each.workload.algorithm
        if name not in there and (name not in best or rank > best[name][:2]):
            best[name] = *rank, each
    return [each for _, _, each in sorted(best.values(), key=lambda row: row[:2], reverse=True)]
