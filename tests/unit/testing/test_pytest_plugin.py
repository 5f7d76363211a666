# ruff: noqa: F811  (fixtures that are imported)
"""The pytest plugin as its users meet it: pytest runs inside of these tests.

What is measured is made up, but for the one test that measures; so the runs are fast.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest
import torch

from tests.builders.inner_pytest import imports_stay, pytester, run_pytest  # noqa: F401
from tests.builders.profiles import GRADIENT, step_profile
from trainfit.bench.gate.golden import read_golden
from trainfit.bench.testing.benchmark_bridge import KEY

pytest_plugins = ("pytester",)

GOLDEN = "test_it.training_memory.json"

Run = Callable[..., pytest.RunResult]


@pytest.fixture
def measured(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """What the next step is measured to be; the last one stays."""
    found = [step_profile()]

    def profile_step(step: Callable[[], Any], *, warmup: int, repeats: int, steps: int = 1) -> Any:
        step()
        return found[0] if len(found) == 1 else found.pop(0)

    monkeypatch.setattr("trainfit.bench.profiler.profile_step", profile_step)
    return found


@pytest.fixture
def run(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Write a file of tests and run pytest on it, in this process."""
    monkeypatch.setenv("COLUMNS", "200")

    def run(source: str | None, *arguments: str) -> pytest.RunResult:
        if source is not None:
            # Of another time than the one before, or its compiled form would be used again.
            pytester.makepyfile(test_it=f"import pytest\n\n{source}\n# {os.urandom(8).hex()}")
        return run_pytest(pytester, *arguments)

    return run


def test_a_step_within_its_limits_passes_and_gives_its_profile(
    measured: list[Any], run: Run
) -> None:
    result = run(
        """
        @pytest.mark.training_memory(max_peak="1000 B", device="stm32f746")
        def test_a(training_memory):
            called = []
            profile = training_memory(lambda: called.append(1), warmup=1, repeats=2)
            assert called
            assert profile.peak_dynamic_bytes == 1000
        """.replace("\n        ", "\n"),
        "--strict-markers",
    )
    result.assert_outcomes(passed=1)
    assert "training memory" not in result.stdout.str()


def test_what_is_too_large_fails_where_it_is_called(measured: list[Any], run: Run) -> None:
    result = run(
        """
pytestmark = pytest.mark.training_memory(max_static="2 KiB")

@pytest.mark.training_memory(max_peak="900 B", device="microbit-v1", min_margin="16 KiB")
def test_a(training_memory):
    training_memory(lambda: None)
    assert False, "not reached"

def test_no_marker_of_its_own(training_memory):
    with pytest.raises(pytest.fail.Exception, match="max_static"):
        training_memory(lambda: None)
""",
        "--training-memory-report",
    )
    result.assert_outcomes(failed=1, passed=1)
    result.stdout.fnmatch_lines(
        [
            ">       training_memory(lambda: None)",
            "E       Failed: max_peak: peak dynamic memory is 1,000 B, 100 B over the 900 B allowed"
            " (in phase gradient)",
            "E       max_static: static memory is 3,000 B, 952 B over the 2.0 KiB allowed*",
            "E       device microbit-v1: fits: 9,312 B left, 7,072 B less than min_margin*",
            "E       alive at the peak of gradient (1,000 B dynamic), largest first:",
            "E                  600 B  activations: relu float32 10x15, from forward",
            "*= training memory =*",
            "peak dynamic B  static B  RAM B  phase of the peak  device  *test",
            "         1,000     3,000  4,000  gradient           microbit-v1 fits, 9,312 B left*",
            "         1,000     3,000  4,000  gradient           -  *test_it.py::test_no_marker*",
            "test_it.py::test_a: max_peak: peak dynamic memory is 1,000 B*",
            "FAILED test_it.py::test_a - Failed: max_peak: peak dynamic memory is 1,000 B, 100 B*",
        ]
    )


