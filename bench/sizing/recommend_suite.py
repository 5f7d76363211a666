"""What fits and has not been trained, as a suite that trains it.

An algorithm at one depth is *done* on a device when a net at least as wide as the widest of the
grid that fits has been trained on the whole data set and fits. Nothing narrower is offered then.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import ceil
from typing import Any

from trainfit.algorithms.errors import ConfigurationError
from trainfit.algorithms.models import fully_connected
from trainfit.bench.records.schema import Workload
from trainfit.bench.sizing.grid import key
from trainfit.bench.sizing.recommend import Candidate

LONGEST = 40_000
"""Seconds that a training may take which nobody knows better."""

SHORTEST = 3_600
"""Seconds that any training may take."""

SLOWER = 10
"""How many times longer than estimated a training may take, on another or a busy machine."""

Place = tuple[str, str, int]
"""Device, algorithm and number of hidden layers."""


@dataclass(frozen=True)
class Offer:
    """What is left to be trained.

    Attributes:
        missing: Of every place that is not done the widest net that fits.
        done: Of every place that is done the widest net that was trained and fits.
    """

    missing: tuple[Candidate, ...]
    done: tuple[Candidate, ...]


def offer(found: Iterable[Candidate]) -> Offer:
    """What of the grid is still to be trained on the devices it was judged against."""
    widest: dict[Place, tuple[int, Candidate]] = {}
    trained: dict[Place, tuple[int, Candidate]] = {}
    for each in found:
        hidden = _hidden(each.workload)
        if not hidden or not each.fits or each.workload.train_samples is not None:
            continue
        place = (each.device, each.workload.algorithm, len(hidden))
        best = widest if each.trained is None else trained
        if place not in best or min(hidden) > best[place][0]:
            best[place] = min(hidden), each
    missing, done = [], [each for place, (_, each) in trained.items() if place not in widest]
    for place, (width, each) in widest.items():
        if place in trained and trained[place][0] >= width:
            done.append(trained[place][1])
        else:
            missing.append(each)
    return Offer(tuple(_shallow_first(missing)), tuple(_shallow_first(done)))


def _shallow_first(found: Iterable[Candidate]) -> list[Candidate]:
    """Device by device, all algorithms at one depth before the next."""
    order: dict[str, int] = {}
    return sorted(
        found,
        key=lambda each: (order.setdefault(each.device, len(order)), len(_hidden(each.workload))),
    )


def _hidden(workload: Workload) -> tuple[int, ...]:
    """Widths of the hidden layers; none for a net that has no such widths."""
    try:
        return tuple(fully_connected(workload.model).hidden)
    except ConfigurationError:
        return ()


def distinct(found: Iterable[Candidate]) -> list[Candidate]:
    """One candidate per workload, whatever devices it is for."""
    return list({key(each.workload): each for each in reversed(list(found))}.values())[::-1]


def suite_text(
    found: Sequence[Candidate],
    dataset: str,
    *,
    name: str,
    devices: Sequence[str],
    budgets: Mapping[str, Any] | None = None,
    seconds: Iterable[float | None] = (),
) -> str:
    """A suite (TOML) that trains what has not been trained.

    Args:
        found: What it trains, at least one; with their passes.
        dataset: On what.
        name: Of the suite; what a suite's name cannot have becomes ``-``.
        devices: Names and paths to judge it against, as a suite names them.
        budgets: Keys and values of its table of that name.
        seconds: How long the trainings may take, None where not known; a suite that knows all of
            them allows each ten times the longest.
    """
    known = list(seconds)
    limit = LONGEST
    if known and None not in known:
        longest = max(each for each in known if each is not None)
        limit = max(SHORTEST, 600 * ceil(SLOWER * longest / 600))
    lines = [
        f"name = {_toml(re.sub(r'[^A-Za-z0-9._-]+', '-', name).lstrip('._-') or 'untrained')}",
        'description = "What fits and has not been trained; set options and epochs as you need"',
        f"devices = {_toml(list(devices))}",
        f"timeout_seconds = {limit}",
        'measure = ["memory", "accuracy"]',
    ]
    if budgets:
        lines += ["", "[budgets]", *(f"{key} = {_toml(value)}" for key, value in budgets.items())]
    lines += ["", "[defaults]", f"dataset = {_toml(dataset)}"]
    groups: dict[tuple[str, str, int, int], list[str]] = {}
    for each in distinct(found):
        workload = each.workload
        options = ", ".join(f"{_key(k)} = {_toml(v)}" for k, v in workload.options.items())
        group = workload.algorithm, options, workload.batch_size, workload.epochs
        groups.setdefault(group, []).append(workload.model)
    for (algorithm, options, batch_size, epochs), models in groups.items():
        lines += ["", "[[workload]]", f"algorithm = {_toml(algorithm)}"]
        lines += [f"options = {{ {options} }}"] if options else []
        lines += [
            f"model = {_toml(models)}",
            f"batch_size = {batch_size}",
            f"epochs = {epochs}",
        ]
    return "\n".join(lines) + "\n"


def _key(name: str) -> str:
    """A key of TOML: bare where it can be."""
    return name if re.fullmatch(r"[A-Za-z0-9_-]+", name) else _toml(name)


def _toml(value: Any) -> str:
    """Text, truth, numbers and lists of them are written alike in JSON and TOML."""
    return json.dumps(value, ensure_ascii=False)
