"""What a test calls: measures a step, compares it with the test's limits, remembers it."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from trainfit.bench.gate.figures import StepFigures, figures_of_profile
from trainfit.bench.gate.rules import GoldenError
from trainfit.bench.testing import goldens
from trainfit.bench.testing.checks import Problem, check, message, plain_figures, verdicts_of
from trainfit.bench.testing.limits import MARKER, LimitError, StepLimits, read_limits

if TYPE_CHECKING:
    from trainfit.bench.profiler import StepProfile


def limits_of(item: pytest.Item) -> StepLimits | None:
    """What the markers of a test ask for; None where it has none.

    Raises:
        LimitError: They cannot be meant as they are written.
    """
    markers = [(mark.args, mark.kwargs) for mark in item.iter_markers(MARKER)]
    return read_limits(markers, item.path) if markers else None


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
        name: str | None = None,
    ) -> StepProfile:
        """Measure a step, as ``trainfit.profile_step`` does, and compare it with the marker.

        Args:
            step: Any callable without arguments that does one training step.
            warmup: Steps before the measured ones, at least 1.
            repeats: Measured steps that must agree, at least 1.
            name: Tells several steps of one test apart, in reports and goldens; without one the
                second is ``#2``.

        Raises:
            pytest.fail.Exception: A limit does not hold; the message says which, by how much, and
                what is alive at the peak.
        """
        __tracebackhide__ = True
        try:
            return self._measure(step, warmup, repeats, self._free(name))
        except (LimitError, GoldenError) as error:
            pytest.fail(str(error), pytrace=False)

    def _measure(
        self, step: Callable[[], Any], warmup: int, repeats: int, name: str
    ) -> StepProfile:
        __tracebackhide__ = True
        os.environ.setdefault("KINETO_LOG_LEVEL", "99")  # its sessions report on stderr otherwise
        from trainfit.bench.profiler import profile_step  # noqa: PLC0415  (imports torch)

        profile = profile_step(step, warmup=warmup, repeats=repeats)
        problems = check(profile, self.limits)
        golden = None
        if self.limits.golden is not None and profile.deterministic:
            golden, changed = self._golden(self.limits.golden, figures_of_profile(profile), name)
            problems += changed
        self.steps.append(
            {
                "name": name,
                "figures": plain_figures(profile),
                "verdicts": [
                    verdict.model_dump(mode="json") for verdict in verdicts_of(profile, self.limits)
                ],
                "problems": [problem.plain() for problem in problems],
                "golden": golden,
            }
        )
        if problems:
            pytest.fail(message(problems, profile))
        return profile

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
    ) -> tuple[dict[str, Any], list[Problem]]:
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
        return found, [problem] if problem and not self.update else []
