"""Did a change make training slower? Two revisions of the code, measured in turns in one job.

Times of yesterday's job on another machine say nothing about today's. Here the working tree and the
other revision, checked out beside it, each get a process; the two take turns block by block, as in
:mod:`trainfit.bench.latency_comparison.paired`. That is done with several pairs of fresh processes,
and the interval of the ratio, now over then, is over pairs
(:mod:`trainfit.bench.latency_comparison.result`). Which side is started first, and which begins,
changes from pair to pair.

Both run in the same interpreter with the same installed libraries; only the tree differs. The side
of the other revision is run by that revision's own :mod:`trainfit.bench.latency_comparison.worker`.

Bytes are exact, so one process of each side says all there is to say. What changed is reported and
fails nothing: a golden file gates bytes, where a change that is meant can be accepted.

Energy is compared where a sensor is named. The processes of a pair measure one after the other,
each by windows of its own, for a sensor reads the whole machine and turns of milliseconds are
shorter than its interval. So drift disturbs them more than it does times.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import TypeVar

from pydantic import ValidationError

from trainfit.bench.errors import PreflightError
from trainfit.bench.gate.compare import Finding, FindingKind, Severity, compare_figures
from trainfit.bench.gate.explain import explain
from trainfit.bench.gate.figures import StepFigures, figures_of_record, key_of
from trainfit.bench.gate.rules import Direction, Rule, Unit
from trainfit.bench.latency_comparison.paired import Side, compare_latency
from trainfit.bench.latency_comparison.processes import PairError
from trainfit.bench.latency_comparison.result import (
    NO_SENSOR,
    BytesFound,
    Energies,
    Ratios,
    RatioVerdict,
    RevisionLimits,
    RevisionResult,
    Times,
    WorkloadResult,
)
from trainfit.bench.latency_comparison.source_tree import (
    Repository,
    TreeProcesses,
    declared_dependencies,
    trees,
)
from trainfit.bench.latency_comparison.turns import BlockLimits
from trainfit.bench.processes.child import Ending, Message, Outcome
from trainfit.bench.records.schema import Memory, Workload
from trainfit.bench.records.schema.older import upgraded_memory

NEEDED = "trainfit/bench/latency_comparison/worker.py"
"""The file that a revision needs to be a side of a comparison."""

DEFAULT_LIMITS = RevisionLimits()

Progress = Callable[[str], None]
Measured = TypeVar("Measured")

_WORKER = "trainfit.bench.run.worker"
_THEN, _NOW = "the other revision", "the working tree"
_WORSE = (
    RatioVerdict.FASTER,
    RatioVerdict.PASS,
    RatioVerdict.INCONCLUSIVE,
    RatioVerdict.REGRESSION,
)

_TOTALS = ("static_bytes", "storage_bytes", "peak_dynamic_bytes", "peak_bytes")
"""The bytes that are compared; what they are made of explains them."""

_SMALLER = Rule(
    metric="*", unit=Unit.BYTES, direction=Direction.SMALLER, why="less memory is no loss"
)


def run_revisions(
    revision: str,
    workloads: Sequence[Workload],
    limits: RevisionLimits = DEFAULT_LIMITS,
    *,
    threads: int = 1,
    data_root: Path | None = None,
    sensor: str | None = None,
    folder: Path | None = None,
    progress: Progress = lambda _: None,
) -> RevisionResult:
    """Compare the working tree with another revision of it.

    Args:
        revision: What git knows it by.
        workloads: What to measure; those that differ only in seed and training are measured once.
        limits: What is allowed, and when to stop.
        threads: For operators, the same for both.
        data_root: Where data sets are read from; None takes ``TRAINFIT_DATA_ROOT``.
        sensor: By which energy is compared, too; None compares none.
        folder: In the repository; None takes the current folder.
        progress: Hears in words how far it is.

    Raises:
        RevisionError: There is no such revision, no repository, or no git; or a limit is no limit.
        PreflightError: The working tree cannot run one of the workloads.
    """
    limits.check()
    repository = Repository.at(folder or Path.cwd())
    commit = repository.commit(revision)
    chosen = distinct(workloads)
    with ExitStack() as stack:
        progress(f"checking {revision} out")
        other = stack.enter_context(repository.checked_out(commit))
        then, now = trees(repository, other)
        job = _Job(
            then=then,
            now=now,
            limits=limits,
            threads=threads,
            data_root=_absolute(data_root),
            sensor=sensor,
            progress=progress,
            scratch=Path(stack.enter_context(TemporaryDirectory(prefix="trainfit-"))),
        )
        if (repository.root / "trainfit").is_dir() and not (other / NEEDED).is_file():
            reason = f"{revision} has no {NEEDED}: it is older than comparing in turns"
            found = [WorkloadResult(each, RatioVerdict.NOT_COMPARABLE, reason) for each in chosen]
        else:
            job.preflight(chosen)
            total = len(chosen)
            found = [job.compare(each, f"{n}/{total} ") for n, each in enumerate(chosen, start=1)]
        notes = []
        if declared_dependencies(repository.root) != declared_dependencies(other):
            notes = [f"{revision} declares other dependencies; both ran with what is installed."]
    return RevisionResult(
        revision, commit, repository.name, limits, threads, tuple(found), tuple(notes)
    )


def distinct(workloads: Iterable[Workload]) -> list[Workload]:
    """The workloads whose steps differ: neither seed nor length of training changes a step."""
    same = {"seed": 0, "epochs": 0, "evaluate_every": 1}
    return list(
        {
            each.model_dump_json(exclude=set(same)): each.model_copy(update=same)
            for each in workloads
        }.values()
    )


def _absolute(data_root: Path | None) -> str | None:
    """The folder of the data sets; the processes run elsewhere, so it must not be relative."""
    given = data_root or os.environ.get("TRAINFIT_DATA_ROOT")
    return str(Path(given).resolve()) if given else None


class _NotComparableError(Exception):
    """Two revisions of one workload cannot be compared with each other; the message says why."""


@dataclass(frozen=True)
class _Job:
    """Everything that stays the same from workload to workload."""

    then: TreeProcesses
    now: TreeProcesses
    limits: RevisionLimits
    threads: int
    data_root: str | None
    sensor: str | None
    progress: Progress
    scratch: Path

    def preflight(self, workloads: Sequence[Workload]) -> None:
        """Check that the working tree has all that is asked for."""
        self.progress("checking the workloads")
        job = {"workloads": [_dumped(each) for each in workloads], "data_root": self.data_root}
        outcome, _ = self._call(self.now, "preflight", job)
        if outcome.ending is not Ending.RETURNED:
            known = outcome.type == "ConfigurationError"
            what = outcome.message if known else f"{outcome.type}: {outcome.message}"
            raise PreflightError(f"the working tree cannot run what is asked for: {what}")

    def compare(self, workload: Workload, number: str) -> WorkloadResult:
        """Time first, for a side that cannot run ends it there; then bytes, then energy."""
        try:
            times = self._times(workload, number)
        except _NotComparableError as error:
            return WorkloadResult(workload, RatioVerdict.NOT_COMPARABLE, str(error))
        self.progress(f"{number}{workload.label}: bytes")
        found = self._bytes(times.workload)
        verdicts = [times.verdict(self.limits.max_ratio)]
        energy: Energies | str = NO_SENSOR
        if self.sensor is not None:
            self.progress(f"{number}{workload.label}: energy")
            try:
                energy = self._energy(workload, self.sensor)
                verdicts.append(energy.ratios.verdict(self.limits.max_ratio))
            except _NotComparableError as error:
                energy = str(error)
        worst = max(verdicts, key=_WORSE.index)
        return WorkloadResult(times.workload, worst, "", times, found, energy)

    def _pairs(
        self, measure: Callable[[int], tuple[Measured, Measured]], of: Callable[[Measured], float]
    ) -> tuple[list[tuple[Measured, Measured]], Ratios]:
        """Measure then and now with pairs of fresh processes until their ratios say enough."""
        pairs: list[tuple[Measured, Measured]] = []
        ratios: list[float] = []
        while not self.limits.enough(ratios):
            then, now = measure(len(pairs))
            pairs.append((then, now))
            ratios.append(of(now) / of(then))
        return pairs, Ratios.of(ratios)

    def _times(self, workload: Workload, number: str) -> Times:
        def measure(pair: int) -> tuple[Side, Side]:
            step = f"{number}{workload.label}: pair {pair + 1}, "
            return self._time(workload, lambda said: self.progress(step + said), pair % 2 == 1)

        return Times.of(*self._pairs(measure, lambda side: side.median), self.threads)

    def _time(self, workload: Workload, progress: Progress, turned: bool) -> tuple[Side, Side]:
        """One pair; ``turned`` starts the working tree first, and it begins."""
        sides, names = (self.then, self.now), (_THEN, _NOW)
        if turned:
            sides, names = sides[::-1], names[::-1]
        try:
            found = compare_latency(
                workload,
                workload,
                threads=self.threads,
                data_root=Path(self.data_root) if self.data_root else None,
                limits=BlockLimits(
                    most_seconds=self.limits.most_seconds / self.limits.most_pairs,
                    timeout_seconds=self.limits.timeout_seconds,
                ),
                progress=progress,
                calls=(sides[0].call, sides[1].call),
            )
        except PairError as error:
            raise _NotComparableError(_why(names[error.side], error.outcome)) from error
        if self.now.source is not None and self.now.source == self.then.source:
            raise _NotComparableError(
                f"both revisions run {self.now.source}, which is not in this repository"
            )
        return (found.b, found.a) if turned else (found.a, found.b)

    def _bytes(self, workload: Workload) -> BytesFound:
        """Measure the memory in both trees, on random samples, and compare it."""

        def measured(side: TreeProcesses) -> StepFigures | str:
            outcome, parts = self._call(side, "confirm", {"workload": _dumped(workload)})
            if outcome.ending is not Ending.RETURNED:
                return f"{outcome.type}: {outcome.message}"
            try:
                memory = Memory.model_validate(upgraded_memory(parts["memory"]))
            except (KeyError, ValidationError):
                return "its records are of another version"
            if not memory.deterministic:
                return "they are not deterministic"
            return figures_of_record(memory)

        with ThreadPoolExecutor(2) as both:  # bytes do not mind company
            then, now = both.map(measured, (self.then, self.now))
        for whose, found in ((_THEN, then), (_NOW, now)):
            if isinstance(found, str):
                return BytesFound(note=f"bytes not compared; {whose}'s are not known: {found}")
        assert isinstance(then, StepFigures)
        assert isinstance(now, StepFigures)
        return compare_bytes(key_of(workload), then, now)

    def _energy(self, workload: Workload, sensor: str) -> Energies:
        """Joules of a step at the stage that needs the most memory."""
        job = {
            "workload": _dumped(workload),
            "data_root": self.data_root,
            "threads": self.threads,
            "measure": ["memory", "energy"],  # memory says which stage is the worst
            "sensor": sensor,
            "subtract_idle": False,
            "state": None,
        }

        def joules(side: TreeProcesses) -> float:
            whose = _NOW if side is self.now else _THEN
            outcome, parts = self._call(side, "measure", job)
            if outcome.ending is not Ending.RETURNED:
                raise _NotComparableError(f"{whose}: {outcome.type}: {outcome.message}")
            found = parts.get("energy", {})
            value = found.get("joules_per_step")
            if not value or value <= 0 or not found.get("valid"):
                reason = found.get("reason") or "the sensor gave no figure"
                raise _NotComparableError(f"{whose}: {reason}")
            return float(value)

        def measure(pair: int) -> tuple[float, float]:
            if pair % 2 == 0:  # a tuple is evaluated in its order
                return joules(self.then), joules(self.now)
            now = joules(self.now)
            return joules(self.then), now

        pairs, ratios = self._pairs(measure, float)
        thens, nows = zip(*pairs, strict=True)
        return Energies(ratios, median(thens), median(nows), sensor)

    def _call(self, side: TreeProcesses, function: str, job: Message) -> tuple[Outcome, Message]:
        """Run a function of the tree's worker: how it ended, and all that it sent."""
        parts: Message = {}
        outcome = side.call(
            f"{_WORKER}:{function}",
            job,
            log=self.scratch / f"{function}-{id(side)}.log",
            timeout_seconds=self.limits.timeout_seconds,
            on_message=parts.update,
        )
        return outcome, parts


