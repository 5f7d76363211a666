"""How far other options would reach: the largest size with each of them, by prediction."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from trainfit.algorithms.errors import ConfigurationError
from trainfit.bench.records.schema import Workload
from trainfit.bench.sizing.judged import Judged
from trainfit.bench.sizing.largest import CEILING, Dimension, Largest, Probe, reach, sized
from trainfit.bench.sizing.predicted_workload import predicted_workload
from trainfit.bench.sizing.suggestions import COUNTS, changes
from trainfit.hardware_profiles import Budgets, Device

MOST = {Dimension.BATCH: 3, Dimension.WIDTH: 3, Dimension.DEPTH: 2}
"""Options changed at once in the end. Fewer of the depth, whose predictions take its square."""


@dataclass(frozen=True)
class Reach:
    """A larger size that other options allow.

    Attributes:
        options: What is changed, and to what.
        probe: What the largest size with them needs.
        workload: Of that size.
    """

    options: dict[str, Any]
    probe: Probe
    workload: Workload


def other_options(
    found: Largest, workload: Workload, device: Device, budgets: Budgets | None = None
) -> list[Reach] | None:
    """What other options of the same algorithm would reach, the farthest first.

    Every single option that lowers what the answer needs; then, one after the other, those that
    reach even farther together with the best so far.

    Args:
        found: The answer with the options as they are.
        workload: What it is the answer for.
        device: What it has to fit.
        budgets: Budgets beside those of the device's profile.

    Returns:
        None where the prediction is so long that a search would take minutes.
    """
    if found.size == CEILING[found.dimension]:
        return []  # nothing is looked for beyond
    if predicted_workload(found.workload).takes_long:
        return None
    budgets = budgets or Budgets()
    # an option may need a width that it divides
    round_size = max(COUNTS) * (1 + (found.size or 0) // max(COUNTS))
    bases = [found.workload, workload]
    if found.dimension is Dimension.WIDTH:
        bases.append(sized(workload, found.dimension)(round_size))

    def judge(each: Workload) -> Judged | None:
        try:
            form = predicted_workload(each)
        except ConfigurationError:
            return None
        return Judged.on(form, device, budgets)

    def look(options: dict[str, Any]) -> Reach | None:
        tried = workload.model_copy(update={"options": workload.options | options})
        probe = reach(tried, device, found.dimension, budgets)
        if probe is None or probe.size <= (found.size or 0):
            return None
        return Reach(options, probe, sized(tried, found.dimension)(probe.size))

    tried = [options for base in bases for options in changes(base, judge, 1) if options]
    different = [each for index, each in enumerate(tried) if each not in tried[:index]]
    singles = [made for options in different if (made := look(options))]
    singles.sort(key=_farthest)
    if not singles:
        return []
    reached, best = list(singles), singles[0]
    for other in singles[1:]:
        if len(best.options) == MOST[found.dimension]:
            break
        if other.options.keys() & best.options.keys():
            continue
        both = look(best.options | other.options)
        if both is not None and both.probe.size > best.probe.size:
            reached.append(both)
            best = both
    return sorted(reached, key=_farthest)


def _farthest(each: Reach) -> tuple[int, int]:
    return -each.probe.size, len(each.options)
