"""What binarising costs other rules beside what it costs TinyFoA, judged by made-up records."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.builders.gate import write_run
from tests.builders.runs import record, workload
from trainfit.bench.claims.claim import ClaimVerdict, Judged, judge_claims
from trainfit.bench.claims.listed import read_claims
from trainfit.bench.claims.statistics import Outcome
from trainfit.bench.records.schema import Accuracy, Record, Search

SEARCH = Search(
    grid={"lr": [0.01, 0.1]}, passes=6, train_samples=20_000, held_out=10_000, seeds=[0]
)
BINARY = {"weights": "binary", "activations": "binary"}
FLOAT = {"weights": "float", "activations": "float"}
DESCRIBED = {"variant": "described"}
OTHERS = {"drtp": {}, "pepita": {}, "forward_forward": {"passes": "joint"}}

Judge = Callable[..., Judged]


def trained(
    algorithm: str,
    options: dict[str, Any],
    reached: Sequence[float],
    *,
    passes: int = 12,
    search: Search | None = SEARCH,
) -> list[Record]:
    """A training per seed, of all samples at a rate that was searched for."""
    return [
        record(
            workload=workload(
                algorithm=algorithm,
                options={"lr": 0.01, **options},
                model="mlp-784-1000x3-10",
                dataset="mnist",
                epochs=passes,
                seed=seed,
                tuned=search,
            ),
            accuracy=Accuracy(test_accuracy=each, epochs=passes, train_seconds=1.0),
        )
        for seed, each in enumerate(reached)
    ]


def tinyfoa(binary: Sequence[float], whole: Sequence[float], **changes: Any) -> list[Record]:
    """Both forms that are compared, and those with one of the two in float, which are not."""
    halves = [{"weights": "float"}, {"activations": "float"}]
    return [
        *trained("tinyfoa", DESCRIBED, binary, **changes),
        *trained("tinyfoa", DESCRIBED | FLOAT, whole, **changes),
        *(each for half in halves for each in trained("tinyfoa", DESCRIBED | half, [0.5] * 3)),
    ]


def others(binary: Sequence[float], whole: Sequence[float], **changes: Any) -> list[Record]:
    """The other forward-only rules, all alike."""
    return [
        each
        for algorithm, options in OTHERS.items()
        for form, reached in ((BINARY, binary), ({}, whole))
        for each in trained(algorithm, options | form, reached, **changes)
    ]


@pytest.fixture
def judge(tmp_path: Path) -> Judge:
    """Judges a claim of TinyFoA by records of one run."""

    def judged(name: str, *records: Record) -> Judged:
        [claim] = [each for each in read_claims() if each.id == name]
        [found] = judge_claims([write_run(tmp_path / "run", list(records))], [claim])
        return found

    return judged


def values(found: Judged) -> list[float]:
    return [each.computed.value[0] for each in found.checks if each.computed]


def test_it_is_the_difference_of_both_differences(judge: Judge) -> None:
    """Seeds lie 4 points apart on every side, and each says the same of the difference."""
    found = judge(
        "tinyfoa-binarising-itself",
        *others([0.90, 0.86, 0.88], [0.98, 0.94, 0.96]),
        *tinyfoa([0.95, 0.91, 0.93], [0.97, 0.93, 0.95]),
    )

    assert found.verdict is ClaimVerdict.HOLDS
    assert values(found) == pytest.approx([-6, -6, -6])
    for check in found.checks:
        assert check.computed is not None
        assert check.computed.deviation == pytest.approx(0, abs=1e-9)
        assert check.evidence is not None
        assert check.evidence.text == "3 seeds, 12 passes, rates by one search"


def test_it_does_not_hold_where_tinyfoa_loses_more(judge: Judge) -> None:
    found = judge(
        "tinyfoa-binarising-itself",
        *others([0.95, 0.95, 0.95], [0.97, 0.97, 0.97]),
        *tinyfoa([0.90, 0.90, 0.90], [0.98, 0.98, 0.98]),
    )

    assert found.verdict is ClaimVerdict.DOES_NOT_HOLD
    assert values(found) == pytest.approx([6, 6, 6])


def test_as_large_a_loss_decides_nothing(judge: Judge) -> None:
    found = judge(
        "tinyfoa-binarising-itself",
        *others([0.90, 0.90, 0.90], [0.95, 0.95, 0.95]),
        *tinyfoa([0.92, 0.92, 0.92], [0.965, 0.965, 0.965]),
    )

    assert {each.outcome for each in found.checks} == {Outcome.UNDECIDED}
    assert values(found) == pytest.approx([-0.5, -0.5, -0.5])


def test_differences_that_seeds_do_not_agree_on_decide_nothing(judge: Judge) -> None:
    """By the means alone, -6 points, it would hold."""
    found = judge(
        "tinyfoa-binarising-itself",
        *others([0.80, 0.92, 0.92], [0.96, 0.96, 0.96]),
        *tinyfoa([0.94, 0.94, 0.94], [0.96, 0.96, 0.96]),
    )

    assert found.verdict is ClaimVerdict.NOT_DECIDED
    assert values(found) == pytest.approx([-6, -6, -6])
    assert "3 seeds differ too much to decide" in (found.reason or "")


def test_without_a_float_form_there_is_nothing_to_compare_with(judge: Judge) -> None:
    found = judge(
        "tinyfoa-binarising-itself",
        *others([0.90] * 3, [0.96] * 3),
        *trained("tinyfoa", DESCRIBED, [0.95] * 3),
    )

    assert found.verdict is ClaimVerdict.NO_RECORDS
    assert found.reason == (
        "no record of tinyfoa[activations=float,variant=described,weights=float]"
        " mlp-784-1000x3-10 mnist"
    )


WITHOUT = SEARCH.model_copy(update={"train_samples": None})
UNFAIR = {
    "another search": ({"search": WITHOUT}, "rates by different searches"),
    "no search": ({"search": None}, "rates not chosen by the same search"),
    "longer": ({"passes": 24}, "passes 12 against 24"),
}


@pytest.mark.parametrize("name", UNFAIR)
def test_all_four_sides_are_of_one_experiment_and_one_search(judge: Judge, name: str) -> None:
    changes, said = UNFAIR[name]

    found = judge(
        "tinyfoa-binarising-itself",
        *others([0.90] * 3, [0.98] * 3),
        *tinyfoa([0.95] * 3, [0.97] * 3, **changes),
    )

    assert found.verdict is ClaimVerdict.NOT_DECIDED
    assert said in (found.reason or "")


def test_other_claims_are_of_the_binary_form_alone(judge: Judge) -> None:
    """The run has four forms of TinyFoA; which of them is meant was not said."""
    found = judge(
        "tinyfoa-accuracy",
        *others([0.90] * 3, [0.98] * 3),
        *tinyfoa([0.95] * 3, [0.99] * 3),
    )

    decided = [each for each in found.checks if each.computed]
    assert [each.check.what for each in decided] == [
        f"TinyFoA - {name}, both binary, MNIST" for name in ("DRTP", "PEPITA", "Forward-Forward")
    ]
    assert values(found) == pytest.approx([5, 5, 5])
    assert {each.outcome for each in decided} == {Outcome.HOLDS}
