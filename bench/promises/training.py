"""Promises about what a step does: to weights, to the batch, and again with the same seed."""

from __future__ import annotations

import gc
import re
import tempfile
from pathlib import Path
from typing import Any

import torch

from trainfit.algorithms import Algorithm
from trainfit.algorithms.phases import observing
from trainfit.bench.promises.finding import BrokenPromiseError, NotApplicableError
from trainfit.bench.promises.subject import Subject
from trainfit.bench.records.schema import Workload
from trainfit.bench.training import kept
from trainfit.bench.training.contract_check import PhasesSeen

_PHASE = re.compile(r"(forward|gradient|update)(\.\w+)*", re.ASCII)

STEPS = 10
"""Steps over which nothing may be left behind."""


def bits_of(algorithm: Algorithm[Any]) -> dict[str, bytes]:
    """Every listed tensor's bytes, by name."""
    found: dict[str, bytes] = {}
    for held in algorithm.static_tensors():
        flat = held.tensor.detach().contiguous().view(-1)
        own = flat.view(torch.uint8).numpy().tobytes() if flat.numel() else b""
        found[held.name] = (
            found.get(held.name, b"") + own
        )  # `declares` says if a name is there twice
    return found


def phases_are_named(algorithm: Algorithm[Any], x: torch.Tensor, y: torch.Tensor) -> None:
    """A step enters phases, all of them declared, and declared are the three or parts of them.

    Raises:
        BrokenPromiseError: Something else is declared or entered, or nothing is.
    """
    step, declared = type(algorithm).step, type(algorithm).phases
    for name in declared:
        if not _PHASE.fullmatch(name):
            raise BrokenPromiseError(
                f"phase {name!r} is declared; phases are forward, gradient and update, or parts of"
                " them by a dot (forward.positive)",
                step,
            )
    seen = PhasesSeen()
    with observing(seen):
        algorithm.step(x, y)
    strange = [repr(name) for name in seen.seen if name not in declared]
    if strange or not seen.seen:
        raise BrokenPromiseError(
            f"the step enters {', '.join(strange) or 'no phase'}; put its parts into"
            f" {', '.join(declared)}, or declare others in phases",
            step,
        )


def batch_is_left(algorithm: Algorithm[Any], x: torch.Tensor, y: torch.Tensor) -> None:
    """Inputs and labels are after a step what they were before it.

    Raises:
        BrokenPromiseError: They are not.
    """
    before = x.clone(), y.clone()
    algorithm.step(x, y)
    for name, now, then in (("x", x, before[0]), ("y", y, before[1])):
        if not torch.equal(now, then):
            raise BrokenPromiseError(
                f"a step writes into its batch: {name} is another one afterwards; work on a copy,"
                " or put it back",
                type(algorithm).step,
            )


def a_step_trains(algorithm: Algorithm[Any], x: torch.Tensor, y: torch.Tensor) -> None:
    """A step changes something that is listed.

    Raises:
        BrokenPromiseError: Nothing is.
    """
    before = bits_of(algorithm)
    algorithm.step(x, y)
    if bits_of(algorithm) == before:
        raise BrokenPromiseError(
            "a step changes nothing that static_tensors lists", type(algorithm).step
        )


def predicting_changes_nothing(algorithm: Algorithm[Any], x: torch.Tensor) -> None:
    """Prediction leaves everything that is listed, and its inputs, as they are.

    Raises:
        BrokenPromiseError: It does not.
    """
    before, inputs = bits_of(algorithm), x.clone()
    algorithm.predict(x)
    after = bits_of(algorithm)
    changed = [name for name in before if before[name] != after.get(name)]
    if changed or not torch.equal(x, inputs):
        raise BrokenPromiseError(
            f"predict changes {', '.join(changed) or 'its inputs'}", type(algorithm).predict
        )


def runs(subject: Subject, seed: int) -> list[dict[str, bytes]]:
    """What is listed after three steps of every stage."""
    found = []
    for _, algorithm in subject.at_every_stage(seed):
        for number in range(3):
            algorithm.step(*subject.batch(algorithm, number))
        found.append(bits_of(algorithm))
    return found


def seed_decides(subject: Subject) -> None:
    """The same seed gives the same bits; another gives others, if anything is drawn at all.

    Raises:
        BrokenPromiseError: It does not.
    """
    first, second = runs(subject, 0), runs(subject, 0)
    for one, two in zip(first, second, strict=True):
        changed = [name for name in one if one[name] != two.get(name)]
        if changed:
            raise BrokenPromiseError(
                f"two trainings of the same seed differ in {', '.join(changed)}; draw from"
                " self.generator, which is seeded",
                subject.cls.step,
            )
    fresh = torch.Generator().manual_seed(0)
    drew = not torch.equal(subject.build(0).generator.get_state(), fresh.get_state())
    if drew and first == runs(subject, 1):
        raise BrokenPromiseError(
            "another seed gives the same weights; draw them from self.generator, and seed nothing",
            subject.cls.__init__,
        )


def nothing_piles_up(algorithm: Algorithm[Any], x: torch.Tensor, y: torch.Tensor) -> None:
    """After ten more steps as many bytes of tensors are alive as before.

    Raises:
        BrokenPromiseError: There are more, or fewer.
    """
    algorithm.step(x, y)
    before = _live_bytes()
    for _ in range(STEPS):
        algorithm.step(x, y)
    more = _live_bytes() - before
    if more:
        raise BrokenPromiseError(
            f"after {STEPS} steps {more:,} B more of tensors are alive; a step keeps nothing but"
            " what it found",
            type(algorithm).step,
        )


def _live_bytes() -> int:
    gc.collect()
    storages = {
        t.untyped_storage().data_ptr(): t.untyped_storage().nbytes()
        for t in gc.get_objects()
        if issubclass(type(t), torch.Tensor)
    }
    return sum(storages.values())


def resumes(subject: Subject) -> None:
    """A training that is kept, and read back into a fresh rule, goes on with the same bits.

    Raises:
        BrokenPromiseError: It goes on with others.
        NotApplicableError: It holds what cannot be kept, and starts over when it is cut off.
    """
    workload = Workload(
        algorithm=subject.rule,
        options=subject.options,
        model=subject.model,
        dataset="none",
        batch_size=subject.rows,
        epochs=2,
        evaluate_every=2**20,
    )
    algorithm = subject.build()
    algorithm.begin_epoch(0, workload.epochs)
    algorithm.step(*subject.batch(algorithm, 0))
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "kept.pt")
        kept.save(file, workload, algorithm, kept.Progress(passes=1))
        if not file.exists():
            raise NotApplicableError(
                "it holds what no file can (code, such as hooks); a training that is cut off starts"
                " over"
            )
        fresh = subject.build()
        if kept.restore(file, workload, fresh) is None:
            raise NotApplicableError(
                "what it holds is not read back (tensors, plain containers and classes of its own"
                " package are); a training that is cut off starts over"
            )
    fresh.begin_epoch(1, workload.epochs)  # the fresh one first: what is not kept is as it was
    fresh.step(*subject.batch(fresh, 1))
    torch.manual_seed(1)  # who draws elsewhere finds it in another state when he goes on
    algorithm.begin_epoch(1, workload.epochs)
    algorithm.step(*subject.batch(algorithm, 1))
    one, two = bits_of(algorithm), bits_of(fresh)
    changed = [name for name in one if one[name] != two.get(name)]
    if changed:
        raise BrokenPromiseError(
            f"a training that is read back goes on otherwise: {', '.join(changed)}; all that a step"
            " depends on has to be in attributes (torch's own generator is not)",
            subject.cls.step,
        )
