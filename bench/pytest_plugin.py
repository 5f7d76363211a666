"""The pytest plugin: a user's own training step, gated in a user's own test suite.

::

    @pytest.mark.training_memory(max_peak="256 KiB", device="stm32f746")
    def test_a_step_fits(training_memory):
        training_memory(step)

Loaded with every pytest that runs where trainfit is installed, so nothing but pytest is imported
before a test asks for it. What is measured in a worker of pytest-xdist travels with the test's
report; goldens and files are written by the process that reports, once.

PYTEST_DONT_REWRITE: there is no assertion in here that pytest should explain.
"""

from __future__ import annotations

from collections.abc import Generator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from trainfit.bench.testing.fixture import TrainingMemory
    from trainfit.bench.testing.report import Measured

MARKER = "training_memory"
PLUGIN = "trainfit_reporter"
_USED = pytest.StashKey["TrainingMemory"]()


def pytest_addoption(parser: pytest.Parser) -> None:
    """Options of the command line."""
    group = parser.getgroup("trainfit", "memory of training steps (trainfit)")
    group.addoption(
        "--training-memory-report",
        action="store_true",
        help="show the bytes of every measured training step at the end",
    )
    group.addoption(
        "--training-memory-json",
        metavar="FILE",
        help="write the bytes of every measured training step into this file",
    )
    group.addoption(
        "--training-memory-update",
        action="store_true",
        help="accept what is measured as the new goldens, and say what changed",
    )


def pytest_configure(config: pytest.Config) -> None:
    """Make the marker known; report unless a worker does the tests for somebody who reports."""
    config.addinivalue_line(
        "markers",
        f"{MARKER}(max_peak, max_static, max_ram, max_phase, device, min_margin, golden):"
        " what the training step that the fixture of this name measures may need",
    )
    if not hasattr(config, "workerinput"):
        config.pluginmanager.register(_Reporter(config), PLUGIN)


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report(
    collector: pytest.Collector,
) -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    """A marker that cannot be meant as it is written is an error of collection."""
    report = yield
    marked = [
        item
        for item in report.result or ()
        if isinstance(item, pytest.Item) and item.get_closest_marker(MARKER)
    ]
    if marked:
        from trainfit.bench.testing.fixture import limits_of  # noqa: PLC0415  (only for those who use it)
        from trainfit.bench.testing.limits import LimitError  # noqa: PLC0415

        for item in marked:
            try:
                limits_of(item)
            except LimitError as error:
                report.outcome, report.result = "failed", []
                report.longrepr = f"{item.nodeid}: {error}"
                break
    return report


@pytest.fixture
def training_memory(request: pytest.FixtureRequest) -> TrainingMemory:
    """Measure a training step to the byte and compare it with the test's marker.

    ``profile = training_memory(step, warmup=2, repeats=3)`` gives a ``trainfit.StepProfile``.
    """
    from trainfit.bench.testing.fixture import TrainingMemory, limits_of  # noqa: PLC0415
    from trainfit.bench.testing.limits import LimitError, StepLimits  # noqa: PLC0415

    item = request.node
    update = request.config.getoption("--training-memory-update")
    try:  # a marker may have come after the collection
        limits = limits_of(item) or StepLimits()
    except LimitError as error:
        pytest.fail(str(error), pytrace=False)
    made = TrainingMemory(item, limits, update=update)
    item.stash[_USED] = made
    return made


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None, object, object]:
    """A limit on something that is never measured would hold forever."""
    result = yield
    if item.get_closest_marker(MARKER):
        used = item.stash.get(_USED, None)
        if used is None or not used.steps:
            pytest.fail(
                f"marked {MARKER}, but no step was measured; take the fixture {MARKER} and call"
                f" it: {MARKER}(step)",
                pytrace=False,
            )
    return result


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item,
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """What was measured goes with the report, from a worker too."""
    report = yield
    used = item.stash.get(_USED, None)
    if used is not None and report.when != "teardown":
        report.training_memory = used.steps  # type: ignore[attr-defined]
    return report


class _Reporter:
    """Hears of every test, and speaks at the end; there is one, workers have none."""

    def __init__(self, config: pytest.Config) -> None:
        self._config = config
        self._steps: dict[str, tuple[str, list[dict[str, Any]]]] = {}
        self._accepted: list[str] = []
        given = config.getoption("--training-memory-json")
        self._json = Path(given) if given else None
        if self._json is not None:
            try:  # now, not after an hour of tests
                self._json.parent.mkdir(parents=True, exist_ok=True)
                self._json.write_text("", "utf-8")
            except OSError as error:
                raise pytest.UsageError(
                    f"--training-memory-json {given}: cannot be written: {error.strerror}"
                ) from None

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """The last report of a test counts, should it be run again."""
        steps = getattr(report, MARKER, None)
        if steps:
            self._steps[report.nodeid] = (report.outcome, steps)

    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        """Write what was asked for."""
        measured = self._measured()
        if self._config.getoption("--training-memory-update") and measured:
            from trainfit.bench.errors import BenchError  # noqa: PLC0415
            from trainfit.bench.testing.report import accept  # noqa: PLC0415

            try:
                self._accepted = accept(measured)
            except BenchError as error:
                self._accepted = [f"ERROR: {error}"]
                session.exitstatus = pytest.ExitCode.USAGE_ERROR
        if self._json is not None:
            from trainfit.bench.environment import trainfit_version  # noqa: PLC0415
            from trainfit.bench.testing.report import document  # noqa: PLC0415

            self._json.write_text(document(measured, trainfit_version()), "utf-8")

    def pytest_terminal_summary(self, terminalreporter: Any) -> None:
        """The table, if asked for; always what does not hold and what was accepted."""
        measured = self._measured()
        if not measured:
            return
        from trainfit.bench.testing.report import failures, table  # noqa: PLC0415

        full = self._config.getoption("--training-memory-report")
        lines = [*(table(measured) if full else ()), *failures(measured), *self._accepted]
        if lines:
            terminalreporter.section(MARKER.replace("_", " "))
            for line in lines:
                terminalreporter.write_line(line)

    def _measured(self) -> list[Measured]:
        if not self._steps:
            return []
        from trainfit.bench.testing.report import Measured  # noqa: PLC0415

        return [
            Measured(test, outcome, step)
            for test, (outcome, steps) in self._steps.items()
            for step in steps
        ]
