"""The roofline of a made-up board, worked out by hand."""

from __future__ import annotations

import pytest

from tests.builders.costs import UNKNOWN, phase, sbc, stage
from trainfit.bench.costs.intervals import Modelled
from trainfit.bench.costs.roofline import CACHE_BYTES, model_energy, model_latency
from trainfit.bench.records.schema import Bounds, Evidence, PhaseOperations
from trainfit.hardware_profiles import Device, load_device

PRODUCT = phase(
    macs={"fp32": 10**9},
    elementwise={"fp32": {"add": 10**6}},
    operands={"fp32": 10**6},
    results={"fp32": 5 * 10**5},
    calls={"product": 3, "elementwise": 4},
)
ARITHMETIC = (2.001e-3, 40.02e-3)
"""2 x 10^9 + 10^6 operations at 10^12 a second; at a twentieth of that."""
STREAMED = 72e-3
"""4 B of every operand and result, 12 B of every element: 18 x 10^6 B at a quarter of 10^9 B/s."""
LAUNCHES = 1.4e-3
"""7 calls of 2 kernels of 100 us."""
HELD = 10e-3
"""10^7 static bytes beyond what caches hold, at 10^9 B/s."""
LOW, HIGH = HELD, 113.42e-3


def step(found: Modelled) -> tuple[float, float]:
    assert found.evidence is Evidence.MODELLED, found.reason
    assert found.step is not None
    return found.step.low, found.step.high


def ends(interval: Bounds) -> tuple[float, float]:
    return interval.low, interval.high


def arithmetic(device: Device, **tallies: object) -> tuple[float, float]:
    """Of a step that computes this and holds nothing."""
    one: PhaseOperations = phase(**tallies)
    return ends(
        model_latency([stage({"forward": one}, static_bytes=0)], device).terms["arithmetic"]
    )


def test_the_larger_of_both_roofs_to_the_sum_of_all_terms() -> None:
    found = model_latency([stage({"forward": PRODUCT})], sbc())

    assert list(found.terms) == ["arithmetic", "traffic", "launches"]
    assert ends(found.terms["arithmetic"]) == pytest.approx(ARITHMETIC, rel=1e-5)
    assert ends(found.terms["traffic"]) == pytest.approx((HELD, STREAMED), rel=1e-5)
    assert ends(found.terms["launches"]) == pytest.approx((0, LAUNCHES), rel=1e-5)
    assert step(found) == pytest.approx((LOW, HIGH), rel=1e-5)
    assert (found.model, found.stage) == ("roofline", "all")
    assert found.source is not None
    assert "(assumed)" in found.source


def test_arithmetic_is_the_lower_end_where_little_is_held() -> None:
    found = model_latency([stage({"forward": PRODUCT}, static_bytes=1_000)], sbc())

    assert step(found) == pytest.approx((ARITHMETIC[0], HIGH), rel=1e-5)


def test_what_is_held_is_read_even_if_no_operation_says_so() -> None:
    idle = phase(macs={"fp32": 1}, operands={"fp32": 2}, results={"fp32": 1})

    traffic = model_latency([stage({"forward": idle})], sbc()).terms["traffic"]

    assert ends(traffic) == (HELD, HELD)


def test_low_bits_are_fast_at_best_and_float32_at_worst() -> None:
    macs = 10**9
    high = 2 * macs / 0.05e12
    at_best = {"fp32": 2e-3, "int8": 0.5e-3, "fp32_binary": 2e-3, "binary": 2e-3 / 32}
    for number_format, low in at_best.items():
        assert arithmetic(sbc(), macs={number_format: macs}) == pytest.approx(
            (low, high), rel=1e-5
        ), number_format


def test_operands_have_the_width_of_their_format_and_results_32_bits() -> None:
    widths = {"fp32": 4, "int8": 1, "fp32_binary": 4, "binary": 0.125}
    for number_format, width in widths.items():
        one = phase(operands={number_format: 8_000_000}, results={number_format: 1_000_000})
        traffic = model_latency([stage({"forward": one}, static_bytes=0)], sbc()).terms["traffic"]
        streamed = 8e6 * width + 4e6
        assert ends(traffic) == pytest.approx((0, streamed / 0.25e9), rel=1e-5), number_format


