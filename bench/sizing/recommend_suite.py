"""What fits and has not been trained, as a suite that trains it."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from trainfit.algorithms.models import fully_connected
from trainfit.bench.sizing.recommend import Candidate


def untrained(found: Iterable[Candidate]) -> list[Candidate]:
    """Of what fits and has not been trained, the widest net of every algorithm and depth."""
    widest: dict[tuple[str, str, int], tuple[int, Candidate]] = {}
    for each in found:
        if each.trained is None and each.fits:
            hidden = fully_connected(each.workload.model).hidden
            place = (each.device, each.workload.algorithm, len(hidden))
            if place not in widest or hidden[0] > widest[place][0]:
                widest[place] = hidden[0], each
    return [each for _, each in widest.values()]


def suite_text(
    found: Sequence[Candidate],
    dataset: str,
    batch_size: int,
    *,
    name: str,
    devices: Sequence[str],
    budgets: Mapping[str, Any] | None = None,
) -> str:
    """A suite (TOML) that trains what has not been trained.

    Args:
        found: What it trains, at least one.
        dataset: On what.
        batch_size: Samples per step.
        name: Of the suite; what a suite's name cannot have becomes ``-``.
        devices: Names and paths to judge it against, as a suite names them.
        budgets: Keys and values of its table of that name.
    """
    models: dict[str, list[str]] = {}
    for each in found:
        names = models.setdefault(each.workload.algorithm, [])
        if each.workload.model not in names:
            names.append(each.workload.model)
    lines = [
        f"name = {_toml(re.sub(r'[^A-Za-z0-9._-]+', '-', name).lstrip('._-') or 'untrained')}",
        'description = "What fits and has not been trained; set options and epochs as you need"',
        f"devices = {_toml(list(devices))}",
    ]
    if budgets:
        lines += ["", "[budgets]", *(f"{key} = {_toml(value)}" for key, value in budgets.items())]
    lines += [
        "",
        "[defaults]",
        f"dataset = {_toml(dataset)}",
        f"batch_size = {batch_size}",
        "epochs = 10",
    ]
    for algorithm, names in models.items():
        lines += ["", "[[workload]]", f"algorithm = {_toml(algorithm)}", f"model = {_toml(names)}"]
    return "\n".join(lines) + "\n"


def _toml(value: Any) -> str:
    """Text, whole numbers and lists of them are written alike in JSON and TOML."""
    return json.dumps(value, ensure_ascii=False)
