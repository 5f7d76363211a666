"""Bytes of a test's step compared with a committed file: tolerance 0, in both directions.

The file is a golden as ``trainfit gate`` has it (:mod:`trainfit.bench.gate.golden`), and the same
comparison and the same rules apply. Its workloads are the steps of tests, named by node id. Peak
bytes are properties of torch's kernels, so under another torch than the file's they are *not
comparable*, which is another thing than a regression.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from functools import lru_cache
from importlib.metadata import version
from pathlib import Path

from trainfit._text import printable
from trainfit.bench.environment import trainfit_version
from trainfit.bench.gate.compare import Finding, Severity, compare_figures
from trainfit.bench.gate.explain import explain
from trainfit.bench.gate.figures import ONLY_STAGE, StepFigures
from trainfit.bench.gate.golden import (
    Conditions,
    Golden,
    golden_text,
    line_of,
    read_golden,
    write_golden,
)
from trainfit.bench.gate.report import change_text, values_text
from trainfit.bench.gate.rules import WORKLOAD
from trainfit.bench.gate.totals import change_of
from trainfit.bench.testing.checks import CheckKind, Problem

UPDATE = "--training-memory-update"

_MADE_BY = {"made_by": f"pytest {UPDATE}", "trainfit": trainfit_version()}
_ACCEPT = f"if that is meant, accept it with pytest {UPDATE} and commit the file"
_LISTED = 8


def conditions() -> Conditions:
    """Under what a step is measured here; does not import torch."""
    return Conditions(torch=version("torch").partition("+")[0])


def key_of(nodeid: str, test_file: Path, golden: Path) -> str:
    """What a step is called in a golden: the node id, seen from the golden's folder.

    So it does not depend on the folder that pytest was started in.
    """
    _, colons, name = nodeid.partition("::")
    where = Path(os.path.relpath(test_file.resolve(), golden.parent.resolve()))
    return f"{where.as_posix()}{colons}{name}"


@lru_cache(maxsize=64)
def _read(path: Path, stamp: tuple[int, int]) -> Golden:
    return read_golden(path)


def read_if_there(path: Path) -> Golden | None:
    """The golden, read once however many tests have it; None where there is no file.

    Raises:
        GoldenError: It cannot be read, or is none.
    """
    try:
        status = path.stat()
    except OSError:
        return None
    return _read(path, (status.st_mtime_ns, status.st_size))


def compare(
    measured: StepFigures, path: Path, key: str
) -> tuple[Problem | None, Sequence[Finding]]:
    """Compare a step with its golden.

    Returns:
        What is wrong, or None; and everything that is not as it was.

    Raises:
        GoldenError: The golden cannot be read.
    """
    golden, limit = read_if_there(path), f"golden {path.name}"
    reasons = golden.conditions.why_incomparable(conditions()) if golden else []
    if reasons:
        text = (
            f"not comparable: {'; '.join(reasons)}. Install what the golden was made with, or run"
            f" all of its tests with pytest {UPDATE}: another torch is added where every byte is"
            " equal, and the golden is made again where one is not"
        )
        return Problem(limit, CheckKind.NOT_COMPARABLE, text), []
    expected = golden.workloads.get(key) if golden else None
    if golden is None or expected is None:
        text = f"there is none for {key}; make it with pytest {UPDATE} and commit the file"
        return Problem(limit, CheckKind.NO_GOLDEN, text), []
    findings = compare_figures(key, expected, measured, golden.rules)
    failed = [found for found in findings if found.severity is Severity.FAIL]
    if not failed:
        return None, findings
    text = "\n".join(
        [*changed_lines(expected, measured, failed, _ACCEPT), f"  golden: {place(path, key)}"]
    )
    peak = any(found.metric == f"{WORKLOAD}/peak_dynamic_bytes" for found in failed)
    over = _grown(expected, measured)
    return Problem(limit, CheckKind.CHANGED, text, over, at_peak=peak), findings


def expected_of(path: Path, key: str) -> StepFigures | None:
    """What a golden says of a step that can be compared with it; None where it says nothing.

    Raises:
        GoldenError: The golden cannot be read.
    """
    golden = read_if_there(path)
    if golden is None or golden.conditions.why_incomparable(conditions()):
        return None
    return golden.workloads.get(key)


def _grown(expected: StepFigures, measured: StepFigures) -> int | None:
    """How many bytes of RAM came on top, if any."""
    change = change_of(expected, measured)
    grown = change.after.ram - change.before.ram if change else 0
    return grown if grown > 0 else None


def changed_lines(
    expected: StepFigures, measured: StepFigures, failed: Sequence[Finding], remedy: str
) -> list[str]:
    """What a test says of figures that changed: the net first, then what grew, then figures."""
    change = change_of(expected, measured)
    net = f"{change.net}, " if change else ""
    counted = "1 figure is" if len(failed) == 1 else f"{len(failed)} figures are"
    was = "it was" if len(failed) == 1 else "they were"
    causes = explain(expected, measured)
    lines = [f"{net}{counted} not what {was}; {remedy}"]
    if causes:
        lines += ["  what did it:", *_some([printable(each) for each in causes])]
    return [*lines, "  figures:", *_some([finding_line(each) for each in failed])]


def place(path: Path, key: str) -> str:
    """Where the golden has a step: ``golden.json:7, entry test_step.py::test``."""
    line = line_of(key, golden_text(path)) if path.exists() else None
    return f"{os.path.relpath(path)}{f':{line}' if line else ''}, entry {key}"


def _some(lines: Sequence[str]) -> list[str]:
    more = [f"and {len(lines) - _LISTED} more"] if len(lines) > _LISTED else []
    return [f"    {line}" for line in [*lines[:_LISTED], *more]]


def finding_line(found: Finding) -> str:
    """A difference in one line: ``gradient/peak_bytes: 400 B -> 800 B, +400 B (+100.0 %)``."""
    name = (found.metric or "").removeprefix(f"{ONLY_STAGE}/").removeprefix(f"{WORKLOAD}/")
    words = filter(None, [f"{name}: {values_text(found)}", change_text(found)])
    return printable(", ".join(words))


def accept_into(path: Path, steps: Mapping[str, StepFigures]) -> list[str]:
    """Put steps into a golden and write it; returns what to know about that.

    Rules and other steps stay, but for steps of another torch that were not run: they are taken
    out. Where those that were run are equal, the golden holds for both.

    Raises:
        GoldenError: The file cannot be read, or not be written.
    """
    now = conditions()
    old = read_if_there(path) or Golden(conditions=now)
    kept = {key: figures for key, figures in old.workloads.items() if key not in steps}
    lines = []
    if kept and old.conditions.why_incomparable(now):
        versions = " or ".join(old.conditions.torch_versions)
        lines, kept = [f"  taken out: {len(kept)} of torch {versions} not run now"], {}
    golden = Golden(
        conditions=old.conditions_with(steps, now),
        made_with=_MADE_BY,
        rules=old.rules,
        workloads={**kept, **steps},
    )
    write_golden(path, golden)
    dropped = {*old.conditions.torch_versions} - {*golden.conditions.torch_versions}
    lines += [f"  no longer for torch {each}: measure with it again" for each in sorted(dropped)]
    versions = " and ".join(golden.conditions.torch_versions)
    return [f"written: {path} ({len(steps)} of torch {versions})", *lines]
