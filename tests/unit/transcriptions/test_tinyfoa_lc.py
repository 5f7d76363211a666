"""TinyFoA on locally connected nets, described and released, against ``tinyfoa_lc``'s equations."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from tests.unit.transcriptions import tinyfoa_lc
from tests.unit.transcriptions.comparison import (
    CLOSE,
    NOTICED,
    ROWS,
    batch,
    deviations,
    held,
    largest,
    start,
)

SIDE = 4
MODEL = "lc-1x4x4-4-6-4-3"
LR = 0.02
PASSES, STEPS_PER_PASS = 5, 4
STAGE = PASSES * STEPS_PER_PASS
RELEASED = {"variant": "released"}


def plain(name, t):
    """One of the rule's tensors in the transcription's shape."""
    if name.startswith("latent"):  # N M P J S K
        groups, _, positions, outputs, *_ = t.shape
        parts = t.reshape(*t.shape[:4], 9, -1).transpose(2, 0, 3, 4, 1, 5)
        return parts.reshape(positions, groups * outputs, 9, -1)
    if name.startswith("w") and t.ndim == 3:  # P O (S I)
        return t.reshape(*t.shape[:2], 9, -1)
    if name.startswith("bias"):  # N P J
        return t.transpose(1, 0, 2).reshape(t.shape[1], -1)
    if name.startswith("head") and t.ndim > 1:  # N C (P J), or C (P O)
        by_position = t.reshape(-1, *t.shape[-2:-1], SIDE**2, t.shape[-1] // SIDE**2)
        return by_position.transpose(1, 2, 0, 3).reshape(t.shape[-2], SIDE**2, -1)
    if name.startswith(("gain", "shift", "mean", "variance")) and "." not in name:
        return t.reshape(-1)
    return t


NAMES = {"latent": "w", "bias": "b", "exp_avg_sq": "square", "exp_avg": "mean"}


def as_called(name):
    for old, new in NAMES.items():
        if name.startswith(old) or name.endswith("." + old):
            return name.replace(old, new)
    return name


def read_with(theirs):
    def read(algorithm):
        found = held(algorithm)
        now = {
            as_called(name): plain(name, t)
            for name, t in found.items()
            if not name.startswith(("packed", "head", "slice", "output_scale"))
            and not name.endswith(".step")
        }
        if "slice" in found:  # the active slice is written back after its turn
            active = f"w{theirs.active}"
            part = theirs.groups("w", now[active], *theirs.place)
            part[...] = found["slice"].reshape(part.shape)
        for name, value in theirs.values().items():
            if "." in name:
                now[name] = now[name].reshape(value.shape)
        return now

    return read


def features_of(theirs):
    """The batch's rows of what the rule keeps of all samples for a stage."""
    everything = np.concatenate([batch(SIDE**2, 3, number)[0] for number in range(3 * STAGE)])
    kept = {}

    def stage_input(algorithm, number, x):
        if number % STAGE == 0:
            kept["data"] = algorithm.stage_data(torch.from_numpy(everything))
            theirs.cache(everything.astype(np.float64))
        return kept["data"][number * ROWS : (number + 1) * ROWS]

    return stage_input


def compared(options, kind):
    """All three layers, 20 steps each."""
    algorithm = start("tinyfoa", MODEL, {"lr": LR} | options)
    found = {as_called(name): plain(name, t) for name, t in held(algorithm).items()}
    wanted = [f"{kind}{n}" for kind in (*tinyfoa_lc.KINDS, "mean", "variance") for n in (1, 2, 3)]
    released = issubclass(kind, tinyfoa_lc.LcReleased)
    theirs = kind(
        {name: found[name] for name in wanted},
        {name: t for name, t in found.items() if name.startswith("head")},
        LR,
        side=SIDE,
        slices=options.get("slices", 2),
        passes=PASSES,
        by_batch=released or options.get("frozen_statistics") == "batch",
    )
    return deviations(
        algorithm,
        theirs,
        read=read_with(theirs),
        steps_per_pass=STEPS_PER_PASS,
        passes_per_stage=PASSES,
        stage_input=features_of(theirs) if options.get("features") == "cached" else None,
        steps=3 * STAGE,
    )


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"slices": 1},
        {"update": "fused"},
        {"kernel": "tiles"},
        {"frozen_statistics": "batch"},
        {"features": "cached"},
    ],
    ids=str,
)
def test_described(options):
    assert largest(compared(options, tinyfoa_lc.LcDescribed)) < CLOSE


def test_released():
    assert largest(compared(RELEASED, tinyfoa_lc.LcReleased)) < CLOSE


# ---- slips that have to be noticed --------------------------------------------------------------


class StatisticsAsConstants(tinyfoa_lc.LcDescribed):
    """No gradient through mean and variance."""

    def through_normalisation(self, du_BPO, n_BPO):
        return du_BPO


class TurnedWindow(tinyfoa_lc.LcDescribed):
    """The neighbours column by column."""

    def neighbours(self, h_BPI):
        found = super().neighbours(h_BPI)
        return found[:, :, [0, 3, 6, 1, 4, 7, 2, 5, 8]]


class Uncut(tinyfoa_lc.LcReleased):
    def cut(self, w):
        return 1.0


@pytest.mark.parametrize(
    ("options", "kind"),
    [({}, StatisticsAsConstants), ({}, TurnedWindow), (RELEASED, Uncut)],
)
def test_a_slip_is_noticed(options, kind):
    assert largest(compared(options, kind)) > NOTICED


def test_the_wrong_statistics_are_noticed():
    options = {"frozen_statistics": "batch"}

    class Running(tinyfoa_lc.LcDescribed):
        by_batch = property(lambda self: False, lambda self, value: None)

    assert largest(compared(options, Running)) > NOTICED
