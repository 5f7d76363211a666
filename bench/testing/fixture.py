"""What a test calls: measures a step, compares it with the test's limits, remembers it."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from trainfit.bench.gate.figures import StepFigures, figures_of_profile
from trainfit.bench.gate.rules import GoldenError
from trainfit.bench.testing import goldens
from trainfit.bench.testing.base import Base
from trainfit.bench.testing.checks import Problem, check, message, plain_figures, verdicts_of
from trainfit.bench.testing.compared import Compared, compared, places_of_step
from trainfit.bench.testing.limits import MARKER, LimitError, StepLimits, read_limits

REPORTED = (
    "ram_bytes",
    "static_bytes",
    "peak_dynamic_bytes",
    "peak_phase",
    "left_after_step_bytes",
)

if TYPE_CHECKING:
    from trainfit.bench.profiler import StepProfile


def limits_of(item: pytest.Item) -> StepLimits | None:
    """What the markers of a test ask for; None where it has none.

    Raises:
        LimitError: They cannot be meant as they are written.
    """
    markers = [(mark.args, mark.kwargs) for mark in item.iter_markers(MARKER)]
    return read_limits(markers, item.path) if markers else None


def _calls(step: Callable[[], Any], times: int) -> None:
    for _ in range(times):
        step()


@dataclass(repr=False)
class TrainingMemory:
    """The fixture ``training_memory``: call it with a training step.

    ::

        @pytest.mark.training_memory(max_peak="256 KiB", device="stm32f746")
        def test_step(training_memory):
            profile = training_memory(step)
            assert profile.peak_phase == "gradient"
    """

    item: pytest.Item
    limits: StepLimits
    update: bool = False
    base: Base | None = None
    self_test: bool = False
    steps: list[dict[str, Any]] = field(default_factory=list)

    def __repr__(self) -> str:
        """Short, since pytest shows it with every failure."""
        return f"<{MARKER} of {self.item.name}>"

    def __call__(
        self,
        step: Callable[[], Any],
        *,
        warmup: int = 2,
        repeats: int = 3,
        steps: int = 1,
        name: str | None = None,
    ) -> StepProfile:
        """Measure a step, as ``trainfit.profile_step`` does, and compare it with the marker.

        Args:
            step: Any callable without arguments that does one training step.
            warmup: Steps before the measured ones, at least 1.
            repeats: Measured steps that must agree, at least 1.
            steps: Calls that are measured as one, of a step that accumulates gradients over them.
            name: Tells several steps of one test apart, in reports and goldens; without one the
                second is ``#2``.

        Raises:
            pytest.fail.Exception: A limit does not hold; the message says which, by how much, and
                what is alive at the peak.
        """
        __tracebackhide__ = True
        try:
            return self._measure(step, warmup, repeats, steps, self._free(name))
        except (LimitError, GoldenError) as error:
            pytest.fail(str(error), pytrace=False)

    def _measure(
        self, step: Callable[[], Any], warmup: int, repeats: int, steps: int, name: str
    ) -> StepProfile:
        __tracebackhide__ = True
        os.environ.setdefault("KINETO_LOG_LEVEL", "99")  # its sessions report on stderr otherwise
        from trainfit.bench.profiler import profile_step  # noqa: PLC0415  (imports torch)

        profile = profile_step(step, warmup=warmup, repeats=repeats, steps=steps)
        problems = check(profile, self.limits)
        golden, comparisons, figures = None, [], None
        if profile.deterministic:
            figures = figures_of_profile(profile)
            if self.limits.golden is not None:
                golden, changed, found = self._golden(self.limits.golden, figures, name)
                problems += changed
                comparisons += found
            if self.base is not None:
                changed, found = self.base.compare(self._title(name), figures)
                problems += changed
                comparisons += found
        self.steps.append(
            {
                "name": name,
                "figures": plain_figures(profile),
                "verdicts": [
                    verdict.model_dump(mode="json") for verdict in verdicts_of(profile, self.limits)
                ],
                "problems": [problem.plain() for problem in problems],
                "golden": golden,
                "comparisons": [each.plain() for each in comparisons],
                "entry": figures.model_dump(mode="json") if figures else None,
                "places": places_of_step(self.item, profile, comparisons),
            }
        )
        self._properties(name, comparisons)
        if problems:
            pytest.fail(message(problems, profile))
        if self.self_test:
            self._test_itself(partial(_calls, step, steps), warmup, repeats)
        return profile

    def _title(self, name: str) -> str:
        return f"{self.item.nodeid} {name}".rstrip()

    def _properties(self, name: str, comparisons: list[Compared]) -> None:
        """What ``--junitxml`` keeps of a step, as properties of the test."""
        figures = self.steps[-1]["figures"]
        prefix = f"{MARKER}[{name}]" if name else MARKER
        for key in REPORTED:
            self.item.user_properties.append((f"{prefix}.{key}", figures[key]))
        for each in comparisons:
            if each.findings and each.change is not None:
                self.item.user_properties.append((f"{prefix}.change", each.change.net))

    def _test_itself(self, step: Callable[[], Any], warmup: int, repeats: int) -> None:
        """Plant a growth, a shrink and a leak in the step; each must be seen to the byte."""
        __tracebackhide__ = True
        from trainfit.bench.gate.self_test import self_test  # noqa: PLC0415  (imports torch)
        from trainfit.bench.profiler import profile_step  # noqa: PLC0415

        found = self_test(step, lambda each: profile_step(each, warmup=warmup, repeats=repeats))
        self.steps[-1]["self_test"] = [each.text for each in found]
        missed = [each.text for each in found if not each.seen]
        if missed:
            pytest.fail("\n".join(missed), pytrace=False)

    def _free(self, name: str | None) -> str:
        """The name of this step, which no other of the test has."""
        __tracebackhide__ = True
        if name is None:
            count = len(self.steps) + 1
            name = f"#{count}" if count > 1 else ""
        if any(step["name"] == name for step in self.steps):
            pytest.fail(f"{MARKER}: two steps of this test are named {name!r}; name them apart")
        return name

    def _golden(
        self, file: Path, figures: StepFigures, name: str
    ) -> tuple[dict[str, Any], list[Problem], list[Compared]]:
        key = goldens.key_of(self.item.nodeid, self.item.path, file)
        key += f" {name}" if name else ""
        problem, findings = goldens.compare(figures, file, key)
        found = {
            "file": str(file),
            "key": key,
            "status": problem.kind.value if problem else "equal",
            "changes": [goldens.finding_line(each) for each in findings],
            "entry": figures.model_dump(mode="json") if self.update else None,
        }
        expected = goldens.expected_of(file, key)
        comparisons = []
        if expected is not None:
            where = goldens.place(file, key)
            comparisons.append(compared(where, expected, figures, findings, noted=self.update))
        return found, [problem] if problem and not self.update else [], comparisons
