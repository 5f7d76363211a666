"""What would make a workload fit: a smaller batch, another option, another algorithm.

Every remedy is tried on the closed form, so what is offered does fit. What it costs in time or in
accuracy is not known here.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from itertools import combinations
from typing import Any

from trainfit._text import plain
from trainfit.algorithms import algorithm_names, get_algorithm
from trainfit.algorithms.errors import ConfigurationError
from trainfit.bench.records.schema import Workload
from trainfit.bench.sizing.closed_form import closed_form
from trainfit.bench.sizing.largest import FITTING, Dimension, LargestError, largest
from trainfit.bench.verdicts.judge import judge_all
from trainfit.bench.verdicts.memory import Verdict, worst
from trainfit.hardware_profiles import Budgets, Device

CHANGES: tuple[tuple[str, Any, str], ...] = (
    ("update", "fused", "apply every gradient in place as soon as it is made"),
    ("optimizer", "sgd", "an optimiser with less state"),
    ("momentum", 0.0, "no momentum"),
    ("checkpoint", 2, "keep every second activation, compute the others again"),
    ("micro_batch", 1, "one sample at a time, gradients summed"),
    ("slices", 2, "fewer slices resident"),
    ("slices", 4, "fewer slices resident"),
    ("slices", 8, "fewer slices resident"),
    ("features", "cached", "keep the frozen layers' output in storage"),
    ("implementation", "closed_form", "written out in place, without autograd"),
    ("passes", "sequential", "one pass at a time"),
    ("frozen", "flash", "frozen weights stay in flash"),
    ("layers", "last:1", "train the last layer only"),
    ("lookahead", "off", "no look-ahead"),
    ("weights", "binary", "binary weights"),
)
"""Option, value, and what it does; a rule without the option or the value is not offered it."""


@dataclass(frozen=True)
class Remedy:
    """Something to change.

    Attributes:
        change: What to write, such as ``update=fused`` or ``--batch-size 12``.
        what: What it does.
        workload: The workload with it.
        ram_bytes: What that needs.
        verdict: The one that decides; it is within every budget.
    """

    change: str
    what: str
    workload: Workload
    ram_bytes: int
    verdict: Verdict


def remedies(workload: Workload, device: Device, budgets: Budgets | None = None) -> list[Remedy]:
    """Everything tried that fits, the closest to the workload first.

    A smaller batch; one changed option, or two where one is not enough; another algorithm with its
    default options.
    """
    budgets = budgets or Budgets()
    found = list(_smaller_batch(workload, device, budgets))
    single = list(_options(workload))
    changed = _fitting([[each] for each in single], workload, device, budgets)
    if not changed:
        pairs = [list(pair) for pair in combinations(single, 2) if pair[0][0] != pair[1][0]]
        changed = _fitting(pairs, workload, device, budgets)
    return [*found, *changed, *_other_algorithms(workload, device, budgets)]


def _smaller_batch(workload: Workload, device: Device, budgets: Budgets) -> Iterator[Remedy]:
    with suppress(LargestError, ConfigurationError):
        found = largest(workload, device, Dimension.BATCH, budgets)
        if found.size is not None and found.size < workload.batch_size:
            probe = found.probe
            change = f"--batch-size {found.size}"
            yield Remedy(change, "smaller batch", found.workload, probe.ram_bytes, probe.verdict)


def _options(workload: Workload) -> Iterator[tuple[str, Any, str]]:
    """The changes that this rule knows and does not have already."""
    known = get_algorithm(workload.algorithm).options_type.model_fields
    for option, value, what in CHANGES:
        if option in known:
            now = workload.options.get(option, known[option].default)
            if now != value:
                yield option, value, what


def _fitting(
    changes: Iterable[list[tuple[str, Any, str]]],
    workload: Workload,
    device: Device,
    budgets: Budgets,
) -> list[Remedy]:
    found: list[Remedy] = []
    for each in changes:
        options = workload.options | {option: value for option, value, _ in each}
        tried = workload.model_copy(update={"options": options})
        change = " ".join(f"{option}={plain(value)}" for option, value, _ in each)
        what = "; ".join(dict.fromkeys(what for _, _, what in each))
        found += _tried(tried, device, budgets, change, what)
    return found


def _other_algorithms(workload: Workload, device: Device, budgets: Budgets) -> list[Remedy]:
    found: list[Remedy] = []
    for name in algorithm_names():
        if name != workload.algorithm:
            tried = workload.model_copy(update={"algorithm": name, "options": {}})
            found += _tried(tried, device, budgets, f"--algorithm {name}", "another algorithm")
    return sorted(found, key=lambda remedy: remedy.ram_bytes)


def _tried(
    workload: Workload, device: Device, budgets: Budgets, change: str, what: str
) -> Iterator[Remedy]:
    with suppress(ConfigurationError):  # a value that this rule does not have, or not with others
        form = closed_form(workload)
        verdict = worst(judge_all(form.demand(device), device, budgets))
        if verdict.status in FITTING:
            yield Remedy(change, what, workload, form.ram_bytes, verdict)
