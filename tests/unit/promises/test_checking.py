"""Checking in processes of their own: what crashes or hangs breaks the promise at hand."""

from __future__ import annotations

import pytest

from trainfit.bench.promises.checking import Asked, CheckError, check
from trainfit.bench.promises.finding import Finding, Standing

BREAKERS = "tests.plugins.promise_breakers"


def test_a_crash_breaks_the_promise_at_hand_and_the_others_are_still_checked() -> None:
    told: list[Finding] = []
    asked = Asked(f"{BREAKERS}:Crashes", quick=True)
    findings = check(asked, ["steps", "batch", "declares", "refuses"], told.append)
    standing = {each.promise: each.standing for each in findings}

    assert told == findings
    assert standing["batch"] is Standing.NOT_APPLICABLE  # for `steps` rests on `builds`
    findings = check(asked, ["builds", "steps", "batch", "declares", "predicts"])
    standing = {each.promise: each.standing for each in findings}
    assert standing == {
        "builds": Standing.OK,
        "steps": Standing.OK,
        "batch": Standing.OK,
        "declares": Standing.BROKEN,
        "predicts": Standing.OK,
    }
    (crash,) = (each for each in findings if each.standing is Standing.BROKEN)
    assert crash.reason == "the process ended: process ended by SIGSEGV"
    assert crash.where.startswith("tests/plugins/promise_breakers.py:")


def test_a_hang_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("trainfit.bench.promises.checking.FIRST_SECONDS", 5.0)
    builds, steps, batch = check(
        Asked(f"{BREAKERS}:Hangs", quick=True), ["builds", "steps", "batch"]
    )

    assert builds.standing is Standing.OK
    assert steps.standing is Standing.BROKEN
    assert steps.reason == "still running after 5 s; every step has to come to its end"
    assert batch.standing is Standing.NOT_APPLICABLE


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        (Asked("backprob"), "unknown algorithm 'backprob'"),
        (Asked("tests.plugins.plain:Delto"), "has no attribute 'Delto'"),
        (Asked("tests.plugins.unfinished:Rule"), "lacks paper, predict, static_tensors"),
        (Asked("backprop", {"momentun": 0.9}), "momentun"),
        (Asked("backprop", models=("mlp-8",)), "at least inputs and classes"),
        (Asked("backprop", models=("lc-1x6x6-4-8-4",)), "backprop trains fully connected nets"),
        (Asked("tinyfoa", models=("mlp-9-8-4",)), "tinyfoa is not checked on mlp-9-8-4 at batch"),
        (
            Asked("local_head", {"batch_norm": True}, rows=1),
            "name a net and a batch that it trains",
        ),
    ],
)
def test_what_cannot_be_checked_is_refused(asked: Asked, said: str) -> None:
    with pytest.raises(CheckError, match=said):
        check(asked, ["builds"])
