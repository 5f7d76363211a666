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

import os
from collections.abc import Generator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from trainfit.bench.testing.base import Base
    from trainfit.bench.testing.fixture import TrainingMemory
    from trainfit.bench.testing.report import Measured

MARKER = "training_memory"
PLUGIN = "trainfit_reporter"
BASE_OF = "TRAINFIT_BASE_OF"
"""Set where this run is the base of another, which is in the folder that it names."""

_USED = pytest.StashKey["TrainingMemory"]()
_BASE = pytest.StashKey["Base"]()
_SENT = "training_memory_base"


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
        "--training-memory-markdown",
        metavar="FILE",
        help="write a report for a pull request into this file, as Markdown",
    )
    group.addoption(
        "--training-memory-against",
        metavar="REV",
        help="measure the same tests at this revision of the repository too, in this job; fail"
        " where a step needs more now. No golden is needed",
    )
    group.addoption(
        "--training-memory-strict",
        action="store_true",
        help="with --training-memory-against: fail on every difference, less included",
    )
    group.addoption(
        "--training-memory-self-test",
        action="store_true",
        help="plant a growth, a shrink and a leak of 1,024 B in every measured step; fail unless"
        " each is seen to the byte",
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
        f"{MARKER}(max_peak, max_static, max_ram, max_phase, device, min_margin, max_left, golden):"
        " what the training step that the fixture of this name measures may need",
    )
    if not hasattr(config, "workerinput"):
        config.pluginmanager.register(_Reporter(config), PLUGIN)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """The base of another run has only the tests that measure."""
    if BASE_OF in os.environ:
        measuring = [item for item in items if MARKER in getattr(item, "fixturenames", ())]
        config.hook.pytest_deselected(items=[item for item in items if item not in measuring])
        items[:] = measuring


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
    config, without = request.config, StepLimits(max_left_bytes=None)
    try:  # a marker may have come after the collection
        limits = limits_of(item) or without
    except LimitError as error:
        pytest.fail(str(error), pytrace=False)
    if BASE_OF in os.environ:  # the other run compares
        made = TrainingMemory(item, without)
    else:
        made = TrainingMemory(
            item,
            limits,
            update=config.getoption("--training-memory-update"),
            base=_base(config),
            self_test=config.getoption("--training-memory-self-test"),
        )
    item.stash[_USED] = made
    return made


