"""Modelled time and energy beside published figures, and the page that shows them."""

from __future__ import annotations

from itertools import pairwise

import pytest

from published_costs import OURS, cycle_bounds, document
from trainfit.bench.costs.device_model import model_device
from trainfit.bench.costs.intervals import DeviceModel
from trainfit.bench.records.schema import Bounds, Workload
from trainfit.bench.sizing.predicted_workload import predicted_workload
from trainfit.hardware_profiles import load_core, load_device

RULES = ("backprop", "backprop_int8", "backprop_ui8", "backprop_dai8", "ff_int8")


@pytest.fixture(scope="module")
def steps() -> dict[str, DeviceModel]:
    """One step of the MLP of FF-INT8's Table V on its board, by rule."""
    found = {}
    for rule in RULES:
        workload = Workload(
            algorithm=rule, model="mlp-784-1000-1000-10", dataset="none", batch_size=32
        )
        form = predicted_workload(workload)
        found[rule] = model_device(form.operations, load_device("jetson-orin-nano-4gb"), 32)
    return found


def test_the_products_alone_bracket_every_figure_of_pau_and_aymone() -> None:
    found = list(cycle_bounds())

    published = {(rule, board): ms for rule, board, ms, _, _ in found}
    assert published == {
        ("BP", "STM32H735G"): 3.9,
        ("BP", "STM32G474RE"): 18.8,
        ("FF", "STM32H735G"): 5.8,
        ("FF", "STM32G474RE"): 28.2,
        ("PEPITA", "STM32H735G"): 6.6,
        ("PEPITA", "STM32G474RE"): 31.8,
        ("MEMPEPITA", "STM32H735G"): 8.0,
        ("MEMPEPITA", "STM32G474RE"): 38.8,
    }
    for rule, board, milliseconds, products, _ in found:
        assert products[0] < milliseconds < products[1], (rule, board)


def test_the_whole_step_takes_at_least_its_products() -> None:
    for rule, board, milliseconds, products, whole in cycle_bounds():
        assert 0 < products[0] < products[1]
        assert whole[0] < whole[1]
        assert milliseconds < whole[1], (rule, board)
        if rule in {"BP", "FF"}:  # the others are float32, their products taken as INT8
            assert products[0] < whole[0]
            assert products[1] < whole[1]


def test_the_products_of_a_rule_by_hand() -> None:
    widths = [640, 128, 128, 128, 128, 8, 128, 128, 128, 128, 640]
    layers = [before * after for before, after in pairwise(widths)]
    forward, hidden, after_first = sum(layers), sum(layers[:-1]), sum(layers[1:])
    assert (forward, hidden, after_first) == (264_192, 182_272, 182_272)
    low, _ = load_core("cortex-m7").mac_cycles("int8")
    found = {
        rule: round(products[0] * 1e-3 * 550e6 / low)
        for rule, board, _, products, _ in cycle_bounds()
        if board == "STM32H735G"
    }

    # two passes and the gradients of both, of the hidden layers
    assert found["FF"] == 4 * hidden
    # two passes, one gradient, and the error of 640 outputs projected onto 640 inputs
    assert found["PEPITA"] == 3 * forward + 640 * 640
    # the same, with what is after the first layer computed once more
    assert found["MEMPEPITA"] == found["PEPITA"] + after_first
    # forward, gradients of weights and of inputs; some of it twice, to know what it is rounded to
    assert 2 * forward + after_first < found["BP"] < 2 * (2 * forward + after_first)


def test_of_each_rule_the_slower_board_takes_longer() -> None:
    by_rule = {name: [b for rule, *b in cycle_bounds() if rule == name] for name in OURS}

    for fast, slow in by_rule.values():
        assert fast[2][0] < slow[2][0]
        assert fast[2][1] < slow[2][1]


# --- what the page says of Table V, term by term


def of(steps: dict[str, DeviceModel], rule: str, term: str) -> Bounds:
    return steps[rule].latency.terms[term]


def step(steps: dict[str, DeviceModel], rule: str) -> Bounds:
    found = steps[rule].latency.step
    assert found is not None
    return found


def test_ff_int8_is_the_cheapest_at_the_low_end(steps: dict[str, DeviceModel]) -> None:
    lows = {rule: step(steps, rule).low for rule in RULES}

    assert min(lows, key=lambda rule: lows[rule]) == "ff_int8"
    assert lows["backprop_ui8"] == pytest.approx(lows["backprop_dai8"], rel=0.01)


def test_energy_has_the_published_order_at_the_low_end(steps: dict[str, DeviceModel]) -> None:
    order = ("ff_int8", "backprop_int8", "backprop_ui8", "backprop_dai8", "backprop")
    joules = [model.low for rule in order if (model := steps[rule].energy.step)]

    assert joules == sorted(joules)


def test_traffic_of_float32_masters_is_what_ui8_and_dai8_pay(steps: dict[str, DeviceModel]) -> None:
    for rule in ("backprop_ui8", "backprop_dai8"):
        assert step(steps, rule).low == of(steps, rule, "traffic").low
        assert of(steps, rule, "traffic").low > of(steps, rule, "arithmetic").low
    assert step(steps, "backprop").low == of(steps, "backprop", "arithmetic").low


def test_two_passes_and_two_gradients_are_more_arithmetic(steps: dict[str, DeviceModel]) -> None:
    assert of(steps, "ff_int8", "arithmetic").low > of(steps, "backprop_dai8", "arithmetic").low
    assert of(steps, "ff_int8", "arithmetic").low < of(steps, "backprop", "arithmetic").low


def test_launches_weigh_more_for_rules_of_many_small_operators(
    steps: dict[str, DeviceModel],
) -> None:
    for rule in ("backprop_ui8", "backprop_dai8"):
        assert of(steps, rule, "launches").high > of(steps, "backprop", "launches").high
    assert of(steps, "backprop", "launches").high < of(steps, "backprop", "traffic").high


# --- the page


def test_the_tables_stand_in_their_order() -> None:
    text = document()

    heads = [line for line in text.splitlines() if line.startswith("###")]
    assert [head.split(":")[0] for head in heads] == [
        "### Cycles",
        "### Roofline",
        "### Energy per operation, as ratios",
    ]
    assert "| arithmetic | traffic | launches | step | energy |" in text
    row = next(line for line in text.splitlines() if line.startswith("| BP-FP32 | 4"))
    cells = [cell.strip() for cell in row.strip("|").split("|")]
    assert cells[6:] == ["1.00"] * 4, "FP32 over itself"
    assert "0 ns" not in text
    assert all(row.count("|") == 10 for row in text.splitlines() if row.startswith("| PEPITA"))
