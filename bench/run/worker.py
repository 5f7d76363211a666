"""What runs inside a workload's own process: memory, latency, accuracy, and the checks before.

:mod:`trainfit.bench.processes.isolation` calls these functions with a job made of JSON and a way to
send messages back. ``{"doing": ...}`` says what is going on; ``{"operations": ...}``, ``{"memory":
...}``, ``{"latency": ...}``, ``{"energy": ...}``, ``{"accuracy": ...}``, ``{"gradients": ...}`` and
``{"noise": ...}`` are finished parts of the record, sent at once so that a later failure does not
lose them. ``{"timeline": ...}`` goes into a
file beside the records.
"""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from trainfit.algorithms import Algorithm, complete_name, get_algorithm, get_model
from trainfit.algorithms.contract import parse_options
from trainfit.algorithms.data import Dataset
from trainfit.algorithms.errors import ConfigurationError
from trainfit.bench.environment import describe_environment
from trainfit.bench.probes.gradients import probe_gradients
from trainfit.bench.probes.noise import probe_noise
from trainfit.bench.processes.child import Message, Send, is_exhausted
from trainfit.bench.profiler import measure_energy, measure_latency
from trainfit.bench.records.schema import (
    PROBES,
    Energy,
    Evidence,
    LayerGradients,
    Measurement,
    StageOperations,
    Workload,
)
from trainfit.bench.run.memory import measure_memory
from trainfit.bench.sensors import SensorError, Unavailable, open_sensor
from trainfit.bench.trace.prediction import predict
from trainfit.bench.training.contract_check import ContractError, check_contract
from trainfit.bench.training.pretraining import before, take_over
from trainfit.bench.training.train import Probe, build, epoch, fitted, load, train_and_keep


def measure(job: Message, send: Send) -> None:
    """Measure one workload.

    Args:
        job: ``workload`` (a dumped :class:`~trainfit.bench.records.schema.Workload`),
        ``data_root``, ``threads``,
            ``measure`` (names of :class:`~trainfit.bench.records.schema.Measurement`), ``sensor``
            and ``subtract_idle`` for the energy, and ``state``, the file in which a long training
            is kept.
        send: Takes progress and finished parts.

    Raises:
        ContractError: The algorithm does not keep the contract.
    """
    workload = Workload.model_validate(job["workload"])
    torch.set_num_threads(job["threads"])
    wanted = job["measure"]
    send({"doing": "data"})
    data = load(workload, job["data_root"])
    workload = fitted(workload, data)
    x_BI, y_B = next(epoch(workload, data, 0))

    send({"doing": "contract"})
    algorithm = build(workload)
    check_contract(algorithm, x_BI, y_B)
    # That compiled its kernels; what compilers leave is no part of any search for tensors either.
    gc.collect()
    gc.freeze()
    send({"operations": _operations(build(workload), len(x_BI))})
    worst = None
    if Measurement.MEMORY in wanted:
        send({"doing": "memory"})
        memory = measure_memory(
            build(workload),
            x_BI,
            y_B,
            samples=len(data.train_x),
            on_timeline=lambda course: send({"timeline": course.model_dump(mode="json")}),
        )
        send({"memory": memory.model_dump(mode="json")})
        worst = memory.worst_stage
    if Measurement.LATENCY in wanted:
        send({"doing": "latency"})
        algorithm, taken = _at_stage(workload, worst, x_BI)
        latency = measure_latency(algorithm, taken, y_B, threads=job["threads"])
        send({"latency": latency.model_dump(mode="json")})
    if Measurement.ENERGY in wanted:
        send({"doing": "energy"})
        energy = _energy(workload, x_BI, y_B, worst, job)
        send({"energy": energy.model_dump(mode="json")})
    _train_and_probe(workload, data, job, send)


def _train_and_probe(workload: Workload, data: Dataset, job: Message, send: Send) -> None:
    """The accuracy, and what is wanted of the trained net; of the untrained one with no epochs.

    Gradients are probed before training and after every pass that the accuracy is measured after,
    of one and the same batch: the first of the first pass.
    """
    wanted = job["measure"]
    probes = [each for each in PROBES if each in wanted]
    if not probes and not (workload.epochs and Measurement.ACCURACY in wanted):
        return
    torch.set_num_threads(job["threads"])
    state = Path(job["state"]) if job["state"] else None
    probe = _gradients(workload, data, send) if Measurement.GRADIENTS in probes else None
    if workload.epochs:
        trained = train_and_keep(workload, data, send, state, probe)
        algorithm, found = trained.algorithm, trained.gradients
        if Measurement.ACCURACY in wanted:
            send({"accuracy": trained.accuracy.model_dump(mode="json")})
    else:
        algorithm = build(workload)
        found = probe(algorithm, 0) if probe else []
    if probe:
        send({"gradients": [layer.model_dump(mode="json") for layer in found]})
    if Measurement.NOISE in probes:
        send({"doing": "noise"})
        send({"noise": probe_noise(algorithm, data).model_dump(mode="json")})
    if state:
        state.unlink(missing_ok=True)


