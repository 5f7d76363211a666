"""What is offered fits, keeps everything else, and is offered once."""

from __future__ import annotations

import json
from contextlib import suppress
from typing import Any

import pytest
import torch
from pydantic import Field

from tests.fakes.small_boards import small
from tests.plugins.plain import Delta, DeltaOptions
from trainfit.algorithms import ConfigurationError, algorithm_names, get_algorithm
from trainfit.bench.records.schema import Workload
from trainfit.bench.sizing.predicted_workload import predicted_workload
from trainfit.bench.sizing.suggestions import (
    CHANGES,
    NAMED,
    SAME_RESULT,
    Remedy,
    declared_values,
    search,
)
from trainfit.bench.verdicts.judge import judge_all
from trainfit.bench.verdicts.memory import Status, worst
from trainfit.hardware_profiles import Budgets, Device, load_device, parse_budgets

MODEL = "mlp-64-32x3-10"


def workload(algorithm: str = "backprop", **changes: Any) -> Workload:
    values = {"model": MODEL, "dataset": "none", "batch_size": 16}
    return Workload(algorithm=algorithm, **values | changes)


def need(given: Workload) -> int:
    return predicted_workload(given).planned.ram_bytes


def remedies(given: Workload, device: Device, asked: Budgets | None = None) -> list[Remedy]:
    return list(search(given, device, asked).remedies)


FEW = ["backprop", "ff_int8", "sparse_update", "tinyfoa", "zeroth_order"]


@pytest.fixture(autouse=True)
def few_algorithms(monkeypatch: pytest.MonkeyPatch) -> None:
    """A search of all of them takes seconds; one test does that."""
    monkeypatch.setattr("trainfit.bench.sizing.suggestions.algorithm_names", lambda: FEW)


CASES: dict[str, tuple[Workload, float, dict[str, str]]] = {
    "sgd, nearly": (workload(), 0.9, {}),
    "sgd, by far": (workload(), 0.45, {}),
    "adam": (workload(options={"optimizer": "adam", "lr": 0.01}), 0.7, {}),
    "adam, by far": (workload(options={"optimizer": "adam"}), 0.3, {}),
    "tinyfoa": (workload("tinyfoa"), 0.8, {}),
    "sparse": (workload("sparse_update", options={"layers": "last:3"}), 0.8, {}),
    "pepita": (workload("pepita"), 0.7, {}),
    "autograd": (
        workload("forward_forward", options={"implementation": "autograd"}),
        0.8,
        {},
    ),
    "latency": (workload(), 2.0, {"step_latency": "300ms"}),
}


@pytest.mark.parametrize("case", CASES)
def test_every_remedy_fits_and_is_offered_once(case: str) -> None:
    # GIVEN a workload and a device with a share of what it needs
    given, share, budgets = CASES[case]
    device = small(int(share * need(given)), clock=10**7)
    asked = parse_budgets(budgets, "--budget")
    assert not fits(given, device, asked)

    # WHEN remedies are asked for
    found = remedies(given, device, asked)

    # THEN there are some, and each fits as judged once more
    assert found
    for remedy in found:
        assert fits(remedy.workload, device, asked)
        assert remedy.ram_bytes == need(remedy.workload)
        assert remedy.verdict.status in {Status.FITS, Status.TIGHT}
        assert remedy.what

    # THEN none is there twice, by name or by what it is, and none is the workload itself
    assert len({remedy.change for remedy in found}) == len(found)
    dumped = [json.dumps(remedy.workload.model_dump(mode="json")) for remedy in found]
    assert len(set(dumped)) == len(dumped)
    assert given not in [remedy.workload for remedy in found]

    # THEN the algorithm asked about comes first, then its batch, then what changes few options
    order = [
        (each.new_algorithm, each.new_batch, weight(each), -each.workload.batch_size)
        for each in found
    ]
    assert order == sorted(order)
    for each in found:
        assert each.new_algorithm == (each.workload.algorithm != given.algorithm)
        assert each.new_batch == (each.workload.batch_size < given.batch_size)
        assert not each.new_batch or each.workload.batch_size < given.batch_size


