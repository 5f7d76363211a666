"""Frames of probes, as small as a test needs them."""

from __future__ import annotations

import json

from tests.plots.frames import record

BINS = 24


def workload(algorithm, seed=0, **options):
    found = record(algorithm, options, "mlp-784-500-500-10", dataset="mnist", batch_size=100)
    return found | {"run": "run", "seed": seed, "epochs": 10, "train_samples": 10_000}


def gradient(algorithm, tensor, middle, error=0.02, lost=0.3, *, seed=0, after=10, **options):
    """A triangular distribution whose most frequent octave is ``middle``."""
    counts = [max(0, 100 - 15 * abs(octave - middle)) for octave in range(BINS)]
    return {
        **workload(algorithm, seed, **options),
        "pass": after,
        "tensor": tensor,
        "stage": "all",
        "evidence": "analytic",
        "shape": "[40,25]",
        "count": sum(counts) + 200,
        "zeros": 200,
        "max_abs": 0.5,
        "rms": 0.1,
        "mean_abs": 0.05,
        "excess_kurtosis": 3.0,
        "histogram": json.dumps(counts),
        "histogram_below": 0,
        "int8_relative_rms": error,
        "int8_cosine": 0.999,
        "int8_rounded_to_zero": lost,
        "int8_evidence": "analytic",
        "reason": None,
    }


def without_gradient(algorithm, tensor, reason):
    row = gradient(algorithm, tensor, 4)
    kept = {key: row[key] for key in (*workload(algorithm), "pass", "stage")}
    empty = dict.fromkeys(set(row) - set(kept))
    return {
        **kept,
        **empty,
        "tensor": tensor,
        "evidence": "unavailable",
        "shape": "[]",
        "histogram": "[]",
        "reason": reason,
    }


def disturbed(algorithm, accuracy, seed=0, **options):
    """Accuracy halves at 2 bits, and falls with the noise."""
    points = [{"disturbance": "none", "test_accuracy": accuracy}]
    points += [
        {"disturbance": "bits", "bits": bits, "test_accuracy": accuracy / (2 if bits == 2 else 1)}
        for bits in (8, 4, 2)
    ]
    points += [
        {
            "disturbance": "uniform",
            "amplitude": amplitude,
            "noise_seed": noise_seed,
            "test_accuracy": accuracy * (1 - amplitude) - 0.01 * noise_seed,
        }
        for amplitude in (0.1, 0.4)
        for noise_seed in (0, 1)
    ]
    known = workload(algorithm, seed, **options)
    empty = {"bits": None, "amplitude": None, "noise_seed": None, "reason": None}
    return [{**known, **empty, "samples": 2000, **point} for point in points]


def trained(algorithm, accuracy, seed=0, **options):
    return {**workload(algorithm, seed, **options), "test_accuracy": accuracy}
