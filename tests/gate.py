"""The gate on every rule's bytes, on all cores: ``python -m tests.gate FOLDER``.

``trainfit run`` measures one workload after the other, so that times are those of a machine at
rest. Bytes do not depend on that: as many processes as there are cores (four at the most) measure
a share of ``tests/golden/gate.toml`` each, and ``trainfit gate`` holds each share against the
goldens.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

GOLDEN = Path(__file__).parent / "golden"
MOST_SHARES = 4


class Quiet:
    """Hears of a run, and says nothing."""

    def __getattr__(self, name: str) -> Any:
        return lambda *_: None


def measure(number: int, shares: int, out: Path) -> int:
    """Every workload of the suite whose turn is this share's, into a run folder; 1 if one fails."""
    from trainfit.bench.records.schema import RecordStatus
    from trainfit.bench.run.runner import run_suite
    from trainfit.bench.suite.suite import load_suite

    suite = load_suite(str(GOLDEN / "gate.toml"))
    own = suite.model_copy(update={"workloads": suite.workloads[number::shares]})
    records = run_suite(own, [], out, Quiet()).records
    return int(any(record.status is not RecordStatus.OK for record in records))


def gate(out: Path) -> int:
    """The exit code of ``trainfit gate`` for a share."""
    options = ["--golden", str(GOLDEN / "suite.json"), "--strict", "--missing", "ignore"]
    command = [sys.executable, "-m", "trainfit", "gate", str(out), *options]
    return subprocess.run(command, check=False).returncode


def main(folder: str, *share: str) -> int:
    """Run and gate all shares; the worst exit code."""
    if share:
        return measure(int(share[0]), int(share[1]), Path(folder))
    shares = min(os.cpu_count() or 1, MOST_SHARES)
    outs = [Path(folder) / str(number) for number in range(shares)]
    running = [
        subprocess.Popen(
            [sys.executable, "-m", "tests.gate", str(out), str(number), str(shares)],
        )
        for number, out in enumerate(outs)
    ]
    ended = [process.wait() for process in running]
    return max([*map(abs, ended), *(gate(out) for out in outs)])


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
