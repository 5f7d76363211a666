"""Every registered algorithm with the options that change what it allocates."""

from __future__ import annotations

import os

import torch

from trainfit.algorithms import LocallyConnected, algorithm_names, build_algorithm, get_algorithm
from trainfit.algorithms.models import UnitNet

OPTIONS = {
    "asi": [
        {},
        {"rank": 8, "momentum": 0.0},
        {"rank": 64, "optimizer": "adam"},
        {"warm_start": False},
        {"warm_start": False, "rank": 9, "layers": "2", "optimizer": "adam"},
        {"layers": "last:1", "rank": 2},
        {"weight_decay": 0.001, "nesterov": True},
        {"loss": "binary_cross_entropy"},
    ],
    "backprop": [
        {},
        {"momentum": 0.0},
        {"optimizer": "adam"},
        {"checkpoint": 2},
        {"micro_batch": 3},
        {"update": "fused"},
        {"update": "fused", "optimizer": "adam"},
        {"checkpoint": 2, "update": "fused"},
        {"update": "product"},
        {"update": "product", "momentum": 0.0, "weight_decay": 0.001},
        {"update": "product", "optimizer": "adam", "weight_decay": 0.001},
        {"update": "product", "checkpoint": 2, "weight_decay": 0.001, "nesterov": True},
        {"update": "product", "checkpoint": 3, "loss": "binary_cross_entropy"},
        {"checkpoint": 3, "micro_batch": 4, "optimizer": "adam"},
        {"weights": "binary"},
        {"activations": "binary"},
        {"weights": "binary", "activations": "binary"},
        {"weights": "binary", "activations": "binary", "optimizer": "adam"},
        {"weights": "binary", "activations": "binary", "update": "fused"},
        {"weights": "binary", "update": "fused", "slices": 2, "momentum": 0.0},
        {"slices": 2, "optimizer": "adam"},
        {"activations": "binary", "slices": 2},
        {"weights": "binary", "activations": "binary", "slices": 2, "optimizer": "adam"},
        {"weights": "binary", "activations": "binary", "slices": 4},
        {"weights": "binary", "activations": "binary", "slices": 2, "slice_rule": "released"},
        {"weight_decay": 0.001, "nesterov": True},
        {"weight_decay": 0.001, "optimizer": "adam", "update": "fused"},
        {"weight_decay": 0.001, "nesterov": True, "weights": "binary", "slices": 2},
        {"loss": "binary_cross_entropy"},
        {"loss": "binary_cross_entropy", "update": "fused", "checkpoint": 2},
        {"loss": "binary_cross_entropy", "micro_batch": 3},
        {"loss": "binary_cross_entropy", "weights": "binary"},
    ],
    "backprop_dai8": [
        {},
        {"optimizer": "adam"},
        {"rounding": "stochastic"},
        {"kernel": "torch"},
        {"weight_decay": 0.001, "nesterov": True},
        {"loss": "binary_cross_entropy"},
    ],
    "backprop_int8": [
        {},
        {"weight_gradient": "whole", "rounding": "stochastic"},
        {"kernel": "torch"},
        {"master": "fp32"},
        {"master": "fp32", "momentum": 0.9},
        {"master": "fp32", "optimizer": "adam"},
        {"master": "fp32", "rounding": "stochastic", "weight_gradient": "whole"},
        {"weight_decay": 0.001},
        {"weight_decay": 0.001, "master": "fp32", "momentum": 0.9, "nesterov": True},
        {"loss": "binary_cross_entropy"},
    ],
    "backprop_ui8": [
        {},
        {"momentum": 0.0},
        {"optimizer": "adam"},
        {"rounding": "nearest"},
        {"period": 4, "candidates": 12},
        {"kernel": "torch", "candidates": 2},
        {"weight_decay": 0.001, "momentum": 0.0},
        {"loss": "binary_cross_entropy"},
    ],
    "dfa": [
        {},
        {"signal": "sign", "activation": "relu"},
        {"optimizer": "adam"},
        {"weights": "binary", "activations": "binary"},
        {"activations": "binary", "activation": "relu"},
        {"weight_decay": 0.001, "nesterov": True},
        {"weight_decay": 0.001, "momentum": 0.0},
        {"loss": "binary_cross_entropy"},
        {"hidden_gradient": "sum"},
        {
            "hidden_gradient": "sum",
            "loss": "binary_cross_entropy",
            "activations": "binary",
            "optimizer": "adam",
        },
        {
            "hidden_gradient": "sum",
            "loss": "binary_cross_entropy",
            "signal": "sign",
            "optimizer": "adam",
        },
    ],
    "drtp": [
        {},
        {"momentum": 0.0},
        {"optimizer": "adam"},
        {"weights": "binary"},
        {"activations": "binary"},
        {"weights": "binary", "activations": "binary", "optimizer": "adam"},
        {"weight_decay": 0.001, "nesterov": True},
        {"weight_decay": 0.001, "nesterov": True, "weights": "binary", "activations": "binary"},
        {"loss": "binary_cross_entropy"},
        {"hidden_gradient": "sum"},
        {
            "hidden_gradient": "sum",
            "loss": "binary_cross_entropy",
            "weights": "binary",
            "optimizer": "adam",
        },
    ],
    "ff_int8": [
        {},
        {"master": "fp32"},
        {"master": "fp32", "momentum": 0.9, "rounding": "nearest"},
        {"lookahead": "detached"},
        {"lookahead": "true"},
        {"lookahead": "true", "master": "fp32", "goodness": "mean"},
        {"kernel": "torch"},
        {"kernel": "torch", "lookahead": "true", "master": "fp32", "momentum": 0.9},
        {"weight_decay": 0.01},
        {"weight_decay": 0.01, "master": "fp32"},
        {"weight_decay": 0.01, "master": "fp32", "momentum": 0.9, "nesterov": True},
    ],
    "forward_forward": [
        {},
        {"momentum": 0.0},
        {"optimizer": "adam"},
        {"goodness": "mean"},
        {"goodness": "mean", "negatives": "hard"},
        {"passes": "joint", "score": "head", "peer": 0.03},
        {"passes": "joint", "loss": "symba"},
        {"peer": 0.03, "negatives": "hard", "optimizer": "adam"},
        {"implementation": "autograd"},
        {"implementation": "autograd", "goodness": "mean", "optimizer": "adam"},
        {"implementation": "autograd", "peer": 0.03},
        {"weights": "binary", "activations": "binary"},
        {"weights": "binary", "activations": "binary", "optimizer": "adam", "passes": "joint"},
        {"weights": "binary", "activations": "binary", "negatives": "hard", "peer": 0.003},
        {"activations": "binary", "passes": "joint", "score": "head", "peer": 0.03},
        {"weights": "binary", "negatives": "hard", "peer": 0.03},
        {"weight_decay": 0.001, "nesterov": True},
        {"weight_decay": 0.001, "momentum": 0.0},
        {"head_weight_decay": 0.003, "score": "head", "passes": "joint", "nesterov": True},
        {
            "head_weight_decay": 0.003,
            "weight_decay": 0.001,
            "activations": "binary",
            "score": "head",
        },
    ],
    "local_head": [
        {},
        {"momentum": 0.0},
        {"optimizer": "adam"},
        {"head": "fixed"},
        {"head": "fixed", "optimizer": "adam"},
        {"head_init": "zeros", "optimizer": "adam", "keep": 0.9},
        {"head": "fixed", "head_init": "normal", "schedule": "greedy", "optimizer": "adam"},
        {"head": "fixed", "head_init": "sign", "schedule": "greedy", "keep": 0.9, "parts": 3},
        {"schedule": "greedy", "predict": "sum"},
        {"batch_norm": True},
        {"batch_norm": True, "optimizer": "adam", "parts": 3, "keep": 0.9},
        {"batch_norm": True, "schedule": "greedy", "head": "fixed", "parts": 2},
        {"loss": "sim"},
        {"loss": "sim", "projection": "none", "batch_norm": True, "optimizer": "adam"},
        {"loss": "predsim", "optimizer": "adam", "parts": 3, "head_init": "zeros", "keep": 0.9},
        {"loss": "predsim", "projection": "none", "head": "fixed", "beta": 0.5, "predict": "sum"},
        {"loss": "predsim", "batch_norm": True, "schedule": "greedy", "parts": 3, "momentum": 0.0},
        {"keep": 0.9, "predict": "sum"},
        {"parts": 3},
        {"parts": 8, "optimizer": "adam"},
        {"weight_decay": 0.001, "nesterov": True, "parts": 3},
    ],
    "lora": [
        {},
        {"rank": 8, "alpha": 16.0, "momentum": 0.0},
        {"rank": 16, "optimizer": "adam", "biases": "all"},
        {"layers": "last:1", "frozen": "flash"},
        {"layers": "2", "biases": "last:1", "frozen": "flash", "optimizer": "adam"},
        {"weight_decay": 0.001, "nesterov": True},
        {"loss": "binary_cross_entropy"},
    ],
    "mem_pepita": [
        {},
        {"momentum": 0.0},
        {"optimizer": "adam"},
        {"keep": 1.0},
        {"output_error": "standard"},
        {"weights": "binary"},
        {"activations": "binary", "keep": 1.0},
        {"weights": "binary", "activations": "binary", "output_error": "standard"},
        {"weight_decay": 0.001, "nesterov": True},
    ],
    "pepita": [
        {},
        {"momentum": 0.0},
        {"optimizer": "adam"},
        {"keep": 1.0},
        {"output_error": "standard"},
        {"weights": "binary"},
        {"activations": "binary", "keep": 1.0},
        {"weights": "binary", "activations": "binary", "output_error": "standard"},
        {"weight_decay": 0.001, "nesterov": True},
        {"weight_decay": 0.001, "momentum": 0.0, "activations": "binary", "keep": 1.0},
    ],
    "ptq_int8": [
        {},
        {"update": "fused"},
        {"kernel": "torch"},
        {"weight_decay": 0.001, "nesterov": True},
        {"loss": "binary_cross_entropy"},
    ],
    "qat_int8": [
        {},
        {"momentum": 0.0},
        {"optimizer": "adam"},
        {"kernel": "torch"},
        {"weight_decay": 0.001, "nesterov": True},
        {"loss": "binary_cross_entropy"},
    ],
    "sparse_update": [
        {},
        {"layers": "all", "biases": "all", "momentum": 0.0},
        {"layers": "last:1", "biases": "all"},
        {"layers": "last:1", "frozen": "flash", "optimizer": "adam"},
        {"layers": "1", "biases": "none"},
        {"layers": "2", "biases": "all", "ratio": 0.5},
        {"ratio": 0.5, "part": "outputs", "frozen": "flash"},
        {"layers": "all", "ratio": 0.5, "frozen": "flash", "optimizer": "adam"},
        {"weight_decay": 0.001, "nesterov": True, "ratio": 0.5},
        {"loss": "binary_cross_entropy"},
    ],
    "tinyfoa": [
        {},
        {"slices": 1},
        {"slices": 4},
        {"update": "fused"},
        {"kernel": "tiles"},
        {"kernel": "tiles", "update": "fused"},
        {"features": "cached"},
        {"features": "cached", "kernel": "tiles", "update": "fused"},
        {"variant": "released"},
        {"variant": "released", "slices": 4},
        {"weight_decay": 0.001},
        {"weight_decay": 0.001, "kernel": "tiles", "update": "fused"},
        {"weight_decay": 0.001, "variant": "released"},
        {"weights": "float"},
        {"activations": "float"},
        {"weights": "float", "activations": "float"},
        {"weights": "float", "slices": 1, "kernel": "tiles", "update": "fused"},
        {"activations": "float", "slices": 1, "kernel": "tiles", "update": "fused"},
        {"weights": "float", "activations": "float", "slices": 4, "update": "fused"},
    ],
    "zeroth_order": [
        {},
        {"distribution": "rademacher"},
        {"weight_decay": 0.01},
        {"loss": "binary_cross_entropy"},
    ],
}
"""Options per algorithm; an algorithm that is not named here is tried with its defaults."""

