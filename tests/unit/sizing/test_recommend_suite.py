"""The grid that is searched, and the suite of what of it nobody has trained."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import pytest

from tests.builders.trainings import alone, workload
from tests.fakes.small_boards import small
from trainfit.bench.records.schema import Workload
from trainfit.bench.sizing.grid import (
    BATCHES,
    FRUGAL,
    WIDTHS,
    Choice,
    Family,
    Forms,
    choices,
    grid,
    key,
)
from trainfit.bench.sizing.predicted_workload import predicted_workload
from trainfit.bench.sizing.recommend import Candidate, candidates
from trainfit.bench.sizing.recommend_suite import (
    LONGEST,
    SHORTEST,
    Offer,
    distinct,
    offer,
    suite_text,
)
from trainfit.bench.sizing.trained import Trained
from trainfit.bench.sizing.training_time import training_seconds
from trainfit.bench.suite.suite import parse_suite
from trainfit.bench.verdicts.memory import Status
from trainfit.hardware_profiles import Budgets, Device, load_device


def plainly(*algorithms: str) -> list[Choice]:
    return [Choice(name, {}, 10) for name in algorithms]


def workloads(families: list[Family]) -> list[Workload]:
    return [each for family in families for net in family.nets for each in net]


def test_the_grid_is_every_choice_on_every_size_in_every_batch() -> None:
    families = grid(plainly("backprop", "pepita"), 64, 10, dataset="digits", depths=(1, 3))

    sizes = workloads(families)
    assert len(families) == 2 * 2
    assert len(sizes) == 2 * 2 * len(WIDTHS) * len(BATCHES)
    assert len({key(each) for each in sizes}) == len(sizes)
    assert {each.model for each in sizes} >= {"mlp-64-8-10", "mlp-64-32-10", "mlp-64-512x3-10"}
    for family in families:
        assert all([each.batch_size for each in net] == [32, 16, 8, 4, 2, 1] for net in family.nets)


def test_the_grid_begins_where_small_boards_begin() -> None:
    assert {8, 12, 16, 24, 32} <= set(WIDTHS)
    assert set(BATCHES) == {1, 2, 4, 8, 16, 32}


def test_an_algorithm_is_offered_plainly_and_frugally_with_options_that_it_has() -> None:
    forms = {each.algorithm: [] for each in choices(["backprop", "tinyfoa", "zeroth_order"])}
    for each in choices(["backprop", "tinyfoa", "zeroth_order"]):
        forms[each.algorithm].append(each.options)

    assert forms["backprop"] == [{}, {"momentum": 0.0, "update": "fused"}]
    assert forms["tinyfoa"] == [{}, {"update": "fused"}, {"update": "fused", "slices": 8}]
    assert forms["zeroth_order"] == [{}]
    assert len(FRUGAL) == 2


def test_an_algorithm_is_offered_as_it_was_trained_best_in_a_small_batch() -> None:
    tuned = {"lr": 0.2, "momentum": 0.0}
    in_hand = [
        Trained(workload(batch_size=100, options={"lr": 0.9}), (0.99,), 50),
        Trained(workload(train_samples=9, options={"lr": 0.8}), (0.98,), 50),
        Trained(workload(options=tuned, epochs=7), (0.97,), 7),
        Trained(workload(options={"lr": 0.1}), (0.96,), 7),
    ]

    first, *others = choices(["backprop"], in_hand)

    assert (first.options, first.epochs) == (tuned, 7)
    assert [each.options for each in others] == [{}, {**tuned, "update": "fused"}]


def test_of_a_net_there_is_the_largest_batch_that_fits() -> None:
    # GIVEN a board that holds this net with some batches of the grid
    needs = {
        batch: predicted_workload(workload(batch_size=batch)).planned.ram_bytes for batch in BATCHES
    }
    sizes = grid(plainly("backprop"), 64, 10, dataset="digits", widths=[32], depths=[1])
    device = small(needs[8])

    (found,) = candidates([], sizes, device, Budgets(), Forms())

    assert needs[8] < needs[16]
    assert (found.workload.batch_size, found.ram_bytes, found.fits) == (8, needs[8], True)
    # AND where none fits the smallest one, and no wider net
    wider = grid(plainly("backprop"), 64, 10, dataset="digits", depths=[1])
    nothing = candidates([], wider, small(100), Budgets(), Forms())
    assert [(e.workload.model, e.workload.batch_size) for e in nothing] == [("mlp-64-8-10", 1)]
    assert nothing[0].verdict.status is Status.EXCEEDS


TRAINED = ("backprop", "mlp-64-64-10")


@pytest.fixture(scope="module")
def offered() -> list[Candidate]:
    """What two devices leave of a grid, of which one size has been trained."""
    rules = plainly("backprop", "tinyfoa", "zeroth_order")
    sizes = grid(rules, 64, 10, dataset="digits", batches=[4])
    in_hand = [Trained(workload(TRAINED[0], model=TRAINED[1], batch_size=4), (0.9,), 1)]
    made = Forms()
    devices: list[Device] = [small(60_000), load_device("stm32f407")]
    found = itertools.chain.from_iterable(
        candidates(in_hand, sizes, device, Budgets(), made) for device in devices
    )
    return list(offer(found).missing)


def test_what_is_offered_fits_and_is_the_widest_of_its_kind(offered: list[Candidate]) -> None:
    assert offered
    places = [(each.device, each.workload.algorithm, _depth(each)) for each in offered]
    assert len(set(places)) == len(places)
    for each in offered:
        assert each.fits
        assert each.trained is None
        assert (each.workload.algorithm, each.workload.model) != TRAINED
        wider = _wider(each)
        if wider is not None and (wider.algorithm, wider.model) != TRAINED:
            device = small(60_000) if each.device == "small" else load_device(each.device)
            (beyond,) = candidates([], [alone(wider)], device, Budgets(), Forms())
            assert not beyond.fits


def _depth(each: Candidate) -> str:
    return each.workload.model.split("-")[2].partition("x")[2]


def _wider(each: Candidate) -> Workload | None:
    width, x, depth = each.workload.model.split("-")[2].partition("x")
    wider = next((step for step in WIDTHS if step > int(width)), None)
    if wider is None:
        return None
    model = f"mlp-64-{wider}{x}{depth}-10"
    return each.workload.model_copy(update={"model": model})


def backprop_on(ram: int, *in_hand: Trained) -> Offer:
    sizes = grid(plainly("backprop"), 64, 10, dataset="digits", depths=[1])
    return offer(candidates(in_hand, sizes, small(ram), Budgets(), Forms()))


def test_it_is_done_when_the_widest_that_fits_has_been_trained() -> None:
    # GIVEN a board, and what is offered for it
    ram = predicted_workload(workload(model="mlp-64-96-10", batch_size=2)).planned.ram_bytes
    (first,) = backprop_on(ram).missing
    assert first.workload.model == "mlp-64-96-10"

    # WHEN that is trained, with whatever options and batch fit
    for changes in ({"batch_size": 1}, {"batch_size": 2}):
        wide = Trained(workload(model="mlp-64-96-10", **changes), (0.9,), 1)
        after = backprop_on(ram, wide)

        # THEN nothing narrower is offered instead, and what was trained is named
        assert after.missing == ()
        assert [each.trained for each in after.done] == [wide]


@pytest.mark.parametrize(
    "changes",
    [
        {"model": "mlp-64-64-10", "batch_size": 1},
        {"model": "mlp-64-96-10", "batch_size": 2, "train_samples": 100},
        {"model": "mlp-64-96x2-10", "batch_size": 1},
        {"model": "mlp-64-96-10", "batch_size": 1000},
    ],
    ids=["narrower", "on a part of the data", "of another depth", "does not fit"],
)
def test_it_is_not_done_by_another_training(changes: dict[str, Any]) -> None:
    ram = predicted_workload(workload(model="mlp-64-96-10", batch_size=2)).planned.ram_bytes

    after = backprop_on(ram, Trained(workload(**changes), (0.9,), 1))

    assert [each.workload.model for each in after.missing] == ["mlp-64-96-10"]
    assert after.done == ()


def test_the_suite_can_be_run_and_names_only_what_fits(offered: list[Candidate]) -> None:
    text = suite_text(
        offered,
        "digits",
        name="next",
        devices=["a/small.toml", "stm32f407"],
        budgets={"ram": "96KiB", "battery": "1Wh", "training_samples": 100},
    )

    suite = parse_suite(text, source="next.toml", folder=Path("boards"))

    assert suite.name == "next"
    assert suite.devices == ["boards/a/small.toml", "stm32f407"]
    assert suite.limits.ram_bytes == 96 * 1024
    assert suite.limits.training_samples == 100
    named = {(each.algorithm, each.model) for each in suite.workloads}
    assert named == {(each.workload.algorithm, each.workload.model) for each in offered}
    assert len(suite.workloads) == len(named) == len(distinct(offered))
    for each in suite.workloads:
        assert (each.dataset, each.batch_size) == ("digits", 4)
        assert each.epochs > 0


def test_the_suite_has_options_batches_and_passes_as_they_were_judged() -> None:
    sizes = grid(
        [Choice("backprop", {"lr": 1e-05, "update": "fused"}, 3), *plainly("pepita")],
        64,
        10,
        dataset="digits",
        depths=[1],
    )
    found = offer(candidates([], sizes, small(30_000), Budgets(), Forms())).missing

    suite = parse_suite(
        suite_text(found, "digits", name="n", devices=["rp2040"]), source="x", folder=Path()
    )

    assert [key(each) for each in suite.workloads] == [key(each.workload) for each in found]
    assert {each.epochs for each in suite.workloads} == {3, 10}


@pytest.mark.parametrize(
    ("seconds", "limit"),
    [
        ([], LONGEST),
        ([None, 5.0], LONGEST),
        ([5.0, 7.0], SHORTEST),
        ([5.0, 6_000.0], 60_000),
    ],
)
def test_the_time_that_the_suite_allows_suffices(
    offered: list[Candidate], seconds: list[float | None], limit: int
) -> None:
    text = suite_text(offered, "digits", name="next", devices=["rp2040"], seconds=seconds)

    assert parse_suite(text, source="x", folder=Path()).timeout_seconds == limit


def test_how_long_training_takes_is_read_from_a_like_training() -> None:
    made = Forms()
    planned = workload(batch_size=4, epochs=10)
    like = Trained(workload(), (0.9,), 5, train_seconds=10.0)
    far = Trained(workload(model="mlp-64-512x3-10"), (0.9,), 5, train_seconds=10.0)
    other = Trained(workload("pepita"), (0.9,), 5, train_seconds=10.0)

    # 5 passes of 1,000 samples in batches of 8 took 10 s; 10 passes in batches of 4 are 4 times
    # as many steps
    assert training_seconds(planned, [far, other, like], made, 1_000) == pytest.approx(40.0)
    assert training_seconds(planned, [far, other], made, 1_000) is None
    assert training_seconds(planned, [like], made, None) is None


@pytest.mark.parametrize(
    ("stem", "name"),
    [("my suite", "my-suite"), ('a"b', "a-b"), (".x", "x"), ("übung", "bung"), ("ü", "untrained")],
)
def test_a_file_of_any_name_makes_a_suite_with_a_name(
    offered: list[Candidate], stem: str, name: str
) -> None:
    text = suite_text(offered[:1], "digits", name=stem, devices=["rp2040"])

    assert parse_suite(text, source="x", folder=Path()).name == name
