"""Frames of a made-up run, as figures and tables get them, with figures that are easy to check.

A row is a record: its columns, and under ``values``, ``costs`` and ``verdicts`` what the frames of
these names have of it, without the columns that say which record it is.
"""

from __future__ import annotations

import json

import pandas as pd

KIB = 1024
LONG = ("values", "costs", "verdicts")
PHASES = ("forward", "gradient", "update")

MLP = "mlp-784-1000-1000-10"
NET = "mlp-784-2000x4-10"


def record(algorithm="backprop", options=None, model="mlp-64-128x2-10", **changes):
    """A record of which nothing was measured."""
    return {
        "run": "made-up",
        "algorithm": algorithm,
        "options": compact(options or {}),
        "model": model,
        "dataset": "digits",
        "batch_size": 32,
        "seed": 0,
        "epochs": 5,
        "train_samples": None,
        "held_out": None,
        "standardise": False,
        "shuffle": True,
        "augment": None,
        "pretrained": None,
        "label": f"{algorithm} {model}",
        "worst_stage": "all",
    } | changes


def compact(value):
    return json.dumps(value, sort_keys=True, separators=(",", ":"))


def frames(*rows):
    """The frames of a run, by name; those that are empty have no columns either."""
    found = {name: [] for name in LONG}
    for row in rows:
        known = {name: row[name] for name in record() if name != "worst_stage"}
        stages = {"stage": "all", "phase": None, "part": None}
        found["values"] += [known | stages | each for each in row.get("values", ())]
        found["costs"] += [known | each for each in row.get("costs", ())]
        found["verdicts"] += [known | each for each in row.get("verdicts", ())]
    own = [{name: value for name, value in row.items() if name not in LONG} for row in rows]
    return {name: categorised(frame(*of_name)) for name, of_name in found.items()} | {
        "own": frame(*own)
    }


def categorised(made):
    """A long frame as runs have it: names are categories."""
    names = [name for name in made if pd.api.types.is_string_dtype(made[name])]
    return made.astype(dict.fromkeys(names, "category"))


def frame(*rows):
    """One frame; whole numbers are nullable integers, as in a run."""
    made = pd.DataFrame(rows)
    whole = ("_bytes", "batch_size", "seed", "epochs", "passes", "train_samples", "held_out")
    whole += ("bits", "samples")
    return made.astype({name: "Int64" for name in made if name.endswith(whole)})


def numbers(module, *rows):
    """The numbers of a figure or table, from the frames that it names."""
    found = frames(*rows)
    wanted = (module.SOURCE, *getattr(module, "ALSO", ()))
    return module.numbers(*(found.get(name, found["own"]) for name in wanted))


def by_phase(quantity, *sizes):
    """Values of a quantity in the three phases; None where there is none."""
    return [
        {"phase": phase, "quantity": quantity, "value": size}
        for phase, size in zip(PHASES, sizes, strict=True)
        if size is not None
    ]


def verdict(device, status, margin, budget="ram", unit="B", **changes):
    evidence = "allocator" if unit == "B" else "modelled"
    return {
        "device": device,
        "budget": budget,
        "status": status,
        "margin": margin,
        "unit": unit,
        "evidence": evidence,
        "judged_by": "torch" if budget == "ram" else None,
    } | changes


def held(static, dynamic):
    arena = None if dynamic is None else dynamic // 2
    return {"static_bytes": static, "peak_dynamic_bytes": dynamic, "arena_bytes": arena}


LIMITS = {"small": 100 * KIB, "middle": 300 * KIB, "huge": 2**30}


def row(algorithm="backprop", options=None, static=100 * KIB, peak=50 * KIB, **changes):
    """A record with bytes and an accuracy, judged against the RAM of three devices."""
    left = {device: limit - static - peak for device, limit in LIMITS.items()}
    found = {
        **record(algorithm, options),
        **held(static, peak),
        "predicted_bytes": peak,
        "device_bytes": peak // 2,
        "evidence": "allocator",
        "test_accuracy": 0.9,
        "passes": 5,
        "verdicts": [verdict(d, "fits" if n >= 0 else "exceeds", n) for d, n in left.items()],
    }
    return found | changes


def planned(algorithm="backprop", static=100 * KIB, peak=50 * KIB, **changes):
    """A row of which the small device has judged the planned arena, half of torch's peak."""
    found = row(algorithm, static=static, peak=peak, **changes)
    left = LIMITS["small"] - static - peak // 2
    small = verdict("small", "fits" if left >= 0 else "exceeds", left, judged_by="arena")
    return found | {"verdicts": [small, *found["verdicts"][1:]]}


def timed(algorithm="backprop", scale=1.0, options=None, **changes):
    """A record with measured phases and models of five devices, each ten times slower."""
    found = row(algorithm, options, **changes)
    sizes = [1e-3 * scale, 2e-3 * scale, 0.5e-3 * scale]
    found["values"] = [
        value
        for end, share in (("median", 1), ("low", 0.9), ("high", 1.1))
        for value in by_phase(f"seconds_{end}", *(share * size for size in sizes))
    ]
    found["costs"] = [measured("seconds", 4e-3 * scale), *found.get("costs", ())]
    for number in range(5):
        low = scale * 10.0 ** (number - 4)
        found["costs"] += modelled(low, 5 * low, f"d{number}")
    return found


def measured(quantity, middle):
    """What a clock or a sensor of this machine says of a step."""
    evidence = "clock" if quantity == "seconds" else "sensor"
    ends = {"value": middle, "low": 0.9 * middle, "high": 1.1 * middle}
    return {"device": None, "quantity": quantity, **ends, "evidence": evidence}


NO_SENSOR = {
    "device": None,
    "quantity": "joules",
    "value": None,
    "low": None,
    "high": None,
    "evidence": "unavailable",
    "reason": "no sensor",
}


def modelled(low, high, device="jetson-orin-nano-4gb", *, joules=1.0):
    """A step modelled for a device; joules are as many times the seconds."""
    return [
        {
            "device": device,
            "quantity": quantity,
            "value": None,
            "low": low * share,
            "high": high * share,
            "evidence": "modelled",
        }
        for quantity, share in (("seconds", 1.0), ("joules", joules))
    ]
