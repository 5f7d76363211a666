"""What runs inside a workload's own process: memory, latency, accuracy, and the checks before.

:mod:`bench.isolation` calls these functions with a job made of JSON and a way to send messages
back. ``{"doing": ...}`` says what is going on; ``{"memory": ...}``, ``{"latency": ...}`` and
``{"accuracy": ...}`` are finished parts of the record, sent at once so that a later failure does
not lose them.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from algorithms import Algorithm, build_algorithm, get_algorithm, get_model
from algorithms.base import parse_options
from algorithms.data import Dataset, batches, check_fits, load_dataset
from algorithms.errors import ConfigurationError

from .child import Message, Send
from .contract import ContractError, check_contract, check_finite, predict_scores
from .environment import describe_environment
from .profiler import measure_latency, measure_memory
from .schema import Accuracy, Workload

EVALUATION_ROWS = 500
"""Rows predicted at once when accuracy is measured."""


def measure(job: Message, send: Send) -> None:
    """Measure one workload.

    Args:
        job: ``workload`` (a dumped :class:`~bench.schema.Workload`), ``data_root``, ``threads``.
        send: Takes progress and finished parts.

    Raises:
        ContractError: The algorithm does not keep the contract.
    """
    workload = Workload.model_validate(job["workload"])
    torch.set_num_threads(job["threads"])
    send({"doing": "data"})
    data = _load(workload.dataset, job["data_root"])
    x_BI, y_B = next(_epoch(workload, data, 0))

    send({"doing": "contract"})
    check_contract(_build(workload), x_BI, y_B)
    send({"doing": "memory"})
    memory = measure_memory(_build(workload), x_BI, y_B)
    send({"memory": memory.model_dump(mode="json")})
    send({"doing": "latency"})
    algorithm = _build(workload)
    algorithm.enter_stage([stage.stage for stage in memory.stages].index(memory.worst_stage))
    latency = measure_latency(algorithm, x_BI, y_B, threads=job["threads"])
    send({"latency": latency.model_dump(mode="json")})
    if workload.epochs:
        torch.set_num_threads(job["threads"])
        accuracy = _train(_build(workload), workload, data, send)
        send({"accuracy": accuracy.model_dump(mode="json")})


def _build(workload: Workload) -> Algorithm[Any]:
    """A fresh algorithm; everything that draws without a generator of its own is seeded too."""
    torch.manual_seed(workload.seed)
    return build_algorithm(workload.algorithm, workload.model, workload.options, seed=workload.seed)


def _load(name: str, data_root: str | None) -> Dataset:
    return load_dataset(name, Path(data_root) if data_root else None)


def _epoch(workload: Workload, data: Dataset, number: int) -> Any:
    generator = torch.Generator().manual_seed(workload.seed + number)
    return batches(data.train_x, data.train_y, workload.batch_size, generator)


def _train(algorithm: Algorithm[Any], workload: Workload, data: Dataset, send: Send) -> Accuracy:
    passes = algorithm.passes(workload.epochs)
    curve: list[float] = []
    seconds = 0.0
    for number in range(passes):
        send({"doing": f"accuracy {number + 1}/{passes}"})
        started = time.perf_counter()
        algorithm.begin_epoch(number, workload.epochs)
        for x_BI, y_B in _epoch(workload, data, number):
            algorithm.step(x_BI, y_B)
        seconds += time.perf_counter() - started
        check_finite(algorithm, f"after training pass {number + 1} of {passes}")
        curve.append(_test_accuracy(algorithm, data))
    return Accuracy(test_accuracy=curve[-1], epochs=passes, train_seconds=seconds, curve=curve)


def _test_accuracy(algorithm: Algorithm[Any], data: Dataset) -> float:
    right = 0
    for start in range(0, len(data.test_x), EVALUATION_ROWS):
        rows = slice(start, start + EVALUATION_ROWS)
        scores_BC = predict_scores(algorithm, data.test_x[rows])
        right += int((scores_BC.argmax(1) == data.test_y[rows]).sum())
    return right / len(data.test_x)


def preflight(job: Message, send: Send) -> None:
    """Check everything that can be checked before the first workload is measured.

    Args:
        job: ``workloads``, a list of dumped workloads, and ``data_root``.
        send: Gets ``{"environment": ...}``; then ``{"doing": ...}`` before each algorithm is built.

    Raises:
        ConfigurationError: What the suite asks for does not exist or does not fit together; the
            message names the workload.
    """
    send({"environment": describe_environment()})
    workloads = [Workload.model_validate(each) for each in job["workloads"]]
    for number, workload in enumerate(workloads, start=1):
        with _blame(number, workload):
            cls = get_algorithm(workload.algorithm)
            parse_options(cls, workload.options)
            get_model(workload.model)
    data: dict[str, Dataset] = {}
    for number, workload in enumerate(workloads, start=1):
        with _blame(number, workload):
            if workload.dataset not in data:
                data[workload.dataset] = _load(workload.dataset, job["data_root"])
            model = get_model(workload.model)
            check_fits(
                data[workload.dataset],
                model.inputs,
                model.classes,
                workload.batch_size,
                workload.model,
            )
    data.clear()
    for number, workload in enumerate(workloads, start=1):
        send({"doing": "building"})  # from here on only what is wrong with the options counts
        # Anything but a wrong configuration its own process will meet again, and record.
        with _blame(number, workload), _ignoring_all_but(ConfigurationError):
            _build(workload)


@contextmanager
def _ignoring_all_but(kind: type[Exception]) -> Iterator[None]:
    try:
        yield
    except Exception as error:
        if isinstance(error, kind):
            raise


@contextmanager
def _blame(number: int, workload: Workload) -> Iterator[None]:
    """Name the workload in whatever goes wrong inside."""
    try:
        yield
    except ConfigurationError as error:
        what = str(error)
        raise ConfigurationError(f"workload {number} ({workload.algorithm}): {what}") from error
    except Exception as error:
        what = f"{type(error).__name__}: {error}"
        raise ConfigurationError(f"workload {number} ({workload.algorithm}): {what}") from error


__all__ = ["ContractError", "measure", "preflight"]
