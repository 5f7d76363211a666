"""A step traced without data predicts the bytes of the same step on data, in every phase.

Closed forms are compared with what is measured in ``test_memory_contract``; here the trace, which
knows nothing of them, is compared with closed forms: both have to say the same. The two take turns:
a choice of options that is measured on a narrow net is traced on a deep one, one that is measured
on a wide net on a shallow one, and the other way round.
"""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest

from tests.contract.cases import TRACED, id_of
from trainfit.algorithms import build_on_meta
from trainfit.bench.trace.tracing import trace_stage

ROWS = 12


@pytest.mark.parametrize(
    ("name", "options", "model", "rows"), TRACED, ids=[id_of(*each) for each in TRACED]
)
def test_a_trace_predicts_every_phase_and_category(
    name: str, options: dict[str, Any], model: str, rows: int
) -> None:
    algorithm = build_on_meta(name, model, options)
    for index, stage in enumerate(algorithm.stages):
        algorithm.enter_stage(index)
        plan = algorithm.memory_model(rows)
        view = trace_stage(algorithm, rows).torch_view
        assert view.peak_dynamic_bytes == plan.closed_form_bytes, stage
        assert view.left_after_step_bytes == 0
        assert {
            phase: (figures.peak_bytes, figures.categories)
            for phase, figures in view.phases.items()
        } == {
            phase: (figures.peak_bytes, {str(c): b for c, b in figures.categories.items() if b})
            for phase, figures in plan.phases.items()
        }, stage


def test_a_second_step_does_the_same() -> None:
    algorithm = build_on_meta("forward_forward", "mlp-24-16-32-8-4", {"optimizer": "adam"})
    assert trace_stage(algorithm, ROWS).same_steps(trace_stage(algorithm, ROWS))
    assert not trace_stage(algorithm, ROWS).same_steps(trace_stage(algorithm, ROWS + 1))


@pytest.mark.parametrize("name", ["backprop", "forward_forward", "tinyfoa", "ff_int8"])
def test_a_trace_imports_no_compiler(name: str) -> None:
    program = (
        "import sys\n"
        "from trainfit.algorithms import build_on_meta\n"
        "from trainfit.bench.trace.tracing import trace_stage\n"
        f"trace_stage(build_on_meta({name!r}, 'mlp-64-32-16-10'), 4)\n"
        "print(*(m for m in ('sympy', 'torch._dynamo', 'numba') if m in sys.modules))\n"
    )
    command = [sys.executable, "-c", program]
    result = subprocess.run(command, capture_output=True, text=True, check=True)
    assert result.stdout.strip() == ""
