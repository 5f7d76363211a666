# ruff: noqa: F811  (fixtures that are imported)
"""What the pytest plugin tells a pull request: summary, annotations, Markdown, JUnit, leaks.

What is measured is made up, but for the one test that plants changes.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from tests.builders.inner_pytest import imports_stay, pytester, run_pytest  # noqa: F401
from tests.builders.profiles import step_profile
from tests.builders.small_cnn import write_project
from trainfit.bench.gate.golden import read_golden
from trainfit.bench.profiler.fold import Block
from trainfit.bench.testing.compared import AT

pytest_plugins = ("pytester",)

GOLDEN = "test_it.training_memory.json"
COPY = Block(700, "gradient", "activations", "clone float32 5x35", "body.1", "code.py:3")
OUTPUT = Block(320, "forward", "activations", "addmm float32 8x10", "head", "code.py:2")
LEAK = {"left_after_step_bytes": 320, "left_blocks": (OUTPUT,)}

TESTS = """
import pytest

@pytest.mark.training_memory(golden=True, device="nrf52840")
def test_a(training_memory):
    training_memory(int)


@pytest.mark.training_memory(max_peak="{most}")
def test_b(training_memory):
    training_memory(int, name="adam")
"""

Run = Callable[..., pytest.RunResult]


@pytest.fixture
def measured(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """What every step is measured to be."""
    found = [step_profile()]
    monkeypatch.setattr(
        "trainfit.bench.profiler.profile_step", lambda step, *, warmup, repeats, steps=1: found[0]
    )
    for name in ("GITHUB_ACTIONS", "GITHUB_STEP_SUMMARY", "GITHUB_WORKSPACE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("COLUMNS", "200")
    return found


@pytest.fixture
def run(measured: list[Any], pytester: pytest.Pytester) -> Run:
    """The two tests, whose golden is made; and the code that they are about."""
    pytester.makepyfile(code="a = 1\nb = 2\nc = 3\n", test_it=TESTS.format(most="2 KiB"))
    made = run_pytest(pytester, "--training-memory-update")
    made.assert_outcomes(passed=2)
    return lambda *arguments: run_pytest(pytester, *arguments)


def test_a_pass_writes_a_short_page(run: Run) -> None:
    run("--training-memory-markdown=out/page.md").assert_outcomes(passed=2)
    assert Path("out/page.md").read_text() == (
        "### training memory: pass\n\nsteps of our tests: pass: 2 training steps as they should"
        " be.\n"
    )


def test_growth_is_told_with_its_net_first(measured: list[Any], run: Run) -> None:
    measured[:] = [step_profile(COPY)]
    run("--training-memory-markdown=page.md").assert_outcomes(failed=1, passed=1)
    text = Path("page.md").read_text()
    assert "regression: 1 of 2 training steps not as it should be." in text
    (row,) = (line for line in text.splitlines() if line.startswith("| grew"))
    assert row.startswith(
        "| grew | `test_it.py::test_a` | 4,000 B -> 4,700 B, +700 B (+17.5 %) |"
        " `peak_dynamic_bytes` and "
    )
    assert row.endswith("| 1,000 B | 1,700 B | +700 B (+70.0 %) |")
    details = [line.strip() for line in text.splitlines() if line.startswith("  - ")]
    assert details[0] == ("- RAM 4,000 B -\\> 4,700 B, +700 B (+17.5 %): peak\\_dynamic +700 B")
    assert details[1] == (
        "- new: clone float32 5x35 (activations, 700 B), in gradient \\[body.1 at code.py:3\\]"
    )
    assert details[-1].startswith("- compared with test\\_it.training\\_memory.json:7, entry")


def test_a_limit_that_does_not_hold_is_told_with_what_it_allows(
    run: Run, pytester: pytest.Pytester
) -> None:
    pytester.makepyfile(test_it=TESTS.format(most="900 B"))
    run("--training-memory-markdown=page.md").assert_outcomes(failed=1, passed=1)
    text = Path("page.md").read_text()
    assert "| over | `test_it.py::test_b adam` | `max_peak` | 900 B | 1,000 B | +100 B" in text


def test_github_gets_a_summary_and_annotations(
    measured: list[Any], run: Run, monkeypatch: pytest.MonkeyPatch, pytester: pytest.Pytester
) -> None:
    measured[:] = [step_profile(COPY)]
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", "summary.md")
    monkeypatch.setenv("GITHUB_WORKSPACE", str(pytester.path.parent))
    result = run()
    below = pytester.path.name
    result.stdout.fnmatch_lines(
        [
            f"::error file={below}/code.py,line=3,title=training memory%3A test_it.py%3A%3Atest_a"
            "::grew: RAM 4,000 B -> 4,700 B, *%0Anew: clone float32 5x35*"
        ]
    )
    assert Path("summary.md").read_text().startswith("### training memory: regression\n")


@pytest.mark.parametrize(
    ("said", "place"),
    [
        ("new: a [body.1 at train.py:3]", ("train.py", "3")),
        ("new: a [train.py:3]", ("train.py", "3")),
        ("new: a [x at a b/train.py:3; y at other.py:9 and 2 more]", ("a b/train.py", "3")),
    ],
)
def test_the_first_place_in_words_is_found(said: str, place: tuple[str, str]) -> None:
    found = AT.search(said)
    assert found is not None
    assert found.group("file", "line") == place
    assert AT.search("new: a [body.1]") is None


def test_the_small_net_in_a_pull_request(pytester: pytest.Pytester) -> None:
    """The whole project, measured for real: its golden, then a change."""
    write_project(pytester.path)
    run_pytest(pytester, "--training-memory-update").assert_outcomes(passed=1)
    write_project(pytester.path, "history of outputs")
    sys.modules.pop("train", None)
    result = run_pytest(pytester, "--training-memory-markdown=page.md")
    result.assert_outcomes(failed=1)
    text = Path("page.md").read_text()
    assert "| leaks | `test_training.py::test_step` | 455,456 B, as before | " in text
    assert "leak: every step leaves 320 B behind: addmm float32 8x10 (activations, 320 B)" in text


def test_without_a_known_line_the_test_is_pointed_at(
    measured: list[Any], run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    measured[:] = [step_profile(COPY._replace(line="elsewhere.py:9"))]
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    run().stdout.fnmatch_lines(["::error file=test_it.py,line=3,title=training memory*"])
    monkeypatch.delenv("GITHUB_ACTIONS")
    run().stdout.no_fnmatch_line("::error*")


def test_junit_has_the_figures_as_properties(measured: list[Any], run: Run) -> None:
    measured[:] = [step_profile(COPY)]
    run("--junitxml=junit.xml")
    cases = {
        case.get("name"): {each.get("name"): each.get("value") for each in case.iter("property")}
        for case in ElementTree.parse("junit.xml").iter("testcase")
    }
    assert cases["test_a"] == {
        "training_memory.ram_bytes": "4700",
        "training_memory.static_bytes": "3000",
        "training_memory.peak_dynamic_bytes": "1700",
        "training_memory.peak_phase": "gradient",
        "training_memory.left_after_step_bytes": "0",
        "training_memory.change": "RAM 4,000 B -> 4,700 B, +700 B (+17.5 %): peak_dynamic +700 B",
    }
    assert cases["test_b"]["training_memory[adam].ram_bytes"] == "4700"


def test_a_page_that_cannot_be_written_is_said_before_anything_runs(
    run: Run, pytester: pytest.Pytester
) -> None:
    result = run(f"--training-memory-markdown={pytester.path}")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["ERROR: --training-memory-markdown *: cannot be written: *"])


# ---- leaks ---------------------------------------------------------------------------------------


def test_a_leak_fails_and_has_a_column(measured: list[Any], run: Run) -> None:
    measured[:] = [step_profile(**LEAK)]
    result = run("--training-memory-report", "--training-memory-markdown=page.md")
    result.assert_outcomes(failed=2)
    result.stdout.fnmatch_lines(
        [
            "E       Failed: max_left: leaves 320 B per step: on nrf52840 full after * steps",
            "E         left behind: addmm float32 8x10 (activations, 320 B) [[]head at code.py:2]",
            "E       golden *: RAM 4,000 B, as before, 1 figure is not what it was; *",
            "E           leak: every step leaves 320 B behind: addmm float32 8x10*",
            "peak dynamic B  static B  RAM B  left B per step  phase of the peak  device *",
            "         1,000     3,000  4,000              320  gradient           nrf52840 exceeds,"
            " full after * steps *",
        ]
    )
    text = Path("page.md").read_text()
    assert "| leaks | `test_it.py::test_a` | 4,000 B, as before | " in text
    assert (
        "| leaks | `test_it.py::test_b adam` | - | `max_left` | 0 B | 320 B | +320 B | 320 B |"
        in text
    )


def test_a_golden_takes_no_leak_that_the_marker_does_not_allow(
    measured: list[Any], run: Run, pytester: pytest.Pytester
) -> None:
    before = read_golden(pytester.path / GOLDEN)
    measured[:] = [step_profile(**LEAK)]
    result = run("--training-memory-update")
    result.stdout.fnmatch_lines(
        [
            "test_it.py::test_a: not accepted, since the test failed: it leaks 320 B per step,"
            ' which max_left="320 B" would allow'
        ]
    )
    assert read_golden(pytester.path / GOLDEN) == before

    allowed = TESTS.format(most="2 KiB").replace("golden=True", 'golden=True, max_left="320 B"')
    pytester.makepyfile(test_it=allowed)
    run("--training-memory-update").stdout.fnmatch_lines(
        [
            "test_it.py::test_a: accepted (changed)",
            "  leak accepted: test_it.py::test_a: every step leaves 320 B behind, *",
        ]
    )
    figures = read_golden(pytester.path / GOLDEN).workloads["test_it.py::test_a"].figures
    assert figures["all"]["left_after_step_bytes"] == 320


def test_what_only_measures_may_leak(measured: list[Any], run: Run, pytester: Any) -> None:
    measured[:] = [step_profile(**LEAK)]
    pytester.makepyfile(test_it="def test_a(training_memory):\n    training_memory(int)\n")
    run("--training-memory-json=all.json").assert_outcomes(passed=1)
    (step,) = json.loads(Path("all.json").read_text())["steps"]
    assert step["figures"]["left_after_step_bytes"] == 320
    assert step["comparisons"] == []
    assert not {"entry", "places"} & step.keys()


# ---- tried on itself -----------------------------------------------------------------------------


def test_the_plugin_sees_what_is_planted(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        """
        import torch

        def test_a(training_memory):
            def step():
                torch.exp(torch.ones(256))
            training_memory(step, warmup=1, repeats=1)
        """
    )
    result = run_pytest(pytester, "--training-memory-self-test")
    result.assert_outcomes(passed=1)
    result.stdout.fnmatch_lines(
        [
            "self-test: growth: planted +1,024 B, saw +1,024 B: new: empty uint8 1024*",
            "self-test: shrink: planted -1,024 B, saw -1,024 B: gone: empty uint8 1024*",
            "self-test: leak: planted +1,024 B, saw +1,024 B: leak: every step leaves 1,024 B*",
        ]
    )


def test_a_plugin_that_sees_nothing_fails(measured: list[Any], run: Run) -> None:
    result = run("--training-memory-self-test")
    result.assert_outcomes(failed=2)
    result.stdout.fnmatch_lines(["self-test: FAULT: growth: planted +1,024 B, saw nothing*"])
