"""The gate tried on a workload of a run: does it see what is planted in its step?"""

from __future__ import annotations

from pathlib import Path

import torch

from trainfit.bench.errors import RunFolderError
from trainfit.bench.gate.self_test import Planted, self_test
from trainfit.bench.profiler import profile_step
from trainfit.bench.records.reading import iter_records
from trainfit.bench.records.schema import RecordStatus, Workload
from trainfit.bench.training.train import build


def smallest_workload(run: Path) -> Workload:
    """The workload of a run that needs the least memory; its step is the quickest to try.

    Raises:
        RunFolderError: There is no run, or it measured no bytes.
    """
    sizes = {
        (record.memory.static_bytes + record.memory.peak_dynamic_bytes, number): record.workload
        for number, record in enumerate(iter_records(run))
        if record.status is RecordStatus.OK and record.memory is not None
    }
    if not sizes:
        raise RunFolderError(
            f"{run}: no record has bytes, so there is no step to plant a change in"
        )
    return sizes[min(sizes)]


def self_test_workload(workload: Workload) -> list[Planted]:
    """Plant changes in the first stage's step of a workload, on random samples.

    Raises:
        ConfigurationError: The workload cannot be built.
    """
    algorithm = build(workload)
    draws = torch.Generator().manual_seed(workload.seed)
    x_BI = torch.rand(workload.batch_size, algorithm.model.inputs, generator=draws)
    y_B = torch.randint(
        algorithm.model.classes, (workload.batch_size,), generator=draws, dtype=torch.int64
    )
    algorithm.enter_stage(0)
    taken = algorithm.stage_data(x_BI)
    return self_test(lambda: algorithm.step(taken, y_B), profile_step)
