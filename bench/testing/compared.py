"""A step compared with what it was, in a form that travels from a worker to who reports."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import TypeAdapter

from trainfit.bench.gate.compare import Finding, Severity
from trainfit.bench.gate.explain import explain
from trainfit.bench.gate.figures import StepFigures
from trainfit.bench.gate.totals import Change, Totals, change_of

if TYPE_CHECKING:
    import pytest

    from trainfit.bench.profiler import StepProfile

AT = re.compile(r"\[(?:[^\];]*? at )?(?P<file>[^\];:]+\.py):(?P<line>\d+)")
"""A place in the words of ``explain``: ``[conv1 at train.py:41]``."""

_FINDING = TypeAdapter(Finding)


@dataclass(frozen=True)
class Compared:
    """What came of a comparison.

    Attributes:
        where: What the step was compared with: a place in a golden file, or a revision.
        findings: What is not as it was.
        explained: What did it, in words.
        change: What a device has to hold before and after.
    """

    where: str
    findings: Sequence[Finding]
    explained: Sequence[str]
    change: Change | None

    def plain(self) -> dict[str, Any]:
        """As plain values."""
        return {
            "with": self.where,
            "findings": [_FINDING.dump_python(each, mode="json") for each in self.findings],
            "explained": list(self.explained),
            "before": _plain_totals(self.change.before) if self.change else None,
            "after": _plain_totals(self.change.after) if self.change else None,
        }

    @classmethod
    def read(cls, plain: dict[str, Any], workload: str) -> Compared:
        """From plain values, under the name that reports have for the step."""
        before, after = (_totals(plain[side]) for side in ("before", "after"))
        return cls(
            plain["with"],
            [
                replace(_FINDING.validate_python(each), workload=workload)
                for each in plain["findings"]
            ],
            plain["explained"],
            Change(before, after) if before and after else None,
        )


def compared(
    where: str,
    expected: StepFigures,
    measured: StepFigures,
    findings: Iterable[Finding],
    *,
    noted: bool = False,
) -> Compared:
    """A comparison and what explains it; ``noted`` where nothing of it shall fail."""
    found = list(findings)
    if noted:
        found = [replace(each, severity=Severity.NOTE) for each in found]
    explained = explain(expected, measured) if found else []
    return Compared(where, found, explained, change_of(expected, measured))


def _plain_totals(totals: Totals) -> dict[str, int]:
    return {**asdict(totals), "ram": totals.ram}


def _totals(plain: dict[str, int] | None) -> Totals | None:
    return None if plain is None else Totals(plain["static"], plain["peak_dynamic"], plain["left"])


# ---- where to look -------------------------------------------------------------------------------


def places_of_step(
    item: pytest.Item, step: StepProfile, comparisons: Iterable[Compared]
) -> dict[str, Any]:
    """Where a report may point at: the line of the user's code that grew, and the test.

    Paths are absolute; lines are counted from 1.
    """
    file, line, _ = item.location
    test = [str(item.config.rootpath / file), (line or 0) + 1]
    said = [text for each in comparisons for text in each.explained]
    said += [f"[{block.line}]" for block in getattr(step, "left_blocks", None) or () if block.line]
    folders = [item.config.rootpath, item.config.invocation_params.dir, item.path.parent]
    for text in said:
        for found in AT.finditer(text):
            for folder in folders:
                code = folder / found["file"]
                if code.is_file():
                    return {"test": test, "code": [str(code.resolve()), int(found["line"])]}
    return {"test": test, "code": None}


def relative(file: str, root: str | None) -> str:
    """A file as the repository has it: below the folder that a CI system checked out."""
    path = Path(file).resolve()
    for folder in filter(None, (root, str(Path.cwd()))):
        if path.is_relative_to(Path(folder).resolve()):
            return path.relative_to(Path(folder).resolve()).as_posix()
    return path.as_posix()
