"""A training that was cut off goes on: what it has come to is kept in a file.

The file is what ``torch.save`` makes, and behind it the SHA-256 of that, so that a damaged one is
noticed. It is read with ``weights_only``: only tensors, generators, plain containers and the
classes of the algorithm's own package are admitted, so that a file from elsewhere cannot run code.
"""

from __future__ import annotations

import hashlib
import inspect
import io
import logging
import os
import sys
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch

from trainfit.algorithms import Algorithm
from trainfit.bench.errors import RunFolderError
from trainfit.bench.records.own_files import open_own, replace_whole
from trainfit.bench.records.schema import LayerGradients, Workload

_FIXED = ("model", "options")
"""Attributes that the workload says; everything else of an algorithm is its state."""

_DIGEST_BYTES = 32

_log = logging.getLogger(__name__)
"""What it says ends up in the log of the workload."""


def evaluated(workload: Workload, algorithm: Algorithm[Any]) -> list[int]:
    """The passes after which the accuracy is measured, up to the last one.

    Of a net that has learned something, it is measured before the first, too.
    """
    last = algorithm.passes(workload.epochs)
    later = [*range(workload.evaluate_every, last, workload.evaluate_every), last]
    return later if workload.pretrained is None else [0, *later]


@dataclass
class Progress:
    """How far a training has come."""

    passes: int = 0
    seconds: float = 0.0
    curve: list[float] = field(default_factory=list)
    curve_passes: list[int] = field(default_factory=list)
    balanced: float | None = None
    """The balanced accuracy at the last point of the curve."""
    gradients: list[LayerGradients] = field(default_factory=list)
    """What the probe found, at all moments so far."""
    probed: list[int] = field(default_factory=list)
    """After how many passes it was asked."""


def save(path: Path, workload: Workload, algorithm: Algorithm[Any], progress: Progress) -> None:
    """Keep a training, whole or not at all; one that cannot be kept starts over when cut off."""
    if any(held.tensor._post_accumulate_grad_hooks for held in algorithm.static_tensors()):
        return  # hooks are code, and code is not kept
    kept = {
        "workload": workload.model_dump_json(),
        "progress": asdict(progress)
        | {"gradients": [each.model_dump(mode="json") for each in progress.gradients]},
        "algorithm": {k: v for k, v in vars(algorithm).items() if k not in _FIXED},
    }
    written = io.BytesIO()
    try:
        torch.save(kept, written)
    except Exception:  # it holds what cannot be written, and that raises whatever it likes
        return
    content = written.getvalue()
    try:
        path.parent.mkdir(exist_ok=True)
        replace_whole(path, content + hashlib.sha256(content).digest())
    except OSError as error:
        _log.warning("the training is not kept, it starts over if it is cut off: %s", error)


def restore(
    path: Path, workload: Workload, algorithm: Algorithm[Any], *, probed: bool = False
) -> Progress | None:
    """Put a kept training into a fresh algorithm; None if there is none that can be used."""
    asked = evaluated(workload, algorithm)
    try:
        with os.fdopen(open_own(path, os.O_RDONLY), "rb") as stream:
            whole = stream.read()
    except (OSError, RunFolderError):
        if path.exists():
            _log.warning("%s: cannot be read; the training starts over", path)
        return None
    content, digest = whole[:-_DIGEST_BYTES], whole[-_DIGEST_BYTES:]
    if hashlib.sha256(content).digest() != digest:
        _log.warning("%s: is damaged or of another version; the training starts over", path)
        return None
    try:
        with torch.serialization.safe_globals(_classes(algorithm)):
            kept = torch.load(io.BytesIO(content), weights_only=True)
        if kept["workload"] != workload.model_dump_json():
            return None
        progress, state = Progress(**kept["progress"]), kept["algorithm"]
        done = [each for each in asked if each <= progress.passes]
        same = set(state) == {name for name in vars(algorithm) if name not in _FIXED}
        if not same or not 0 < progress.passes <= asked[-1] or progress.curve_passes != done:
            raise ValueError("it is the state of another training")
        progress.curve = [float(each) for each in progress.curve]
        if len(progress.curve) != len(done):
            raise ValueError("its curve has another length")
        if progress.probed != ([0, *filter(None, done)] if probed else []):
            raise ValueError("its gradients were probed at other moments")
        progress.gradients = [LayerGradients.model_validate(each) for each in progress.gradients]
    except Exception as error:  # torch's loader, and what an outsider wrote into the file
        _log.warning("%s: cannot be used (%s); the training starts over", path, error)
        return None
    vars(algorithm).update(state)
    return progress


def _classes(algorithm: Algorithm[Any]) -> list[Any]:
    """The classes that a kept training may hold: those of the algorithm's package and of ours."""
    own = "trainfit.algorithms"
    package = type(algorithm).__module__.split(".", 1)[0]
    prefixes = tuple(f"{name}." for name in {own, *({package} - {"trainfit"})})
    modules = [m for n, m in list(sys.modules.items()) if f"{n}.".startswith(prefixes)]
    return [
        torch.Generator,
        *(frozenset, set, slice, range),  # plain data that torch's own list leaves out
        *{
            each
            for module in modules
            for each in vars(module).values()
            if inspect.isclass(each) and f"{each.__module__}.".startswith(prefixes)
        },
    ]