CASES = [(name, options) for name in algorithm_names() for options in OPTIONS.get(name, [{}])]

IDS = [
    name + ("[" + ",".join(f"{k}={v}" for k, v in options.items()) + "]" if options else "")
    for name, options in CASES
]

LC_OPTIONS = {
    "tinyfoa": [
        {},
        {"slices": 1},
        {"slices": 4},
        {"update": "fused"},
        {"kernel": "tiles"},
        {"kernel": "tiles", "update": "fused"},
        {"frozen_statistics": "batch"},
        {"features": "cached"},
        {"features": "cached", "kernel": "tiles", "update": "fused"},
        {"variant": "released"},
        {"variant": "released", "slices": 4},
        {"weight_decay": 0.001},
        {"weight_decay": 0.001, "variant": "released"},
    ],
}
"""The same for the algorithms that train locally connected nets."""

LC_CASES = [
    (name, options)
    for name in algorithm_names()
    if LocallyConnected in get_algorithm(name).models
    for options in LC_OPTIONS.get(name, [{}])
]

UNIT_OPTIONS = {
    "backprop": [
        {},
        {"momentum": 0.0},
        {"optimizer": "adam"},
        {"checkpoint": 2},
        {"micro_batch": 5},
        {"update": "fused"},
        {"checkpoint": 1, "update": "fused", "optimizer": "adam"},
        {"update": "product"},
        {"update": "product", "optimizer": "adam", "checkpoint": 2},
        {"update": "product", "momentum": 0.0, "weight_decay": 0.001},
        {"checkpoint": 2, "micro_batch": 4, "weight_decay": 0.001, "nesterov": True},
        {"loss": "binary_cross_entropy"},
        {"weights": "binary", "activations": "binary"},
        {"weights": "binary", "activations": "binary", "update": "product", "checkpoint": 2},
        {"weights": "binary", "optimizer": "adam", "micro_batch": 5},
    ],
    "backprop_dai8": [
        {},
        {"kernel": "torch", "weight_gradient": "whole"},
        {"rounding": "stochastic", "optimizer": "adam"},
    ],
    "backprop_int8": [
        {},
        {"weight_gradient": "whole", "rounding": "stochastic"},
        {"rounding": "stochastic", "weight_decay": 0.001},
        {"kernel": "torch", "weight_gradient": "whole"},
        {"master": "fp32", "momentum": 0.9, "nesterov": True, "weight_decay": 0.001},
        {"master": "fp32", "optimizer": "adam", "rounding": "stochastic"},
        {"master": "fp32", "weight_gradient": "whole", "loss": "binary_cross_entropy"},
    ],
    "backprop_ui8": [
        {},
        {"rounding": "nearest", "candidates": 2, "weight_gradient": "whole"},
        {"period": 5, "optimizer": "adam"},
    ],
    "ff_int8": [
        {},
        {"rounding": "nearest", "labels": "plane"},
        {"kernel": "torch", "labels": "plane", "master": "fp32", "rounding": "nearest"},
        {"lookahead": "detached", "goodness": "mean"},
        {"lookahead": "true", "master": "fp32", "goodness": "mean"},
        {"lookahead": "true", "labels": "plane", "rounding": "nearest"},
        {"master": "fp32", "lookahead": "detached", "labels": "plane", "weight_decay": 0.0001},
        {"master": "fp32", "momentum": 0.9, "nesterov": True},
        {"weight_decay": 0.0001},
    ],
    "forward_forward": [
        {},
        {"passes": "joint", "optimizer": "adam", "goodness": "mean"},
        {"passes": "joint", "loss": "symba", "labels": "plane"},
        {"labels": "plane", "momentum": 0.0},
        {"labels": "channels"},
        {"labels": "channels", "goodness": "relu_mean", "optimizer": "adam"},
        {"labels": "channels", "goodness": "mean", "weight_decay": 0.001, "nesterov": True},
        {"labels": "channels", "weights": "binary", "activations": "binary"},
        {"weights": "binary", "passes": "joint", "goodness": "mean"},
    ],
    "local_head": [
        {},
        {"optimizer": "adam", "predict": "sum"},
        {"head": "fixed", "momentum": 0.0, "head_features": 40},
        {"schedule": "greedy", "head_init": "zeros"},
        {"schedule": "greedy", "head": "fixed", "optimizer": "adam", "head_features": 8},
        {"weight_decay": 0.001, "nesterov": True},
    ],
    "mem_pepita": [{}, {"optimizer": "adam", "output_error": "standard"}],
    "pepita": [{}, {"positions": "sum", "weight_decay": 0.001}],
    "ptq_int8": [{}, {"kernel": "torch", "update": "product", "checkpoint": 2}],
    "qat_int8": [
        {},
        {"kernel": "torch"},
        {"optimizer": "adam", "loss": "binary_cross_entropy"},
    ],
    "sparse_update": [
        {},
        {"layers": "all", "biases": "all", "momentum": 0.0},
        {"layers": "2,4", "biases": "none", "optimizer": "adam", "frozen": "flash"},
        {"layers": "2,3,4", "ratio": 0.5, "optimizer": "adam"},
        {"layers": "1,2,4", "ratio": 0.5, "part": "outputs", "frozen": "flash"},
        {"layers": "2,3,4", "ratio": 0.5, "weight_decay": 0.001, "nesterov": True},
        {"layers": "last:1", "loss": "binary_cross_entropy"},
    ],
    "tinyfoa": [
        {},
        {"update": "fused"},
        {"slices": 3, "kernel": "tiles", "head_features": 8, "weight_decay": 0.001},
        {"weights": "float", "frozen_statistics": "batch"},
        {"activations": "float", "slices": 1},
        {"weights": "float", "activations": "float"},
    ],
    "zeroth_order": [{}, {"distribution": "rademacher"}, {"weight_decay": 0.01}],
}
"""The same for the algorithms that train nets of units."""

