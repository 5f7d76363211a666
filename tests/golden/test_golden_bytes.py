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

from tests.contract.cases import CASES, IDS
from trainfit.algorithms import build_on_meta
from trainfit.bench.trace.prediction import predict

FILE = Path(__file__).with_name("bytes.json")
VERSION = torch.__version__.partition("+")[0]
NETS = (("mlp-64-128-128-10", 32), ("mlp-784-500-500-10", 100), ("mlp-784-2000x4-10", 100))


def figures(name, options):
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
        for model, rows in NETS
        for sketch in [build_on_meta(name, model, options)]
        for index, stage in enumerate(sketch.stages)
        if stage in ("all", "layer1", "layer2")
        for plan in [predict(at_stage(sketch, index), rows)]
    }


def at_stage(algorithm, index):
    algorithm.enter_stage(index)
    return algorithm


def key_of(name, options):
    return f"{name} {json.dumps(options, sort_keys=True)}"


@pytest.mark.parametrize(("name", "options"), CASES, ids=IDS)
def test_bytes_are_what_they_were(name, options):
    measured = figures(name, options)
    goldens = json.loads(FILE.read_text()) if FILE.exists() else {"figures": {}}
    key = key_of(name, options)
    if os.environ.get("TRAINFIT_UPDATE_GOLDENS"):
        goldens["torch"] = sorted({VERSION, *goldens.get("torch", ())})
        goldens["figures"][key] = measured
        FILE.write_text(json.dumps(goldens, indent=1, sort_keys=True) + "\n")
        return
    assert VERSION in goldens["torch"], f"the bytes were not compared under torch {VERSION}"
    assert measured == goldens["figures"][key]


def test_no_golden_is_left_over():
    goldens = json.loads(FILE.read_text())["figures"]
    assert set(goldens) == {key_of(name, options) for name, options in CASES}
