"""Energy per operation: hand sums, and ratios between number formats."""

from __future__ import annotations

import pytest

from tests.builders.costs import phase, stage
from trainfit.algorithms.memory.operations import NumberFormat
from trainfit.bench.costs.horowitz import MAC_PICOJOULES, arithmetic, not_comparable, traffic


@pytest.mark.parametrize(
    ("number_format", "low", "high"),
    [("fp32", 4.6, 4.6), ("int8", 0.23, 0.3), ("fp32_binary", 0.9, 0.9), ("binary", 0.0, 0.03)],
)
def test_products_by_format(number_format: str, low: float, high: float) -> None:
    one = stage({"forward": phase(macs={number_format: 1_000})})

    assert arithmetic([one]) == pytest.approx((1_000 * low, 1_000 * high))


def test_every_format_is_known() -> None:
    assert set(MAC_PICOJOULES) == set(NumberFormat)


def test_element_operations_in_the_table_count_and_others_do_not() -> None:
    known = {
        "fp32": {"add": 10, "compare": 10, "multiply": 10},
        "int8": {"add": 100, "multiply": 100},
    }
    unknown = {"fp32": {"divide": 7, "transcendental": 7, "random": 7}}

    found = arithmetic([stage({"forward": phase(elementwise=known)})])

    assert found == pytest.approx((9 + 9 + 37 + 3 + 20,) * 2)
    assert arithmetic([stage({"forward": phase(elementwise=unknown)})]) == (0, 0)


def test_traffic_is_a_small_cache_at_best_and_dram_at_worst() -> None:
    # 8 float32 operands, 2 results, 1 element operation: 32 + 8 + 12 = 52 bytes
    one = phase(operands={"fp32": 8}, results={"fp32": 2}, elementwise={"fp32": {"add": 1}})

    # 10 pJ and 2,600 pJ for 8 bytes
    assert traffic([stage({"forward": one})]) == pytest.approx((52 * 1.25, 52 * 325))


def test_packed_bits_move_an_eighth_of_a_byte() -> None:
    bits = stage({"forward": phase(operands={"binary": 64})})

    assert traffic([bits])[0] == pytest.approx(8 * 1.25)


def test_all_stages_count_and_refined_phases_do_not_count_twice() -> None:
    one = phase(macs={"fp32": 100}, operands={"fp32": 10})
    single = stage({"forward": one})
    refined = stage({"forward": one, "forward.positive": one})

    for energy in (arithmetic, traffic):
        assert energy([refined]) == energy([single])
        twice = energy([single, refined])
        assert twice == pytest.approx([2 * end for end in energy([single])])
        assert energy([]) == (0, 0)


def test_what_states_no_operations_is_compared_with_nothing() -> None:
    counted = [stage()]
    silent = [stage({"forward": phase(), "update": phase()})]

    assert not_comparable(counted, counted) == ""
    assert not_comparable(counted, silent) == "B: the algorithm states no operations"
    assert not_comparable(silent, counted) == "A: the algorithm states no operations"
    bits = [stage({"forward": phase(macs={"binary": 5})})]
    assert not_comparable(bits, counted).startswith("A: its operations may take nothing")
    assert not_comparable(counted, bits) == ""