UNIT_CASES = [
    (name, options)
    for name in algorithm_names()
    if UnitNet in get_algorithm(name).models
    for options in UNIT_OPTIONS.get(name, [{}])
]

ON_NETS = (
    [(*case, "mlp-24-16-32-8-4") for case in CASES]
    + [(*case, "lc-1x6x6-4-8-4") for case in LC_CASES]
    + [(*case, "cnn-1x6x6-c4-i4-r8s2-4") for case in UNIT_CASES]
)
"""Every case on a small net of every family that the algorithm trains."""


def id_of(name, options, *rest):
    """What pytest calls a case."""
    chosen = "[" + ",".join(f"{k}={v}" for k, v in options.items()) + "]" if options else ""
    return "-".join([name + chosen, *(str(each) for each in rest)])


ON_NETS_IDS = [id_of(name, options, model.split("-")[0]) for name, options, model in ON_NETS]


NETS = [
    ("mlp-24-16-32-8-4", 12),
    ("mlp-64-128-128-10", 7),
    ("mlp-20-40x5-3", 1),
    ("mlp-16-8-4", 33),
]
"""Narrow, wide, deep with a batch of one, shallow with more rows than units."""

LC_NETS = [
    ("lc-1x6x6-4-8-3", 12),
    ("lc-3x5x5-4x2-2", 7),
    ("lc-2x4x7-8x3-4", 1),
    ("lc-1x8x8-16-32-10", 5),
    ("lc-1x1x1-4x2-2", 9),
]
"""One channel, three channels, deep and oblong with a batch of one, wide, maps of one position."""


