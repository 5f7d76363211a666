"""What is offered fits, keeps everything else, and is offered once."""

from __future__ import annotations

import json
from contextlib import suppress
from typing import Any

import pytest

from tests.fakes.small_boards import small
from trainfit.algorithms import ConfigurationError, algorithm_names, get_algorithm
from trainfit.bench.records.schema import Workload
from trainfit.bench.sizing.closed_form import closed_form
from trainfit.bench.sizing.suggestions import CHANGES, Remedy, remedies
from trainfit.bench.verdicts.judge import judge_all
from trainfit.bench.verdicts.memory import Status, worst
from trainfit.hardware_profiles import Budgets, Device, parse_budgets

MODEL = "mlp-64-32x3-10"


def workload(algorithm: str = "backprop", **changes: Any) -> Workload:
    values = {"model": MODEL, "dataset": "none", "batch_size": 16}
    return Workload(algorithm=algorithm, **values | changes)


def need(given: Workload) -> int:
    return closed_form(given).ram_bytes


def kinds(found: list[Remedy]) -> list[str]:
    words = {"--batch-size": "batch", "--algorithm": "algorithm"}
    return [words.get(remedy.change.split(" ")[0], "options") for remedy in found]


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

    # THEN the closest to the workload come first
    order = ["batch", "options", "algorithm"]
    assert kinds(found) == sorted(kinds(found), key=order.index)


def fits(given: Workload, device: Device, asked: Budgets) -> bool:
    verdict = worst(judge_all(closed_form(given).demand(device), device, asked))
    return verdict.status in {Status.FITS, Status.TIGHT}


def test_a_smaller_batch_is_the_largest_that_fits() -> None:
    given = workload()
    device = small(need(workload(batch_size=11)))

    remedy = remedies(given, device)[0]

    assert remedy.change == "--batch-size 11"
    assert remedy.workload == workload(batch_size=11)


def test_other_options_are_kept() -> None:
    options = {"optimizer": "adam", "lr": 0.01, "activations": "float"}
    given = workload(options=options)
    device = small(int(0.75 * need(given)))

    for remedy in remedies(given, device):
        if kinds([remedy]) == ["algorithm"]:
            assert remedy.workload.options == {}
        elif kinds([remedy]) == ["options"]:
            changes = dict(part.split("=") for part in remedy.change.split(" "))
            kept = {name: value for name, value in options.items() if name not in changes}
            assert kept.items() <= remedy.workload.options.items()
            assert set(remedy.workload.options) == set(options) | set(changes)
        else:
            assert remedy.workload.options == options
        same = {"model", "dataset", "seed"}
        assert remedy.workload.model_dump(include=same) == given.model_dump(include=same)


def test_two_changes_are_tried_where_one_is_not_enough() -> None:
    # GIVEN a device for less than any single change leaves
    given = workload(options={"optimizer": "adam"}, model="mlp-61-31x3-10")
    alone = []
    for option, value, _ in CHANGES:
        with suppress(ConfigurationError):
            changed = given.model_copy(update={"options": given.options | {option: value}})
            alone.append(need(changed))
    device = small(min(alone) - 1)

    # WHEN remedies are asked for
    found = [remedy for remedy in remedies(given, device) if kinds([remedy]) == ["options"]]

    # THEN they are pairs of different options
    assert found
    for remedy in found:
        names = [part.split("=")[0] for part in remedy.change.split(" ")]
        assert len(set(names)) == len(names) == 2


@pytest.mark.parametrize(
    "options",
    [{"momentum": 0}, {"momentum": 0.0}, {"optimizer": "sgd"}, {"checkpoint": 2}],
)
def test_what_the_workload_has_already_is_not_offered(options: dict[str, Any]) -> None:
    given = workload(options=options)
    (name,) = options

    found = remedies(given, small(int(0.6 * need(given))))

    for remedy in found:
        assert f"{name}={float(options[name]) if name == 'momentum' else options[name]}" not in (
            remedy.change.split(" ")
        )


def test_values_that_a_rule_does_not_have_are_passed_over() -> None:
    # GIVEN a rule whose update is whole or fused, and no separate; slices divide no width here
    given = workload("tinyfoa", model="mlp-63-33x2-10", options={"slices": 3})

    for remedy in remedies(given, small(int(0.9 * need(given)))):
        closed_form(remedy.workload)
        assert not remedy.change.startswith("slices=")


def test_other_algorithms_are_sorted_by_what_they_need() -> None:
    given = workload()

    found = [r for r in remedies(given, small(need(given) - 1)) if r.change.startswith("--algo")]

    assert [r.ram_bytes for r in found] == sorted(r.ram_bytes for r in found)
    names = [remedy.workload.algorithm for remedy in found]
    assert "backprop" not in names
    assert set(names) <= set(algorithm_names())
    assert "zeroth_order" in names


def test_nothing_is_offered_where_nothing_helps() -> None:
    assert remedies(workload(), small(50)) == []


def test_nothing_is_offered_where_a_budget_cannot_be_judged() -> None:
    asked = parse_budgets({"energy_per_step": "1J"}, "--budget")

    assert remedies(workload(), small(10**6), asked) == []


def test_what_needs_no_flash_is_offered_where_flash_is_unknown() -> None:
    device = small(10**6, flash=None)

    found = remedies(workload("tinyfoa"), device)

    assert "--algorithm backprop" in [remedy.change for remedy in found]
    assert all(closed_form(remedy.workload).storage_bytes == 0 for remedy in found)


def test_every_change_is_an_option_of_some_rule() -> None:
    known = {
        name
        for algorithm in algorithm_names()
        for name in get_algorithm(algorithm).options_type.model_fields
    }

    assert {option for option, _, _ in CHANGES} <= known
