"""What one experiment is: which fields have to agree, and what is said where they do not."""

from __future__ import annotations

import json
from typing import Any

import pandas as pd
import pytest

from trainfit._experiments import (
    SAID,
    Conditions,
    experiments,
    in_common,
    latest,
    net,
    rate_of,
    seeds_in_words,
)

SEARCH = {
    "grid": {"lr": [0.01, 0.1]}, "passes": 2, "train_samples": None, "held_out": 100, "seeds": [0],
}  # fmt: skip


def row(algorithm: str = "drtp", options: dict[str, Any] | None = None, **changes: Any) -> Any:
    made = {
        "run": "a", "algorithm": algorithm, "options": json.dumps(options or {"lr": 0.1}),
        "model": "mlp-9-9", "dataset": "digits", "batch_size": 8, "train_samples": None,
        "held_out": None, "search": None, "standardise": False, "shuffle": True, "epochs": 3,
        "passes": None, "seed": 0,
    }  # fmt: skip
    return made | changes


OTHER = {
    "dataset": "mnist",
    "train_samples": 9,
    "held_out": 9,
    "standardise": True,
    "shuffle": False,
    "augment": "crop-flip",
    "pretrained": "after 3 passes of backprop",
    "model": "mlp-9-8-9",
    "batch_size": 9,
    "passes": 9,
    "options": {"lr": 0.2},
}


@pytest.mark.parametrize("name", OTHER)
def test_every_field_tells_two_experiments_apart_unless_it_is_compared(name: str) -> None:
    field = "rate" if name == "options" else name
    one, other = Conditions.of(row()), Conditions.of(row(**{name: OTHER[name]}))

    [said] = one.differences(other)

    assert said.startswith(SAID[field])
    assert one.differences(other, {field}) == []
    assert one.without({field}) == other.without({field})
    assert one.without(()) != other.without(())


def test_the_rule_its_options_its_seed_and_its_run_are_no_field() -> None:
    other = row("backprop", {"lr": 0.1, "momentum": 0.5}, seed=1, run="b")

    assert Conditions.of(row()).differences(Conditions.of(other)) == []


def test_passes_are_of_all_stages_where_they_are_known() -> None:
    assert Conditions.of(row(epochs=3, passes=12)).passes == "12"
    assert Conditions.of(row(epochs=3, passes=pd.NA)).passes == "3"


def test_rates_agree_if_they_are_one_number_one_rules_default_or_of_one_search() -> None:
    search = json.dumps(SEARCH)
    longer = json.dumps({**SEARCH, "passes": 3})
    assert rate_of(row()) == rate_of(row("backprop")) == "0.1"
    assert rate_of(row(options={"k": 1})) == "drtp's default"
    assert rate_of(row(options={"k": 1})) != rate_of(row("backprop", {"k": 1}))
    assert rate_of(row(search=search)) == rate_of(row("backprop", {"lr": 9}, search=search))
    assert rate_of(row(search=search)) != rate_of(row(search=longer))
    assert rate_of(row(search=search)) == (
        "chosen by a search of lr 0.01/0.1; 2 passes over all other samples, 1 seed,"
        " 100 samples held out"
    )


def test_frames_are_cut_into_experiments() -> None:
    rows = [row(), row("backprop"), row(epochs=5), row("backprop", train_samples=9)]

    parts = experiments(pd.DataFrame(rows))

    assert [list(each["algorithm"]) for each in parts] == [["drtp", "backprop"], ["drtp"],
                                                           ["backprop"]]  # fmt: skip
    assert len(experiments(pd.DataFrame(rows), {"passes", "train_samples"})) == 1
    assert experiments(pd.DataFrame()) == []


def test_of_two_runs_of_a_seed_the_later_counts() -> None:
    rows = [row(x=1), row(seed=1, x=2), row(run="b", x=3), row(run="b", x=4)]

    assert list(latest(pd.DataFrame(rows))["x"]) == [2, 3, 4]


def test_seeds() -> None:
    assert in_common([[2, 1, 0], [1, 2, 3]]) == [1, 2]
    assert in_common([]) == []
    assert (seeds_in_words([0]), seeds_in_words([1, 0])) == ("seed 0", "seeds 0, 1")


def test_one_net_has_one_name() -> None:
    assert net("mlp-9-8-8-8-1") == net("mlp-9-8x3-1") == net("mlp-9-8x2-8-1") == "mlp-9-8x3-1"
    assert net("lc-1x13x13-16x3-5") == "lc-1x13x13-16x3-5"
