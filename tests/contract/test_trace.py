"""What a trace of a step is; that its bytes are those on data is in ``test_memory_contract``."""

from __future__ import annotations

import subprocess
import sys

from trainfit.algorithms import build_on_meta
from trainfit.bench.trace.tracing import trace_stage

ROWS = 12


def test_a_second_step_does_the_same() -> None:
    algorithm = build_on_meta("forward_forward", "mlp-24-16-32-8-4", {"optimizer": "adam"})
    assert trace_stage(algorithm, ROWS).same_steps(trace_stage(algorithm, ROWS))
    assert not trace_stage(algorithm, ROWS).same_steps(trace_stage(algorithm, ROWS + 1))


def test_the_first_trace_of_a_process_is_like_the_next() -> None:
    """Though its step imports torch's compiler, for the shape of what ``cat`` gives."""
    program = (
        "from trainfit.algorithms import build_on_meta\n"
        "from trainfit.bench.trace.tracing import trace_stage\n"
        "algorithm = build_on_meta('forward_forward', 'mlp-24-16-8', {'passes': 'joint'})\n"
        "print(trace_stage(algorithm, 4).same_steps(trace_stage(algorithm, 4)))\n"
    )
    command = [sys.executable, "-c", program]
    result = subprocess.run(command, capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "True"