def weight(remedy: Remedy) -> int:
    """How much its options change: what is computed counts more than how."""
    return sum(1 if name in SAME_RESULT else 2 for name in remedy.options)


def fits(given: Workload, device: Device, asked: Budgets) -> bool:
    verdict = worst(judge_all(predicted_workload(given).demand(device), device, asked))
    return verdict.status in {Status.FITS, Status.TIGHT}


def test_a_smaller_batch_is_the_largest_that_fits() -> None:
    given = workload()
    device = small(need(workload(batch_size=11)))

    (remedy,) = [each for each in remedies(given, device) if each.change == "--batch-size 11"]

    assert remedy.workload == workload(batch_size=11)


def test_other_options_are_kept() -> None:
    options = {"optimizer": "adam", "lr": 0.01, "activations": "float"}
    given = workload(options=options)
    device = small(int(0.75 * need(given)))

    for remedy in remedies(given, device):
        if remedy.new_algorithm:
            assert remedy.workload.options == remedy.options
        else:
            assert remedy.workload.options == options | remedy.options
        same = {"model", "dataset", "seed"}
        assert remedy.workload.model_dump(include=same) == given.model_dump(include=same)


def test_several_changes_are_tried_where_one_is_not_enough() -> None:
    # GIVEN a device for less than any single change leaves, at the batch as it is
    given = workload(options={"optimizer": "adam"}, model="mlp-61-31x3-10")
    alone = []
    for option, value in declared_values(given):
        with suppress(ConfigurationError):
            changed = given.model_copy(update={"options": given.options | {option: value}})
            alone.append(need(changed))
    device = small(min(alone) - 1)

    # WHEN remedies are asked for that keep algorithm and batch
    found = [each for each in remedies(given, device) if not (each.new_algorithm or each.new_batch)]

    # THEN they are of several options
    assert found
    assert all(len(each.options) >= 2 for each in found)


def test_more_changes_than_are_needed_are_not_offered() -> None:
    given = workload()
    found = [
        each for each in remedies(given, small(int(0.6 * need(given)))) if not each.new_algorithm
    ]

    assert len(found) > 2
    for remedy in found:
        fewer = [each for each in found if each.options.items() < remedy.options.items()]
        assert all(each.workload.batch_size < remedy.workload.batch_size for each in fewer)