@pytest.mark.parametrize("test", ["def test_a():", "def test_a(training_memory):"])
def test_a_marker_that_measures_nothing_is_no_pass(
    test: str, measured: list[Any], run: Run
) -> None:
    marker = '@pytest.mark.training_memory(max_peak="1 KiB")'
    result = run(
        f"{marker}\n{test}\n    pass\n\n{marker}\ndef test_skips():\n    pytest.skip('not here')"
    )
    result.assert_outcomes(failed=1, skipped=1)
    result.stdout.fnmatch_lines(["marked training_memory, but no step was measured; take *"])


def test_a_marker_that_is_wrong_is_an_error_of_collection(measured: list[Any], run: Run) -> None:
    result = run(
        """
class TestAll:
    @pytest.mark.training_memory(max_peek="1 KiB")
    def test_a(self, training_memory):
        training_memory(lambda: None)
"""
    )
    result.assert_outcomes(errors=1)
    assert result.ret == pytest.ExitCode.INTERRUPTED
    result.stdout.fnmatch_lines(
        [
            "test_it.py::TestAll::test_a: training_memory: unknown argument 'max_peek';"
            " did you mean max_peak*"
        ]
    )


def test_a_marker_that_comes_late_is_read_too(
    measured: list[Any], run: Run, pytester: pytest.Pytester
) -> None:
    pytester.makeconftest(
        """
        import pytest

        def pytest_collection_modifyitems(items):
            for item in items:
                item.add_marker(pytest.mark.training_memory(max_peak=item.name[5:]))
        """
    )
    result = run(
        "@pytest.mark.parametrize('size', [1])\ndef test_a(training_memory, size):\n    pass"
    )
    result.stdout.fnmatch_lines(["training_memory: max_peak: 'a[[]1[]]' is not a number with*"])


def test_golden_fails_until_the_change_is_accepted(
    measured: list[Any], run: Run, pytester: pytest.Pytester
) -> None:
    test = """
@pytest.mark.training_memory(golden=True)
def test_a(training_memory):
    training_memory(lambda: None)
    training_memory(lambda: None, name="again")

@pytest.mark.training_memory(golden=True)
def test_b(training_memory):
    training_memory(lambda: None)
    assert not {broken}
"""
    missing = run(test.format(broken=False))
    missing.assert_outcomes(failed=2)
    missing.stdout.fnmatch_lines(
        ["E       Failed: golden *: there is none for test_it.py::test_a*"]
    )

    made = run(None, "--training-memory-update")
    made.assert_outcomes(passed=2)
    made.stdout.fnmatch_lines(["test_it.py::test_a again: accepted (no golden)", "written: *"])
    golden = pytester.path / GOLDEN
    keys = ["test_it.py::test_a", "test_it.py::test_a again", "test_it.py::test_b"]
    assert list(read_golden(golden).workloads) == keys
    run(None).assert_outcomes(passed=2)

    measured[:] = [step_profile(GRADIENT)]
    grew = run(None)
    grew.assert_outcomes(failed=2)
    grew.stdout.fnmatch_lines(
        [
            "E       Failed: golden *: RAM 4,000 B -> 4,400 B, +400 B (+10.0 %): peak_dynamic"
            " +400 B, * accept it with pytest"
            " --training-memory-update and commit the file",
            "E           1 more of mm float32 10x10*",
            "E           *peak_dynamic_bytes: 1,000 B -> 1,400 B, +400 B*",
            "E         golden: *test_it.training_memory.json:*, entry test_it.py::test_a",
        ]
    )

    before = read_golden(golden)
    accepted = run(test.format(broken=True), "--training-memory-update")
    accepted.assert_outcomes(passed=1, failed=1)
    accepted.stdout.fnmatch_lines(
        [
            "test_it.py::test_a: accepted (changed)",
            "  *peak_dynamic_bytes: 1,000 B -> 1,400 B, +400 B*",
            "test_it.py::test_b: not accepted, since the test failed",
        ]
    )
    after = read_golden(golden)
    assert after.workloads[keys[2]] == before.workloads[keys[2]]
    assert after.workloads[keys[0]] != before.workloads[keys[0]]


