"""The rate of every rule, chosen by samples that were held out, and the suite that trains with it.

A run of a suite with ``rates`` and ``held_out`` is a search: each rule at each rate with each seed,
trained on what was not held out, judged by what was. The rate whose accuracy is best in the mean
over seeds is taken; of equal ones the smallest. A training that failed, most often because it
diverged, has lost. The test half plays no part in it.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import Any

from trainfit.bench.errors import BenchError
from trainfit.bench.records.reading import read_records, read_suite, workload_key
from trainfit.bench.records.schema import Record, Search, Workload
from trainfit.bench.suite.manifest import from_manifest
from trainfit.bench.suite.suite import RATE


class TuneError(BenchError):
    """A run is no search, or not a finished one; the message says what is missing."""


@dataclass(frozen=True)
class Tuned:
    """A rule whose rate was chosen.

    Attributes:
        workload: With the rate, without held-out samples, and how it was searched for.
        accuracies: The mean over seeds by rate, from the smallest rate; None where one failed.
        stages: Into which the rule cuts a training; each takes the workload's epochs.
    """

    workload: Workload
    accuracies: Mapping[float, float | None]
    stages: int

    @property
    def rate(self) -> float:
        """The one that was chosen."""
        return float(self.workload.options[RATE])

    @property
    def at_the_edge(self) -> bool:
        """Whether a rate beyond the grid may be better still."""
        rates = list(self.accuracies)
        return len(rates) > 1 and self.rate in (rates[0], rates[-1])


def tuned(run: Path) -> list[Tuned]:
    """The rate of every rule of a search, in the order of its suite.

    Raises:
        TuneError: It holds nothing out, a record is missing, or a rule failed at every rate.
        RunFolderError: The run cannot be read.
    """
    suite = from_manifest(read_suite(run), source=str(run))
    records = {workload_key(each.workload): each for each in read_records(run)}
    groups: dict[str, list[Workload]] = {}
    for workload in suite.workloads:
        if workload.held_out is None:
            raise TuneError(
                f"{run}: {workload.label} was judged by the test half; a rate is chosen on samples"
                " that are held out: give the suite held_out, such as 10000"
            )
        if RATE not in workload.options:
            raise TuneError(f"{run}: {workload.label} has one rate, its default; give it rates")
        groups.setdefault(_rule_of(workload), []).append(workload)
    return [_tuned(run, group, records) for group in groups.values()]


def _rule_of(workload: Workload) -> str:
    """What the workloads of one search have in common."""
    rest = {key: value for key, value in workload.options.items() if key != RATE}
    same = workload.model_copy(update={"seed": 0, "options": rest})
    return same.model_dump_json()


def _tuned(run: Path, group: Sequence[Workload], records: Mapping[str, Record]) -> Tuned:
    found: dict[float, list[Record]] = {}
    for workload in group:
        record = records.get(workload_key(workload))
        if record is None:
            raise TuneError(
                f"{run}: {workload.label}, seed {workload.seed}, has no record; go on with"
                f" trainfit run --resume --out {run}"
            )
        found.setdefault(float(workload.options[RATE]), []).append(record)
    accuracies = {rate: _mean(found[rate]) for rate in sorted(found)}
    known = {rate: mean for rate, mean in accuracies.items() if mean is not None}
    first = group[0]
    if not known:
        raise TuneError(f"{run}: {first.algorithm} on {first.model} failed at every rate")
    best = max(known, key=lambda rate: (known[rate], -rate))
    trained = next(each.accuracy for each in found[best] if each.accuracy)
    assert first.held_out is not None
    search = Search(
        grid={RATE: list(accuracies)},
        passes=trained.epochs,
        train_samples=first.train_samples,
        held_out=first.held_out,
        seeds=sorted({each.seed for each in group}),
    )
    changes = {"options": first.options | {RATE: best}, "held_out": None, "tuned": search}
    workload = first.model_copy(update=changes)
    return Tuned(workload, accuracies, trained.epochs // first.epochs)


def _mean(records: Iterable[Record]) -> float | None:
    reached = [each.accuracy.validation_accuracy if each.accuracy else None for each in records]
    known = [each for each in reached if each is not None]
    return fmean(known) if len(known) == len(reached) else None


# ---- the suite that trains with it ---------------------------------------------------------------


def suite_text(
    found: Sequence[Tuned],
    *,
    name: str,
    description: str,
    passes: int,
    seeds: int,
    samples: int | None,
    evaluate_every: int | None,
    measure: Sequence[str],
) -> str:
    """The suite (TOML) that trains every rule at its rate, all for as many passes.

    Args:
        found: The rules.
        name: Of the suite.
        description: Of the suite.
        passes: Over the training data, of all stages of a rule together.
        seeds: How many there are, from 0.
        samples: Of the training half; None takes all.
        evaluate_every: Passes between the points of a curve; None has a point at the end only.
        measure: What is measured.

    Raises:
        TuneError: The passes cannot be shared out among the stages of a rule.
    """
    lines = [
        "# Written by trainfit tune: rates that were chosen on held-out samples.",
        f"name = {_toml(name)}",
        f"description = {_toml(description)}",
        "devices = []",
        "timeout_seconds = 40000",
        f"measure = {_toml(list(measure))}",
    ]
    for each in found:
        workload = each.workload
        if passes % each.stages:
            raise TuneError(
                f"{workload.algorithm} trains in {each.stages} stages of equal length, which"
                f" {passes} passes cannot be cut into; give a multiple of {each.stages}"
            )
        assert workload.tuned is not None
        epochs, before = passes // each.stages, workload.pretrained
        values: dict[str, Any] = {
            "algorithm": workload.algorithm,
            "options": workload.options,
            "model": workload.model,
            "dataset": workload.dataset,
            "batch_size": workload.batch_size,
            "train_samples": samples,
            "standardise": workload.standardise or None,
            "shuffle": None if workload.shuffle else False,
            "augment": workload.augment,
            "pretrained": before and before.model_dump(mode="json", exclude_none=True),
            "seed": list(range(seeds)),
            "epochs": epochs,
            "evaluate_every": evaluate_every or passes,
            "tuned": workload.tuned.model_dump(exclude_none=True),
        }
        lines += ["", "[[workload]]"]
        lines += [f"{key} = {_toml(value)}" for key, value in values.items() if value is not None]
    return "\n".join(lines) + "\n"


def _toml(value: Any) -> str:
    """Text, truth, numbers and lists are written alike in JSON and TOML; tables are not."""
    if isinstance(value, Mapping):
        inside = ", ".join(f"{_key(key)} = {_toml(each)}" for key, each in value.items())
        return f"{{ {inside} }}"
    return json.dumps(value, ensure_ascii=False)


def _key(name: str) -> str:
    return name if name.isidentifier() and name.isascii() else _toml(name)
