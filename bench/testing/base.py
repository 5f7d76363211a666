"""What the steps of tests needed at another revision, and what has grown since.

Growth of what a device has to hold, and of what a step leaves behind, fails; the rest is reported.
No golden is needed: :mod:`trainfit.bench.testing.base_run` measures both in one job.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from trainfit._text import counted
from trainfit.bench.gate.compare import Finding, FindingKind, Severity, compare_figures
from trainfit.bench.gate.figures import StepFigures
from trainfit.bench.gate.rules import WORKLOAD, Unit
from trainfit.bench.gate.totals import LEFT_METRIC, Change, change_of
from trainfit.bench.testing.checks import CheckKind, Problem
from trainfit.bench.testing.compared import Compared, compared
from trainfit.bench.testing.goldens import changed_lines

if TYPE_CHECKING:
    from trainfit.bench.testing.report import Measured

_RAM = "ram_bytes"


@dataclass(frozen=True)
class Base:
    """What the steps of tests needed at another revision.

    Attributes:
        revision: As it was asked for.
        commit: Its full name.
        steps: By test and name of the step.
        unmeasured: Why a test, or all of a file, gave no figures there.
        strict: Less fails as well.
    """

    revision: str
    commit: str
    steps: Mapping[str, StepFigures] = field(default_factory=dict)
    unmeasured: Mapping[str, str] = field(default_factory=dict)
    strict: bool = False

    @property
    def name(self) -> str:
        """As people read it: ``main (0123abcde)``."""
        return f"{self.revision} ({self.commit[:9]})"

    def why_unmeasured(self, test: str) -> str | None:
        """What became of a test there; None if it is not there, or was measured."""
        file = test.partition("::")[0]
        return self.unmeasured.get(test, self.unmeasured.get(file))

    def compare(self, title: str, now: StepFigures) -> tuple[list[Problem], list[Compared]]:
        """A step of the working tree with what it was; nothing where it is new."""
        then = self.steps.get(title)
        if then is None:
            return [], []
        findings = list(_findings(title, then, now, self.strict))
        made = compared(self.name, then, now, findings)
        failed = [found for found in findings if found.severity is Severity.FAIL]
        if not failed:
            return [], [made]
        remedy = (
            "nothing that a device has to hold may grow"
            if not self.strict
            else ("with --training-memory-strict it may not change")
        )
        text = "\n".join(changed_lines(then, now, failed, remedy))
        grew = made.change is not None and made.change.after.ram > made.change.before.ram
        kind = CheckKind.LEAK if not grew and _leaks_more(made.change) else CheckKind.CHANGED
        over = made.change.after.ram - made.change.before.ram if made.change and grew else None
        moved = now.figures[WORKLOAD].get("peak_dynamic_bytes") != then.figures[WORKLOAD].get(
            "peak_dynamic_bytes"
        )
        return [Problem(f"against {self.name}", kind, text, over, at_peak=moved)], [made]

    def to_json(self) -> str:
        """For a worker of pytest-xdist."""
        return json.dumps(
            {
                "revision": self.revision,
                "commit": self.commit,
                "steps": {key: each.model_dump(mode="json") for key, each in self.steps.items()},
                "unmeasured": dict(self.unmeasured),
                "strict": self.strict,
            }
        )

    @classmethod
    def from_json(cls, text: str) -> Base:
        """What :meth:`to_json` gave."""
        found = json.loads(text)
        steps = {key: StepFigures.model_validate(each) for key, each in found["steps"].items()}
        return cls(**{**found, "steps": steps})


def _leaks_more(change: Change | None) -> bool:
    return change is not None and change.after.left > max(0, change.before.left)


def _findings(title: str, then: StepFigures, now: StepFigures, strict: bool) -> Iterator[Finding]:
    """RAM and what is left decide; all other figures are notes beside them."""
    rest = compare_figures(title, then, now)
    if not rest:
        return
    change = change_of(then, now)
    decided = False
    for metric, before, after in _decisive(change):
        if after == before:
            continue
        decided = True
        grew = after > before
        kind = FindingKind.GREW if grew else FindingKind.SHRANK
        if grew and metric.endswith(LEFT_METRIC):
            kind = FindingKind.LEAKS
        severity = Severity.FAIL if grew or strict else Severity.WARN
        yield Finding(title, kind, severity, metric, Unit.BYTES, before, after)
    if not decided:
        severity = Severity.FAIL if strict else Severity.WARN
        reason = f"RAM is as before, {counted(len(rest), 'other figure')} not"
        yield Finding(title, FindingKind.CHANGED, severity, reason=reason)
    yield from (replace(found, severity=Severity.NOTE) for found in rest)


def _decisive(change: Change | None) -> Iterator[tuple[str, int, int]]:
    if change is not None:
        yield f"{WORKLOAD}/{_RAM}", change.before.ram, change.after.ram
        yield f"all/{LEFT_METRIC}", change.before.left, change.after.left


# ---- told ----------------------------------------------------------------------------------------


def told(base: Base, measured: Sequence[Measured], asked: Sequence[str] = ()) -> list[str]:
    """What is to be known about the comparison as a whole, a line each.

    Args:
        base: The other revision.
        measured: The steps of this run.
        asked: The tests that pytest was asked for; others are not missed.
    """
    here = {each.title for each in measured}
    both = [each for each in measured if each.title in base.steps]
    moved = sum(bool(_of(base, each)) for each in both)
    lines = [f"against {base.name}: {counted(len(both), 'step')} compared, {moved} changed"]
    for title in sorted(here - base.steps.keys()):
        test = next(each.test for each in measured if each.title == title)
        why = base.why_unmeasured(test)
        lines.append(
            f"  not compared: {title}: at {base.revision} it {why}"
            if why
            else f"  new: {title}: {base.revision} has no such step"
        )
    lines += [
        f"  gone: {title}: only {base.revision} has it"
        for title in sorted(base.steps.keys() - here)
        if _asked_for(title, asked)
    ]
    return lines


def nothing_compared(base: Base, measured: Sequence[Measured]) -> bool:
    """Whether tests were to be compared, and none could, since all of them failed there."""
    failed = any(base.why_unmeasured(each.test) for each in measured)
    return failed and not any(each.title in base.steps for each in measured)


def _of(base: Base, step: Measured) -> list[dict[str, Any]]:
    return [
        found
        for each in step.step["comparisons"]
        if each["with"] == base.name
        for found in each["findings"]
    ]


def _asked_for(title: str, asked: Sequence[str]) -> bool:
    names = [each.partition("::")[2] for each in asked]
    own = title.partition("::")[2]
    return not names or any(not name or own.startswith(name) for name in names)
