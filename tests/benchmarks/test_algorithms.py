"""Bytes and time of algorithms beside each other.

``pytest tests/benchmarks/test_algorithms.py --benchmark-only -o addopts="" -p no:cacheprovider``
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tests.benchmarks import conclude, interleave, threads
from tests.reference_methods import algorithm_step
from trainfit.algorithms import Category, build_algorithm
from trainfit.bench.profiler import profile_step
from trainfit.bench.testing.benchmark_bridge import record_benchmark
from trainfit.bench.trace.prediction import predict

ROWS = 100
DEEP = "mlp-784-2000x4-10"
NETS = ("mlp-64-128-128-10", "mlp-784-500-500-10", DEEP)
SECOND = 1  # the first layer's input is the batch itself, every other layer's is binary
BYTES_TARGET, TIME_TARGET = 10.0, 3.0


def measured_peak(benchmark: Any, step: Callable[[], None], name: str = "") -> int:
    """Exact peak of a step; all its bytes go to pytest-benchmark's JSON."""
    profile = profile_step(step)
    record_benchmark(benchmark, profile, name=name)
    return profile.peak_dynamic_bytes


@pytest.mark.parametrize("count", [1, 2])
def test_tinyfoa_described_beside_released(
    benchmark: Any, request: pytest.FixtureRequest, count: int
) -> None:
    """The paper's description against its released code, second layer."""
    steps = {
        variant: algorithm_step("tinyfoa", DEEP, ROWS, {"variant": variant}, stage=SECOND)
        for variant in ("described", "released")
    }
    bytes_ = {name: measured_peak(benchmark, step.run, name) for name, step in steps.items()}
    states = {}
    for name in steps:
        algorithm = build_algorithm("tinyfoa", DEEP, {"variant": name})
        algorithm.enter_stage(SECOND)
        states[name] = sum(
            static.tensor.nbytes
            for static in algorithm.static_tensors()
            if static.category is Category.OPTIMIZER_STATE
        )

    with threads(count):
        watch = interleave(benchmark, {name: step.run for name, step in steps.items()}, rounds=20)

    ratio = bytes_["released"] / bytes_["described"]
    conclude(
        request,
        benchmark,
        threads=count,
        described_bytes=bytes_["described"],
        released_bytes=bytes_["released"],
        released_over_described_bytes=ratio,
        released_over_described_bytes_target=BYTES_TARGET,
        released_over_described_time=watch.median("released") / watch.median("described"),
        released_over_described_time_target=TIME_TARGET,
        described_optimizer_state_bytes=states["described"],
        released_optimizer_state_bytes=states["released"],
    )
    assert ratio >= BYTES_TARGET


@pytest.mark.parametrize("model", NETS)
def test_forward_forward_beside_backprop(
    benchmark: Any, request: pytest.FixtureRequest, model: str
) -> None:
    """Forward-Forward in closed form against plain backpropagation on the same net."""
    ours = algorithm_step("forward_forward", model, ROWS)
    theirs = algorithm_step("backprop", model, ROWS)
    small = measured_peak(benchmark, ours.run, "forward_forward")
    large = measured_peak(benchmark, theirs.run, "backprop")

    with threads(1):
        watch = interleave(
            benchmark, {"forward_forward": ours.run, "backprop": theirs.run}, rounds=10
        )

    conclude(
        request,
        benchmark,
        forward_forward_bytes=small,
        backprop_bytes=large,
        backprop_over_forward_forward_bytes=large / small,
        forward_forward_over_backprop_time=watch.median("forward_forward")
        / watch.median("backprop"),
    )
    assert small < large