def test_a_golden_of_another_torch_is_said_to_be_that(
    measured: list[Any], run: Run, pytester: pytest.Pytester
) -> None:
    test = "@pytest.mark.training_memory(golden='g.json')\ndef test_a(training_memory):\n    {}"
    run(test.format("training_memory(int)"), "--training-memory-update").assert_outcomes(passed=1)
    golden = pytester.path / "g.json"
    golden.write_text(golden.read_text().replace(torch.__version__.split("+")[0], "1.2.3"))
    result = run(None)
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["E       Failed: golden g.json: not comparable: torch differs*"])

    golden.write_text("{")
    result = run(None, "--training-memory-update")
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines([f"*{golden}: not valid JSON*"])
    result.stdout.no_fnmatch_line("*Traceback*")


def test_steps_of_one_test_need_names_of_their_own(measured: list[Any], run: Run) -> None:
    result = run(
        """
def test_a(training_memory):
    training_memory(int)
    training_memory(int)
    training_memory(int, name="#2")
"""
    )
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["E       Failed: *two steps of this test are named '#2'*"])


def test_json_has_every_step(measured: list[Any], run: Run, pytester: pytest.Pytester) -> None:
    file = pytester.path / "out" / "memory.json"
    run(
        """
@pytest.mark.training_memory(max_peak="900 B", device="stm32f746")
def test_a(training_memory):
    training_memory(int)

def test_b(training_memory):
    training_memory(int, name="only")

def test_c():
    pass
""",
        f"--training-memory-json={file}",
    ).assert_outcomes(passed=2, failed=1)
    document = json.loads(file.read_text())
    assert document["schema"] == "trainfit.training-memory/1"
    assert document["versions"]["torch"] == torch.__version__.split("+")[0]
    first, second = document["steps"]
    assert (first["test"], first["outcome"]) == ("test_it.py::test_a", "failed")
    assert (first["problems"][0]["limit"], first["problems"][0]["over_bytes"]) == ("max_peak", 100)
    assert first["verdicts"][0]["status"] == "fits"
    assert (second["test"], second["name"], second["problems"]) == (
        "test_it.py::test_b",
        "only",
        [],
    )
    assert second["figures"]["phases"]["gradient"]["peak_bytes"] == 1_000


def test_json_that_cannot_be_written_is_said_before_anything_runs(
    measured: list[Any], run: Run, pytester: pytest.Pytester
) -> None:
    result = run("def test_a(): pass", f"--training-memory-json={pytester.path}")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["ERROR: --training-memory-json *: cannot be written: *"])


