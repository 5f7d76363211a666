"""How long training steps with INT8 products take, beside backpropagation in float32.

``pytest tests/benchmarks/test_int8_steps.py --benchmark-only -o addopts="" -p no:cacheprovider``
"""

from __future__ import annotations

from typing import Any

import pytest

from tests.benchmarks.ratios import Work, compare
from tests.reference_methods import algorithm_step

NET, ROWS = "mlp-784-1000-1000-10", 32

STEPS: dict[str, dict[str, tuple[dict[str, Any], str]]] = {
    "ff_int8": {
        "off": ({"lookahead": "off"}, "<= 0.40"),
        "true": ({"lookahead": "true"}, "<= 0.55"),
        "fp32": ({"lookahead": "off", "master": "fp32"}, "<= 0.50"),
    },
    "backprop_int8": {
        "int8": ({}, "<= 0.8"),
        "fp32": ({"master": "fp32"}, ""),
        "whole": ({"weight_gradient": "whole"}, ""),
    },
}
"""By rule and name: options, and what the time over that of backpropagation should be."""


@pytest.mark.parametrize("rule", STEPS)
def test_steps_beside_backprop(benchmark: Any, request: pytest.FixtureRequest, rule: str) -> None:
    """A step at the sizes of the paper on FF-INT8, batch 32."""
    variants = STEPS[rule]
    works = {"backprop": Work(algorithm_step("backprop", NET, ROWS).run)} | {
        f"{rule}_{name}": Work(algorithm_step(rule, NET, ROWS, options).run)
        for name, (options, _) in variants.items()
    }
    asked = {f"{rule}_{name}": words for name, (_, words) in variants.items()}

    rows = compare(benchmark, request, works, asked=asked)

    assert [row.name for row in rows] == list(asked)
    assert all(row.found.wall.ratio > 0 for row in rows)