def _base(config: pytest.Config) -> Base | None:
    """What the other revision needed; a worker has it from the process that reports."""
    sent = getattr(config, "workerinput", {}).get(_SENT)
    if sent and _BASE not in config.stash:
        from trainfit.bench.testing.base import Base  # noqa: PLC0415

        config.stash[_BASE] = Base.from_json(sent)
    return config.stash.get(_BASE, None)


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
        self._failed: dict[str, str] = {}
        self._lines: list[str] = []
        self._json = self._file("--training-memory-json")
        base = BASE_OF in os.environ
        self._markdown = None if base else self._file("--training-memory-markdown")
        against, strict = (
            config.getoption(f"--training-memory-{name}") for name in ("against", "strict")
        )
        self._against = None if base else against
        if strict and against is None:
            raise pytest.UsageError("--training-memory-strict is for --training-memory-against REV")

    def _file(self, option: str) -> Path | None:
        """A file that was asked for; that it cannot be written is said before an hour of tests."""
        given = self._config.getoption(option)
        if given is None:
            return None
        try:
            Path(given).parent.mkdir(parents=True, exist_ok=True)
            Path(given).write_text("", "utf-8")
        except OSError as error:
            raise pytest.UsageError(
                f"{option} {given}: cannot be written: {error.strerror}"
            ) from None
        return Path(given)

    @pytest.hookimpl(tryfirst=True)
    def pytest_sessionstart(self, session: pytest.Session) -> None:
        """The other revision is measured before anything else, and before there are workers."""
        config = self._config
        if self._against is not None and not config.option.collectonly:
            from trainfit.bench.errors import BenchError  # noqa: PLC0415
            from trainfit.bench.testing.base_run import measure_base  # noqa: PLC0415

            strict = config.getoption("--training-memory-strict")
            try:
                config.stash[_BASE] = measure_base(config, self._against, strict=strict)
            except BenchError as error:
                raise pytest.UsageError(str(error)) from None

    @pytest.hookimpl(optionalhook=True)
    def pytest_configure_node(self, node: Any) -> None:
        """A worker of pytest-xdist compares with the same base."""
        base = self._config.stash.get(_BASE, None)
        if base is not None:
            node.workerinput[_SENT] = base.to_json()

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """The last report of a test counts, should it be run again."""
        steps = getattr(report, MARKER, None)
        if steps:
            self._steps[report.nodeid] = (report.outcome, steps)
        elif report.outcome != "passed":
            self._failed[report.nodeid] = report.outcome

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        """A file that cannot be collected has tests that nobody knows of."""
        if report.failed:
            self._failed[report.nodeid] = "could not be collected"

    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        """Write what was asked for."""
        measured = self._measured()
        if BASE_OF in os.environ:
            self._answer(measured)
            return
        if self._config.getoption("--training-memory-update") and measured:
            from trainfit.bench.errors import BenchError  # noqa: PLC0415
            from trainfit.bench.testing.report import accept  # noqa: PLC0415

            try:
                self._lines += accept(measured)
            except BenchError as error:
                self._lines += [f"ERROR: {error}"]
                session.exitstatus = pytest.ExitCode.USAGE_ERROR
        if self._config.stash.get(_BASE, None) is not None:
            self._tell_base(session, measured)
        if self._json is not None:
            from trainfit.bench.environment import trainfit_version  # noqa: PLC0415
            from trainfit.bench.testing.report import document  # noqa: PLC0415

            self._json.write_text(document(measured, trainfit_version()), "utf-8")
        summary = os.environ.get("GITHUB_STEP_SUMMARY") if measured else None
        if self._markdown is not None or summary:
            self._write_pages(measured, summary)

    def _answer(self, measured: list[Measured]) -> None:
        from trainfit.bench.testing.base_run import base_document  # noqa: PLC0415

        if self._json is not None:
            here, there = self._config.rootpath.resolve(), Path(os.environ[BASE_OF])
            text = base_document(measured, self._failed, there, here)
            self._json.write_text(text, "utf-8")

    def _tell_base(self, session: pytest.Session, measured: list[Measured]) -> None:
        from trainfit.bench.testing.base import nothing_compared, told  # noqa: PLC0415

        base, config = self._config.stash[_BASE], self._config
        chosen = config.args_source is type(config).ArgsSource.ARGS
        self._lines += told(base, measured, config.args if chosen else ())
        if nothing_compared(base, measured):
            self._lines.append(f"ERROR: nothing was compared: no test passed at {base.name}")
            if session.exitstatus == pytest.ExitCode.OK:
                session.exitstatus = pytest.ExitCode.TESTS_FAILED

    def _write_pages(self, measured: list[Measured], summary: str | None) -> None:
        from trainfit.bench.errors import BenchError  # noqa: PLC0415
        from trainfit.bench.gate.summary import write_summary  # noqa: PLC0415
        from trainfit.bench.testing.report import page  # noqa: PLC0415

        base = self._config.stash.get(_BASE, None)
        title = f"steps of our tests against {base.name}" if base else "steps of our tests"
        text = page(measured, self._lines, title, self._whole)
        if self._markdown is not None:
            self._markdown.write_text(text, "utf-8")
        if summary:
            try:
                write_summary(Path(summary), text)
            except BenchError as error:
                self._lines.append(f"ERROR: {error}")

    @property
    def _whole(self) -> str:
        """Where everything is that a report leaves out."""
        return str(self._json) if self._json else "what --training-memory-json writes"

    def pytest_terminal_summary(self, terminalreporter: Any) -> None:
        """The table, if asked for; always what does not hold and what was accepted."""
        measured = self._measured()
        if (not measured and not self._lines) or BASE_OF in os.environ:
            return
        from trainfit.bench.testing.report import failures, github_lines, table  # noqa: PLC0415

        full = self._config.getoption("--training-memory-report")
        lines = [*(table(measured) if full else ()), *failures(measured), *self._lines]
        lines += [line for each in measured for line in each.step.get("self_test", ())]
        if lines:
            terminalreporter.section(MARKER.replace("_", " "))
            for line in lines:
                terminalreporter.write_line(line)
        if os.environ.get("GITHUB_ACTIONS") == "true":
            for line in github_lines(measured, self._whole):
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
