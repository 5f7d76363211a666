"""Small frames of records, as the figures and tables of bytes, accuracy and cost are given."""

import json

import pandas as pd

KIB = 1024

LIMITS = {"small": 100 * KIB, "middle": 300 * KIB, "huge": 2**30}


def row(algorithm="backprop", options=None, static=100 * KIB, peak=50 * KIB, **changes):
    """One record: judged against the RAM of three devices."""
    found = {
        "algorithm": algorithm,
        "options": json.dumps(options or {}, sort_keys=True, separators=(",", ":")),
        "model": "mlp-64-128x2-10",
        "dataset": "digits",
        "batch_size": 32,
        "seed": 0,
        "epochs": 5,
        "train_samples": None,
        "standardise": False,
        "shuffle": True,
        "static_bytes": static,
        "peak_dynamic_bytes": peak,
        "closed_form_bytes": peak,
        "lower_bound_bytes": peak // 2,
        "test_accuracy": 0.9,
        "passes": 5,
    }
    for device, limit in LIMITS.items():
        margin = limit - static - peak
        found[f"margin.{device}.ram_bytes"] = margin
        found[f"verdict.{device}.ram"] = "fits" if margin >= 0 else "exceeds"
    return found | changes


def timed(algorithm="backprop", scale=1.0, **changes):
    """A record with measured phases and models of five devices, each ten times slower."""
    found = row(algorithm)
    for name, part in {"forward": 1, "gradient": 2, "update": 0.5}.items():
        found |= interval(f"phase.{name}.seconds", 1e-3 * part * scale)
    found |= interval("step_seconds", 4e-3 * scale)
    for number in range(5):
        for quantity in ("seconds", "joules"):
            found[f"modelled.d{number}.{quantity}_low"] = scale * 10.0 ** (number - 4)
            found[f"modelled.d{number}.{quantity}_high"] = scale * 5 * 10.0 ** (number - 4)
    return found | changes


def interval(name, middle):
    return {f"{name}_median": middle, f"{name}_low": 0.9 * middle, f"{name}_high": 1.1 * middle}


def frame(*rows):
    """As ``trainfit.bench.records.frame`` makes it: bytes are nullable integers."""
    made = pd.DataFrame(rows)
    for name in made.columns:
        if name.endswith(("_bytes", "batch_size", "seed", "epochs", "passes", "train_samples")):
            made[name] = made[name].astype("Int64")
    return made
