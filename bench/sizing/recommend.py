"""What to train on a device: what fits of many algorithms and model sizes, and how well it trains.

What fits comes from the closed form; how well it trains comes from records, and from nowhere else.
What fits and has not been trained is offered as a suite, so that the question can be answered.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from statistics import fmean

from trainfit.algorithms import Mlp
from trainfit.algorithms.errors import ConfigurationError
from trainfit.bench.costs.device_model import model_device
from trainfit.bench.costs.intervals import bounds, scaled, summed
from trainfit.bench.records.schema import Bounds, Record, Workload
from trainfit.bench.sizing.closed_form import ClosedForm, closed_form
from trainfit.bench.sizing.largest import FITTING
from trainfit.bench.verdicts.judge import judge_all
from trainfit.bench.verdicts.memory import Verdict, worst
from trainfit.hardware_profiles import Budgets, Device

WIDTHS = (32, 64, 128, 256, 512)
DEPTHS = (1, 2, 3, 4)


class Objective(StrEnum):
    """What is traded against accuracy."""

    BYTES = "bytes"
    ENERGY = "energy"
    LATENCY = "latency"


@dataclass(frozen=True)
class Trained:
    """A workload that has been trained, once or with several seeds.

    Attributes:
        workload: With the seed of the first record.
        accuracy: Mean test accuracy of all records.
        seeds: How many different seeds they have.
        passes: Passes over the training data.
    """

    workload: Workload
    accuracy: float
    seeds: int
    passes: int


@dataclass(frozen=True)
class Candidate:
    """A workload on a device.

    Attributes:
        device: Name of the device.
        form: Its closed form, which workloads of one :func:`key` share.
        trained: How well it trains; None where no record says so.
        verdict: The one that decides.
        sample_seconds, sample_joules: Modelled per training sample, which is shown to every stage;
            None where that is unknown.
    """

    device: str
    form: ClosedForm
    trained: Trained | None
    verdict: Verdict
    sample_seconds: Bounds | None
    sample_joules: Bounds | None

    @property
    def workload(self) -> Workload:
        """As it was trained; as it would be where no record says so."""
        return self.trained.workload if self.trained else self.form.workload

    @property
    def fits(self) -> bool:
        """It is within every budget."""
        return self.verdict.status in FITTING

    def cost(self, objective: Objective) -> float | None:
        """Bytes, or seconds or joules per sample at their upper bound; None where not known."""
        if objective is Objective.BYTES:
            return self.form.ram_bytes
        interval = self.sample_joules if objective is Objective.ENERGY else self.sample_seconds
        return interval.high if interval else None


def trained(records: Iterable[Record], dataset: str) -> list[Trained]:
    """What the records say about a data set: workloads by accuracy, seeds joined to one."""
    groups: dict[str, list[Record]] = {}
    for record in records:
        if record.accuracy is not None and record.workload.dataset == dataset:
            key = record.workload.model_dump(mode="json", exclude={"seed", "evaluate_every"})
            groups.setdefault(json.dumps(key, sort_keys=True), []).append(record)
    found = [
        Trained(
            workload=group[0].workload,
            accuracy=fmean(r.accuracy.test_accuracy for r in group if r.accuracy),
            seeds=len({record.workload.seed for record in group}),
            passes=group[0].accuracy.epochs if group[0].accuracy else 0,
        )
        for group in groups.values()
    ]
    return sorted(found, key=lambda each: -each.accuracy)


def grid(
    algorithms: Sequence[str],
    features: int,
    classes: int,
    *,
    dataset: str,
    batch_size: int,
    widths: Sequence[int] = WIDTHS,
    depths: Sequence[int] = DEPTHS,
) -> list[Workload]:
    """Every algorithm with its default options on fully connected nets of every size."""
    return [
        Workload(
            algorithm=algorithm,
            model=Mlp.uniform(features, width, depth, classes).name,
            dataset=dataset,
            batch_size=batch_size,
        )
        for algorithm in algorithms
        for depth in depths
        for width in widths
    ]


def forms(workloads: Iterable[Workload]) -> dict[str, ClosedForm]:
    """Closed forms by :func:`key`; a workload that cannot be built is left out."""
    found: dict[str, ClosedForm] = {}
    for workload in workloads:
        name = key(workload)
        if name not in found:
            try:
                found[name] = closed_form(workload)
            except ConfigurationError:
                continue  # a rule that does not train this net, or is not installed here
    return found


def key(workload: Workload) -> str:
    """What decides about bytes: algorithm, options, model and batch size."""
    parts = (workload.algorithm, workload.options, workload.model, workload.batch_size)
    return json.dumps(parts, sort_keys=True)


def candidates(
    in_hand: Sequence[Trained],
    sizes: Sequence[Workload],
    device: Device,
    budgets: Budgets,
    made: dict[str, ClosedForm],
) -> list[Candidate]:
    """Everything trained, then everything of the grid that is not, judged against a device.

    Args:
        in_hand: What has been trained.
        sizes: The grid.
        device: The device.
        budgets: Budgets beside those of its profile.
        made: The closed forms of both.
    """
    known = {key(each.workload) for each in in_hand}
    pairs: list[tuple[Workload, Trained | None]] = [(each.workload, each) for each in in_hand]
    pairs += [(workload, None) for workload in sizes if key(workload) not in known]
    return [
        _candidate(made[key(workload)], each, device, budgets)
        for workload, each in pairs
        if key(workload) in made
    ]


def _candidate(
    form: ClosedForm, each: Trained | None, device: Device, budgets: Budgets
) -> Candidate:
    demand = form.demand(device)
    return Candidate(
        device=device.name,
        form=form,
        trained=each,
        verdict=worst(judge_all(demand, device, budgets)),
        sample_seconds=_sample_seconds(form, device, demand.modelled.latency.step),
        sample_joules=demand.modelled.energy_per_sample,
    )


def _sample_seconds(form: ClosedForm, device: Device, longest: Bounds | None) -> Bounds | None:
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
