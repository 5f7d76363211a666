"""From claims and runs to verdicts: which rows are meant, and every verdict there is."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.builders.runs import failed, memory, record, workload
from trainfit._experiments import net
from trainfit.bench.claims.claim import (
    Check,
    Claim,
    ClaimsError,
    ClaimVerdict,
    Judged,
    JudgedCheck,
    Paper,
    command,
    compare,
    judge_claims,
)
from trainfit.bench.claims.evidence import Fair, Rates
from trainfit.bench.claims.ff_int8 import GRID, PASSES
from trainfit.bench.claims.listed import chosen, read_claims
from trainfit.bench.claims.pairing import pair, settings_of
from trainfit.bench.claims.quantities import (
    ACCURACY,
    BOTH,
    CURVE,
    LOST_ACCURACY,
    MACS,
    RAM,
    Quantity,
    Tables,
    in_phase,
    modelled,
)
from trainfit.bench.claims.statistics import (
    CHANGE_PERCENT,
    POINTS,
    RATIO,
    Outcome,
    less,
    more,
    near,
)
from trainfit.bench.claims.text import counts, reproduced, sentence
from trainfit.bench.claims.workloads import DEFAULT, Cited, Operand, Workloads, rule
from trainfit.bench.errors import BenchError
from trainfit.bench.frames.workloads import identity, records_frame
from trainfit.bench.records.schema import (
    Accuracy,
    Noise,
    QuantisedAccuracy,
    Record,
    Search,
    StageOperations,
)
from trainfit.bench.suite.suite import load_suite

ROOT = Path(__file__).parents[3]

PAPER = Paper("small", "Small (2026)")
SIDES = rule("drtp"), rule("backprop")
LESS = compare("bytes", RAM, CHANGE_PERCENT, *SIDES, expected=near(-50.0, give=1.0))
BETTER = compare("accuracy", ACCURACY, POINTS, *SIDES, expected=more(1.0))


def claim(*checks: Check, **changes: Any) -> Claim:
    given: dict[str, Any] = {"suites": ["results/suites/small.toml"], "checks": checks}
    return Claim("less-memory", PAPER, "It needs less.", "Table 1", **given | changes)


Judge = Callable[..., Judged]


def accuracy(value: float, **changes: Any) -> Accuracy:
    return Accuracy(test_accuracy=value, epochs=2, train_seconds=1.0, **changes)


def of(algorithm: str, static: int = 3_000, reached: float = 0.9, **changes: Any) -> Record:
    parts = {"memory": memory(static=static), "accuracy": accuracy(reached)}
    given = {key: changes.pop(key) for key in ("memory", "accuracy", "devices", "noise",
                                               "operations") if key in changes}  # fmt: skip
    return record(workload=workload(algorithm=algorithm, **changes), **parts | given)


SEARCH = Search(grid={"lr": [0.01, 0.1]}, passes=1, held_out=100, seeds=[0])


def trained(
    algorithm: str, *reached: float, search: Search | None = SEARCH, passes: int = 2, **changes: Any
) -> list[Record]:
    """A training per seed from 0, each with its accuracy; three alike if there is one."""
    seeds = changes.pop("seeds", range(3 if len(reached) == 1 else len(reached)))
    values = reached * len(seeds) if len(reached) == 1 else reached
    options = changes.pop("options", {"lr": 0.1})
    given = {"epochs": passes, "options": options, "tuned": search}
    return [
        of(
            algorithm,
            accuracy=accuracy(value).model_copy(update={"epochs": passes}),
            seed=seed,
            **given | changes,
        )
        for seed, value in zip(seeds, values, strict=True)
    ]


@pytest.fixture
def judge(tmp_path: Path) -> Judge:
    """Judges a claim, or one with these checks, by records of one run."""

    def judged(what: Claim | Sequence[Check], *records: Record) -> Judged:
        run = tmp_path / "run"
        run.mkdir(exist_ok=True)
        lines = [each.model_dump_json(by_alias=True) + "\n" for each in records]
        (run / "records.jsonl").write_text("".join(lines), "utf-8")
        [found] = judge_claims([run], [what if isinstance(what, Claim) else claim(*what)])
        return found

    return judged


# --- verdicts


def test_it_holds(judge: Judge) -> None:
    found = judge(LESS, of("drtp", 1_000), of("backprop", 3_000))

    assert found.verdict is ClaimVerdict.HOLDS
    assert value(found) == (-50, -50)
    assert reproduced(found.checks[0]) == "-50.0 % (2,000 B; 4,000 B)"
    assert (found.reason, found.suites) == (None, [])


def test_it_does_not_hold_and_that_is_a_result(judge: Judge) -> None:
    found = judge(LESS, of("drtp"), of("backprop"))

    assert found.verdict is ClaimVerdict.DOES_NOT_HOLD
    assert value(found) == (0, 0)


def test_it_holds_in_part(judge: Judge) -> None:
    records = trained("drtp", 0.8, static=1_000) + trained("backprop", 0.9, static=3_000)

    found = judge([*LESS, *BETTER], *records)

    assert found.verdict is ClaimVerdict.IN_PART
    assert [each.outcome.value for each in found.checks] == ["holds", "does not hold"]


def test_what_is_missing_does_not_count_as_holding(judge: Judge) -> None:
    bare = of("drtp", 1_000, accuracy=None)

    found = judge([*LESS, *BETTER], bare, of("backprop", 3_000))

    assert found.verdict is ClaimVerdict.IN_PART
    assert found.reason == "the records of drtp have no test_accuracy"
    assert found.suites == ["results/suites/small.toml"]


def test_a_difference_that_is_too_small_is_not_decided(judge: Judge) -> None:
    found = judge(BETTER, *trained("drtp", 0.905), *trained("backprop", 0.9))

    assert found.verdict is ClaimVerdict.NOT_DECIDED
    assert found.reason == "accuracy: a difference within 1 decides nothing"


def test_what_cannot_be_tested_says_why(judge: Judge) -> None:
    found = judge(claim(suites=(), not_testable="there is no CNN"), of("drtp"))

    assert found.verdict is ClaimVerdict.NOT_TESTABLE
    assert found.reason == "there is no CNN"


def test_no_records_names_what_is_missing_and_the_command(judge: Judge) -> None:
    found = judge(LESS, of("pepita"))

    assert found.verdict is ClaimVerdict.NO_RECORDS
    assert found.reason == "no record of drtp; no record of backprop"
    assert [command(each) for each in found.suites] == [
        "trainfit run results/suites/small.toml --data-root DATA --out results/runs/small"
    ]
    assert command("quick") == "trainfit run quick --data-root DATA --out runs/quick"


def test_a_suite_that_was_run_is_not_asked_for_again(judge: Judge) -> None:
    found = judge(claim(*LESS, suites=["run", "other"]), of("drtp"))

    assert found.suites == ["other"]


def test_a_failed_workload_has_no_figures(judge: Judge) -> None:
    broken = failed(workload=workload(algorithm="drtp"))

    found = judge(LESS, broken, of("backprop"))

    assert found.verdict is ClaimVerdict.NO_RECORDS
    assert found.reason == "the records of drtp have no ram_bytes"


def test_without_any_run_there_are_no_records() -> None:
    [found] = judge_claims([], [claim(*LESS)])

    assert found.verdict is ClaimVerdict.NO_RECORDS


# --- which rows are meant


def test_seeds_are_one_setting_with_a_deviation(judge: Judge) -> None:
    records = trained("drtp", 0.95, 0.91) + trained("backprop", 0.80, 0.82)

    found = judge(BETTER, *records)

    check = found.checks[0]
    assert check.computed is not None
    assert check.computed.value == pytest.approx((12, 12))
    assert check.computed.deviation == pytest.approx(4.2426, abs=1e-3)
    assert check.seeds == 2
    assert reproduced(check) == "+12.0 ± 4.2 points (93.00 ± 2.83 %; 81.00 ± 1.41 %)"


def test_settings_that_differ_are_not_chosen_from(judge: Judge) -> None:
    records = [
        *trained("drtp", 0.99, search=None),
        *trained("drtp", 0.50, search=None, options={"lr": 1.0}),
        *trained("backprop", 0.8),
    ]

    found = judge(BETTER, *records)

    assert found.verdict is ClaimVerdict.NOT_DECIDED
    assert "2 settings match drtp and differ (drtp[lr=0.1]" in (found.reason or "")
    assert "give one run with --from" in (found.reason or "")


def test_settings_with_the_same_bytes_are_one(judge: Judge) -> None:
    records = [
        of("drtp", 1_000, options={"lr": 0.1}),
        of("drtp", 1_000, options={"lr": 1.0}),
        of("backprop", 3_000),
    ]

    assert judge(LESS, *records).verdict is ClaimVerdict.HOLDS


def test_of_several_experiments_the_longest_counts(judge: Judge) -> None:
    records = [
        *trained("drtp", 0.99, passes=20),
        *trained("backprop", 0.8, passes=20),
        *trained("drtp", 0.50),
        *trained("backprop", 0.4),
    ]

    assert value(judge(BETTER, *records)) == pytest.approx((19, 19))


def test_more_seeds_count_more_than_more_passes_and_a_search_more_than_both(judge: Judge) -> None:
    once: dict[str, Any] = {"passes": 9, "seeds": [0], "search": None}
    long = [*trained("drtp", 0.99, **once), *trained("backprop", 0.1, **once)]
    many = [*trained("drtp", 0.7, search=None), *trained("backprop", 0.6, search=None)]
    searched = [*trained("drtp", 0.5, passes=3), *trained("backprop", 0.3, passes=3)]

    assert value(judge(BETTER, *long, *many)) == pytest.approx((10, 10))
    assert value(judge(BETTER, *long, *many, *searched)) == pytest.approx((20, 20))


# --- one experiment, or none


MIXED = {
    "passes": ({"passes": 50}, "passes 2 against 50"),
    "samples": ({"train_samples": 100}, "training samples all against 100"),
    "held out": ({"held_out": 200}, "samples held out none against 200"),
    "batch": ({"batch_size": 64}, "batch size 32 against 64"),
    "net": ({"model": "mlp-64-32x2-10"}, "net mlp-64-10 against mlp-64-32x2-10"),
    "data": ({"dataset": "synthetic-64-10"}, "data set digits against synthetic-64-10"),
    "standardised": ({"standardise": True}, "standardised no against yes"),
    "order": ({"shuffle": False}, "shuffled yes against no"),
}


@pytest.mark.parametrize("name", MIXED)
def test_records_of_two_experiments_are_not_compared(judge: Judge, name: str) -> None:
    """Each of these pairs was compared, and the claim held."""
    changes, said = MIXED[name]

    found = judge(BETTER, *trained("drtp", 0.95), *trained("backprop", 0.5, **changes))

    assert found.verdict is ClaimVerdict.NOT_DECIDED
    assert found.reason == f"no one experiment of drtp and backprop: {said}"
    assert found.checks[0].computed is None


def test_what_is_compared_may_differ(judge: Judge) -> None:
    records = [*trained("drtp", 0.95), *trained("backprop", 0.5, model="mlp-64-32x2-10")]
    checks = compare(
        "nets", ACCURACY, POINTS, *SIDES, expected=more(1.0), fair=Fair(compared={"model"})
    )

    assert judge(checks, *records).verdict is ClaimVerdict.HOLDS


def test_where_the_claim_is_about_one_rate_rates_are_the_same(judge: Judge) -> None:
    """The side of the same rate was there, and another one was compared."""
    checks = compare("at a rate", ACCURACY, POINTS, *SIDES, expected=more(1.0),
                     fair=Fair(Rates.SAME))  # fmt: skip
    records = trained("drtp", 0.95, search=None)
    other = trained("backprop", 0.5, search=None, options={"lr": 1.0})
    same = trained("backprop", 0.9, search=None)

    unlike, alike = judge(checks, *records, *other), judge(checks, *records, *other, *same)

    assert unlike.reason == "no one experiment of drtp and backprop: rate 0.1 against 1"
    assert value(alike) == pytest.approx((5, 5))
    assert alike.verdict is ClaimVerdict.HOLDS
    assert alike.checks[0].evidence is not None
    assert alike.checks[0].evidence.rates == "rate 0.1 on all sides"


def test_grids_are_compared_whole_and_only_if_spaced_alike(judge: Judge) -> None:
    def grid(algorithm: str, *rates: float) -> list[Record]:
        return [
            each
            for rate in rates
            for each in trained(algorithm, 0.9, search=None, options={"lr": rate})
        ]

    fair = Fair(Rates.SWEPT)
    checks = compare("grid", ACCURACY, GRID, *SIDES, expected=more(1.0), fair=fair)
    alike = judge(checks, *grid("drtp", 0.1, 0.3, 1), *grid("backprop", 1, 3, 10))
    unlike = judge(checks, *grid("drtp", 0.1, 0.3, 1), *grid("backprop", 1, 2, 3))

    assert alike.reason == "grid: a difference within 1 decides nothing"
    assert unlike.reason == "grid: grids of rates that are not spaced alike"


def test_only_seeds_that_both_have_count(judge: Judge) -> None:
    left = trained("drtp", 0.9, 0.9, 0.9, 0.1)
    right = trained("backprop", 0.8, 0.8, 0.8, seeds=[0, 1, 2])

    found = judge(BETTER, *left, *right)

    assert value(found) == pytest.approx((10, 10))
    assert found.verdict is ClaimVerdict.HOLDS


def test_seeds_that_no_side_shares_are_not_compared(judge: Judge) -> None:
    found = judge(BETTER, *trained("drtp", 0.9), *trained("backprop", 0.5, seeds=[3, 4, 5]))

    assert found.verdict is ClaimVerdict.NOT_DECIDED
    assert found.reason == "no seed in common: seeds 0, 1, 2 against seeds 3, 4, 5"


def test_a_workload_in_two_runs_counts_once(tmp_path: Path) -> None:
    """Its later run, as in every figure; the mean of both was the value of none."""
    for name, reached in (("first", 0.5), ("second", 0.9)):
        run = tmp_path / name
        run.mkdir()
        records = [*trained("drtp", reached), *trained("backprop", 0.4)]
        lines = [each.model_dump_json(by_alias=True) + "\n" for each in records]
        (run / "records.jsonl").write_text("".join(lines), "utf-8")

    [found] = judge_claims([tmp_path / "first", tmp_path / "second"], [claim(*BETTER)])

    assert value(found) == pytest.approx((50, 50))


# --- evidence


def test_a_fair_comparison_says_what_it_rests_on(judge: Judge) -> None:
    found = judge(BETTER, *trained("drtp", 0.95), *trained("backprop", 0.9))

    assert found.verdict is ClaimVerdict.HOLDS
    [check] = found.checks
    assert check.evidence is not None
    assert check.evidence.text == "3 seeds, 2 passes, rates by one search"


OTHER = SEARCH.model_copy(update={"passes": 9})
LACKING = {
    "seeds": ({"seeds": [0]}, "one seed, 3 are needed"),
    "search": ({"search": None}, "rates not chosen by the same search on held-out samples"),
    "other search": ({"search": OTHER}, "rates by different searches"),
}


@pytest.mark.parametrize("name", LACKING)
def test_what_lacks_evidence_is_shown_and_not_decided(judge: Judge, name: str) -> None:
    """Each of these held."""
    changes, said = LACKING[name]

    found = judge(BETTER, *trained("drtp", 0.95), *trained("backprop", 0.5, **changes))

    assert found.verdict is ClaimVerdict.NOT_DECIDED
    assert said in (found.reason or "")
    assert value(found) == pytest.approx((45, 45))


def test_bytes_need_neither_seeds_nor_a_search(judge: Judge) -> None:
    records = trained("drtp", 0.9, static=1_000, search=None)[:1]
    records += trained("backprop", 0.9, static=3_000, passes=99, dataset="other", search=None)[:1]

    found = judge(LESS, *records)

    assert found.verdict is ClaimVerdict.HOLDS
    assert found.checks[0].evidence is None


def test_bytes_of_different_batches_are_not_compared(judge: Judge) -> None:
    found = judge(LESS, of("drtp", 1_000), of("backprop", 3_000, batch_size=8))

    assert found.verdict is ClaimVerdict.NOT_DECIDED
    assert "batch size 32 against 8" in (found.reason or "")


def test_a_figure_of_others_needs_no_record(judge: Judge) -> None:
    sides = rule("drtp"), Cited(8_000, "their code")
    checks = compare("bytes", RAM, RATIO, *sides, expected=near(0.25))

    found = judge(checks, of("drtp", 1_000))

    assert found.verdict is ClaimVerdict.HOLDS
    assert reproduced(found.checks[0]) == "0.25 times (2,000 B; 8,000 B)"
    with pytest.raises(ValueError, match="a figure from elsewhere cannot be a side"):
        compare("it", ACCURACY, POINTS, rule("drtp"), Cited(0.9, "x"), expected=more(1.0))


SELECTORS: tuple[tuple[Workloads, set[int]], ...] = (
    (rule("drtp"), {0, 1, 2, 3}),
    (rule("drtp", weights="binary"), {1, 2}),
    (rule("drtp", weights="binary", lr=0.1), {2}),
    (rule("drtp", weights="binary").having(lr=0.1), {2}),
    (rule("drtp", weights=DEFAULT), {0, 3}),
    (rule("drtp", lr=(0.1, DEFAULT)), {0, 1, 2, 3}),
    (rule("drtp").at(model="mlp-64-32-32-10"), {3}),
    (rule("drtp").at(model="mlp-64-32x2-10"), {3}),
    (rule("pepita").at(batch_size=8), {4}),
    (rule("drtp").at(train_samples=100), {0}),
    (rule("drtp").at(train_samples=DEFAULT), {1, 2, 3}),
    (rule("drtp").at(standardise=True), {1}),
    (rule("drtp").at(epochs=(3, 4)), {2}),
    (rule("drtp").at(epochs=9).at(epochs=3), {2}),
    (rule("drtp").at(run="other"), set()),
)


@pytest.mark.parametrize(("side", "rows"), SELECTORS, ids=[each.text for each, _ in SELECTORS])
def test_which_workloads_are_meant(side: Workloads, rows: set[int]) -> None:
    records = [
        of("drtp", train_samples=100),
        of("drtp", options={"weights": "binary"}, standardise=True),
        of("drtp", options={"weights": "binary", "lr": 0.1}, epochs=3),
        of("drtp", model="mlp-64-32x2-10"),
        of("pepita", batch_size=8),
    ]
    frame = records_frame(("here", each) for each in records)

    assert set(frame.index[side.match(frame)]) == rows


def test_workloads_in_words() -> None:
    side = rule("drtp", lr=(0.1, 1.0), weights=DEFAULT).at(batch_size=8, model="mlp-9-9", bits=4)

    assert side.text == "drtp[lr=0.1|1.0] mlp-9-9 b8 at 4 bits"
    assert rule("drtp").at(standardise=True).text == "drtp standardise = true"


def test_a_column_that_is_not_there_is_named() -> None:
    with pytest.raises(ValueError, match="no column 'batchsize'; did you mean batch_size"):
        rule("drtp").at(batchsize=8)


def test_one_model_has_one_name() -> None:
    assert net("mlp-784-500-500-500-10") == net("mlp-784-500x3-10") == "mlp-784-500x3-10"
    assert net("mlp-64-10") == "mlp-64-10"
    assert net("lc-1x13x13-16x3-5") == "lc-1x13x13-16x3-5"


def test_several_quantities_are_judged_one_by_one(judge: Judge) -> None:
    checks = compare("bytes", BOTH, CHANGE_PERCENT, *SIDES, expected=near(-50.0, give=1.0))

    found = judge(checks, of("drtp", 1_000), of("backprop", 3_000))

    assert [each.check.what for each in found.checks] == [
        "bytes, peak dynamic bytes",
        "bytes, static + peak dynamic bytes",
    ]
    assert [each.outcome.value for each in found.checks] == ["does not hold", "holds"]


# --- quantities


def value(found: Judged) -> tuple[float, float]:
    [check] = found.checks
    assert check.computed is not None
    return check.computed.value


def times(quantity: Quantity) -> list[Check]:
    return compare("it", quantity, RATIO, *SIDES, expected=near(0.5))


def test_bytes_of_a_phase_with_and_without_what_is_held(judge: Judge) -> None:
    records = [of("drtp", 600), of("backprop", 3_000)]

    alone = judge(times(in_phase("forward")), *records)
    held = judge(times(in_phase("forward", held=True)), *records)

    assert value(alone) == (1, 1)
    assert value(held) == (1200 / 3600, 1200 / 3600)


def stage(name: str, **macs: int) -> StageOperations:
    phases = {
        phase.replace("_", "."): {"macs": {"int8": count}, "elementwise": {}}
        for phase, count in macs.items()
    }
    return StageOperations.model_validate({"stage": name, "phases": phases})


def test_products_of_a_step_without_counting_a_part_twice(judge: Judge) -> None:
    ours = of("drtp", operations=[stage("all", forward=30, forward_positive=20, update=10)])
    theirs = of("backprop", operations=[stage("all", forward=80)])

    assert value(judge(times(MACS), ours, theirs)) == (0.5, 0.5)


def test_products_of_several_stages_are_of_no_step() -> None:
    import pandas as pd

    key = {"label": "drtp", "seed": 0, "epochs": 1, "shuffle": True}
    runs = {"one": 1, "two": 2, "unknown": None}
    records = pd.DataFrame([{"run": run, **key, "stages": count} for run, count in runs.items()])
    counts = [{"phase": "forward", "value": 30}, {"phase": "forward.positive", "value": 20}]
    values = [{"run": run, **key, "quantity": "macs", **each} for run in runs for each in counts]

    tables = Tables([])
    tables.sources |= {"records": records, "values": pd.DataFrame(values)}

    found = tables.of(MACS)

    assert found["low"].fillna(-1).tolist() == [30, -1, 30]


def test_modelled_time_is_an_interval() -> None:
    import pandas as pd

    key = {"run": "run", "seed": 0, "epochs": 1, "shuffle": True, "options": "{}"}
    key |= {"model": "mlp-64-10", "dataset": "digits", "batch_size": 8}
    labels = ("drtp", "backprop", "pepita")
    records = [{**key, "algorithm": name, "label": name} for name in labels]
    costs = [
        {**key, "label": label, "device": device, "quantity": quantity, "evidence": evidence}
        | {"low": low, "high": high}
        for label, device, quantity, evidence, low, high in (
            ("drtp", "board", "seconds", "modelled", 1.0, 4.0),
            ("backprop", "board", "seconds", "modelled", 2.0, 8.0),
            ("drtp", "board", "joules", "modelled", 9.0, 9.0),
            ("drtp", "other", "seconds", "modelled", 9.0, 9.0),
            ("drtp", None, "seconds", "clock", 9.0, 9.0),
        )
    ]
    tables = Tables([])
    tables.sources |= {"records": pd.DataFrame(records), "costs": pd.DataFrame(costs)}
    seconds = modelled("board", "seconds")
    sides: Sequence[Operand] = pair(tables, seconds, SIDES, Fair(), grid=False).sides

    computed = RATIO.compute(sides)

    assert computed.value == (1 / 8, 2)
    check = JudgedCheck(times(seconds)[0], sides, Outcome.FAILS, computed)
    assert reproduced(check) == "0.12 to 2.00 times (1 s to 4 s; 2 s to 8 s)"
    assert settings_of(tables, seconds, rule("pepita"))[1] == (
        "the records of pepita have no modelled.board.seconds"
    )


def test_what_noise_takes_is_that_of_the_same_net(judge: Judge) -> None:
    def disturbed(whole: float, at_four_bits: float) -> Noise:
        points = [QuantisedAccuracy(bits=4, test_accuracy=at_four_bits)]
        return Noise(samples=10, undisturbed_accuracy=whole, quantised=points)

    ours = trained("drtp", 0.9, noise=disturbed(0.9, 0.88))
    theirs = trained("backprop", 0.9, noise=disturbed(0.99, 0.89))
    sides = [side.at(bits=4) for side in SIDES]
    checks = compare("lost", LOST_ACCURACY, POINTS, *sides, expected=less(1.0))
    alike = compare("lost", LOST_ACCURACY, POINTS, *sides, expected=less(1.0), fair=Fair(within=1))

    found = judge(checks, *ours, *theirs)

    assert found.verdict is ClaimVerdict.HOLDS
    assert value(found) == pytest.approx((-8, -8))
    unlike = judge(alike, *ours, *theirs)
    assert unlike.verdict is ClaimVerdict.NOT_DECIDED
    assert unlike.reason == ("lost: nets not alike: 90.0 % against 99.0 %, more than 1 point apart")


def test_curves_are_read_where_passes_are_compared(judge: Judge) -> None:
    ours = of("drtp", accuracy=accuracy(0.9, curve=[0.8, 0.9], curve_passes=[5, 10]))
    theirs = of("backprop", accuracy=accuracy(0.8, curve=[0.7, 0.8], curve_passes=[5, 10]))
    checks = compare("passes", CURVE, PASSES, *SIDES, expected=less(0.1))

    assert value(judge(checks, ours, theirs)) == (0.5, 0.5)


def test_what_was_held_out_is_no_test_accuracy(judge: Judge) -> None:
    held = Accuracy(validation_accuracy=0.99, epochs=2, train_seconds=1.0)
    records = [*trained("drtp", 0.9, held_out=9), *trained("backprop", 0.8, held_out=9)]
    records = [each.model_copy(update={"accuracy": held}) for each in records]

    assert judge(BETTER, *records).verdict is ClaimVerdict.NO_RECORDS


# --- claims that are wrong


def test_a_claim_needs_checks_or_a_reason_and_a_suite() -> None:
    with pytest.raises(ValueError, match="less-memory: needs either checks or not_testable"):
        claim()
    with pytest.raises(ValueError, match="needs either checks or not_testable"):
        claim(*LESS, not_testable="no")
    with pytest.raises(ValueError, match="needs suites, which make the records"):
        claim(*LESS, suites=())


FILE = """
from trainfit.bench.claims.claim import Paper, compare
from trainfit.bench.claims.quantities import RAM
from trainfit.bench.claims.statistics import CHANGE_PERCENT, near
from trainfit.bench.claims.workloads import rule

