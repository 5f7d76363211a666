"""``trainfit tune``, as people use it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from trainfit.bench.records.reading import read_records
from trainfit.bench.suite.suite import load_suite

SEARCH = """
name = "search"
devices = []
measure = ["accuracy"]
[defaults]
model = "mlp-64-16-10"
dataset = "digits"
batch_size = 64
epochs = 2
held_out = 300
[[workload]]
algorithm = "backprop"
rates = [0.0001, 0.1]
"""


def test_from_a_search_to_records_that_say_how_rates_were_chosen(main: Any) -> None:
    Path("search.toml").write_text(SEARCH)
    assert main("run", "search.toml", "--out", "search", "--quiet")[0] == 0
    assert [each.workload.held_out for each in read_records(Path("search"))] == [300, 300]

    code, out, err = main("tune", "search", "--suite", "fair.toml", "--passes", "3", "--json")

    assert (code, err) == (0, "")
    found = json.loads(out)
    [rate] = found["rates"]
    assert (rate["algorithm"], rate["rate"], rate["at_the_edge"]) == ("backprop", 0.1, True)
    assert rate["rates"] == [0.0001, 0.1]
    assert rate["accuracies"][0] < rate["accuracies"][1] == rate["validation_accuracy"]
    assert found["suite"] == "fair.toml"

    assert main("run", "fair.toml", "--out", "fair", "--quiet")[0] == 0
    records = read_records(Path("fair"))
    assert [each.workload.seed for each in records] == [0, 1, 2]
    for each in records:
        assert each.workload.tuned is not None
        assert each.workload.tuned.grid == {"lr": [0.0001, 0.1]}
        assert each.accuracy is not None
        assert each.accuracy.test_accuracy is not None
    assert load_suite("fair.toml").workloads[0].epochs == 3


def test_what_cannot_be_done_is_one_line(main: Any) -> None:
    Path("search.toml").write_text(SEARCH.replace("held_out = 300\n", ""))
    assert main("run", "search.toml", "--out", "search", "--quiet")[0] == 0
    Path("there.toml").touch()
    for arguments, says in (
        (("search",), "a rate is chosen on samples that are held out: give the suite held_out"),
        (("nowhere",), "nowhere"),
    ):
        code, out, err = main("tune", *arguments)
        assert (code, out, err.count("\n")) == (2, "", 1)
        assert says in err


def test_a_suite_that_is_there_is_not_overwritten(main: Any) -> None:
    Path("search.toml").write_text(SEARCH)
    assert main("run", "search.toml", "--out", "search", "--quiet")[0] == 0
    Path("there.toml").touch()

    code, _, err = main("tune", "search", "--suite", "there.toml")

    assert code == 2
    assert "exists already, nothing was overwritten" in err
