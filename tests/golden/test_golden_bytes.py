"""Predictions against committed figures, at tolerance 0 in both directions.

The contract suite compares predictions with measurements; this compares them with what they were. A
change on purpose: ``TRAINFIT_UPDATE_GOLDENS=1 pytest tests/golden``; then read the difference
before committing it.
"""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
import torch

from tests.contract.cases import CASES, UNIT_CASES, id_of
from trainfit.algorithms import build_on_meta
from trainfit.bench.trace.prediction import predict

FILE = Path(__file__).with_name("bytes.json")
VERSION = torch.__version__.partition("+")[0]
NETS = (("mlp-64-128-128-10", 32), ("mlp-784-500-500-10", 100), ("mlp-784-2000x4-10", 100))
UNIT_NETS = (("cnn-3x32x32-c20-d40s2-r40s2-g-10", 16),)
EVERY = [(*case, "mlp") for case in CASES] + [(*case, "cnn") for case in UNIT_CASES]


def figures(name, options, family):
    """Deterministic figures of every stage on every net."""
    return {
        f"{model} b{rows} {stage}": {
            "static_bytes": plan.static_bytes,
            "storage_bytes": plan.storage_bytes,
            "predicted_bytes": plan.peak_bytes,
            "device_bytes": plan.device_bytes,
            "peak_phase": plan.peak_phase,
            "phases": {phase: p.peak_bytes for phase, p in sorted(plan.phases.items())},
        }
        for model, rows in (NETS if family == "mlp" else UNIT_NETS)
        for sketch in [build_on_meta(name, model, options)]
        for index, stage in enumerate(sketch.stages)
        if stage in ("all", "layer1", "layer2", "unit1", "unit2")
        for plan in [predict(at_stage(sketch, index), rows)]
    }


def at_stage(algorithm, index):
    algorithm.enter_stage(index)
    return algorithm


def key_of(name, options, family):
    key = f"{name} {json.dumps(options, sort_keys=True)}"
    return key if family == "mlp" else f"{key} {family}"


@pytest.mark.parametrize(("name", "options", "family"), EVERY, ids=[id_of(*case) for case in EVERY])
def test_bytes_are_what_they_were(name, options, family):
    measured = figures(name, options, family)
    goldens = json.loads(FILE.read_text()) if FILE.exists() else {"figures": {}}
    key = key_of(name, options, family)
    if os.environ.get("TRAINFIT_UPDATE_GOLDENS"):
        goldens["torch"] = sorted({VERSION, *goldens.get("torch", ())})
        goldens["figures"][key] = measured
        FILE.write_text(json.dumps(goldens, indent=1, sort_keys=True) + "\n")
        return
    assert VERSION in goldens["torch"], f"the bytes were not compared under torch {VERSION}"
    assert measured == goldens["figures"][key]


def test_no_golden_is_left_over():
    goldens = json.loads(FILE.read_text())["figures"]
    assert set(goldens) == {key_of(*case) for case in EVERY}
