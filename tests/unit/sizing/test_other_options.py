"""What other options would reach is larger, fits, and is the largest with them."""

from __future__ import annotations

from typing import Any

import pytest

from tests.fakes.small_boards import small
from trainfit.bench.records.schema import Workload
from trainfit.bench.sizing.largest import CEILING, Dimension, largest, reach
from trainfit.bench.sizing.other_options import other_options
from trainfit.bench.sizing.predicted_workload import predicted_workload
from trainfit.hardware_profiles import load_device


def workload(algorithm: str = "backprop", **changes: Any) -> Workload:
    values = {"model": "mlp-64-32x2-10", "dataset": "none", "batch_size": 8}
    return Workload(algorithm=algorithm, **values | changes)


@pytest.mark.parametrize("dimension", Dimension)
@pytest.mark.parametrize("algorithm", ["backprop", "sparse_update"])
def test_every_reach_is_larger_fits_and_ends_there(algorithm: str, dimension: Dimension) -> None:
    given = workload(algorithm)
    device = small(int(1.1 * predicted_workload(given).planned.ram_bytes))
    found = largest(given, device, dimension)
    assert found.size is not None

    reached = other_options(found, given, device)

    assert reached
    sizes = [each.probe.size for each in reached]
    assert sizes == sorted(sizes, reverse=True)
    for each in reached[:3]:
        assert each.probe.size > found.size
        assert each.workload.options == given.options | each.options
        assert predicted_workload(each.workload).planned.ram_bytes == each.probe.ram_bytes
        exact = largest(given.model_copy(update={"options": each.options}), device, dimension)
        assert exact.size == each.probe.size
    assert len({str(each.options) for each in reached}) == len(reached)


def test_slices_that_divide_no_width_so_far_are_found() -> None:
    # GIVEN the largest width 62, which 8 does not divide
    given = Workload(algorithm="tinyfoa", model="mlp-784-256x2-10", dataset="none", batch_size=32)
    device = load_device("stm32f746")
    found = largest(given, device, Dimension.WIDTH)
    assert found.size == 62

    reached = other_options(found, given, device)

    assert reached[0].options == {"slices": 8}
    assert reached[0].probe.size == 232


def test_options_may_reach_where_nothing_fits_without() -> None:
    given = workload(options={"optimizer": "adam"})
    least = predicted_workload(workload(batch_size=1, options={"optimizer": "adam"}))
    device = small(least.planned.ram_bytes - 1)
    found = largest(given, device, Dimension.BATCH)
    assert found.size is None

    reached = other_options(found, given, device)

    assert {"optimizer": "sgd"} in [each.options for each in reached]


def test_predictions_that_take_long_are_not_searched(monkeypatch: pytest.MonkeyPatch) -> None:
    given = workload()
    device = small(predicted_workload(given).planned.ram_bytes)
    found = largest(given, device, Dimension.DEPTH)
    assert other_options(found, given, device)

    monkeypatch.setattr("trainfit.bench.sizing.predicted_workload.QUICK", 10)

    assert other_options(found, given, device) is None


def test_nothing_is_looked_for_beyond_the_ceiling() -> None:
    given = workload()
    device = small(10**9)
    found = largest(given, device, Dimension.DEPTH)
    assert found.size == CEILING[Dimension.DEPTH]

    assert other_options(found, given, device) == []


def test_nothing_is_reached_where_nothing_helps() -> None:
    given = workload()
    device = small(50)

    assert other_options(largest(given, device, Dimension.BATCH), given, device) == []
    assert reach(given, device, Dimension.BATCH) is None