UNIT_NETS = [
    ("cnn-1x6x6-c4-d8-r8-p-4", 12),
    ("cnn-3x9x7-c6k5s2-r9s2-f12-3", 7),
    ("cnn-2x5x5-c4b-p-c8b-a-f8-4", 1),
    ("cnn-3x8x8-c6-i6-e6-e8s2-g-2", 5),
]
"""Separable and residual, oblong with large windows and strides, pools without normalisation and a
batch of one, inverted residuals with squeeze-and-excitation."""

WITHOUT_GATES = {"mem_pepita", "pepita"}
"""Rules that refuse squeeze-and-excitation."""


def in_turn(first):
    """Cases with nets: the defaults on all nets, a choice of options on one, each on the next."""
    return [
        (name, options, model, rows_for(options, rows))
        for cases, nets in ((CASES, NETS), (LC_CASES, LC_NETS), (UNIT_CASES, UNIT_NETS))
        for number, (name, options) in enumerate(cases)
        for model, rows in some_of(trained(name, options, nets), number + first, every=not options)
    ]


def trained(name, options, nets):
    """Those of some nets that a rule with these options does not refuse."""
    gates = name not in WITHOUT_GATES
    plain = options.get("frozen_statistics") != "batch"
    return [net for net in nets if (gates or "-e" not in net[0]) and (plain or "4b-" not in net[0])]