CLOSED_FORMS: list[Any] = [
    pytest.param("backprop", {}, 0, id="backprop"),
    pytest.param("backprop", {"optimizer": "adam"}, 0, id="backprop-adam"),
    pytest.param("backprop", {"update": "fused"}, 0, id="backprop-fused"),
    pytest.param("backprop", {"update": "product"}, 0, id="backprop-product"),
    pytest.param("backprop", {"checkpoint": 2}, 0, id="backprop-checkpoint"),
    pytest.param("backprop", {"micro_batch": 10}, 0, id="backprop-micro-batch"),
    pytest.param("forward_forward", {}, 0, id="forward-forward"),
    pytest.param("forward_forward", {"optimizer": "adam"}, 0, id="forward-forward-adam"),
    pytest.param("forward_forward", {"implementation": "autograd"}, 0, id="forward-forward-naive"),
    pytest.param("tinyfoa", {}, SECOND, id="tinyfoa"),
    pytest.param("tinyfoa", {"update": "fused"}, SECOND, id="tinyfoa-fused"),
    pytest.param("tinyfoa", {"variant": "released"}, SECOND, id="tinyfoa-released"),
]


@pytest.mark.parametrize(("name", "options", "stage"), CLOSED_FORMS)
def test_peak_beside_the_device_view(
    benchmark: Any,
    request: pytest.FixtureRequest,
    name: str,
    options: dict[str, Any],
    stage: int,
) -> None:
    """How far an implementation is from what its algorithm cannot do without."""
    model = "mlp-784-500-500-10"
    algorithm = build_algorithm(name, model, options)
    algorithm.enter_stage(stage)
    plan = predict(algorithm, ROWS)
    step = algorithm_step(name, model, ROWS, options, stage=stage)
    measured = measured_peak(benchmark, step.run)

    with threads(1):
        interleave(benchmark, {"step": step.run}, rounds=5)

    conclude(
        request,
        benchmark,
        peak_bytes=measured,
        device_bytes=plan.device_bytes,
        peak_over_device_view=measured / plan.device_bytes,
    )
    assert measured == plan.peak_bytes
    assert plan.device_bytes <= measured


INT8_NET, INT8_ROWS = "mlp-784-1000-1000-10", 32
STATIC_AND_DYNAMIC_TARGET, STEP_TARGET = 0.613, 1.0


@pytest.mark.parametrize(
    "options",
    [{}, {"lookahead": "detached"}, {"lookahead": "true"}, {"master": "fp32"}],
    ids=["off", "detached", "true", "fp32-master"],
)
def test_ff_int8_beside_backprop(
    benchmark: Any, request: pytest.FixtureRequest, options: dict[str, Any]
) -> None:
    """INT8 Forward-Forward against FP32 backpropagation, with momentum and without.

    The target for bytes, static ones included, is the average that the paper claims (-38.7 %).
    """
    choices: dict[str, tuple[str, dict[str, Any]]] = {
        "ff_int8": ("ff_int8", options),
        "backprop": ("backprop", {}),
        "plain_backprop": ("backprop", {"momentum": 0.0}),
    }
    bytes_ = {}
    for key, (name, chosen) in choices.items():
        plan = predict(build_algorithm(name, INT8_NET, chosen), INT8_ROWS)
        bytes_[key] = plan.static_bytes + plan.peak_bytes
    steps = {
        key: algorithm_step(name, INT8_NET, INT8_ROWS, chosen).run
        for key, (name, chosen) in choices.items()
    }

    with threads(1):
        watch = interleave(benchmark, steps, rounds=100)

    ours = watch.median("ff_int8")
    conclude(
        request,
        benchmark,
        static_and_dynamic_bytes=bytes_["ff_int8"],
        over_backprop_bytes=bytes_["ff_int8"] / bytes_["backprop"],
        over_backprop_bytes_target=STATIC_AND_DYNAMIC_TARGET,
        over_backprop_time=ours / watch.median("backprop"),
        over_plain_backprop_time=ours / watch.median("plain_backprop"),
        over_backprop_time_target=STEP_TARGET,
    )
    assert bytes_["ff_int8"] <= STATIC_AND_DYNAMIC_TARGET * bytes_["backprop"]
