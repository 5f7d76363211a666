"""The closed sets that a list of claims is written in: quantities, statistics, expectations."""

from __future__ import annotations

import re
from enum import StrEnum

from trainfit._text import nearest
from trainfit.bench.errors import BenchError

DEFAULT = "(default)"
"""In a selector: the option is not set; as ``train_samples``: all samples."""

QUANTITIES = (
    "test_accuracy",
    "lost_accuracy",
    "ram_bytes",
    "static_bytes",
    "storage_bytes",
    "peak_dynamic_bytes",
    "closed_form_bytes",
    "lower_bound_bytes",
    "macs",
    "step_seconds_median",
    "joules_per_step",
    "int8_relative_rms",
    "int8_rounded_to_zero",
    "excess_kurtosis",
)
"""What a check may compare besides the columns of a phase and of a modelled device.

``ram_bytes`` is static plus peak dynamic; ``macs`` are multiply-accumulates of a step over all
phases and number formats; ``lost_accuracy`` is what a disturbance took from the accuracy (source
``noise``); the last three are of the source ``gradients``, a mean over its tensors.
"""

_PATTERNS = (
    r"phase\.[a-z_.]+\.(peak_bytes|ram_bytes|closed_form_bytes|lower_bound_bytes)",
    r"phase\.[a-z_.]+\.(seconds_median|joules)",
    r"modelled\.[a-z0-9-]+\.(seconds|joules)",
)

_NAMES = {
    "ram_bytes": "static + peak dynamic bytes",
    "peak_dynamic_bytes": "peak dynamic bytes",
    "peak_bytes": "peak dynamic bytes",
    "static_bytes": "static bytes",
}


class ClaimsError(BenchError):
    """The claims cannot be read, or none of them can be judged."""


class Statistic(StrEnum):
    """What a check computes; :mod:`trainfit.bench.claims.statistics` says how."""

    RATIO = "ratio"
    PERCENT_OF = "percent_of"
    CHANGE_PERCENT = "change_percent"
    POINTS = "points"
    LOWEST_POINTS = "lowest_points"
    SLOPE_POINTS = "slope_points"
    PAIRS_IN_ORDER = "pairs_in_order"
    PASSES_RATIO = "passes_ratio"
    NEAR_BEST_POINTS = "near_best_points"


class Expect(StrEnum):
    """How what was computed is held against what was published."""

    NEAR = "near"
    AT_LEAST = "at_least"
    AT_MOST = "at_most"
    MORE = "more"
    LESS = "less"


class Source(StrEnum):
    """Which frame of a run a check reads (see :mod:`trainfit.bench.frames.sources`)."""

    RECORDS = "records"
    CURVES = "curves"
    NOISE = "noise"
    GRADIENTS = "gradients"


SHARES = (Statistic.POINTS, Statistic.LOWEST_POINTS, Statistic.SLOPE_POINTS)
ALONG = (Statistic.LOWEST_POINTS, Statistic.SLOPE_POINTS)


def require_quantity(name: str) -> None:
    """Refuse a column that no check can compare.

    Raises:
        ValueError: There is no such column; the message names the nearest.
    """
    if name not in QUANTITIES and not any(re.fullmatch(each, name) for each in _PATTERNS):
        known = [*QUANTITIES, "phase.forward.peak_bytes", "modelled.DEVICE.joules"]
        raise ValueError(f"no column {name!r}; {nearest(name, known)}")


def quantity_name(quantity: str) -> str:
    """How people call what is compared."""
    if quantity in _NAMES:
        return _NAMES[quantity]
    phase, _, rest = quantity.removeprefix("phase.").rpartition(".")
    return f"{_NAMES[rest]} in {phase}" if rest in _NAMES else quantity
