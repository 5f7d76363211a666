"""A step of one's own, predicted in a process of its own: what is measured, or why not."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.unit.sizing.test_own_step import HERE, STEPS
from trainfit.bench.records.schema import Evidence
from trainfit.bench.sizing.own_step import OwnStepError, measure_own_step, predict_own_step
from trainfit.hardware_profiles import Budgets, load_device


def test_it_is_what_is_measured_without_being_run() -> None:
    predicted = predict_own_step(f"{STEPS}:small_net", HERE)
    measured = measure_own_step(f"{STEPS}:small_net", HERE)
    assert (predicted.static_bytes, predicted.peak_dynamic_bytes, predicted.phases) == (
        measured.static_bytes,
        measured.peak_dynamic_bytes,
        measured.phases,
    )
    assert predicted.evidence == "traced"
    assert predicted.demand(load_device("stm32f746")).evidence is Evidence.TRACED
    assert predicted.verdicts(load_device("stm32f746"), Budgets())[0].evidence == "traced"


def test_what_depends_on_data_is_refused_with_its_line(tmp_path: Path) -> None:
    (tmp_path / "chosen.py").write_text(
        "import torch\n\n\ndef make():\n    x = torch.rand(8)\n"
        "    def step():\n        return (x[x > 0.5] * 2).sum()\n    return step\n",
        "utf-8",
    )
    with pytest.raises(
        OwnStepError, match=r"cannot be predicted: .*chosen\.py:7: .*depends on dat"
    ):
        predict_own_step("chosen:make", tmp_path)


def test_what_makes_no_step_is_refused(tmp_path: Path) -> None:
    (tmp_path / "nothing.py").write_text("def make():\n    return None\n", "utf-8")
    with pytest.raises(OwnStepError, match="returned None and not a step"):
        predict_own_step("nothing:make", tmp_path)
