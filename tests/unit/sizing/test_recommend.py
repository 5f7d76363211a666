"""What is recommended: the front, what it is read from, and what people read of it."""

from __future__ import annotations

from dataclasses import replace
from io import StringIO
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.console import Console, RenderableType

from tests.builders.runs import record
from tests.builders.trainings import alone, measured, workload
from tests.fakes.small_boards import small
from trainfit.bench.cli.reports.recommend import Asked, by_device, offered_parts, row, why_none
from trainfit.bench.records.schema import Bounds, Evidence, RecordStatus, Workload
from trainfit.bench.sizing.grid import Forms, key
from trainfit.bench.sizing.predicted_workload import predicted_workload
from trainfit.bench.sizing.recommend import Candidate, Objective, candidates, front, runners_up
from trainfit.bench.sizing.recommend_suite import Offer
from trainfit.bench.sizing.trained import Skipped, Trained, split_by_installed, trained
from trainfit.bench.verdicts.memory import Status, Verdict
from trainfit.bench.verdicts.ram import RamNeed
from trainfit.hardware_profiles import Allocator, Budgets, load_device

FORM = predicted_workload(
    Workload(algorithm="backprop", model="mlp-64-10", dataset="none", batch_size=1)
)


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
    ram = RamNeed(FORM.plan.static_bytes, FORM.plan.peak_bytes, Allocator.TORCH, Evidence.TRACED)
    return Candidate(device, FORM, held, judged, ram, lambda: (known, known))


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


def test_every_other_algorithm_is_there_at_its_most_accurate() -> None:
    def of(algorithm: str, accuracy: float, status: Status = Status.FITS) -> Candidate:
        made = candidate(accuracy, 1, status=status)
        return replace(made, trained=Trained(workload(algorithm), (accuracy,), 1))

    first, second = of("backprop", 0.99), of("backprop", 0.98)
    best, worse = of("pepita", 0.95), of("pepita", 0.93)
    others = [of("dfa", 0.96), of("drtp", 0.97, Status.EXCEEDS), of("ff_int8", 0.85)]
    pool = [first, second, worse, best, *others, candidate(None, 1)]

    assert runners_up(pool, [first], 0.9) == [others[0], best]
    assert runners_up(pool, [first]) == [others[0], best, others[2]]

    text = printed(by_device({"small": [first]}, pool, Asked(Objective.BYTES, 0.9)), 200)

    below = text.split("Other algorithms, each at its most accurate:")[1]
    rows = [line.split() for line in below.splitlines() if "b8" in line]
    assert [words[3] for words in rows] == ["dfa", "pepita"]


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


def test_a_measurement_beats_the_prediction() -> None:
    # GIVEN a record whose step needed more than the prediction says
    memory_of_record = record().memory
    assert memory_of_record is not None
    form = predicted_workload(workload())
    (each,) = trained({"a": [measured(0.9)]}, "digits")
    assert each.memory == memory_of_record

    (found,) = candidates([each], [], small(memory_of_record.static_bytes), Budgets(), Forms())

    # THEN that is what it needs, and it does not fit
    assert found.ram_bytes == 3_000 + 1_000 != form.ram_bytes
    assert found.ram.evidence == "allocator"
    assert found.verdict.status is Status.EXCEEDS
    assert row(found)["ram_bytes"] == 4_000


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

    assert shown[0] == "\nsmall (RAM under torch)"
    assert shown[2] == "Of 1 there is one seed: how far others spread is not known."
    assert shown[3] == "\nother (RAM under torch)"
    assert shown[4].startswith("none of 1 trained workloads is sure to fit")


def test_a_failed_record_with_an_accuracy_counts() -> None:
    late = measured(0.9).model_copy(update={"status": RecordStatus.TIMED_OUT})

    assert len(trained({"a": [late]}, "digits")) == 1


def printed(parts: list[RenderableType], width: int) -> str:
    stream = StringIO()
    console = Console(file=stream, width=width, highlight=False)
    for part in parts:
        console.print(part)
    return stream.getvalue()


@pytest.mark.parametrize("devices", [1, 2])
@pytest.mark.parametrize("width", [80, 100])
def test_no_word_of_a_table_is_broken(width: int, devices: int) -> None:
    # GIVEN the longest names that there are, trained and not
    options = {"checkpoint": 2, "update": "separate", "momentum": 0.0}
    wide = workload(model="mlp-784-1000-1000-10", batch_size=100, options=options)
    chosen = {"momentum": 0.0, "decay": "constant", "score": "head", "negatives": "hard"}
    other = workload("forward_forward", model="mlp-784-512x4-10", batch_size=32, options=chosen)
    device = load_device("jetson-orin-nano-4gb" if devices > 1 else "stm32h743")
    (best,) = candidates([Trained(wide, (0.9, 0.95), 3)], [], device, Budgets(), Forms())
    longest = Verdict(device="any", budget="ram", status=Status.UNKNOWN, margin=0, reason="")
    best = replace(best, verdict=longest)
    (left,) = candidates([], [alone(other)], device, Budgets(), Forms())

    # WHEN they are printed
    asked = Asked(Objective.LATENCY, 0.0)
    text = printed(by_device({device.name: [best]}, [best], asked), width)
    text += printed(
        offered_parts(Offer((left,), ()), [row(left) | {"training_seconds": None}], 8, devices),
        width,
    )

    # THEN every word of names, verdicts and heads is whole
    words = text.split()
    for each in (best, left):
        assert set(row(each)["workload"].split()) <= set(words)
        assert str(each.verdict.status) in words
    for title in ("test", "acc", "worst", "seeds", "workload", "RAM", "verdict", "training"):
        assert title in words
    assert {"95.00%", "92.50%", "90.00%"} & set(words) == {"92.50%", "90.00%"}
    assert max(map(len, text.splitlines())) <= width


def test_what_the_rows_of_a_front_do_not_say_is_said() -> None:
    several = replace(candidate(0.9, 1), trained=Trained(workload(), (0.88, 0.94), 1))

    text = "\n".join(
        str(part)
        for part in by_device({"small": [several]}, [several], Asked(Objective.BYTES, 0.9))
    )

    assert "Of 1 the worst seed is below 90.00%." in text
    assert "one seed" not in text


def test_how_long_training_takes_is_said_as_far_as_it_is_known() -> None:
    left = candidate(None, 1)
    offered = Offer((left, left), (left,))

    def said(*seconds: float | None) -> str:
        rows = [row(left) | {"training_seconds": each} for each in seconds]
        return printed(offered_parts(offered, rows, 4, 1), 200)

    assert "not known: no record of a like workload" in said(None, None)
    assert "all of them takes about 10 min on a machine like that of the records." in said(540, 60)
    assert "To train 1 of them takes about 9 min on" in said(540, None)
    assert "records; for the other 1 it is not known." in said(540, None)
    assert "Of 4 combinations of algorithm and depth: 1 done (" in said(1, 1)
    assert "2 left, 1 where nothing is sure to fit." in said(1, 1)