def some_of(nets, number, *, every):
    """All of them, or one in turn."""
    return nets if every else [nets[number % len(nets)]]


def rows_for(options, rows):
    """Batch normalisation and similarities between samples need two of them."""
    return max(rows, 2) if options.get("batch_norm") or "sim" in options.get("loss", "") else rows


MEASURED = in_turn(0)
"""Where the trace is compared with the allocator."""

if os.environ.get("TRAINFIT_SECOND_NETS"):
    MEASURED += [case for case in in_turn(2) if case not in MEASURED]


def few(cases):
    """The defaults, and as few of the other cases as have every value of every option once."""
    defaults = [case for case in cases if not case[1]]
    rest = sorted((case for case in cases if case[1]), key=lambda case: -len(case[1]))
    seen, chosen = set(), []
    for name, options, *model in rest:
        values = {(name, *model, key, value) for key, value in options.items()}
        if not values <= seen:
            seen |= values
            chosen.append((name, options, *model))
    return defaults + chosen


FEW = few(ON_NETS)
FEW_IDS = [id_of(name, options, model.split("-")[0]) for name, options, model in FEW]
"""For what depends on a rule and on its options one by one, not on how they are combined."""

ONE_EACH = [case for case in ON_NETS if not case[1]]
ONE_EACH_IDS = [id_of(name, options, model.split("-")[0]) for name, options, model in ONE_EACH]
"""For what depends on the rule, whatever its options are."""

