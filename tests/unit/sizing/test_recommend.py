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
from trainfit.bench.sizing.recommend import (
    Candidate,
    Objective,
    Trained,
    candidates,
    forms,
    front,
    grid,
    key,
    trained,
)
from trainfit.bench.sizing.recommend_suite import suite_text, untrained
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

    (found,) = trained(records, "digits")

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
    found = trained([measured(0.9), measured(0.8, **change)], "digits")

    assert [each.accuracy for each in found] == [0.9, 0.8]
    assert [each.seeds for each in found] == [1, 1]


def test_how_often_it_was_evaluated_makes_no_difference() -> None:
    (found,) = trained([measured(0.8), measured(0.9, evaluate_every=5, seed=1)], "digits")

    assert found.seeds == 2


def test_data_sets_are_kept_apart_and_no_accuracy_is_no_training() -> None:
    records = [measured(0.9), measured(0.99, dataset="mnist"), measured(None, batch_size=4)]

    assert [each.accuracy for each in trained(records, "digits")] == [0.9]
    assert [each.accuracy for each in trained(records, "mnist")] == [0.99]
    assert trained(records, "cifar10") == []


# The front.


def candidate(
    accuracy: float | None, need: float, *, status: Status = Status.FITS, device: str = "small"
) -> Candidate:
    """Of a need in all objectives; a negative one is not known."""
    known = Bounds(low=need / 2, high=need) if need >= 0 else None
    judged = Verdict(device=device, budget="ram", status=status, margin=0, reason="as made up")
    held = None if accuracy is None else Trained(workload(), accuracy, 1, 1)
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
    large = Trained(workload(model="mlp-64-256-10"), 0.95, 1, 1)
    small_one = Trained(workload(model="mlp-64-8-10"), 0.90, 1, 1)
    checkpointed = Trained(workload(model="mlp-64-256x4-10", options={"checkpoint": 2}), 0.97, 1, 1)
    in_hand = [checkpointed, large, small_one]
    made = forms([each.workload for each in in_hand])
    found = candidates(in_hand, [], device, Budgets(), made)

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


def test_what_is_trained_and_what_is_not_are_held_against_the_device() -> None:
    in_hand = [Trained(workload(), 0.9, 1, 1)]
    sizes = [workload(), workload("pepita"), workload("tinyfoa", model="mlp-64-33-10")]
    made = forms([*(each.workload for each in in_hand), *sizes])

    found = candidates(in_hand, sizes, small(10**6), Budgets(), made)

    # THEN what has a record is there once, and what no rule can train is not there
    assert [each.workload.algorithm for each in found] == ["backprop", "pepita"]
    assert [each.trained is not None for each in found] == [True, False]
    assert all(each.fits for each in found)
    assert all(each.sample_seconds is None for each in found)  # it has no clock


def test_two_trainings_of_the_same_bytes_keep_their_own_names() -> None:
    # GIVEN two trainings that differ in what takes no bytes
    in_hand = [Trained(workload(), 0.9, 1, 1), Trained(workload(train_samples=50), 0.5, 1, 1)]
    assert key(in_hand[0].workload) == key(in_hand[1].workload)

    found = candidates(
        in_hand, [], small(10**6), Budgets(), forms([each.workload for each in in_hand])
    )

    assert [row(each)["workload"] for each in found] == [
        "backprop mlp-64-32-10 b8",
        "backprop mlp-64-32-10 b8 [:50]",
    ]


def test_a_sample_is_shown_to_every_stage() -> None:
    device = small(10**6, clock=10**7, current=100.0)
    made = forms([workload("tinyfoa", model="mlp-64-32x3-10"), workload()])

    staged, plain = candidates(
        [], [workload("tinyfoa", model="mlp-64-32x3-10"), workload()], device, Budgets(), made
    )

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
    made = forms([workload()])
    asked = Budgets(ram="4 KiB")  # type: ignore[call-arg]

    found = [
        candidates([], [workload()], load_device(name), asked, made)[0]
        for name in ("stm32f407", "jetson-agx-orin")
    ]

    assert [each.verdict.status for each in found] == [Status.EXCEEDS] * 2
    assert [each.device for each in found] == ["stm32f407", "jetson-agx-orin"]


# The grid, and the suite of what is missing.


def test_the_grid_is_every_algorithm_on_every_size() -> None:
    sizes = grid(["backprop", "pepita"], 64, 10, dataset="digits", batch_size=4, depths=(1, 3))

    assert len(sizes) == 2 * 5 * 2
    assert len({key(each) for each in sizes}) == len(sizes)
    assert {each.model for each in sizes} >= {"mlp-64-32-10", "mlp-64-512x3-10"}
    assert len(forms(sizes)) == len(sizes)


TRAINED = ("backprop", "mlp-64-64-10")


@pytest.fixture(scope="module")
def offered() -> list[Candidate]:
    """What two devices leave of a grid, of which one size has been trained."""
    sizes = grid(["backprop", "tinyfoa", "zeroth_order"], 64, 10, dataset="digits", batch_size=4)
    in_hand = [Trained(workload(TRAINED[0], model=TRAINED[1], batch_size=4), 0.9, 1, 1)]
    made = forms([each.workload for each in in_hand] + sizes)
    devices: list[Device] = [small(60_000), load_device("stm32f407")]
    return untrained(
        list(
            itertools.chain.from_iterable(
                candidates(in_hand, sizes, device, Budgets(), made) for device in devices
            )
        )
    )


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
            (beyond,) = candidates([], [wider], device, Budgets(), forms([wider]))
            assert not beyond.fits


def _depth(each: Candidate) -> str:
    return each.workload.model.split("-")[2].partition("x")[2]


def _wider(each: Candidate) -> Workload | None:
    width, x, depth = each.workload.model.split("-")[2].partition("x")
    if width == "512":
        return None
    model = f"mlp-64-{2 * int(width)}{x}{depth}-10"
    return each.workload.model_copy(update={"model": model})


def test_the_suite_can_be_run_and_names_only_what_fits(offered: list[Candidate]) -> None:
    text = suite_text(
        offered,
        "digits",
        4,
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
    assert len(suite.workloads) == len(named)
    for each in suite.workloads:
        assert (each.dataset, each.batch_size) == ("digits", 4)
        assert each.epochs > 0


@pytest.mark.parametrize(
    ("stem", "name"),
    [("my suite", "my-suite"), ('a"b', "a-b"), (".x", "x"), ("übung", "bung"), ("ü", "untrained")],
)
def test_a_file_of_any_name_makes_a_suite_with_a_name(
    offered: list[Candidate], stem: str, name: str
) -> None:
    text = suite_text(offered[:1], "digits", 4, name=stem, devices=["rp2040"])

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
        "none of 2 trained workloads that fit reaches 95.00%; the best has 90.00%"
    )
    assert why_none([candidate(0.99, -1)], asked) == (
        "the energy of no trained workload that fits can be modelled"
    )


def test_a_device_without_a_front_is_there_with_the_reason() -> None:
    pool = [candidate(0.9, 1), candidate(0.9, 1, status=Status.EXCEEDS, device="other")]
    fronts = {"small": front(pool[:1], Objective.BYTES), "other": []}

    shown = [str(part) for part in by_device(fronts, pool, Asked(Objective.BYTES, 0.0))]

    assert shown[0] == "\nsmall"
    assert shown[2] == "\nother"
    assert shown[3].startswith("none of 1 trained workloads is sure to fit")


def test_a_failed_record_with_an_accuracy_counts() -> None:
    late = measured(0.9).model_copy(update={"status": RecordStatus.TIMED_OUT})

    assert len(trained([late], "digits")) == 1
