"""What records say about how well workloads train; nothing is trained or imported here."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from statistics import fmean

from trainfit.bench.records.schema import Memory, Record, Workload


@dataclass(frozen=True)
class Trained:
    """A workload that has been trained, once or with several seeds.

    Attributes:
        workload: With the seed of the first record.
        accuracies: Test accuracy of every seed, from 0 to 1.
        passes: Passes over the training data.
        runs: Names of the runs that it was read from.
        train_seconds: Wall time of the longest training, on the machine that made the record.
        measured: A record of it that has the bytes of a step; None where there is none.
    """

    workload: Workload
    accuracies: tuple[float, ...]
    passes: int
    runs: tuple[str, ...] = ()
    train_seconds: float | None = None
    measured: Record | None = None

    @property
    def accuracy(self) -> float:
        """The mean over the seeds."""
        return fmean(self.accuracies)

    @property
    def worst(self) -> float:
        """Of the least accurate seed."""
        return min(self.accuracies)

    @property
    def memory(self) -> Memory | None:
        """The bytes of a step as measured."""
        return self.measured.memory if self.measured else None

    @property
    def seeds(self) -> int:
        """How many there are."""
        return len(self.accuracies)


@dataclass(frozen=True)
class Skipped:
    """A trained workload that is not judged.

    Attributes:
        workload: Which one.
        reason: Why, as a clause.
    """

    workload: Workload
    reason: str


def trained(runs: Mapping[str, Iterable[Record]], dataset: str) -> list[Trained]:
    """What records say about a data set: workloads by accuracy, seeds joined to one.

    A seed counts once, however often a run was copied or repeated: by the last record of it.

    Args:
        runs: The records of every run by its name; those that come later count more.
        dataset: Name of the data set.
    """
    groups: dict[str, dict[int, tuple[str, Record]]] = {}
    for run, records in runs.items():
        for record in records:
            if _is_tested(record) and record.workload.dataset == dataset:
                same = record.workload.model_dump(
                    mode="json", exclude={"seed", "evaluate_every", "tuned"}
                )
                seeds = groups.setdefault(json.dumps(same, sort_keys=True), {})
                seeds[record.workload.seed] = run, record
    found = [_joined(list(seeds.values())) for seeds in groups.values()]
    return sorted(found, key=lambda each: -each.accuracy)


def _is_tested(record: Record) -> bool:
    return record.accuracy is not None and record.accuracy.test_accuracy is not None


def _joined(seeds: list[tuple[str, Record]]) -> Trained:
    first = seeds[0][1]
    results = [record.accuracy for _, record in seeds if record.accuracy is not None]
    return Trained(
        workload=first.workload,
        accuracies=tuple(each.test_accuracy for each in results if each.test_accuracy is not None),
        passes=results[0].epochs,
        runs=tuple(dict.fromkeys(run for run, _ in seeds)),
        train_seconds=max(each.train_seconds for each in results),
        measured=next((record for _, record in seeds if record.memory is not None), None),
    )


def split_by_installed(
    found: Iterable[Trained], installed: Collection[str]
) -> tuple[list[Trained], list[Skipped]]:
    """Those whose algorithm is installed, and the others.

    What a record names is looked up by name and never imported because the record says so.

    Args:
        found: What was trained.
        installed: Names of the algorithms that may be used.
    """
    usable: list[Trained] = []
    skipped: list[Skipped] = []
    for each in found:
        name = each.workload.algorithm
        if name in installed:
            usable.append(each)
        else:
            skipped.append(Skipped(each.workload, f"algorithm {name} is not installed here"))
    return usable, skipped
