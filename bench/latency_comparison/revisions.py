"""Did a change make training slower? Two revisions of the code, measured in turns in one job.

Times of yesterday's job on another machine say nothing about today's. Here the working tree and the
other revision, checked out beside it, each get a process; the two take turns block by block, as in
:mod:`trainfit.bench.latency_comparison.paired`. That is done with several pairs of fresh processes,
and the interval of the ratio, now over then, is over pairs
(:mod:`trainfit.bench.latency_comparison.ratio`). Which side is started first, and which begins,
changes from pair to pair.

Both run in the same interpreter with the same installed libraries; only the tree differs. The side
of the other revision is run by that revision's own :mod:`trainfit.bench.latency_comparison.worker`.

Bytes are reported as well, where the other revision can measure them
(:mod:`trainfit.bench.latency_comparison.bytes`). Energy is compared where a sensor is named
(:mod:`trainfit.bench.latency_comparison.energy`).
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from trainfit.bench.errors import PreflightError
from trainfit.bench.latency_comparison.bytes import compare_bytes
from trainfit.bench.latency_comparison.energy import Energies, compare_energy
from trainfit.bench.latency_comparison.git_worktree import Repository, declared_dependencies
from trainfit.bench.latency_comparison.paired import Limits as BlockLimits
from trainfit.bench.latency_comparison.paired import PairingError, Side, compare_latency
from trainfit.bench.latency_comparison.ratio import Ratios, Verdict, enough
from trainfit.bench.latency_comparison.result import (
    NO_SENSOR,
    AgainstLimits,
    AgainstResult,
    Times,
    WorkloadResult,
)
from trainfit.bench.latency_comparison.tree_process import TreeProcesses, trees
from trainfit.bench.processes.child import Ending, Outcome
from trainfit.bench.records.schema import Workload

NEEDED = "trainfit/bench/latency_comparison/worker.py"
"""The file that a revision needs to be a side of a comparison."""

DEFAULT_LIMITS = AgainstLimits()

Progress = Callable[[str], None]


def run_against(
    revision: str,
    workloads: Sequence[Workload],
    limits: AgainstLimits = DEFAULT_LIMITS,
    *,
    threads: int = 1,
    data_root: Path | None = None,
    sensor: str | None = None,
    folder: Path | None = None,
    progress: Progress = lambda _: None,
) -> AgainstResult:
    """Hold the working tree against another revision of it.

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
        AgainstError: There is no such revision, no repository, or no git; or a limit is no limit.
        PreflightError: The working tree cannot run one of the workloads.
    """
    limits.check()
    repository = Repository.at(folder or Path.cwd())
    commit = repository.commit(revision)
    chosen = distinct(workloads)
    with ExitStack() as stack:
        progress(f"checking {revision} out")
        other = stack.enter_context(repository.checked_out(commit))
        then, now = (stack.enter_context(side) for side in trees(repository, other))
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
            found = [_not_comparable(each, reason) for each in chosen]
        else:
            job.preflight(chosen)
            total = len(chosen)
            found = [job.compare(each, f"{n}/{total} ") for n, each in enumerate(chosen, start=1)]
        notes = _notes(repository.root, other, revision)
    return AgainstResult(
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


def _notes(root: Path, other: Path, revision: str) -> list[str]:
    if declared_dependencies(root) == declared_dependencies(other):
        return []
    return [f"{revision} declares other dependencies; both ran with what is installed here."]


def _not_comparable(workload: Workload, reason: str) -> WorkloadResult:
    return WorkloadResult(workload, Verdict.NOT_COMPARABLE, reason)


@dataclass(frozen=True)
class _Job:
    """Everything that stays the same from workload to workload."""

    then: TreeProcesses
    now: TreeProcesses
    limits: AgainstLimits
    threads: int
    data_root: str | None
    sensor: str | None
    progress: Progress
    scratch: Path

    def preflight(self, workloads: Sequence[Workload]) -> None:
        """Check that the working tree has all that is asked for."""
        self.progress("checking the workloads")
        dumped = [each.model_dump(mode="json", exclude_defaults=True) for each in workloads]
        outcome = self.now.call(
            "trainfit.bench.run.worker:preflight",
            {"workloads": dumped, "data_root": self.data_root},
            log=self.scratch / "preflight.log",
            timeout_seconds=self.limits.timeout_seconds,
        )
        if outcome.ending is not Ending.RETURNED:
            known = outcome.type == "ConfigurationError"
            what = outcome.message if known else f"{outcome.type}: {outcome.message}"
            raise PreflightError(f"the working tree cannot run what is asked for: {what}")

    def compare(self, workload: Workload, number: str) -> WorkloadResult:
        """Time first, for a side that cannot run ends it there; then bytes, then energy."""
        try:
            times = self._times(workload, number)
        except _NotComparableError as error:
            return _not_comparable(workload, str(error))
        self.progress(f"{number}{workload.label}: bytes")
        timeout = self.limits.timeout_seconds
        found = compare_bytes(
            times.workload, self.then, self.now, scratch=self.scratch, timeout_seconds=timeout
        )
        verdicts = [times.ratios.verdict(self.limits.max_ratio)]
        energy: Energies | str = NO_SENSOR
        if self.sensor is not None:
            self.progress(f"{number}{workload.label}: energy")
            energy = compare_energy(
                workload,
                self.then,
                self.now,
                sensor=self.sensor,
                threads=self.threads,
                data_root=self.data_root,
                scratch=self.scratch,
                max_ratio=self.limits.max_ratio,
                most_pairs=self.limits.most_pairs,
                timeout_seconds=timeout,
            )
            if isinstance(energy, Energies):
                verdicts.append(energy.ratios.verdict(self.limits.max_ratio))
        return WorkloadResult(
            times.workload, max(verdicts, key=_WORSE.index), "", times, found, energy
        )

    def _times(self, workload: Workload, number: str) -> Times:
        """Pairs of fresh processes until they say enough."""
        limits = self.limits
        blocks = BlockLimits(
            most_seconds=limits.most_seconds / limits.most_pairs,
            timeout_seconds=limits.timeout_seconds,
        )
        pairs: list[tuple[Side, Side]] = []
        ratios: list[float] = []
        while not enough(ratios, limits.max_ratio, limits.most_pairs):
            names, sides = ("then", "now"), (self.then.call, self.now.call)
            turned = len(pairs) % 2 == 1  # who is started first, and begins, must not matter
            step = f"{number}{workload.label}: pair {len(pairs) + 1}, "
            try:
                found = compare_latency(
                    workload,
                    workload,
                    threads=self.threads,
                    data_root=Path(self.data_root) if self.data_root else None,
                    limits=blocks,
                    progress=lambda said, step=step: self.progress(step + said),  # type: ignore[misc]
                    calls=sides[::-1] if turned else sides,
                )
            except PairingError as error:
                self.then.stop()
                self.now.stop()
                whose = names[::-1][error.side] if turned else names[error.side]
                raise _NotComparableError(_why(whose, error.outcome)) from error
            if self.now.source is not None and self.now.source == self.then.source:
                raise _NotComparableError(
                    f"both revisions run {self.now.source}, which is not in this repository"
                )
            then, now = (found.b, found.a) if turned else (found.a, found.b)
            pairs.append((then, now))
            ratios.append(now.median / then.median)
        return Times.of(pairs, Ratios.of(ratios))


class _NotComparableError(Exception):
    """Two revisions of one workload cannot be held against each other; the message says why."""


_WORSE = (Verdict.FASTER, Verdict.PASS, Verdict.INCONCLUSIVE, Verdict.REGRESSION)


def _why(side: str, outcome: Outcome) -> str:
    whose = "the working tree" if side == "now" else "the other revision"
    if outcome.type == "ConfigurationError":
        return f"{whose} cannot run it: {outcome.message}"
    if outcome.type == "ValidationError":
        return f"{whose} knows no such workload: {outcome.message}"
    at = f" at {outcome.where}" if outcome.where else ""
    return f"{whose} ended early: {outcome.type}: {outcome.message}{at}"