def test_algorithm_batch_and_options_are_searched_together(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # GIVEN a board on which nothing fits with the batch, nor with a smaller one, nor with an option
    given = Workload(
        algorithm="backprop", model="mlp-784-256-256-10", dataset="none", batch_size=32
    )

    monkeypatch.setattr("trainfit.bench.sizing.suggestions.algorithm_names", algorithm_names)
    found = search(given, load_device("stm32f746"))

    # THEN the only ways out change the algorithm and the batch, and one an option as well
    assert all(each.new_algorithm and each.new_batch for each in found.remedies)
    by_name = {each.workload.algorithm: each for each in found.remedies}
    assert by_name["ff_int8"].change == "--algorithm ff_int8 --batch-size 6"
    assert by_name["sparse_update"].options
    assert found.combinations > 100
    assert found.algorithms > 10
    assert found.batch_sizes > 3


def test_the_algorithm_is_left_out_whose_prediction_is_wrong() -> None:
    given = workload()

    found = search(given, small(need(given) - 1), others_only=True)

    assert found.remedies
    assert all(each.new_algorithm for each in found.remedies)


@pytest.mark.parametrize(
    "options",
    [{"momentum": 0}, {"momentum": 0.0}, {"optimizer": "sgd"}, {"checkpoint": 2}],
)
def test_what_the_workload_has_already_is_not_offered(options: dict[str, Any]) -> None:
    given = workload(options=options)
    ((name, value),) = options.items()

    found = remedies(given, small(int(0.6 * need(given))))

    for remedy in found:
        if not remedy.new_algorithm:
            assert remedy.options.get(name, "other") != value


def test_values_that_a_rule_does_not_have_are_passed_over() -> None:
    # GIVEN a rule whose update is whole or fused, and no separate; few slices divide a width here
    given = workload("tinyfoa", model="mlp-63-33x2-10", options={"slices": 3})

    for remedy in remedies(given, small(int(0.9 * need(given)))):
        predicted_workload(remedy.workload)
        if not remedy.new_algorithm:
            assert remedy.options.get("slices", 1) == 1  # the only number tried that divides both


def test_of_other_algorithms_each_is_offered_once() -> None:
    given = workload()

    found = [each for each in remedies(given, small(need(given) - 1)) if each.new_algorithm]

    names = [remedy.workload.algorithm for remedy in found]
    assert len(set(names)) == len(names)
    assert "backprop" not in names
    assert set(names) <= set(algorithm_names())
    assert "zeroth_order" in names


class OwnOptions(DeltaOptions):
    halves: int = Field(default=1, ge=1, le=2)
    colour: str = "red"


class Own(Delta):
    """A third party's rule whose option halves what it needs."""

    options_type = OwnOptions

    def step(self, x: torch.Tensor, y: torch.Tensor) -> None:
        rows = len(x) // self.options.halves  # type: ignore[attr-defined]
        super().step(x[:rows], y[:rows])


def test_options_of_a_third_party_are_searched(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("trainfit.algorithms.registry.load_algorithm", lambda name: Own)
    monkeypatch.setattr("trainfit.bench.sizing.suggestions.algorithm_names", lambda: [])
    given = workload("own:Own", model="mlp-64-10", batch_size=32)

    found = remedies(given, small(need(given) - 1))

    assert found[0].change == "halves=2"
    assert found[0].what == "halves=2"  # nobody has words for it


def test_nothing_is_offered_where_nothing_helps() -> None:
    assert remedies(workload(), small(50)) == []


def test_nothing_is_offered_where_a_budget_cannot_be_judged() -> None:
    asked = parse_budgets({"energy_per_step": "1J"}, "--budget")

    assert remedies(workload(), small(10**6), asked) == []


def test_what_needs_no_flash_is_offered_where_flash_is_unknown() -> None:
    device = small(10**6, flash=None)

    found = remedies(workload("tinyfoa"), device)

    assert "--algorithm backprop" in [remedy.change for remedy in found]
    assert all(predicted_workload(remedy.workload).storage_bytes == 0 for remedy in found)


def test_every_change_with_words_is_an_option_of_some_rule() -> None:
    known = {
        name
        for algorithm in algorithm_names()
        for name in get_algorithm(algorithm).options_type.model_fields
    }

    assert {change.partition("=")[0] for change in CHANGES} <= known
    assert set(NAMED) <= known
    assert set(SAME_RESULT) <= known


def test_another_loss_is_no_remedy() -> None:
    """It saves the softmax's two rows: less memory, and another thing that is learnt."""
    given = workload(algorithm="dfa")
    assert {"activation", "signal"} <= {name for name, _ in declared_values(given)}
    assert not {"loss", "hidden_gradient"} & {name for name, _ in declared_values(given)}


def test_of_a_long_prediction_single_options_are_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    given = workload()
    device = small(int(0.45 * need(given)))
    many = [each for each in remedies(given, device) if not each.new_algorithm]
    assert any(len(remedy.options) > 1 for remedy in many)
    assert not predicted_workload(given).takes_long

    monkeypatch.setattr("trainfit.bench.sizing.predicted_workload.QUICK", 10)
    few = [each for each in remedies(given, device) if not each.new_algorithm]

    assert few
    assert all(len(remedy.options) <= 1 for remedy in few)


def test_a_step_without_weight_gradients_is_offered() -> None:
    # GIVEN backpropagation of which only the gradient of the largest weight is too much
    given = workload(model="mlp-64-128x2-10", options={"update": "fused"}, batch_size=4)

    found = remedies(given, small(need(given) - 8))

    assert found[0].change == "update=product"
    assert found[0].what.startswith("no gradient of a weight")
    assert found[0].ram_bytes < need(given) - 32_768
