"""What is recommended: the front, what it is read from, and the suite of what is missing."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.builders.runs import record
from tests.fakes.small_boards import small
from trainfit.bench.cli.reports.recommend import Asked, by_device, row, why_none
from trainfit.bench.records.schema import Accuracy, Bounds, Record, RecordStatus, Workload
from trainfit.bench.sizing.closed_form import closed_form
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
from trainfit.bench.sizing.recommend import Candidate, Objective, candidates, front
from trainfit.bench.sizing.recommend_suite import (
    LONGEST,
    SHORTEST,
    Offer,
    distinct,
    offer,
    suite_text,
)
from trainfit.bench.sizing.trained import Skipped, Trained, split_by_installed, trained
from trainfit.bench.sizing.training_time import training_seconds
from trainfit.bench.suite.suite import parse_suite
from trainfit.bench.verdicts.memory import Status, Verdict
from trainfit.hardware_profiles import Budgets, Device, load_device

FORM = closed_form(Workload(algorithm="backprop", model="mlp-64-10", dataset="none", batch_size=1))


def workload(algorithm: str = "backprop", **changes: Any) -> Workload:
    values = {"model": "mlp-64-32-10", "dataset": "digits", "batch_size": 8}
    return Workload(algorithm=algorithm, **values | changes)


def measured(accuracy: float | None, **changes: Any) -> Record:
    result = None
    if accuracy is not None:
        result = Accuracy(test_accuracy=accuracy, epochs=3, train_seconds=1.0)
    return record(accuracy=result).model_copy(update={"workload": workload(**changes)})


# What the records say.


def test_seeds_are_joined_to_their_mean() -> None:
    records = [measured(0.90, seed=0), measured(0.94, seed=1), measured(0.92, seed=7)]

    (found,) = trained({"a": records}, "digits")

    assert found.accuracy == pytest.approx(0.92)
    assert (found.seeds, found.passes) == (3, 3)
    assert found.workload.seed == 0


@pytest.mark.parametrize(
    "change",
    [
        {"epochs": 9},
        {"train_samples": 100},
        {"standardise": True},
        {"shuffle": False},
        {"batch_size": 16},
        {"options": {"lr": 0.5}},
        {"model": "mlp-64-16-10"},
        {"algorithm": "pepita"},
    ],
)
def test_what_differs_otherwise_is_not_joined(change: dict[str, Any]) -> None:
    found = trained({"a": [measured(0.9), measured(0.8, **change)]}, "digits")

    assert [each.accuracy for each in found] == [0.9, 0.8]
    assert [each.seeds for each in found] == [1, 1]


def test_how_often_it_was_evaluated_makes_no_difference() -> None:
    records = [measured(0.8), measured(0.9, evaluate_every=5, seed=1)]

    (found,) = trained({"a": records}, "digits")

    assert found.seeds == 2


def test_data_sets_are_kept_apart_and_no_accuracy_is_no_training() -> None:
    records = [measured(0.9), measured(0.99, dataset="mnist"), measured(None, batch_size=4)]

    assert [each.accuracy for each in trained({"a": records}, "digits")] == [0.9]
    assert [each.accuracy for each in trained({"a": records}, "mnist")] == [0.99]
    assert trained({"a": records}, "cifar10") == []


def test_a_seed_counts_once_by_its_last_record() -> None:
    # GIVEN a run, a copy of it, and one that trained a seed again
    first = [measured(0.90, seed=0), measured(0.92, seed=1)]
    runs = {"a": first, "copy": first, "again": [measured(0.98, seed=1)]}

    (found,) = trained(runs, "digits")

    assert found.accuracies == (0.90, 0.98)
    assert (found.accuracy, found.worst, found.seeds) == (pytest.approx(0.94), 0.90, 2)
    assert found.runs == ("copy", "again")


def test_an_algorithm_that_is_not_installed_is_skipped_and_never_imported() -> None:
    found = trained(
        {"a": [measured(0.9), measured(0.8, algorithm="mine"), measured(0.7, algorithm="m:C")]},
        "digits",
    )

    usable, skipped = split_by_installed(found, ["backprop"])

    assert [each.workload.algorithm for each in usable] == ["backprop"]
    assert skipped == [
        Skipped(workload("mine"), "algorithm mine is not installed here"),
        Skipped(workload("m:C"), "algorithm m:C is not installed here"),
    ]


# The front.


def candidate(
    accuracy: float | None, need: float, *, status: Status = Status.FITS, device: str = "small"
) -> Candidate:
    """Of a need in all objectives; a negative one is not known."""
    known = Bounds(low=need / 2, high=need) if need >= 0 else None
    judged = Verdict(device=device, budget="ram", status=status, margin=0, reason="as made up")
    held = None if accuracy is None else Trained(workload(), (accuracy,), 1)
    return Candidate(device, FORM, held, judged, known, known)


NEEDS = st.integers(min_value=-1, max_value=6)
POOL = st.lists(
    st.builds(
        candidate,
        st.sampled_from([None, 0.5, 0.6, 0.7, 0.8, 0.9]),
        NEEDS,
        status=st.sampled_from(list(Status)),
    ),
    max_size=14,
)


@given(POOL, st.sampled_from([0.0, 0.6, 0.85]))
@settings(max_examples=300)
def test_the_front_is_what_nothing_beats(pool: list[Candidate], least: float) -> None:
    # GIVEN what is eligible, and what of it no other beats
    eligible = {
        (each.trained.accuracy, each.sample_joules.high)
        for each in pool
        if each.trained and each.sample_joules and each.trained.accuracy >= least
        if each.verdict.status in {Status.FITS, Status.TIGHT}
    }
    unbeaten = {
        (accuracy, cost)
        for accuracy, cost in eligible
        if not any(a >= accuracy and c <= cost and (a, c) != (accuracy, cost) for a, c in eligible)
    }

    # WHEN the front is asked for
    found = front(pool, Objective.ENERGY, least)

    # THEN it is that, once each, from the most accurate to the cheapest
    pairs = [(each.trained.accuracy, each.cost(Objective.ENERGY)) for each in found if each.trained]
    assert set(pairs) == unbeaten
    assert len(pairs) == len(unbeaten)
    assert pairs == sorted(pairs, reverse=True)


def test_each_objective_has_its_own_front() -> None:
    device = load_device("jetson-nano")
    # GIVEN the more accurate of two needs more bytes; time and energy go with the operations
    large = Trained(workload(model="mlp-64-256-10"), (0.95,), 1)
    small_one = Trained(workload(model="mlp-64-8-10"), (0.90,), 1)
    checkpointed = Trained(workload(model="mlp-64-256x4-10", options={"checkpoint": 2}), (0.97,), 1)
    in_hand = [checkpointed, large, small_one]
    found = candidates(in_hand, [], device, Budgets(), Forms())

    for objective in Objective:
        chosen = front(found, objective)
        costs = [each.cost(objective) for each in chosen]
        assert None not in costs
        assert costs == sorted(costs, key=lambda cost: -(cost or 0))
        assert len(chosen) == 3


def test_bytes_are_whole_and_the_upper_bound_is_what_counts() -> None:
    found = candidate(0.9, 4.0)

    assert found.cost(Objective.BYTES) == FORM.ram_bytes
    assert found.cost(Objective.ENERGY) == found.cost(Objective.LATENCY) == 4.0
    assert candidate(0.9, -1).cost(Objective.LATENCY) is None


# Candidates.


def alone(each: Workload) -> Family:
    """A family of one."""
    return Family(each.algorithm, 1, [[each]])


def test_what_is_trained_and_what_is_not_are_held_against_the_device() -> None:
    in_hand = [Trained(workload(), (0.9,), 1)]
    sizes = [workload(), workload("pepita"), workload("tinyfoa", model="mlp-64-33-10")]

    found = candidates(in_hand, [alone(each) for each in sizes], small(10**6), Budgets(), Forms())

    # THEN what has a record is there once, and what no rule can train is not there
    assert [each.workload.algorithm for each in found] == ["backprop", "pepita"]
    assert [each.trained is not None for each in found] == [True, False]
    assert all(each.fits for each in found)
    assert all(each.sample_seconds is None for each in found)  # it has no clock


def test_two_trainings_of_the_same_bytes_keep_their_own_names() -> None:
    # GIVEN two trainings that differ in what takes no bytes
    in_hand = [Trained(workload(), (0.9,), 1), Trained(workload(train_samples=50), (0.5,), 1)]
    assert key(in_hand[0].workload) == key(in_hand[1].workload)

    found = candidates(in_hand, [], small(10**6), Budgets(), Forms())

    assert [row(each)["workload"] for each in found] == [
        "backprop mlp-64-32-10 b8",
        "backprop mlp-64-32-10 b8 [:50]",
    ]


def test_a_sample_is_shown_to_every_stage() -> None:
    device = small(10**6, clock=10**7, current=100.0)
    sizes = [alone(workload("tinyfoa", model="mlp-64-32x3-10")), alone(workload())]

    staged, plain = candidates([], sizes, device, Budgets(), Forms())

    # THEN time over energy is the same for both: seconds per cycle over joules per cycle
    assert staged.sample_seconds
    assert staged.sample_joules
    assert plain.sample_seconds
    assert plain.sample_joules
    step = staged.form.demand(device).modelled.latency.step
    assert step is not None
    assert staged.sample_seconds.high > step.high / 8
    assert staged.sample_seconds.high / staged.sample_joules.high == pytest.approx(
        plain.sample_seconds.high / plain.sample_joules.high
    )


def test_budgets_are_held_against_every_device() -> None:
    asked = Budgets(ram="4 KiB")  # type: ignore[call-arg]

    found = [
        candidates([], [alone(workload())], load_device(name), asked, Forms())[0]
        for name in ("stm32f407", "jetson-agx-orin")
    ]

    assert [each.verdict.status for each in found] == [Status.EXCEEDS] * 2
    assert [each.device for each in found] == ["stm32f407", "jetson-agx-orin"]


# The grid, and the suite of what is missing.


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
    needs = {batch: closed_form(workload(batch_size=batch)).ram_bytes for batch in BATCHES}
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


def test_a_measurement_beats_the_closed_form() -> None:
    # GIVEN a record whose step needed more than the closed form says
    memory_of_record = record().memory
    assert memory_of_record is not None
    form = closed_form(workload())
    (each,) = trained({"a": [measured(0.9)]}, "digits")
    assert each.memory == memory_of_record

    (found,) = candidates([each], [], small(memory_of_record.static_bytes), Budgets(), Forms())

    # THEN that is what it needs, and it does not fit
    assert found.ram_bytes == 3_000 + 1_000 != form.ram_bytes
    assert found.evidence == "allocator"
    assert found.verdict.status is Status.EXCEEDS
    assert row(found)["ram_bytes"] == 4_000


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
    ram = closed_form(workload(model="mlp-64-96-10", batch_size=2)).ram_bytes
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
    ram = closed_form(workload(model="mlp-64-96-10", batch_size=2)).ram_bytes

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


# What people read.


def test_why_a_device_has_no_front() -> None:
    asked = Asked(Objective.ENERGY, 0.95)
    too_large = candidate(0.99, 1, status=Status.EXCEEDS)

    assert "can be judged" in why_none([candidate(None, 1)], asked)
    assert why_none([too_large], asked) == (
        "none of 1 trained workloads is sure to fit; the smallest, backprop mlp-64-32-10 b8: RAM:"
        " as made up"
    )
    assert why_none([too_large, candidate(0.9, 1), candidate(0.8, 1)], asked) == (
        "none of 2 trained workloads that fit reaches 95.00%; the best has 90.00%:"
        " backprop mlp-64-32-10 b8"
    )
    assert why_none([candidate(0.99, -1)], asked) == (
        "the energy of no trained workload that fits can be modelled"
    )


def test_a_device_without_a_front_is_there_with_the_reason() -> None:
    pool = [candidate(0.9, 1), candidate(0.9, 1, status=Status.EXCEEDS, device="other")]
    fronts = {"small": front(pool[:1], Objective.BYTES), "other": []}

    shown = [str(part) for part in by_device(fronts, pool, Asked(Objective.BYTES, 0.0))]

    assert shown[0] == "\nsmall"
    assert shown[2] == "Of 1 there is one seed: how far others spread is not known."
    assert shown[3] == "\nother"
    assert shown[4].startswith("none of 1 trained workloads is sure to fit")


def test_a_failed_record_with_an_accuracy_counts() -> None:
    late = measured(0.9).model_copy(update={"status": RecordStatus.TIMED_OUT})

    assert len(trained({"a": [late]}, "digits")) == 1
