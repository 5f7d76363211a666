"""A rule of the project and its transcription, side by side for 20 steps.

After every step all that the rule keeps is compared with the transcription's: the norm of the
difference, relative to the norm of the change since the start (of a scale: to itself). Both start
from the same weights, see the same batches and are given the same random draws.

A wrong factor, sign, term or order changes a step by percents; float32 by 1e-7 of the weights,
which is 3e-5 of the smallest change of a first step here. ``CLOSE`` is between the two, and
``NOTICED`` what a slip has to exceed.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from tests.unit.transcriptions.arithmetic import Array, Arrays, Transcription
from trainfit.algorithms import build_algorithm

STEPS = 20
ROWS = 8
CLOSE = 1e-4
NOTICED = 1e-2

Algorithm = Any
Reader = Callable[[Algorithm], Arrays]
StageInput = Callable[[Algorithm, int, torch.Tensor], torch.Tensor]
Draws = Callable[[Algorithm, torch.Tensor, torch.Tensor], tuple[Any, ...]]


def held(algorithm: Algorithm) -> Arrays:
    """What a rule keeps between steps, by name, as float64."""
    return {
        each.name: each.tensor.detach().numpy().astype(np.float64)
        for each in algorithm.static_tensors()
    }


def starting_with(values: Arrays, *prefixes: str) -> Arrays:
    """Those with such a name; a dot ends the name of a parameter and begins that of its state."""
    return {name: t for name, t in values.items() if name.startswith(prefixes) and "." not in name}


def enlarge(algorithm: Algorithm, factor: float, *prefixes: str) -> None:
    """Larger initial values, so that what is cut or clipped at 1 occurs."""
    for each in algorithm.static_tensors():
        if each.name.startswith(prefixes):
            each.tensor.detach().mul_(factor)


def batch(inputs: int, classes: int, number: int) -> tuple[Array, Array]:
    """Inputs, float32, and labels of step ``number``."""
    source = np.random.default_rng(number)
    return source.random((ROWS, inputs), np.float32), source.integers(classes, size=ROWS)


def same_draws(algorithm: Algorithm) -> torch.Generator:
    """A generator that is about to draw what the rule's own is."""
    twin = torch.Generator()
    twin.set_state(algorithm.generator.get_state())
    return twin


def no_draws(algorithm: Algorithm, x: torch.Tensor, y: torch.Tensor) -> tuple[Any, ...]:
    return ()


def start(name: str, model: str, options: dict[str, Any], seed: int = 0) -> Algorithm:
    return build_algorithm(name, model, options, seed=seed)


def deviations(
    algorithm: Algorithm,
    transcription: Transcription,
    *,
    draws: Draws = no_draws,
    read: Reader = held,
    steps_per_pass: int = 0,
    passes_per_stage: int = 0,
    stage_input: StageInput | None = None,
    steps: int = STEPS,
    first_batch: int = 0,
) -> dict[str, float]:
    """The largest deviation of each tensor after any of the steps.

    Args:
        algorithm: The rule; it is trained.
        transcription: Its transcription, with the rule's initial values.
        draws: Random numbers of the next step, before it, as arrays.
        read: What the rule keeps, under the transcription's names and in its shapes.
        steps_per_pass: Steps of a pass over the data, if the rule depends on it.
        passes_per_stage: Passes of a stage, if it has several; otherwise all are of one.
        stage_input: The rule's input for step ``number``, made from the batch.
        steps: How many.
        first_batch: Number of the first batch.
    """
    first = {name: value.copy() for name, value in transcription.values().items()}
    worst = dict.fromkeys(first, 0.0)
    for number in range(steps):
        if steps_per_pass and number % steps_per_pass == 0:
            nth = number // steps_per_pass
            algorithm.begin_epoch(nth, passes_per_stage or steps // steps_per_pass)
            transcription.begin_pass(nth)
            states = {name: v for name, v in transcription.values().items() if "." in name}
            first |= {name: np.zeros_like(v) for name, v in states.items()}
        x_BI, y_B = batch(algorithm.model.inputs, algorithm.model.classes, first_batch + number)
        x, y = torch.from_numpy(x_BI), torch.from_numpy(y_B)
        given = draws(algorithm, x, y)
        algorithm.step(x if stage_input is None else stage_input(algorithm, number, x), y)
        transcription.step(x_BI.astype(np.float64), y_B, *given)
        ours, theirs = read(algorithm), transcription.values()
        assert set(ours) == set(theirs)
        for name, value in theirs.items():
            assert ours[name].shape == value.shape, name
            before = 0.0 if name.startswith(transcription.scales) else first[name]
            off, moved = (float(np.linalg.norm(value - other)) for other in (ours[name], before))
            worst[name] = max(worst.get(name, 0.0), off / moved if moved else (off > 0) * np.inf)
    assert all(np.isfinite(value).all() for value in theirs.values())
    return worst


def largest(found: dict[str, float]) -> float:
    return max(found.values())