def _gradients(workload: Workload, data: Dataset, send: Send) -> Probe:
    """Probes the gradients of the first batch of the first pass, whenever it is asked."""
    x_BI, y_B = next(epoch(workload, data, 0))

    def probe(algorithm: Algorithm[Any], passes: int) -> list[LayerGradients]:
        send({"doing": f"gradients {passes}/{algorithm.passes(workload.epochs)}"})
        return probe_gradients(workload, algorithm, x_BI, y_B, passes=passes)

    return probe


def _at_stage(
    workload: Workload, stage: str | None, x_BI: torch.Tensor
) -> tuple[Algorithm[Any], torch.Tensor]:
    """A fresh algorithm at a stage (the first one for None), and what its steps take."""
    algorithm = build(workload)
    algorithm.enter_stage(algorithm.stages.index(stage) if stage else 0)
    return algorithm, algorithm.stage_data(x_BI)


def _energy(
    workload: Workload, x_BI: torch.Tensor, y_B: torch.Tensor, stage: str | None, job: Message
) -> Energy:
    """By the sensor that the suite names; a sensor that is not there is a reason, not an error."""
    try:
        sensor = open_sensor(job["sensor"])
    except SensorError as error:
        sensor = Unavailable(str(error))
    if isinstance(sensor, Unavailable):
        return Energy(evidence=Evidence.UNAVAILABLE, reason=sensor.reason)
    try:
        algorithm, taken = _at_stage(workload, stage, x_BI)
        return measure_energy(
            algorithm,
            taken,
            y_B,
            threads=job["threads"],
            sensor=sensor,
            subtract_idle=job["subtract_idle"],
        )
    finally:
        sensor.close()


def _operations(algorithm: Algorithm[Any], rows: int) -> list[dict[str, Any]]:
    """The arithmetic of one step of every stage, as the record has it."""
    stages = []
    for index, stage in enumerate(algorithm.stages):
        algorithm.enter_stage(index)
        try:
            predicted = predict(algorithm, rows)
        except ConfigurationError:  # the memory pass says why, where there is one
            made = StageOperations.of(stage, {})
        else:
            phases = predicted.operations.phases
            made = StageOperations.of(stage, phases, predicted.static_bytes)
        stages.append(made.model_dump(mode="json"))
    return stages


def confirm(job: Message, send: Send) -> None:
    """Measure the memory of a workload on random samples; what they hold does not matter to bytes.

    Args:
        job: ``workload`` with the full name of its model; its data set is not read.
        send: Gets ``{"memory": ...}``.
    """
    workload = Workload.model_validate(job["workload"])
    torch.set_num_threads(1)
    algorithm = build(workload)
    draws = torch.Generator().manual_seed(workload.seed)
    x_BI = torch.rand(workload.batch_size, algorithm.model.inputs, generator=draws)
    y_B = torch.randint(
        algorithm.model.classes, (workload.batch_size,), generator=draws, dtype=torch.int64
    )
    send({"memory": measure_memory(algorithm, x_BI, y_B).model_dump(mode="json")})


_ANY_DATA = (3, 224, 224)
"""A shape of samples on which every net fits that fits on any."""


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
            if workload.pretrained is not None:
                first = workload.pretrained
                parse_options(get_algorithm(first.algorithm), first.options)
            get_model(complete_name(workload.model, _ANY_DATA, 2))  # is it a name?
    sets: dict[tuple[str, int | None, int | None], list[int]] = {}
    for index, workload in enumerate(workloads):
        part = (workload.dataset, workload.train_samples, workload.held_out)
        sets.setdefault(part, []).append(index)
    unfit = set[int]()
    for indices in sets.values():  # one at a time: together they may be more than the limit
        data: Dataset | None = None
        for index in indices:
            workload = workloads[index]
            with _blame(index + 1, workload):
                try:  # standardising cannot change whether it fits
                    plain = workload.model_copy(update={"standardise": False})
                    data = data or load(plain, job["data_root"])
                    workloads[index] = fitted(workload, data)
                except (MemoryError, RuntimeError) as error:
                    if not is_exhausted(error):
                        raise
                    unfit.add(index)  # its own process meets that again, and records it
    for number, workload in enumerate(workloads, start=1):
        if number - 1 in unfit:
            continue
        send({"doing": "building"})  # from here on only what is wrong with the options counts
        # Anything but a wrong configuration its own process will meet again, and record.
        with _blame(number, workload), _ignoring_all_but(ConfigurationError):
            algorithm = build(workload)
            algorithm.check_batch(workload.batch_size)
            if workload.pretrained is not None:
                earlier = before(workload, workload.pretrained)
                source = build(earlier)
                source.check_batch(earlier.batch_size)
                take_over(algorithm, source)


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
