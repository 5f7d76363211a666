"""``trainfit check``, as people use it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tests.integration.test_readme import write_files

DELTA = "tests.plugins.plain:Delta"
BREAKERS = "tests.plugins.promise_breakers"
NET = ("--model", "mlp-6-5-3", "--batch-size", "5")


def test_a_line_for_every_promise(main: Any) -> None:
    code, out, err = main("check", DELTA, "--quick", *NET)

    assert (code, err) == (0, "")
    head, *lines = out.strip().splitlines()
    assert head == f"{DELTA}: 0 promises broken, 16 of 16 kept"
    assert all(line.startswith("  ok ") for line in lines)
    assert lines[5].split(maxsplit=2)[1:] == [
        "declares",
        "every tensor that it keeps and uses is listed",
    ]


def test_a_broken_promise_has_its_reason_and_line(main: Any) -> None:
    code, out, err = main("check", f"{BREAKERS}:Overwrites", "--quick", *NET)

    assert (code, err) == (1, "")
    (broken,) = (line for line in out.splitlines() if line.startswith("  broken"))
    assert broken.split()[1] == "batch"
    assert "x is another one afterwards" in broken
    assert broken.endswith(")")
    assert "tests/plugins/promise_breakers.py:" in broken


def test_several_rules_and_options_as_one_document(main: Any) -> None:
    code, out, err = main(
        *("--json", "check", DELTA, f"{DELTA}[lr=0.1] mlp-4-3", f"{BREAKERS}:Idle", "--quick"),
        *("--batch-size", "5"),
    )

    assert (code, err) == (1, "")
    document = json.loads(out)
    assert document["kept"] is False
    rows = document["promises"]
    assert len(rows) == 3 * 16
    assert {row["options"].get("lr") for row in rows} == {None, 0.1}
    broken = [row for row in rows if row["standing"] == "broken"]
    assert [(row["algorithm"], row["promise"]) for row in broken] == [
        (f"{BREAKERS}:Idle", "trains")
    ]
    assert broken[0]["where"].startswith("tests/plugins/promise_breakers.py:")
    assert broken[0]["reason"]


def test_what_cannot_be_checked_is_said_in_one_line(main: Any) -> None:
    for arguments, said in (
        (("backprob",), "trainfit: unknown algorithm 'backprob'; did you mean backprop"),
        (("nowhere:Rule",), "trainfit: cannot load algorithm 'nowhere:Rule'"),
        ((f"{DELTA}[lr=1]", "-o", "lr=2"), "trainfit: --option lr:"),
        ((DELTA, "-o", "lr=-1"), "trainfit: option 'lr' of delta"),
        ((DELTA, "--model", "lc-1x6x6-4-8-4"), "trainfit: delta trains fully connected nets"),
        ((), "trainfit: Missing argument"),
    ):
        code, out, err = main("check", *arguments)
        assert (code, out) == (2, ""), arguments
        assert err.startswith(said), err
        assert len(err.splitlines()) == 1


def test_the_algorithm_of_contributing_keeps_its_promises(main: Any) -> None:
    write_files(Path())
    code, out, err = main("check", "random_features:RandomFeatures", "--quick")

    assert (code, err) == (0, "")
    assert out.startswith("random_features:RandomFeatures: 0 promises broken")
