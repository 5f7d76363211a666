"""The energy of a step in both revisions, as a ratio over several pairs of processes.

The two processes of a pair measure one after the other, each by windows of its own, for a sensor
reads the whole machine and turns of milliseconds are shorter than its interval. So drift disturbs
them more than it does times; who comes first changes from pair to pair.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from statistics import median

from trainfit.bench.latency_comparison.ratio import Ratios, enough
from trainfit.bench.latency_comparison.tree_process import TreeProcesses
from trainfit.bench.processes.child import Ending, Message
from trainfit.bench.records.schema import Workload

TARGET = "trainfit.bench.run.worker:measure"


@dataclass(frozen=True)
class Energies:
    """Joules per step of one workload in both revisions.

    Attributes:
        ratios: Now over then.
        then_joules: Of a step of the other revision: the median over the pairs.
        now_joules: Of a step of the working tree, likewise.
        sensor: Which one was read.
    """

    ratios: Ratios
    then_joules: float
    now_joules: float
    sensor: str


def compare_energy(
    workload: Workload,
    then: TreeProcesses,
    now: TreeProcesses,
    *,
    sensor: str,
    threads: int,
    data_root: str | None,
    scratch: Path,
    max_ratio: float,
    most_pairs: int,
    timeout_seconds: float,
) -> Energies | str:
    """Compare the energy of a step; a figure that cannot be had is a reason, not an error.

    Args:
        workload: What to measure; the stage that needs the most memory is taken.
        then: The other revision.
        now: The working tree.
        sensor: As ``trainfit sensors`` names it.
        threads: For operators.
        data_root: Where data sets are read from.
        scratch: Folder for logs.
        max_ratio: What is allowed; a pass by it may end early.
        most_pairs: Pairs of processes.
        timeout_seconds: Cap on each process.
    """
    joules: dict[bool, list[float]] = {True: [], False: []}
    ratios: list[float] = []
    while not enough(ratios, max_ratio, most_pairs):
        now_first = len(ratios) % 2 == 1
        for is_now in (now_first, not now_first):
            parts: Message = {}
            outcome = (now if is_now else then).call(
                TARGET,
                {
                    "workload": workload.model_dump(mode="json", exclude_defaults=True),
                    "data_root": data_root,
                    "threads": threads,
                    "measure": ["memory", "energy"],  # memory says which stage is the worst
                    "sensor": sensor,
                    "subtract_idle": False,
                    "state": None,
                },
                log=scratch / "energy.log",
                timeout_seconds=timeout_seconds,
                on_message=parts.update,
            )
            whose = "the working tree" if is_now else "the other revision"
            if outcome.ending is not Ending.RETURNED:
                return f"{whose}: {outcome.type}: {outcome.message}"
            found = parts.get("energy", {})
            value = found.get("joules_per_step")
            if not value or value <= 0 or not found.get("valid"):
                return f"{whose}: {found.get('reason') or 'the sensor gave no figure'}"
            joules[is_now].append(float(value))
        ratios.append(joules[True][-1] / joules[False][-1])
    return Energies(Ratios.of(ratios), median(joules[False]), median(joules[True]), sensor)
