"""The part of the training half that is kept for validation.

Which samples these are depends on the data set and their number alone: they are drawn once, from a
seed of their own, so that every rule, rate and seed of a search is judged by the same samples and
none is trained on them. They are drawn, not taken from the end: where the training half is ordered
(heartbeats stand record by record), the end would lack whole classes. Samples of one patient can
then be on both sides, which flatters all rates alike.

Shape suffixes: S samples.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch

from trainfit.algorithms.data import Dataset
from trainfit.algorithms.errors import ConfigurationError

_SEED = 0


def hold_out(data: Dataset, samples: int) -> Dataset:
    """The data without its test half, in whose place stand samples of the training half.

    Args:
        data: As it was loaded, nothing cut off.
        samples: How many are held out.

    Raises:
        ConfigurationError: Nothing would be left to train on.
    """
    there = len(data.train_x)
    if samples >= there:
        raise ConfigurationError(
            f"held_out is {samples:,}, but dataset {data.name!r} has {there:,} training samples;"
            " some have to be left to train on"
        )
    order_S = np.random.Generator(np.random.PCG64(_SEED)).permutation(there)
    held_S, kept_S = (torch.from_numpy(np.sort(part)) for part in np.split(order_S, [samples]))
    note = f"accuracy on {samples:,} training samples that were held out"
    return replace(
        data,
        train_x=data.train_x[kept_S],
        train_y=data.train_y[kept_S],
        test_x=data.train_x[held_S],
        test_y=data.train_y[held_S],
        note="; ".join(part for part in (data.note, note) if part),
    )