ON_PROCESSORS = ONE_EACH + [
    case for case in FEW if case[1] and {"kernel", "weights", "activations"} & set(case[1])
]
ON_PROCESSORS_IDS = [
    id_of(name, options, model.split("-")[0]) for name, options, model in ON_PROCESSORS
]
"""For what a processor may do in another way: every rule, and the options that choose kernels."""

MEMORY_ONLY = {
    "backprop": {"update", "checkpoint", "micro_batch"},
    "backprop_dai8": {"weight_gradient"},
    "backprop_int8": {"weight_gradient"},
    "backprop_ui8": {"weight_gradient"},
    "ptq_int8": {"update", "checkpoint"},
    "tinyfoa": {"update"},
}
"""Options that give the same weights in other memory; and so does the kernel of every rule.

That they do is tested where the rule is: ``test_local_gradients``, ``test_backprop_binary``,
``test_backprop_int8``, ``test_quantised_units``, ``test_ff_int8`` and ``test_tinyfoa_lc``.
"""


def learns_as_another(name, options, model):
    """Whether the case trains the same weights as one with fewer options, which is a case too."""
    ignored = {"kernel"} | MEMORY_ONLY.get(name, set())
    plain = {key: value for key, value in options.items() if key not in ignored}
    return plain != options and (name, plain, model) in ON_NETS


def samples_for(algorithm, rows, seed=0):
    """Random inputs and labels that fit the algorithm's model."""
    generator = torch.Generator().manual_seed(seed)
    x = torch.rand(rows, algorithm.model.inputs, generator=generator)
    y = torch.randint(0, algorithm.model.classes, (rows,), generator=generator)
    return x, y


def batch_for(algorithm, rows, seed=0):
    """The same as the steps of the algorithm's stage take them."""
    x, y = samples_for(algorithm, rows, seed)
    return algorithm.stage_data(x), y


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
