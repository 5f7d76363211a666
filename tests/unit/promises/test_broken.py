"""Rules that break a promise: it is found, with its line, and no other one is said to be broken."""

from __future__ import annotations

from typing import Any

import pytest

from trainfit.algorithms import get_algorithm
from trainfit.bench.promises.catalogue import BY_NAME, PROMISES
from trainfit.bench.promises.finding import Finding, Standing
from trainfit.bench.promises.running import judged
from trainfit.bench.promises.subject import Subject

BREAKERS = "tests.plugins.promise_breakers"
LONGEST = "learns"


def found(rule: str, options: dict[str, Any] | None = None) -> dict[str, Finding]:
    """Every finding of a rule on a small net, but whether it learns."""
    subjects = [Subject(rule, "mlp-6-5-3", options or {}, 5)]
    findings: dict[str, Finding] = {}
    for promise in PROMISES:
        if promise.name != LONGEST:
            standing = {name: each.standing for name, each in findings.items()}
            findings[promise.name] = judged(promise, subjects, standing)
    return findings


@pytest.mark.parametrize(
    ("rule", "promises", "said"),
    [
        ("Loose", {"options"}, "an option that it does not have is taken"),
        ("CannotBeBuilt", {"builds"}, "IndexError: no such layer"),
        ("Returns", {"steps"}, "returned a Tensor"),
        ("Diverges", {"steps"}, "w holds NaN or infinity"),
        ("Undeclared", {"phases"}, "enters 'backward'"),
        ("Misnamed", {"phases"}, "'backward' is declared"),
        ("Overwrites", {"batch"}, "x is another one afterwards"),
        ("Relabels", {"batch"}, "y is another one afterwards"),
        ("Hides", {"declares"}, "self.state['momentum'] (float32 6x3, 72 B) is kept"),
        ("HidesElsewhere", {"declares"}, "a step uses a tensor (float32 4, 16 B)"),
        ("NamesTwice", {"declares"}, "names two tensors 'w'"),
        ("Idle", {"trains"}, "changes nothing"),
        ("Misshapen", {"predicts"}, "returned shape (5, 2)"),
        ("TrainsWhenAsked", {"predicts"}, "predict changes w"),
        ("DrawsUnseeded", {"seed"}, "two trainings of the same seed differ in w"),
        ("SeedsItself", {"seed"}, "another seed gives the same weights"),
        ("DrawsElsewhere", {"resumes"}, "goes on otherwise: w"),
        ("NeedsTwo", {"refuses"}, "a batch of one sample: IndexError"),
        ("NeedsWidth", {"refuses"}, "mlp-1-1-2: ZeroDivisionError"),
        ("AnyStage", {"refuses"}, "enter_stage(1) is taken"),
        ("Alternates", {"repeats"}, "it repeats itself every 2 steps"),
        ("Leaks", {"leaves"}, "every step leaves 12 B behind"),
        ("LeaksElsewhere", {"leaves"}, "every step leaves 12 B behind"),
        ("Lazy", {"traced"}, "its first step makes 72 B that later ones find"),
        ("LooksAtData", {"twin"}, "depends on values that it reads"),
        ("LeavesTorch", {"twin"}, "without values of its tensors its step raised"),
    ],
)
def test_what_is_broken_is_named_and_nothing_else(rule: str, promises: set[str], said: str) -> None:
    findings = found(f"{BREAKERS}:{rule}")

    broken = {name: each for name, each in findings.items() if each.standing is Standing.BROKEN}
    assert set(broken) == promises, broken
    for each in broken.values():
        assert said in each.reason
        file, _, line = each.where.rpartition(":")
        assert file.endswith(("promise_breakers.py", "plain.py", "contract.py", "options.py"))
        assert int(line) > 0


def test_what_an_operator_does_for_itself_breaks_two() -> None:
    findings = found("tests.plugins.misstated:Overlooked")

    broken = {name: each for name, each in findings.items() if each.standing is Standing.BROKEN}
    assert set(broken) == {"traced", "counted"}
    assert "what misstated.descend.default allocates inside itself" in broken["traced"].reason
    assert "add a row for 'misstated.descend'" in broken["counted"].reason


def test_a_rule_that_keeps_its_promises_is_found_to() -> None:
    findings = found("tests.plugins.plain:Delta")
    assert {name: e for name, e in findings.items() if e.standing is not Standing.OK} == {}


def test_an_option_without_a_default_is_seen() -> None:
    findings = found(f"{BREAKERS}:Needs", {"rank": 2})
    assert findings["options"].standing is Standing.BROKEN
    assert "option rank of delta has no default" in findings["options"].reason


def test_what_rests_on_a_broken_promise_is_not_judged() -> None:
    findings = found(f"{BREAKERS}:Hides")
    for name in ("trains", "twin", "traced", "arena", "counted"):
        assert findings[name].standing is Standing.NOT_APPLICABLE
        assert "as long as" in findings[name].reason
    assert findings["leaves"].standing is Standing.OK


def test_every_promise_comes_after_those_that_it_rests_on() -> None:
    names = [promise.name for promise in PROMISES]
    assert len(set(names)) == len(names)
    for place, promise in enumerate(PROMISES):
        assert set(promise.rests_on) <= set(names[:place])


@pytest.mark.parametrize(("rule", "standing"), [("Climbs", Standing.BROKEN)])
def test_who_does_not_learn_is_found(
    rule: str, standing: Standing, monkeypatch: pytest.MonkeyPatch
) -> None:
    nets = {"mlp": (("mlp-64-10", 1),)}
    monkeypatch.setattr("trainfit.bench.promises.learning.DIGITS_NETS", nets)
    promise = BY_NAME[LONGEST]
    kept = dict.fromkeys(promise.rests_on, Standing.OK)
    finding = judged(promise, [Subject(f"{BREAKERS}:{rule}", "mlp-6-5-3", {}, 5)], kept)

    assert finding.standing is standing
    assert "right at best (mlp-64-10 in 1 epoch, lr=" in finding.reason
    assert get_algorithm(f"{BREAKERS}:{rule}").name == "delta"
