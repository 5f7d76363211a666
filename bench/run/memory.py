"""The memory block of a record: every stage of an algorithm measured and compared with its plan."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

import torch

from trainfit.algorithms import Algorithm, Category, ConfigurationError
from trainfit.bench.profiler.determinism import ForeignThreadError
from trainfit.bench.profiler.fold import Block
from trainfit.bench.profiler.session import SessionError
from trainfit.bench.profiler.step import StepProfile, peak_as_deployed, profile_step
from trainfit.bench.profiler.timeline import compact_timeline
from trainfit.bench.records.schema import (
    AsDeployed,
    Evidence,
    Memory,
    PhaseMemory,
    Residual,
    StageMemory,
    TensorBytes,
)
from trainfit.bench.records.timelines import Timeline
from trainfit.bench.trace.prediction import Prediction, predict

_MOST_TENSORS = 40  # listed per stage and phase; the rest of a peak is small change


def measure_memory(
    algorithm: Algorithm[Any],
    x: torch.Tensor,
    y: torch.Tensor,
    *,
    samples: int | None = None,
    on_timeline: Callable[[Timeline], object] | None = None,
) -> Memory:
    """Measure a step of every stage, to the byte, and compare with the prediction.

    The worst stage is left entered, so that a latency pass that follows times the same step.

    Args:
        algorithm: Freshly built.
        x: One batch of inputs, float32, shape (batch, features).
        y: Its labels, int64, shape (batch,).
        samples: Size of the training set, of which a rule may keep something in storage while a
            stage lasts (``stage_data``); None for the size of the batch.
        on_timeline: Is given how memory came and went in the worst stage's step.

    Raises:
        SessionError: The step cannot be seen (foreign threads, another profiler).
        Exception: Whatever the step raises.
    """
    stages: list[StageMemory] = []
    worst, course = 0, None
    for index, name in enumerate(algorithm.stages):
        algorithm.enter_stage(index)
        profile, figures = _stage(algorithm, name, x, y, samples or len(x))
        stages.append(figures)
        if course is None or figures.ram_bytes > stages[worst].ram_bytes:
            worst, course = index, profile  # of the others nothing is kept
    if on_timeline is not None and course is not None:
        on_timeline(compact_timeline(course, stages[worst].stage))
    algorithm.enter_stage(worst)
    taken = algorithm.stage_data(x)
    return Memory(
        evidence=Evidence.ALLOCATOR,
        worst_stage=stages[worst].stage,
        stages=stages,
        as_deployed=_as_deployed(lambda: algorithm.step(taken, y)),
    )


def _stage(
    algorithm: Algorithm[Any], name: str, x: torch.Tensor, y: torch.Tensor, samples: int
) -> tuple[StepProfile, StageMemory]:
    taken = algorithm.stage_data(x)
    # The contract has every step after the first allocate alike; repeats would show if not.
    profile = profile_step(lambda: algorithm.step(taken, y), warmup=1)
    predicted, reason = _predicted(algorithm, len(x))
    ram, storage = static_bytes(algorithm, taken, y)
    if taken is not x:
        storage += samples * (taken.nbytes // len(x))
    figures = StageMemory(
        stage=name,
        static_bytes=sum(ram.values()),
        static_categories=ram,
        storage_bytes=storage,
        peak_dynamic_bytes=profile.peak_dynamic_bytes,
        peak_phase=profile.peak_phase,
        predicted_bytes=predicted.peak_bytes if predicted else None,
        predicted_static_bytes=predicted.static_bytes if predicted else None,
        device_bytes=predicted.device_bytes if predicted else None,
        arena_bytes=predicted.arena_bytes if predicted else None,
        not_predicted=reason,
        deterministic=profile.deterministic,
        phases=_phases(profile, predicted),
        peak_tensors=_listed(profile.live_at_peak),
        residual=residual(profile, predicted),
    )
    return profile, figures


def _predicted(algorithm: Algorithm[Any], rows: int) -> tuple[Prediction | None, str | None]:
    """What the trace of the current stage says, or why there is none."""
    try:
        return predict(algorithm, rows), None
    except ConfigurationError as error:
        return None, str(error)


def static_bytes(
    algorithm: Algorithm[Any], x: torch.Tensor, y: torch.Tensor
) -> tuple[dict[str, int], int]:
    """Bytes held between steps: in RAM by category (the batch included), and in storage.

    A storage that several tensors share is counted once.
    """
    ram = Counter({str(Category.INPUTS): x.nbytes + y.nbytes})
    storage = 0
    seen: set[int] = set()
    for held in algorithm.static_tensors():
        memory = held.tensor.untyped_storage()
        if memory.data_ptr() in seen:
            continue
        seen.add(memory.data_ptr())
        if held.storage:
            storage += memory.nbytes()
        else:
            ram[str(held.category)] += memory.nbytes()
    return dict(sorted(ram.items())), storage


def _phases(profile: StepProfile, predicted: Prediction | None) -> dict[str, PhaseMemory]:
    traced = predicted.phases if predicted else {}
    bound = predicted.device.phases if predicted else {}
    return {
        name: PhaseMemory(
            peak_bytes=phase.peak_bytes,
            entry_bytes=phase.entry_bytes,
            exit_bytes=phase.exit_bytes,
            categories=phase.categories,
            predicted_bytes=traced[name].peak_bytes if name in traced else None,
            device_bytes=bound.get(name),
            peak_tensors=_listed(phase.live_at_peak),
        )
        for name, phase in profile.phases.items()
    }


def _listed(blocks: Sequence[Block]) -> list[TensorBytes]:
    return [
        TensorBytes(
            name=block.label or "?",
            bytes=block.size,
            category=block.category,
            module=block.module or None,
            line=block.line or None,
        )
        for block in blocks[:_MOST_TENSORS]
    ]


def residual(profile: StepProfile, predicted: Prediction | None) -> Residual:
    """What measurement and trace do not agree on, tensor by tensor."""
    unexplained = profile.peak_dynamic_bytes - predicted.peak_bytes if predicted else 0
    items: list[TensorBytes] = []
    if predicted and unexplained:
        traced = Counter(block.size for block in predicted.live_at_peak)
        for block in profile.live_at_peak:
            if traced[block.size]:
                traced[block.size] -= 1
            else:
                label = f"measured only: {block.label or 'an allocation'}"
                items.append(TensorBytes(name=label, bytes=block.size, category=block.category))
        for block in predicted.live_at_peak:
            if traced[block.size]:
                traced[block.size] -= 1
                label = f"traced only: {block.label}"
                items.append(TensorBytes(name=label, bytes=-block.size, category=block.category))
    return Residual(
        unexplained_bytes=unexplained,
        left_after_step_bytes=profile.left_after_step_bytes,
        items=items,
    )


def _as_deployed(step: Callable[[], None]) -> AsDeployed:
    """The same step with threads and oneDNN as the process has them."""
    threads, onednn = torch.get_num_threads(), bool(torch._C._get_mkldnn_enabled())
    try:
        peak, deterministic = peak_as_deployed(step)
    except ForeignThreadError:
        raise
    except SessionError as error:
        return AsDeployed(
            peak_dynamic_bytes=None,
            threads=threads,
            onednn=onednn,
            deterministic=False,
            reason=str(error),
        )
    return AsDeployed(
        peak_dynamic_bytes=peak,
        threads=threads,
        onednn=onednn,
        deterministic=deterministic,
    )
