"""A step of one's own: found, measured in a process of its own, judged; and what is no step."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.fakes.small_boards import small
from tests.plugins import own_steps
from trainfit.bench.cli.reports.own_step import lines
from trainfit.bench.profiler import profile_step
from trainfit.bench.sizing.own_step import (
    OwnStep,
    OwnStepError,
    Tensor,
    measure_own_step,
    run,
)
from trainfit.bench.verdicts.memory import Status, worst
from trainfit.hardware_profiles import Budgets, load_device, parse_budgets

HERE = Path(__file__).parent
STEPS = "tests.plugins.own_steps"


def step(**changes: Any) -> OwnStep:
    values: dict[str, Any] = {
        "target": "train:make_step",
        "static_bytes": 700,
        "peak_dynamic_bytes": 300,
        "peak_phase": "gradient",
        "left_after_step_bytes": 0,
        "steps": 1,
        "deterministic": True,
        "repeats": 3,
        "attribution": "",
        "phases": {"gradient": 300},
    }
    return OwnStep(**values | changes)


def test_it_is_measured_as_it_would_be_here() -> None:
    found = measure_own_step(f"{STEPS}:small_net", HERE)
    here = profile_step(own_steps.small_net())

    assert (found.static_bytes, found.peak_dynamic_bytes) == (
        here.static_bytes,
        here.peak_dynamic_bytes,
    )
    assert found.ram_bytes == here.ram_bytes
    assert found.phases == {name: each.peak_bytes for name, each in here.phases.items()}
    assert set(found.phases) >= {"forward", "gradient", "update"}
    assert found.deterministic
    assert found.left_after_step_bytes == 0
    assert sum(tensor.bytes for tensor in found.tensors) == found.peak_dynamic_bytes


def test_what_it_leaves_behind_is_named_and_fills_every_board() -> None:
    found = measure_own_step(f"{STEPS}:leaking", HERE)

    assert found.left_after_step_bytes == 32 * 10 * 4
    assert [tensor.bytes for tensor in found.left] == [32 * 10 * 4]
    verdict = worst(found.verdicts(small(10**6), Budgets()))
    assert verdict.status is Status.EXCEEDS
    assert "leaves 1,280 B per step" in verdict.reason
    assert any(line.startswith("LEAK: every step leaves 1,280 B behind") for line in lines(found))


@pytest.mark.parametrize(
    ("ram", "status"),
    [(999, Status.EXCEEDS), (1_000, Status.TIGHT), (2_000, Status.FITS)],
)
def test_it_is_judged_by_what_was_measured(ram: int, status: Status) -> None:
    (verdict,) = step().verdicts(small(ram), Budgets())

    assert verdict.status is status
    assert verdict.margin == ram - 1_000


def test_its_time_and_energy_are_unknown() -> None:
    asked = parse_budgets({"step_latency": "1s", "energy_per_step": "1J"}, "-")

    verdicts = step().verdicts(small(2_000, clock=10**8), asked)

    assert [verdict.status for verdict in verdicts[1:]] == [Status.UNKNOWN] * 2
    assert "the operations of a step of your own are not counted" in verdicts[1].reason


def test_tensors_are_named_with_module_and_line() -> None:
    own = Tensor(2048, "gradient", "gradients", "mm float32 8x64", "features.3", "train.py:41")

    shown = lines(step(tensors=(own,)))

    (line,) = [each for each in shown if "mm float32" in each]
    assert "2.0 KiB  gradients  mm float32 8x64 (features.3, train.py:41, made in gradient)" in line


def test_repeats_that_differ_are_not_passed_over() -> None:
    assert "NOT THE SAME in 3 repeats" in lines(step(deterministic=False))[0]


def test_a_step_that_differs_from_call_to_call_gets_no_verdict_but_what_to_do() -> None:
    found = measure_own_step(f"{STEPS}:accumulating", HERE)
    assert not found.deterministic
    assert "profile_step(step, steps=4)" in found.advice
    assert found.advice in lines(found)
    (verdict,) = found.verdicts(load_device("stm32f746"), Budgets())
    assert verdict.status is Status.UNKNOWN
    assert verdict.reason.endswith(found.advice)


WRONG = {
    "no colon": ("train", "write module:function, such as train:make_step"),
    "no name": ("train:", "write module:function"),
    "a file": ("train.py:make", "train.py is a file; write the name of the module, train:make"),
    "no module": ("no_such_module:make", "there is no module 'no_such_module' in the current"),
    "no name in it": (f"{STEPS}:small_ned", "has no 'small_ned'; did you mean small_net?"),
    "not callable": (f"{STEPS}:learning_rate", "learning_rate is of type float and cannot be call"),
    "arguments": (f"{STEPS}:with_arguments", "missing a required argument: 'width'; it has to be"),
    "no step": (f"{STEPS}:nothing", "nothing returned None and not a step; it has to be"),
    "step takes a batch": (f"{STEPS}:of_a_batch", "the step that it returned cannot be called"),
    "making raises": (f"{STEPS}:broken", "broken() raised KeyError: 'no data' ("),
    "step raises": (f"{STEPS}:raising", "the step raised ValueError: the batch is broken ("),
    "no tensor": (f"{STEPS}:without_torch", "the step cannot be measured: nothing was seen that"),
    "generator": (f"{STEPS}:generating", "the step raised TypeError: the step returned a gener"),
}


@pytest.mark.parametrize("case", WRONG)
def test_what_is_no_step_is_one_message(case: str) -> None:
    target, message = WRONG[case]

    with pytest.raises(OwnStepError) as error:
        measure_own_step(target, HERE)

    assert str(error.value).startswith(f"--step {target}: ")
    assert message in str(error.value)


def test_the_folder_is_searched_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.path", ["/nowhere"])
    (tmp_path / "mine_for_a_test.py").write_text("def make():\n    return 1 / 0\n", "utf-8")
    sent: list[Any] = []

    with pytest.raises(ZeroDivisionError):
        run({"target": "mine_for_a_test:make", "folder": str(tmp_path)}, sent.append)

    assert sent[-1] == {"doing": "make()"}


def test_a_module_that_it_imports_itself_and_that_is_missing_is_named(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text("import not_installed_here\n", "utf-8")

    with pytest.raises(OwnStepError, match="importing the module raised ModuleNotFoundError: No m"):
        measure_own_step("mine:make", tmp_path)


def test_what_the_profiler_cannot_see_is_said_without_blaming_the_step(tmp_path: Path) -> None:
    (tmp_path / "threads.py").write_text(
        "import threading, torch\n"
        "def make():\n"
        "    def step():\n"
        "        other = threading.Thread(target=lambda: torch.ones(1000).sum())\n"
        "        other.start(); other.join(); torch.ones(10)\n"
        "    return step\n",
        "utf-8",
    )

    with pytest.raises(OwnStepError, match="--step threads:make: the step cannot be measured: "):
        measure_own_step("threads:make", tmp_path)