@pytest.mark.parametrize(
    ("changes", "tops"),
    [
        ({}, 4),
        ({"int8_dense": None}, 1),
        ({"int8_dense": UNKNOWN}, 1),
        ({"int8_dense": '{ value = 0.5, unit = "TOPS", source = "sheet" }'}, 1),
        (
            {
                "int8_dense": UNKNOWN,
                "int8_sparse": '{ value = 8.0, unit = "TOPS", source = "sheet" }',
            },
            8,
        ),
        ({"int8_sparse": '{ value = 8.0, unit = "TOPS", source = "sheet" }'}, 4),
    ],
    ids=["dense", "none", "unknown", "slower than float32", "sparse alone", "both"],
)
def test_int8_is_never_slower_than_float32_at_best(changes: dict[str, str], tops: int) -> None:
    low, _ = arithmetic(sbc(**changes), macs={"int8": 10**9})

    assert low == pytest.approx(2e9 / (tops * 1e12), rel=1e-5)


def test_the_jetson_nano_has_no_int8_figure_and_says_so() -> None:
    found = model_latency(
        [stage({"forward": phase(macs={"int8": 10**9})})], load_device("jetson-nano")
    )

    # 128 cores x 2 x 921.6 MHz
    assert found.terms["arithmetic"].low == pytest.approx(2e9 / 0.2359296e12, rel=1e-5)
    assert "INT8 at the float32 rate" in (found.source or "")


def test_energy_is_idle_power_at_best_and_the_largest_mode_at_worst() -> None:
    stages = [stage({"forward": PRODUCT})]

    found = model_energy(stages, sbc())

    assert step(found) == pytest.approx((2 * LOW, 10 * HIGH), rel=1e-5)
    assert ends(found.terms["launches"]) == pytest.approx((0, 10 * LAUNCHES), rel=1e-5)
    assert ends(found.phases["forward"]) == pytest.approx((2 * ARITHMETIC[0], 10 * HIGH), rel=1e-5)
    assert found.model == "power mode x roofline"
    assert "mode high 10 W" in (found.source or "")
    assert "boost" not in (found.source or "")


def test_refined_phases_are_shown_and_not_counted_twice() -> None:
    phases = {"forward": PRODUCT, "forward.positive": PRODUCT, "update": phase()}

    found = model_latency([stage(phases)], sbc())

    assert step(found) == pytest.approx((LOW, HIGH), rel=1e-5)
    assert set(found.phases) == set(phases)
    assert found.phases["forward.positive"] == found.phases["forward"]
    assert ends(found.phases["update"]) == (0, 0)


def test_the_stage_with_the_highest_upper_end_is_the_step() -> None:
    # GIVEN a last stage that holds five times as much and computes next to nothing
    small = phase(macs={"fp32": 10**6})
    stages = [
        stage({"forward": small}, "first"),
        stage({"forward": PRODUCT}, "second"),
        stage({"forward": small}, "third", static_bytes=50_000_000 + CACHE_BYTES),
    ]

    for model in (model_latency, model_energy):
        assert model(stages, sbc()).stage == "second"
    assert step(model_latency(stages, sbc())) == pytest.approx((LOW, HIGH), rel=1e-5)
    assert model_latency(stages[2:], sbc()).step == Bounds(low=50e-3, high=50.04e-3)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"fp32_peak": None}, "fp32_peak: the profile does not give it"),
        ({"fp32_peak": UNKNOWN}, "fp32_peak is unknown: not in the sheet"),
        ({"memory_bandwidth": None}, "memory_bandwidth: the profile does not give it"),
        ({"memory_bandwidth": UNKNOWN}, "memory_bandwidth is unknown: not in the sheet"),
    ],
)
def test_without_both_roofs_there_is_neither_time_nor_energy(
    changes: dict[str, str], reason: str
) -> None:
    for model in (model_latency, model_energy):
        found = model([stage()], sbc(**changes))
        assert (found.evidence, found.step, found.reason) == (
            Evidence.UNAVAILABLE,
            None,
            reason,
        )


@pytest.mark.parametrize(
    ("device", "reason"),
    [
        (sbc(idle_power=UNKNOWN), "idle power is unknown: not in the sheet"),
        (sbc(idle_power=None), "idle power is unknown: the profile does not give it"),
        (
            sbc(modes=f'[[power_modes]]\nname = "only"\npower = {UNKNOWN}\n'),
            "no power mode of the profile has a figure",
        ),
    ],
    ids=["idle unknown", "no idle", "no mode"],
)
def test_time_without_energy(device: Device, reason: str) -> None:
    assert model_latency([stage()], device).step is not None

    found = model_energy([stage()], device)

    assert (found.evidence, found.step, found.reason) == (Evidence.UNAVAILABLE, None, reason)


def test_a_record_of_version_1_lacks_the_traffic() -> None:
    old = stage({"forward": phase(macs={"fp32": 10})}, static_bytes=None)

    for model in (model_latency, model_energy):
        found = model([stage(), old], sbc())
        assert found.step is None
        assert "version 1" in (found.reason or "")
        assert model([], sbc()).reason == "the operations of the step are not known"
