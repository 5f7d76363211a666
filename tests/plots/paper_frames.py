"""Rows as runs of the papers' suites would give them, with figures that are easy to check."""

from tests.plots.frames import MLP, NET, by_phase, held, modelled, record


def workload(algorithm, model=MLP, options=None, **values):
    found = record(algorithm, options, model, dataset="mnist", epochs=0, evidence="allocator")
    names = ("static_bytes", "peak_dynamic_bytes", "test_accuracy", "step_seconds_median")
    return found | dict.fromkeys(names) | values


def times(low, high):
    """What a step takes on the paper's board."""
    seconds, joules = modelled(low, high)
    return {"costs": [seconds, joules | {"low": 2 * low, "high": 10 * high}]}


def table_v():
    still = {"momentum": 0.0}
    return [
        # with momentum, and first: the form without one is preferred all the same
        workload("backprop", **held(20_000_000, 9_000_000), **times(1.0, 1.0)),
        workload(
            "backprop",
            options=still,
            **held(7_000_000, 3_000_000),
            **times(0.001, 0.02),
            step_seconds_median=0.01,
            test_accuracy=0.97,
            epochs=5,
        ),
        workload("backprop", options=still, test_accuracy=0.97, epochs=5, seed=1),
        workload(
            "backprop_int8",
            **held(2_000_000, 500_000),
            **times(0.0002, 0.3),
            step_seconds_median=0.03,
            test_accuracy=0.6,
            epochs=5,
        ),
        workload("backprop_int8", **held(2_000_000, 500_000), test_accuracy=0.7, epochs=5, seed=1),
        workload("backprop_ui8", options=still, **held(7_000_000, 600_000)),
        workload("backprop_dai8", options=still, **held(7_100_000, 600_000)),
        workload(
            "ff_int8",
            options={"lookahead": "true"},
            **held(2_000_000, 400_000),
            **times(0.0003, 0.05),
            test_accuracy=0.965,
            epochs=5,
        ),
        workload("ff_int8", options={"lookahead": "true"}, test_accuracy=0.965, epochs=5, seed=1),
        # trained for longer, and so not beside the others
        workload("ff_int8", **held(2_000_000, 300_000), test_accuracy=0.99, epochs=20),
        # other forms and sizes, which must not be taken
        workload("backprop", options={"checkpoint": 2, "momentum": 0.0}, **held(1, 1)),
        workload("backprop", options=still, batch_size=100, **held(1, 1)),
        workload("ff_int8", model="mlp-784-500-10", **held(1, 1)),
    ]


def depth(seeds=2):
    rows, rate = [], {"lr": 0.01}
    for hidden, model in enumerate(["mlp-784-10", "mlp-784-500-10", "mlp-784-500x2-10"]):
        for seed in range(seeds):
            float32, int8 = 0.90 + 0.01 * hidden, 0.88 - 0.1 * hidden + 0.02 * seed
            rows += [
                workload("backprop", model, rate, seed=seed, epochs=5, test_accuracy=float32),
                workload("backprop_int8", model, rate, seed=seed, epochs=5, test_accuracy=int8),
                # shorter, and so not the one that is shown
                workload("backprop_int8", model, rate, seed=seed, epochs=1, test_accuracy=0.1),
            ]
    return rows


def macs(number_format, *counts):
    return [each | {"part": number_format} for each in by_phase("macs", *counts)]


def operations():
    rows = []
    for model, products in ((MLP, 15_000_000), ("mlp-784-500x3-10", 8_000_000)):
        refined = {"phase": "forward.standard", "quantity": "macs", "part": "fp32", "value": 999}
        counts = {
            "backprop": macs("fp32", products, products, None),
            "backprop_dai8": macs("int8", 2 * products, None, None),
            "ff_int8": macs("int8", 2 * products, None, products),
        }
        rows += [
            workload(algorithm, model, batch_size=10, values=[refined, *values])
            for algorithm, values in counts.items()
        ]
    return [*rows, workload("backprop", "mlp-784-10", values=macs("fp32", 1, 1, 1))]


def curve(algorithm, options, accuracies, *, model=MLP, every=1, epochs=None, **values):
    base = workload(algorithm, model, options, epochs=epochs or every * len(accuracies), **values)
    return [
        {**base, "pass": every * (index + 1), "test_accuracy": accuracy}
        for index, accuracy in enumerate(accuracies)
    ]


def convergence():
    return [
        *curve("ff_int8", {"lookahead": "off"}, [0.9, 0.94, 0.95], every=5),
        *curve("ff_int8", {"lookahead": "off"}, [0.92, 0.95, 0.97], every=5, seed=1),
        *curve("ff_int8", {"lookahead": "true"}, [0.91, 0.95, 0.97], every=5),
        *curve("ff_int8", {"lookahead": "true"}, [0.91, 0.95, 0.97], every=5, seed=1),
        *curve("ff_int8", {"lookahead": "true"}, [0.5, 0.5]),
        *curve("ff_int8", {}, [0.3] * 50, model="mlp-784-500-10"),
    ]


def phases(static, forward, gradient, update, bound=None):
    sizes = forward, gradient, update
    values = by_phase("peak_bytes", *sizes)
    if bound is not None:
        values += by_phase("device_bytes", *(int(bound * size) for size in sizes))
    return {**held(static, max(sizes)), "values": values, "batch_size": 100}


def tinyfoa_memory():
    adam = {"optimizer": "adam", "lr": 0.0001}
    million = 1_000_000
    rows = [
        ("backprop", {}, phases(1, 1, 1, 1)),  # no Adam
        ("backprop", adam, phases(160 * million, 3_200_000, 55 * million, 54 * million, 0.9)),
        (
            "local_head",
            {**adam, "head": "fixed"},
            phases(160 * million, 1_600_000, 2_400_000, 18 * million),
        ),
        (
            "tinyfoa",
            {"variant": "described"},
            phases(14_500_000, 1_600_000, 5_500_000, 4_500_000, 0.5),
        ),
        (
            "tinyfoa",
            {"variant": "released"},
            phases(86 * million, 32 * million, 52 * million, 52 * million),
        ),
        ("tinyfoa", {"kernel": "tiles"}, phases(1, 1, 1, 1)),
    ]
    return [workload(rule, NET, options, **sizes) for rule, options, sizes in rows]


def tinyfoa_accuracy():
    binary = {"weights": "binary", "activations": "binary"}
    by_layer = {"model": NET, "every": 3, "epochs": 3}
    three, one = "mlp-784-1000x3-10", "mlp-784-1024-10"
    return [
        *curve("tinyfoa", {"lr": 0.001}, [0.90, 0.95, 0.96, 0.97], **by_layer),
        *curve("tinyfoa", {"lr": 0.001}, [0.92, 0.95, 0.96, 0.97], **by_layer, seed=1),
        *curve("tinyfoa", {"variant": "released"}, [0.92, 0.93, 0.93, 0.92], **by_layer),
        *curve("drtp", {"lr": 0.01}, [0.93, 0.94], model=three, every=6),
        *curve("drtp", {"lr": 0.01}, [0.99], model=three, every=100),  # longer: no pair
        *curve("drtp", binary, [0.8, 0.89], model=three, every=6),
        *curve("pepita", {}, [0.97], model=one, every=12),
    ]