def test_workers_measure_and_one_process_writes(
    run: Run, pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without torch in the worker, whose import would be most of this test's time."""
    pytest.importorskip("xdist")
    pytester.makeconftest(
        """
        import sys
        from types import ModuleType, SimpleNamespace

        def profile_step(step, *, warmup, repeats, steps=1):
            phase = SimpleNamespace(
                peak_bytes=8, entry_bytes=0, exit_bytes=0, categories={}, live_at_peak=()
            )
            return SimpleNamespace(
                peak_dynamic_bytes=8, peak_phase="update", phases={"update": phase}, static_bytes=2,
                static_categories={}, categories={}, live_at_peak=(), entry_bytes=0,
                left_after_step_bytes=0, deterministic=True, repeats=3,
            )

        profiler = ModuleType("trainfit.bench.profiler")
        profiler.profile_step = profile_step
        sys.modules.setdefault("trainfit.bench.profiler", profiler)

        def pytest_sessionstart(session):
            reports = session.config.pluginmanager.has_plugin("trainfit_reporter")
            assert reports is not hasattr(session.config, "workerinput")
        """
    )
    file = pytester.path / "memory.json"
    test = "@pytest.mark.training_memory(golden=True)\ndef test_{0}(training_memory):\n    {1}\n"
    result = run(
        test.format("a", "training_memory(int)") + test.format("b", "training_memory(int)"),
        "-n1",
        "--training-memory-update",
        f"--training-memory-json={file}",
    )
    result.assert_outcomes(passed=2)
    assert list(read_golden(pytester.path / GOLDEN).workloads) == [
        "test_it.py::test_a",
        "test_it.py::test_b",
    ]
    assert [step["figures"]["ram_bytes"] for step in json.loads(file.read_text())["steps"]] == [
        10,
        10,
    ]


@pytest.mark.parametrize("switch", ["--benchmark-disable", "--benchmark-only"])
def test_beside_pytest_benchmark(
    switch: str, measured: list[Any], run: Run, pytester: pytest.Pytester
) -> None:
    file = pytester.path / "benchmark.json"
    result = run(
        """
import trainfit

@pytest.mark.training_memory(max_peak="1 KiB")
def test_a(training_memory, benchmark):
    trainfit.record_benchmark(benchmark, training_memory(int), device="stm32f746")
    benchmark.pedantic(int, rounds=1)
""",
        switch,
        f"--benchmark-json={file}",
    )
    result.assert_outcomes(passed=1)
    if switch == "--benchmark-only":
        (found,) = json.loads(file.read_text())["benchmarks"]
        assert found["extra_info"][KEY]["steps"][""]["ram_bytes"] == 4_000


def test_a_real_step_is_measured_to_the_byte(run: Run) -> None:
    """1,024 numbers of four bytes, twice: one of them beside the other."""
    result = run(
        """
import torch, trainfit

@pytest.mark.training_memory(max_peak="8 KiB", max_phase={"forward": "4 KiB"})
def test_a(training_memory):
    def step():
        with trainfit.phase("forward"):
            x = torch.ones(1024)
        with trainfit.phase("update"):
            x = torch.exp(x)

    profile = training_memory(step, warmup=1, repeats=1)
    assert (profile.peak_dynamic_bytes, profile.peak_phase) == (8192, "update")
"""
    )
    result.assert_outcomes(passed=1)


def test_a_run_that_does_not_use_it_imports_nothing_of_it(pytester: pytest.Pytester) -> None:
    pytester.makepyfile("def test_a(): pass")
    code = (
        "import sys, pytest; pytest.main(['-q', '-p', 'no:cacheprovider']);"
        " print(*(name for name in sys.modules if name.startswith('trainfit')),"
        " *({'torch', 'pydantic', 'pandas'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert done.stdout.splitlines()[-1].split() == [
        "trainfit",
        "trainfit.bench",
        "trainfit.bench.pytest_plugin",
    ]


def test_a_step_that_accumulates_is_measured_as_a_cycle(pytester: pytest.Pytester) -> None:
    """What the refusal offers does work: nothing is replaced here."""
    source = """
        import pytest, torch

        def accumulating():
            net, x, calls = torch.nn.Linear(8, 4), torch.rand(2, 8), [0]
            def step():
                calls[0] += 1
                net(x).sum().backward()
                if calls[0] % 2 == 0:
                    net.zero_grad()
            return step

        @pytest.mark.training_memory(max_peak="1 MiB")
        def test_alone(training_memory):
            training_memory(accumulating())

        @pytest.mark.training_memory(max_peak="1 MiB")
        def test_cycle(training_memory):
            assert training_memory(accumulating(), steps=2).deterministic
    """
    pytester.makepyfile(test_it=source)
    result = run_pytest(pytester)
    result.assert_outcomes(passed=1, failed=1)
    assert "a whole cycle with training_memory(step, steps=2)" in result.stdout.str()
