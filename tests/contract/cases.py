"""Every registered algorithm with the options that change what it allocates."""

from __future__ import annotations

import torch

from algorithms import algorithm_names, build_algorithm

OPTIONS = {
    "backprop": [
        {},
        {"momentum": 0.0},
        {"optimizer": "adam"},
        {"checkpoint": 2},
        {"micro_batch": 3},
        {"update": "fused"},
        {"update": "fused", "optimizer": "adam"},
        {"checkpoint": 2, "update": "fused"},
        {"checkpoint": 3, "micro_batch": 4, "optimizer": "adam"},
    ],
    "dfa": [{}, {"signal": "sign", "activation": "relu"}, {"optimizer": "adam"}],
    "drtp": [{}, {"momentum": 0.0}, {"optimizer": "adam"}],
    "forward_forward": [
        {},
        {"momentum": 0.0},
        {"optimizer": "adam"},
        {"goodness": "sum"},
        {"implementation": "autograd"},
        {"implementation": "autograd", "goodness": "sum", "optimizer": "adam"},
    ],
    "tinyfoa": [
        {},
        {"slices": 1},
        {"slices": 4},
        {"update": "fused"},
        {"kernel": "tiles"},
        {"kernel": "tiles", "update": "fused"},
        {"variant": "released"},
        {"variant": "released", "slices": 4},
    ],
}
"""Options per algorithm; an algorithm that is not named here is tried with its defaults."""

CASES = [(name, options) for name in algorithm_names() for options in OPTIONS.get(name, [{}])]

IDS = [
    name + ("[" + ",".join(f"{k}={v}" for k, v in options.items()) + "]" if options else "")
    for name, options in CASES
]


def batch_for(algorithm, rows, seed=0):
    """A batch of random inputs and labels that fits the algorithm's model."""
    generator = torch.Generator().manual_seed(seed)
    x = torch.rand(rows, algorithm.model.inputs, generator=generator)
    y = torch.randint(0, algorithm.model.classes, (rows,), generator=generator)
    return x, y


def at_every_stage(name, model, options, seed=0):
    """(stage name, algorithm at that stage), the algorithm built anew for each."""
    for index, stage in enumerate(build_algorithm(name, model, options).stages):
        algorithm = build_algorithm(name, model, options, seed=seed)
        algorithm.enter_stage(index)
        yield stage, algorithm


def reachable_bits(algorithm):
    """Every declared tensor's bytes, by name."""
    return {
        held.name: held.tensor.detach().contiguous().view(-1).view(torch.uint8).numpy().tobytes()
        if held.tensor.numel()
        else b""
        for held in algorithm.static_tensors()
    }
