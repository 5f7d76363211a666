"""``trainfit suites``."""

from __future__ import annotations

from trainfit.bench.cli.output import output
from trainfit.bench.suite import suite


def suites() -> None:
    """List the suites that come with trainfit."""
    found = [suite.load_suite(name) for name in suite.suite_names()]
    rows = [(each.name, len(each.workloads), each.description) for each in found]
    output().rows("suites", ("suite", "workloads", ("description", "what it measures")), rows)
