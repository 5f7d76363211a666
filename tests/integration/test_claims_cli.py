"""``trainfit claims``, as people use it."""

from __future__ import annotations

import csv
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.builders.gate import write_run
from trainfit.bench.records.schema import Accuracy, Record, RecordStatus, Search, Workload

LOOKAHEAD = "ff-int8-lookahead"


SEARCH = Search(grid={"lr": [1.0, 2.0]}, passes=1, held_out=10_000, seeds=[0])


def trained(lookahead: str, curve: list[float], seed: int) -> Record:
    options = {"lookahead": lookahead, "lr": 2.0}
    return Record(
        workload=Workload(
            algorithm="ff_int8",
            options=options,
            model="mlp-784-1000-1000-10",
            dataset="mnist",
            batch_size=32,
            epochs=4,
            seed=seed,
            tuned=SEARCH,
        ),
        status=RecordStatus.OK,
        accuracy=Accuracy(
            test_accuracy=curve[-1],
            epochs=4,
            train_seconds=1.0,
            curve=curve,
            curve_passes=[1, 2, 3, 4],
        ),
        seconds=1.0,
    )


@pytest.fixture
def run(main: Any) -> Path:
    """One run where it is looked for: look-ahead is better by a point, in half the passes."""
    curves = {"true": [0.8, 0.9, 0.9, 0.91], "off": [0.7, 0.8, 0.85, 0.9]}
    records = [trained(mode, curve, seed) for mode, curve in curves.items() for seed in range(3)]
    return write_run(Path("results/runs/mine"), records)


def test_claims_are_judged_by_the_kept_runs(main: Any, run: Path) -> None:
    code, out, err = main("claims", "--paper", "ff-int8")

    assert (code, err) == (0, "")
    assert "claims: 1 holds, " in out.splitlines()[0]
    assert f"HOLDS  {LOOKAHEAD}: " in out
    assert "NO RECORDS  ff-int8-memory-fp32: " in out
    assert "found +1.00 ± " in out
    assert "found 0.50 ± 0" in out
    assert "rates by one search" in " ".join(out.split())
    assert "They are made by\ntrainfit run paper-ff-int8 --data-root DATA" in out


def test_one_claim_by_name_as_json(main: Any, run: Path) -> None:
    code, out, _ = main("claims", LOOKAHEAD, "--from", str(run), "--json")

    found = json.loads(out)
    assert code == 0
    assert found["sentence"] == "1 claim: 1 holds (from 1 run)"
    assert found["counts"]["holds"] == 1
    [claim] = found["claims"]
    assert (claim["id"], claim["verdict"], claim["paper"]) == (LOOKAHEAD, "holds", "ff-int8")
    gain, passes = found["checks"]
    assert gain["value_low"] == pytest.approx(1.0)
    assert passes["value_low"] == 0.5
    assert passes["sides"][0]["settings"][0]["seeds"] == [0, 1, 2]
    assert passes["evidence"] == "3 seeds, 4 passes, rates by one search"


def test_tables_as_csv(main: Any, run: Path, tmp_path: Path) -> None:
    assert main("claims", LOOKAHEAD, "--csv", "out")[0] == 0

    with (tmp_path / "out" / "claims.csv").open(newline="") as stream:
        assert [row["verdict"] for row in csv.DictReader(stream)] == ["holds"]
    with (tmp_path / "out" / "checks.csv").open(newline="") as stream:
        assert [row["outcome"] for row in csv.DictReader(stream)] == ["holds", "holds"]


OWN = """
from trainfit.bench.claims.claim import Paper, compare
from trainfit.bench.claims.quantities import ACCURACY
from trainfit.bench.claims.statistics import POINTS, more
from trainfit.bench.claims.workloads import rule

OURS = Paper("ours", "Our paper")
OURS.claim(
    "ours-lookahead",
    "Look-ahead is more accurate.",
    source="Table 1",
    suites=["ours.toml"],
    checks=compare(
        "with - without",
        ACCURACY,
        POINTS,
        rule("ff_int8", lookahead="true"),
        rule("ff_int8", lookahead="off"),
        expected=more(0.5),
    ),
)
"""


def test_claims_of_ones_own(main: Any, run: Path) -> None:
    Path("ours.py").write_text(OWN)

    code, out, err = main("claims", "--claims", "ours.py")

    assert (code, err) == (0, "")
    assert out.startswith("1 claim: 1 holds (from 1 run)")
    assert "HOLDS  ours-lookahead: Look-ahead is more accurate." in out


def test_a_folder_of_runs_stands_for_them(main: Any, run: Path) -> None:
    code, out, _ = main("claims", LOOKAHEAD, "--from", "results/runs", "--quiet")

    assert (code, out) == (0, "")


WRONG = (
    (("--from", "nowhere"), "--from nowhere: is neither a run folder nor a folder of them"),
    (("--paper", "ff-int9"), "--paper ff-int9: no claim is of it; did you mean ff-int8?"),
    (("ff-int8-lookahed",), "there is no claim 'ff-int8-lookahed'; did you mean"),
    (("--claims", "none.py"), "none.py: cannot be read: No such file"),
    (("ff-int8-memory-fp32",), "ff-int8-memory-fp32 cannot be judged: the records of ff_int8"),
    (("--paper", "chen"), "chen-accumulation cannot be judged: no record of backprop"),
    (("--paper", "pau-aymone"), "claims can be judged, pau-aymone-ram-cnn for one"),
)


@pytest.mark.parametrize(("arguments", "says"), WRONG, ids=[" ".join(each) for each, _ in WRONG])
def test_what_cannot_be_done_is_one_line(
    main: Any, run: Path, arguments: tuple[str, ...], says: str
) -> None:
    code, out, err = main("claims", *arguments)

    assert (code, out) == (2, "")
    assert err.count("\n") == 1
    assert says in err


def test_without_records_there_is_nothing_to_judge_by(main: Any) -> None:
    code, _, err = main("claims")

    assert code == 2
    assert "there are none in results/runs; give runs with --from RUN" in err


def test_missing_records_name_the_command_that_makes_them(main: Any, run: Path) -> None:
    _, _, err = main("claims", "chen-accumulation")

    suite = "results/suites/fair-memory.toml"
    assert f"make the records with trainfit run {suite} --data-root DATA --out" in err


def test_claims_need_no_torch() -> None:
    modules = ("cli.main", "cli.claims", "cli.reports.claims")
    program = (
        "import sys\nfrom importlib import import_module\n"
        f"for each in {modules}: import_module(f'trainfit.bench.{{each}}')\n"
        "sys.exit('torch' in sys.modules)"
    )

    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