PAPER = Paper("small", "Small (2026)")
PAPER.claim(
    "less-memory",
    "It needs less.",
    source="Table 1",
    suites=["results/suites/small.toml"],
    checks=compare(
        "bytes", RAM, CHANGE_PERCENT, rule("drtp"), rule("backprop"), expected=near(-50.0, give=1.0)
    ),
)
"""


def test_a_file_of_ones_own_is_a_python_file(tmp_path: Path) -> None:
    file = tmp_path / "claims.py"
    file.write_text(FILE)

    [found] = read_claims(file)

    assert (found.id, found.paper.title) == ("less-memory", "Small (2026)")
    assert found.checks == LESS


BAD = {
    "unknown statistic": (("CHANGE_PERCENT", "MEAN"), "ImportError: cannot import name 'MEAN'"),
    "unknown quantity": (("import RAM", "import RAMS"), "cannot import name 'RAMS'"),
    "unknown column": (('rule("drtp")', 'rule("drtp").at(batchsize=8)'), "did you mean batch_size"),
    "no figure": (("near(-50.0, give=1.0)", "near()"), "missing 1 required positional argument"),
    "negative tolerance": (("give=1.0", "give=-1.0"), "must be at least 0, got -1.0"),
    "a range upside down": (("near(-50.0", "near((-1.0, -2.0)"), "the low end comes first"),
    "a typing error": (
        ("PAPER.claim", "PAPR.claim"),
        "claims.py, line 8: NameError: name 'PAPR' is not",
    ),
    "no suite": (('["results/suites/small.toml"]', "[]"), "needs suites"),
    "bytes as points": (("CHANGE_PERCENT", "POINTS"), "points is of shares such as accuracies"),
    "twice": (("PAPER.claim(", "for _ in range(2): PAPER.claim("), "'less-memory' is there twice"),
    "not Python": (("PAPER = ", "PAPER == = "), "SyntaxError: invalid syntax (claims.py, line 7)"),
    "no claims": ((FILE, "x = 1"), "has no claims"),
}


@pytest.mark.parametrize("name", BAD)
def test_a_file_that_is_wrong_is_one_line(tmp_path: Path, name: str) -> None:
    (old, new), says = BAD[name]
    assert old in FILE
    file = tmp_path / "claims.py"
    file.write_text(FILE.replace(old, new))

    with pytest.raises(ClaimsError) as caught:
        read_claims(file)

    assert says in str(caught.value)
    assert str(caught.value).startswith(str(file))
    assert "\n" not in str(caught.value)
    assert isinstance(caught.value, BenchError)


def test_a_file_that_is_not_there_or_not_python(tmp_path: Path) -> None:
    with pytest.raises(ClaimsError, match="cannot be read: No such file"):
        read_claims(tmp_path / "none.py")
    with pytest.raises(ClaimsError, match=r"claims.toml: claims are written in Python"):
        read_claims(tmp_path / "claims.toml")


def test_a_claim_or_paper_that_does_not_exist() -> None:
    claims = read_claims()

    with pytest.raises(ClaimsError, match="did you mean tinyfoa"):
        chosen(claims, [], "tinyfo")
    with pytest.raises(ClaimsError, match="there is no claim 'ff-int8-lookahed'"):
        chosen(claims, ["ff-int8-lookahed"], None)
    with pytest.raises(ClaimsError, match="none of ff-int8-lookahead is a claim of it"):
        chosen(claims, ["ff-int8-lookahead"], "tinyfoa")


# --- the list that comes with trainfit


def test_the_papers_whose_claims_are_judged() -> None:
    papers = dict.fromkeys(each.paper.name for each in read_claims())

    audits = ["spyra-dzwinel", "chen"]
    assert list(papers) == [
        "tinyfoa",
        "ff-int8",
        "pau-aymone",
        *audits,
        "wasi",
        "asi",
        "traindeeploy",
    ]


def test_every_side_of_every_claim_is_a_workload_of_a_kept_suite() -> None:
    """A selector that nothing can match would be a claim without records for ever."""
    import pandas as pd

    suites = {
        str(path.relative_to(ROOT)): load_suite(str(path))
        for path in sorted((ROOT / "results" / "suites").glob("*.toml"))
    }
    packaged = {path.stem for path in (ROOT / "bench" / "suite" / "builtin").glob("*.toml")}
    suites |= {name: load_suite(name) for name in sorted(packaged)}
    workloads = [each for suite in suites.values() for each in suite.workloads]
    # A search is followed by trainings on all samples, in a suite that trainfit tune writes.
    whole = {"held_out": None, "train_samples": None}
    workloads += [each.model_copy(update=whole) for each in workloads if each.held_out]
    frame = pd.DataFrame([{"run": "x", **identity(each)} for each in workloads])

    for claim in read_claims():
        assert set(claim.suites) <= set(suites), claim.id
        for check in claim.checks:
            for side in check.workloads:
                if isinstance(side, Cited):
                    continue
                columns = {k: v for k, v in side.columns.items() if k not in {"bits", "amplitude"}}
                plain = Workloads(side.algorithm, side.options, columns)
                assert plain.match(frame).any(), f"{claim.id}: {side.text}"


def test_the_summary_counts_every_claim(judge: Judge) -> None:
    first = judge(LESS, of("drtp", 1_000), of("backprop", 3_000))
    judged = [first, *judge_claims([], [claim(suites=(), not_testable="no")])]

    assert sentence(judged, 1) == "2 claims: 1 holds, 1 is not testable here (from 1 run)"
    assert counts(judged) == {
        "holds": 1,
        "holds in part": 0,
        "does not hold": 0,
        "not decided": 0,
        "not testable here": 1,
        "no records": 0,
    }
