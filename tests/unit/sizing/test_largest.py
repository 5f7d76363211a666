"""The largest size that fits: exact, and honest where it cannot be sure."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from tests.fakes.small_boards import small, with_torch
from trainfit.algorithms import ConfigurationError
from trainfit.bench.records.schema import Workload
from trainfit.bench.sizing import largest as module
from trainfit.bench.sizing.largest import CEILING, Dimension, Largest, LargestError, largest
from trainfit.bench.sizing.predicted_workload import PredictedWorkload, predicted_workload
from trainfit.bench.verdicts.judge import judge_all
from trainfit.bench.verdicts.memory import Status, worst
from trainfit.bench.verdicts.ram import PlannedRam
from trainfit.hardware_profiles import Budgets, Device, load_device, parse_budgets

MODEL = "mlp-16-8x2-4"


def workload(algorithm: str = "backprop", **changes: Any) -> Workload:
    values = {"model": MODEL, "dataset": "none", "batch_size": 4}
    return Workload(algorithm=algorithm, **values | changes)


def resized(given: Workload, dimension: Dimension, size: int) -> Workload:
    """Without the code under test."""
    _, inputs, hidden, classes = given.model.split("-")
    width, _, depth = hidden.partition("x")
    if dimension is Dimension.BATCH:
        return given.model_copy(update={"batch_size": size})
    if dimension is Dimension.WIDTH:
        width = str(size)
    else:
        depth = str(size)
    return given.model_copy(update={"model": f"mlp-{inputs}-{width}x{depth or 1}-{classes}"})


def fits(given: Workload, device: Device, asked: Budgets | None = None) -> bool | None:
    """Whether it does; None for what cannot be trained."""
    try:
        needs = predicted_workload(given).demand(device)
    except ConfigurationError:
        return None
    return worst(judge_all(needs, device, asked)).status in {Status.FITS, Status.TIGHT}


RULES: dict[str, tuple[str, dict[str, Any]]] = {
    "backprop": ("backprop", {}),
    "adam": ("backprop", {"optimizer": "adam"}),
    "micro_batch": ("backprop", {"micro_batch": 3}),
    "checkpoint": ("backprop", {"checkpoint": 2}),
    "tinyfoa": ("tinyfoa", {"slices": 4}),
    "ff_int8": ("ff_int8", {}),
    "pepita": ("pepita", {}),
    "sparse_update": ("sparse_update", {}),
    "zeroth_order": ("zeroth_order", {}),
}
ENOUGH_FOR = {Dimension.BATCH: 90, Dimension.WIDTH: 40, Dimension.DEPTH: 7}
TRIED = 140


@pytest.mark.parametrize("dimension", Dimension)
@pytest.mark.parametrize("rule", RULES)
def test_it_is_that_of_trying_every_size(rule: str, dimension: Dimension) -> None:
    # GIVEN a small device, and what fits of all sizes
    algorithm, options = RULES[rule]
    given = workload(algorithm, options=options)
    needed = predicted_workload(resized(given, dimension, ENOUGH_FOR[dimension])).planned.ram_bytes
    device = small(needed + 3)
    sizes = range(1, TRIED if dimension is not Dimension.DEPTH else 20)
    tried = {size: fits(resized(given, dimension, size), device) for size in sizes}
    fitting = [size for size, good in tried.items() if good]
    assert fitting
    assert fitting[-1] < sizes[-1], "the range is too short to see the end"

    # WHEN it is searched for
    found = largest(given, device, dimension)

    # THEN it is the last one that fits, and the next one does not
    assert found.size == fitting[-1]
    assert found.probe.size == found.size
    assert fits(found.workload, device)
    assert found.probe.ram_bytes == predicted_workload(found.workload).planned.ram_bytes
    after = next(size for size in sizes if size > fitting[-1] and tried[size] is not None)
    assert found.next_probe is not None
    assert found.next_probe.size == after
    assert found.next_probe.verdict.status is Status.EXCEEDS
    assert found.monotone
    assert found.exceptions == ()
    assert [probe.size for probe in found.probes] == sorted({p.size for p in found.probes})


def test_one_byte_decides() -> None:
    needed = {
        size: predicted_workload(workload(batch_size=size)).planned.ram_bytes
        for size in (49, 50, 51)
    }

    found = [largest(workload(), small(needed[50] + extra), Dimension.BATCH) for extra in (0, -1)]

    assert [each.size for each in found] == [50, 49]
    assert [each.probe.ram_bytes for each in found] == [needed[50], needed[49]]
    assert [each.next_probe and each.next_probe.ram_bytes for each in found] == [
        needed[51],
        needed[50],
    ]
    assert found[0].probe.verdict.margin == 0
    assert found[0].probe.verdict.status is Status.TIGHT


@pytest.mark.parametrize("slices", [3, 100, 512])
def test_slices_divide_every_width(slices: int) -> None:
    given = workload("tinyfoa", model=f"mlp-{slices}-{slices}x2-4", options={"slices": slices})
    need = predicted_workload(resized(given, Dimension.WIDTH, 3 * slices)).planned.ram_bytes

    found = largest(given, small(need), Dimension.WIDTH)

    assert found.size == 3 * slices
    assert found.next_probe is not None
    assert found.next_probe.size == 4 * slices


def test_a_width_that_begins_beyond_those_tried_in_a_row() -> None:
    # GIVEN a share of a layer that is less than one unit below 2000
    given = workload("sparse_update", options={"ratio": 0.0005}, model="mlp-2000-2500x2-4")
    device = small(predicted_workload(given).planned.ram_bytes)

    assert largest(given, device, Dimension.WIDTH).size == 2500


@pytest.mark.parametrize("dimension", Dimension)
def test_the_search_ends_at_its_ceiling(dimension: Dimension) -> None:
    found = largest(workload(), load_device("jetson-agx-orin"), dimension)

    assert found.size == CEILING[dimension]
    assert found.next_probe is None


@pytest.mark.parametrize("dimension", Dimension)
def test_where_nothing_fits_the_smallest_says_why(dimension: Dimension) -> None:
    found = largest(workload(), small(100), dimension)

    assert found.size is None
    assert found.probe.size == 1
    assert found.workload == resized_name(workload(), dimension)
    assert found.probe.verdict.status is Status.EXCEEDS
    assert found.next_probe is None
    assert found.exceptions == ()


def resized_name(given: Workload, dimension: Dimension) -> Workload:
    names = {Dimension.BATCH: MODEL, Dimension.WIDTH: "mlp-16-1x2-4", Dimension.DEPTH: "mlp-16-8-4"}
    changes: dict[str, Any] = {"model": names[dimension]}
    if dimension is Dimension.BATCH:
        changes["batch_size"] = 1
    return given.model_copy(update=changes)


@pytest.mark.parametrize(
    ("budget", "device"),
    [
        ({"step_latency": "50ms"}, small(10**6, clock=10**7)),
        ({"energy_per_step": "1mJ"}, small(10**6, current=100.0)),
        ({"battery": "1J", "training_samples": "2000"}, small(10**6, current=100.0)),
        ({"ram": "5KiB"}, small(10**6)),
    ],
)
@pytest.mark.parametrize("dimension", [Dimension.BATCH, Dimension.WIDTH])
def test_budgets_are_part_of_the_search(
    budget: dict[str, str], device: Device, dimension: Dimension
) -> None:
    asked = parse_budgets(budget, "--budget")
    sizes = range(1, 400)
    tried = {size: fits(resized(workload(), dimension, size), device, asked) for size in sizes}

    found = largest(workload(), device, dimension, asked)

    if all(tried.values()):  # a battery allows so much per sample, whatever the batch
        assert "battery" in budget
        assert dimension is Dimension.BATCH
        return
    assert found.size == max(size for size, good in tried.items() if good)
    assert found.next_probe is not None
    assert found.next_probe.verdict.budget in {*budget, "training_energy"}
    without = largest(workload(), device, dimension)
    assert (without.size or 0) > (found.size or 0)


def test_a_budget_inside_the_interval_at_the_smallest_size_is_no_size_and_no_fault() -> None:
    device = small(10**6, clock=10**7)
    step = predicted_workload(workload(batch_size=1)).demand(device).modelled.latency.step
    assert step is not None
    asked = Budgets(step_latency=f"{(step.low + step.high) / 2 * 1e6:.3f} us")  # type: ignore[call-arg]

    found = largest(workload(), device, Dimension.BATCH, asked)

    assert found.size is None
    assert found.probe.verdict.status is Status.UNKNOWN
    assert found.probe.verdict.margin is not None


def test_an_unknown_figure_means_no_answer() -> None:
    device = small(10**6, flash=None)

    with pytest.raises(LargestError) as error:
        largest(workload("tinyfoa"), device, Dimension.BATCH)

    needed = predicted_workload(workload("tinyfoa", batch_size=1)).storage_bytes
    assert str(error.value) == (
        "small: the largest batch cannot be found: flash: needs"
        f" {needed} B of storage, but flash"
        " is unknown: nobody knows; a device file of your own (--device FILE.toml) can give what is"
        " unknown"
    )


def test_what_is_free_at_least_is_enough_for_an_answer() -> None:
    jetson = load_device("jetson-orin-nano-8gb")

    found = largest(workload("tinyfoa"), jetson, Dimension.BATCH)

    assert found.size is not None
    assert found.probe.fits


def test_what_does_not_fit_anyway_needs_no_figure() -> None:
    found = largest(workload("tinyfoa"), small(100, flash=None), Dimension.BATCH)

    assert found.size is None
    assert found.probe.verdict.budget == "ram"


# Where more does not need more.


def made_up(monkeypatch: pytest.MonkeyPatch, need: Callable[[int], int]) -> None:
    """Let the batch alone say what a workload needs."""

    class Form(PredictedWorkload):
        @property
        def ram_bytes(self) -> int:
            return need(self.workload.batch_size)

        def demand(self, device: Device) -> Any:
            found = {"static_bytes": 0, "peak_dynamic_bytes": self.ram_bytes}
            return replace(super().demand(device), **found, plan=lambda: self.planned)

        @property
        def planned(self) -> PlannedRam:
            return PlannedRam(0, self.ram_bytes)

    real = predicted_workload(workload())
    monkeypatch.setattr(
        module, "predicted_workload", lambda given: Form(given, real.stages, real.plans)
    )


def search(need: int = 1000) -> Largest:
    return largest(workload(), small(need), Dimension.BATCH)


def test_smaller_sizes_that_do_not_fit_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    made_up(monkeypatch, lambda size: 5000 if 20 <= size < 40 else size)

    found = search()

    assert found.size == 1000
    assert found.exceptions
    assert set(found.exceptions) <= set(range(20, 40))
    assert not found.monotone


def test_a_drop_that_changes_no_verdict_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    made_up(monkeypatch, lambda size: size + (300 if size < 100 else 0))

    found = search()

    assert found.size == 1000
    assert found.exceptions == ()
    assert not found.monotone


def test_the_search_goes_on_from_a_larger_size_that_the_sweep_finds(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # GIVEN that doubling meets sizes that do not fit, although those from 151 to 300 do
    made_up(monkeypatch, lambda size: 2000 if 130 <= size <= 150 or size > 300 else 10)

    # WHEN, THEN it ends at the edge, not at the size that was found by chance
    found = search()
    assert found.size == 300
    assert found.next_probe is not None
    assert found.next_probe.size == 301
    assert {144} <= set(found.exceptions) <= set(range(130, 151))
    assert not found.monotone


def test_where_the_smallest_does_not_fit_a_larger_one_is_still_found(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    made_up(monkeypatch, lambda size: 2000 if size < 3 or size > 50 else 10)

    found = search()

    assert found.size == 50
    assert found.exceptions == (1, 2)


def test_what_fits_now_is_never_denied(monkeypatch: pytest.MonkeyPatch) -> None:
    made_up(monkeypatch, lambda size: 10 if size == 777 else 2000)

    found = largest(workload(batch_size=777), small(1000), Dimension.BATCH)

    assert found.size == 777
    assert found.next_probe is not None
    assert found.next_probe.size == 778


def test_needs_without_any_order_come_to_an_end(monkeypatch: pytest.MonkeyPatch) -> None:
    made_up(monkeypatch, lambda size: 10 if size % 2 else 2000)

    found = search()

    assert found.size is not None
    assert found.size % 2 == 1
    assert not found.monotone


def test_a_rule_of_ours_whose_need_shrinks_with_a_wider_net() -> None:
    # GIVEN neighbouring widths of which the wider ones need less
    def given(width: int) -> Workload:
        model, options = f"mlp-64-{width}x2-10", {"kernel": "torch"}
        return workload("backprop_int8", model=model, batch_size=16, options=options)

    needs = {width: predicted_workload(given(width)).ram_bytes for width in range(1, 301)}
    drops = [width for width in range(2, 301) if needs[width] < needs[width - 1]]
    assert drops, "choose another rule: this one has become monotone"
    enough = needs[drops[0]]

    # WHEN the device has just enough for the first of these
    found = largest(given(8), with_torch(enough), Dimension.WIDTH)

    # THEN the narrower ones that need more are named as ones that do not fit
    assert found.size == max(width for width, need in needs.items() if need <= enough)
    too_large = [width for width, need in needs.items() if width < found.size and need > enough]
    assert list(found.exceptions) == too_large
    assert drops[0] - 1 in too_large
    assert not found.monotone


def test_a_round_size_beyond_others_that_do_not_fit_is_found() -> None:
    # GIVEN a rule whose tiles leave no rest at width 256, where its arena is half as large
    def given(width: int) -> Workload:
        model, options = f"mlp-64-{width}x2-10", {"kernel": "torch"}
        return workload("backprop_int8", model=model, batch_size=16, options=options)

    needs = {w: predicted_workload(given(w)).planned.ram_bytes for w in (154, 157, 255, 256, 257)}
    assert needs[256] < needs[154] < min(needs[157], needs[255], needs[257])

    # WHEN the device has enough for it, and for no other beyond 155
    found = largest(given(8), small(needs[154]), Dimension.WIDTH)

    # THEN it is the answer, and narrower ones are named as ones that do not fit
    assert found.size == 256
    assert found.next_probe is not None
    assert found.next_probe.size == 257
    assert 255 in found.exceptions
    assert not found.monotone


# What is no question.


@pytest.mark.parametrize("dimension", [Dimension.WIDTH, Dimension.DEPTH])
@pytest.mark.parametrize(
    ("algorithm", "model", "message"),
    [
        ("tinyfoa", "lc-1x28x28-16-32-10", "neither width nor depth can be chosen"),
        ("backprop", "mlp-16-8-4-4", "has hidden layers of different widths (8, 4)"),
        ("backprop", "mlp-16-4", "has no hidden layers"),
    ],
)
def test_nets_without_the_dimension_are_refused(
    algorithm: str, model: str, message: str, dimension: Dimension
) -> None:
    with pytest.raises(ConfigurationError) as error:
        largest(workload(algorithm, model=model), small(10**6), dimension)

    assert message in str(error.value)
    assert repr(model) in str(error.value)


def test_the_batch_of_such_nets_can_be_asked_for() -> None:
    given = workload("backprop", model="mlp-16-8-4-4")

    assert largest(given, small(10**5), Dimension.BATCH).size


@pytest.mark.parametrize("dimension", Dimension)
@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"algorithm": "backprob"}, "unknown algorithm 'backprob'; did you mean backprop"),
        ({"options": {"lrr": 1}}, "unknown option of backprop 'lrr'"),
        ({"options": {"lr": -1}}, "option 'lr' of backprop"),
        ({"model": "mpl-16-4"}, "unknown model family 'mpl'"),
        ({"options": {"update": "fused", "micro_batch": 2}}, "choose one"),
        ({"algorithm": "tinyfoa", "options": {"slices": 5}}, "does not divide width 16"),
        ({"model": "lc-1x28x28-16-32-10"}, "backprop trains fully connected nets"),
    ],
)
def test_what_is_wrong_at_every_size_is_said_once(
    changes: dict[str, Any], message: str, dimension: Dimension
) -> None:
    with pytest.raises(ConfigurationError, match=message):
        largest(workload(**changes), small(10**6), dimension)


def test_a_looser_budget_than_the_profile_declares_is_no_answer() -> None:
    device = small(10**6, clock=10**7, budgets='step_latency = "5 ms"')

    with pytest.raises(LargestError, match="10 ms is looser than the 5 ms"):
        largest(workload(), device, Dimension.BATCH, parse_budgets({"step_latency": "10ms"}, ""))
