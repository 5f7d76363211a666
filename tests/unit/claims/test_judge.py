"""From a list of claims and runs to verdicts: which rows are meant, and every verdict there is."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.builders.runs import failed, memory, record, workload
from trainfit.bench.claims.columns import Table, full_name
from trainfit.bench.claims.file import CLAIMS, chosen
from trainfit.bench.claims.judge import Judged, Verdict, command, judge_claims, read_claims
from trainfit.bench.claims.select import matching
from trainfit.bench.claims.text import counts, reproduced, sentence
from trainfit.bench.claims.words import ClaimsError
from trainfit.bench.costs.intervals import DeviceModel, Modelled
from trainfit.bench.errors import BenchError
from trainfit.bench.frames.workloads import identity, to_frame
from trainfit.bench.records.schema import (
    Accuracy,
    Bounds,
    Evidence,
    Noise,
    QuantisedAccuracy,
    Record,
    StageOperations,
)
from trainfit.bench.suite.suite import load_suite

ROOT = Path(__file__).parents[3]

HEAD = '[paper.small]\ntitle = "Small (2026)"\n'
CLAIM = """
[[claim]]
id = "less-memory"
paper = "small"
text = "It needs less."
source = "Table 1"
suite = "results/suites/small.toml"
"""
CHECK = """
[[claim.check]]
what = "bytes"
statistic = "change_percent"
quantity = "ram_bytes"
expect = "near"
published = -50.0
tolerance = 1.0
left = { algorithm = "drtp" }
right = { algorithm = "backprop" }
"""
POINTS = """
[[claim.check]]
what = "accuracy"
statistic = "points"
expect = "more"
tolerance = 1.0
left = { algorithm = "drtp" }
right = { algorithm = "backprop" }
"""


def accuracy(value: float, **changes: Any) -> Accuracy:
    return Accuracy(test_accuracy=value, epochs=2, train_seconds=1.0, **changes)


def of(algorithm: str, static: int = 3_000, reached: float = 0.9, **changes: Any) -> Record:
    parts = {"memory": memory(static=static), "accuracy": accuracy(reached)}
    given = {key: changes.pop(key) for key in ("memory", "accuracy", "devices", "noise",
                                               "operations") if key in changes}  # fmt: skip
    return record(workload=workload(algorithm=algorithm, **changes), **parts | given)


@pytest.fixture
def judge(tmp_path: Path) -> Any:
    """Judges the claims of a text by records of one run."""

    def judged(text: str, *records: Record) -> list[Judged]:
        run = tmp_path / "run"
        run.mkdir(exist_ok=True)
        lines = [each.model_dump_json(by_alias=True) + "\n" for each in records]
        (run / "records.jsonl").write_text("".join(lines), "utf-8")
        file = tmp_path / "claims.toml"
        file.write_text(text, "utf-8")
        return judge_claims([run], read_claims(file))

    return judged


# --- verdicts


def test_it_holds(judge: Any) -> None:
    [found] = judge(HEAD + CLAIM + CHECK, of("drtp", 1_000), of("backprop", 3_000))

    assert found.verdict is Verdict.HOLDS
    assert found.checks[0].value == (-50, -50)
    assert reproduced(found.checks[0]) == "-50.0 % (2,000 B; 4,000 B)"
    assert (found.reason, found.suites) == (None, [])


def test_it_does_not_hold_and_that_is_a_result(judge: Any) -> None:
    [found] = judge(HEAD + CLAIM + CHECK, of("drtp"), of("backprop"))

    assert found.verdict is Verdict.DOES_NOT_HOLD
    assert found.checks[0].value == (0, 0)


def test_it_holds_in_part(judge: Any) -> None:
    records = [of("drtp", 1_000, reached=0.8), of("backprop", 3_000, reached=0.9)]

    [found] = judge(HEAD + CLAIM + CHECK + POINTS, *records)

    assert found.verdict is Verdict.IN_PART
    assert [each.outcome.value for each in found.checks] == ["holds", "does not hold"]


def test_what_is_missing_does_not_count_as_holding(judge: Any) -> None:
    bare = of("drtp", 1_000, accuracy=None)

    [found] = judge(HEAD + CLAIM + CHECK + POINTS, bare, of("backprop", 3_000))

    assert found.verdict is Verdict.IN_PART
    assert found.reason == "the records of drtp have no test_accuracy"
    assert found.suites == ["results/suites/small.toml"]


def test_a_difference_that_is_too_small_is_not_testable(judge: Any) -> None:
    [found] = judge(HEAD + CLAIM + POINTS, of("drtp", reached=0.905), of("backprop", reached=0.9))

    assert found.verdict is Verdict.NOT_TESTABLE
    assert found.reason == "accuracy: a difference within 1 decides nothing"


def test_what_cannot_be_tested_says_why(judge: Any) -> None:
    [found] = judge(HEAD + CLAIM + 'not_testable = "there is no CNN"', of("drtp"))

    assert found.verdict is Verdict.NOT_TESTABLE
    assert found.reason == "there is no CNN"


def test_no_records_names_what_is_missing_and_the_command(judge: Any) -> None:
    [found] = judge(HEAD + CLAIM + CHECK, of("pepita"))

    assert found.verdict is Verdict.NO_RECORDS
    assert found.reason == "no record of drtp; no record of backprop"
    assert [command(each) for each in found.suites] == [
        "trainfit run results/suites/small.toml --data-root DATA --out results/runs/small"
    ]
    assert command("quick") == "trainfit run quick --data-root DATA --out runs/quick"


def test_a_suite_that_was_run_is_not_asked_for_again(judge: Any) -> None:
    text = (HEAD + CLAIM + CHECK).replace(
        'suite = "results/suites/small.toml"', 'suite = ["run", "other"]'
    )

    [found] = judge(text, of("drtp"))

    assert found.suites == ["other"]


def test_a_failed_workload_has_no_figures(judge: Any) -> None:
    broken = failed(workload=workload(algorithm="drtp"))

    [found] = judge(HEAD + CLAIM + CHECK, broken, of("backprop"))

    assert found.verdict is Verdict.NO_RECORDS
    assert found.reason == "the records of drtp have no ram_bytes"


def test_without_any_run_there_are_no_records(tmp_path: Path) -> None:
    file = tmp_path / "claims.toml"
    file.write_text(HEAD + CLAIM + CHECK)

    [found] = judge_claims([], read_claims(file))

    assert found.verdict is Verdict.NO_RECORDS


# --- which rows are meant


def test_seeds_are_one_setting_with_a_deviation(judge: Any) -> None:
    records = [
        of("drtp", reached=0.95, seed=0),
        of("drtp", reached=0.91, seed=1),
        of("backprop", reached=0.80, seed=0),
        of("backprop", reached=0.82, seed=1),
    ]

    [found] = judge(HEAD + CLAIM + POINTS, *records)

    check = found.checks[0]
    assert check.value == pytest.approx((12, 12))
    assert check.deviation == pytest.approx(4.2426, abs=1e-3)
    assert check.seeds == 2
    assert reproduced(check) == "+12.0 ± 4.2 points (93.00 ± 2.83 %; 81.00 ± 1.41 %)"


def test_settings_that_differ_are_not_chosen_from(judge: Any) -> None:
    records = [
        of("drtp", reached=0.99, options={"lr": 0.1}),
        of("drtp", reached=0.50, options={"lr": 1.0}),
        of("backprop", reached=0.8),
    ]

    [found] = judge(HEAD + CLAIM + POINTS, *records)

    assert found.verdict is Verdict.NOT_TESTABLE
    assert "2 settings match drtp and differ (drtp[lr=0.1]" in (found.reason or "")
    assert "give one run with --from" in (found.reason or "")


def test_settings_with_the_same_bytes_are_one(judge: Any) -> None:
    records = [
        of("drtp", 1_000, options={"lr": 0.1}),
        of("drtp", 1_000, options={"lr": 1.0}),
        of("backprop", 3_000),
    ]

    assert judge(HEAD + CLAIM + CHECK, *records)[0].verdict is Verdict.HOLDS


def test_the_longest_training_counts(judge: Any) -> None:
    records = [
        of("drtp", reached=0.99, epochs=20),
        of("drtp", reached=0.50, epochs=2),
        of("backprop", reached=0.8),
    ]

    [found] = judge(HEAD + CLAIM + POINTS, *records)

    assert found.checks[0].value == pytest.approx((19, 19))


SELECTORS = (
    ('{ algorithm = "drtp" }', {0, 1, 2, 3}),
    ('{ algorithm = ["drtp", "pepita"] }', {0, 1, 2, 3, 4}),
    ('{ options = { weights = "binary" } }', {1, 2}),
    ('{ options = { weights = "binary", lr = 0.1 } }', {2}),
    ('{ options = { weights = "(default)" } }', {0, 3, 4}),
    ('{ options = { lr = [0.1, "(default)"] }, algorithm = "drtp" }', {0, 1, 2, 3}),
    ('{ model = "mlp-64-32-32-10" }', {3}),
    ('{ model = "mlp-64-32x2-10" }', {3}),
    ("{ batch_size = 8 }", {4}),
    ("{ train_samples = 100 }", {0}),
    ('{ algorithm = "drtp", train_samples = "(default)" }', {1, 2, 3}),
    ("{ standardise = true }", {1}),
    ("{ epochs = [3, 4] }", {2}),
    ('{ run = "other" }', set()),
)


@pytest.mark.parametrize(("selector", "rows"), SELECTORS, ids=[each for each, _ in SELECTORS])
def test_selectors(tmp_path: Path, selector: str, rows: set[int]) -> None:
    file = tmp_path / "claims.toml"
    file.write_text(HEAD + CLAIM + CHECK.replace('{ algorithm = "drtp" }', selector))
    frame = to_frame(
        [
            of("drtp", train_samples=100),
            of("drtp", options={"weights": "binary"}, standardise=True),
            of("drtp", options={"weights": "binary", "lr": 0.1}, epochs=3),
            of("drtp", model="mlp-64-32x2-10"),
            of("pepita", batch_size=8),
        ]
    )
    [claim] = read_claims(file)

    assert set(matching(Table(frame), claim.checks[0].compared[0])) == rows


def test_one_model_has_one_name() -> None:
    assert full_name("mlp-784-500x3-10") == "mlp-784-500-500-500-10"
    assert full_name("mlp-64-10") == "mlp-64-10"
    assert full_name("lc-1x13x13-16x3-5") == "lc-1x13x13-16x3-5"


def test_several_quantities_are_judged_one_by_one(judge: Any) -> None:
    text = HEAD + CLAIM + CHECK.replace('"ram_bytes"', '["ram_bytes", "peak_dynamic_bytes"]')

    [found] = judge(text, of("drtp", 1_000), of("backprop", 3_000))

    assert [each.check.what for each in found.checks] == [
        "bytes, static + peak dynamic bytes",
        "bytes, peak dynamic bytes",
    ]
    assert [each.outcome.value for each in found.checks] == ["holds", "does not hold"]


def test_what_checks_share_stands_with_the_claim(judge: Any) -> None:
    sides = 'left = { algorithm = "drtp" }\nright = { algorithm = "backprop" }\n'
    text = HEAD + CLAIM + 'where = { model = "mlp-64-10" }\n' + sides + CHECK.replace(sides, "")

    [found] = judge(text, of("drtp", 1_000), of("backprop", 3_000), of("drtp", 9, model="mlp-9-9"))

    assert found.verdict is Verdict.HOLDS


# --- derived columns


def quantity(judge: Any, name: str, *records: Record, **changes: str) -> Judged:
    text = CHECK.replace("ram_bytes", name).replace("change_percent", "ratio")
    for old, new in changes.items():
        text = text.replace(old, new)
    return judge(HEAD + CLAIM + text, *records)[0]


def test_bytes_of_a_phase_with_and_without_what_is_held(judge: Any) -> None:
    records = [of("drtp", 600), of("backprop", 3_000)]

    alone = quantity(judge, "phase.forward.peak_bytes", *records)
    held = quantity(judge, "phase.forward.ram_bytes", *records)

    assert alone.checks[0].value == (1, 1)
    assert held.checks[0].value == (1200 / 3600, 1200 / 3600)


def stage(name: str, **macs: int) -> StageOperations:
    phases = {
        phase.replace("_", "."): {"macs": {"int8": count}, "elementwise": {}}
        for phase, count in macs.items()
    }
    return StageOperations.model_validate({"stage": name, "phases": phases})


def test_products_of_a_step_without_counting_a_part_twice(judge: Any) -> None:
    ours = of("drtp", operations=[stage("all", forward=30, forward_positive=20, update=10)])
    theirs = of("backprop", operations=[stage("all", forward=80)])

    assert quantity(judge, "macs", ours, theirs).checks[0].value == (0.5, 0.5)


def test_modelled_time_is_an_interval(judge: Any) -> None:
    def modelled(low: float, high: float) -> list[DeviceModel]:
        step = Modelled(evidence=Evidence.MODELLED, step=Bounds(low=low, high=high))
        return [DeviceModel(device="board", latency=step, energy=step)]

    ours = of("drtp", devices=modelled(1, 4))
    theirs = of("backprop", devices=modelled(2, 8))

    found = quantity(judge, "modelled.board.seconds", ours, theirs)

    assert found.checks[0].value == (1 / 8, 2)
    assert reproduced(found.checks[0]) == "0.12 to 2.00 times (1 s to 4 s; 2 s to 8 s)"


def test_what_noise_takes_is_that_of_the_same_net(judge: Any) -> None:
    def disturbed(whole: float, at_four_bits: float) -> Noise:
        points = [QuantisedAccuracy(bits=4, test_accuracy=at_four_bits)]
        return Noise(samples=10, undisturbed_accuracy=whole, quantised=points)

    ours = of("drtp", noise=disturbed(0.9, 0.88))
    theirs = of("backprop", noise=disturbed(0.99, 0.89))
    text = POINTS.replace('"more"', '"less"').replace(
        "expect", 'source = "noise"\nquantity = "lost_accuracy"\nwhere = { bits = 4 }\nexpect'
    )

    [found] = judge(HEAD + CLAIM + text, ours, theirs)

    assert found.verdict is Verdict.HOLDS
    assert found.checks[0].value == pytest.approx((-8, -8))


def test_curves_are_read_where_passes_are_compared(judge: Any) -> None:
    ours = of("drtp", accuracy=accuracy(0.9, curve=[0.8, 0.9], curve_passes=[5, 10]))
    theirs = of("backprop", accuracy=accuracy(0.8, curve=[0.7, 0.8], curve_passes=[5, 10]))
    text = POINTS.replace('"points"', '"passes_ratio"').replace('"more"', '"less"')

    [found] = judge(HEAD + CLAIM + text.replace("1.0", "0.1"), ours, theirs)

    assert found.checks[0].value == (0.5, 0.5)


# --- lists that are wrong


BAD = {
    "unknown statistic": (("change_percent", "mean_square"), "statistic: must be"),
    "unknown column": (("ram_bytes", "peak_dynamc_bytes"), "did you mean peak_dynamic_bytes"),
    "column of a device without a unit": (("ram_bytes", "modelled.x"), "no column 'modelled.x'"),
    "no tolerance": (("tolerance = 1.0", ""), "tolerance: is missing"),
    "negative tolerance": (("= 1.0", "= -1.0"), "tolerance: must be at least 0"),
    "no figure": (("published = -50.0", ""), "near needs published"),
    "unknown expectation": (('"near"', '"close"'), "expect: must be"),
    "unknown selector": (("algorithm", "algoritm"), "did you mean algorithm?"),
    "no right side": (('right = { algorithm = "backprop" }', ""), "needs left and right"),
    "bytes as points": (("change_percent", "points"), "needs an accuracy, not ram_bytes"),
    "no steps": (("change_percent", "lowest_points"), "lowest_points needs"),
    "no order": (("change_percent", "pairs_in_order"), "needs sides, two or more"),
    "a range upside down": (("-50.0", "[-1.0, -2.0]"), "the low end comes first"),
    "neither": ((CHECK, ""), "needs either checks or not_testable"),
    "both": (('source = "T', 'not_testable = "no"\nsource = "T'), "needs either checks or"),
    "no suite": (('suite = "results/suites/small.toml"', ""), "needs suite"),
    "unknown paper": (('paper = "small"', 'paper = "smal"'), "did you mean small?"),
    "twice": ((CLAIM, CLAIM + CHECK + CLAIM), "'less-memory' is there twice"),
    "not TOML": (("[[claim]]", "[[claim"), "not valid TOML"),
    "no claims": ((CLAIM + CHECK, ""), "claim: is missing"),
}


@pytest.mark.parametrize("name", BAD)
def test_a_list_that_is_wrong_is_one_line(tmp_path: Path, name: str) -> None:
    (old, new), says = BAD[name]
    text = HEAD + CLAIM + CHECK
    assert old in text
    file = tmp_path / "claims.toml"
    file.write_text(text.replace(old, new, 1))

    with pytest.raises(ClaimsError) as caught:
        read_claims(file)

    assert says in str(caught.value)
    assert str(caught.value).startswith(f"{file}: ")
    assert "\n" not in str(caught.value)
    assert isinstance(caught.value, BenchError)


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(ClaimsError, match="cannot be read"):
        read_claims(tmp_path / "none.toml")


def test_a_claim_or_paper_that_does_not_exist() -> None:
    claims = read_claims()

    with pytest.raises(ClaimsError, match="did you mean tinyfoa"):
        chosen(claims, [], "tinyfo")
    with pytest.raises(ClaimsError, match="there is no claim 'ff-int8-lookahed'"):
        chosen(claims, ["ff-int8-lookahed"], None)
    with pytest.raises(ClaimsError, match="none of ff-int8-lookahead is a claim of it"):
        chosen(claims, ["ff-int8-lookahead"], "tinyfoa")


# --- the list that comes with trainfit


def test_the_papers_that_are_held_against_records() -> None:
    claims = read_claims()

    assert {each.paper for each in claims} == {
        "tinyfoa",
        "ff-int8",
        "pau-aymone",
        "spyra-dzwinel",
        "chen",
    }
    assert all(each.checks or each.not_testable for each in claims)


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
    table = Table(pd.DataFrame([{"run": "x", **identity(each)} for each in workloads]))

    for claim in read_claims(CLAIMS):
        for check in claim.checks:
            assert set(check.suite) <= set(suites), claim.id
            for selector in check.compared:
                plain = selector.model_copy(update={"bits": None, "amplitude": None})
                assert matching(table, plain), f"{claim.id}: {selector.text}"


def test_the_summary_counts_every_claim(judge: Any) -> None:
    second = CLAIM.replace("less-memory", "more") + 'not_testable = "no"\n'
    judged = judge(HEAD + CLAIM + CHECK + second, of("drtp", 1_000), of("backprop", 3_000))

    assert sentence(judged, 1) == "2 claims: 1 holds, 1 is not testable here (from 1 run)"
    assert counts(judged) == {
        "holds": 1,
        "holds in part": 0,
        "does not hold": 0,
        "not testable here": 1,
        "no records": 0,
    }