def compare_bytes(key: str, then: StepFigures, now: StepFigures) -> BytesFound:
    """Compare the totals of two measurements.

    Args:
        key: The workload's name.
        then: Figures of the other revision.
        now: Those of the working tree.
    """
    findings = compare_figures(key, _totals(then), _totals(now), [_SMALLER])
    explained = tuple(explain(then, now)) if findings else ()
    return BytesFound(tuple(map(_reported, findings)), explained)


def _totals(figures: StepFigures) -> StepFigures:
    totals = {
        scope: {name: value for name, value in metrics.items() if name in _TOTALS}
        for scope, metrics in figures.figures.items()
    }
    return StepFigures(figures={scope: metrics for scope, metrics in totals.items() if metrics})


def _reported(found: Finding) -> Finding:
    words = {
        FindingKind.MISSING: "only the other revision has this",
        FindingKind.NEW: "only now is there this",
    }
    severity = Severity.NOTE if found.kind is FindingKind.BETTER else Severity.WARN
    reason = words.get(found.kind, "bytes are gated with --golden; here they are only reported")
    return replace(found, severity=severity, reason=reason)


def _dumped(workload: Workload) -> Message:
    """Without what is the default anyway: an older side may not know the key."""
    return workload.model_dump(mode="json", exclude_defaults=True)


def _why(whose: str, outcome: Outcome) -> str:
    if outcome.type == "ConfigurationError":
        return f"{whose} cannot run it: {outcome.message}"
    if outcome.type == "ValidationError":
        return f"{whose} knows no such workload: {outcome.message}"
    at = f" at {outcome.where}" if outcome.where else ""
    return f"{whose} ended early: {outcome.type}: {outcome.message}{at}"
