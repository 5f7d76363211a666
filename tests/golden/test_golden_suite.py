"""The committed golden of the suite ``goldens`` is about this suite, all of it and nothing else.

It is held against a run by ``trainfit gate RUN --golden tests/golden/suite.json``; a change on
purpose is accepted by the same command with ``--update``.
"""

from __future__ import annotations

from importlib.metadata import version
from pathlib import Path

from trainfit.algorithms import algorithm_names
from trainfit.bench.gate.figures import key_of
from trainfit.bench.gate.golden import read_golden, to_text
from trainfit.bench.suite.suite import load_suite

FILE = Path(__file__).with_name("suite.json")
SIZES = ("mlp-64-128-128-10", "mlp-784-500-500-10", "mlp-784-1000x3-10")


def test_the_golden_has_the_workloads_of_its_suite() -> None:
    expected = {key_of(workload) for workload in load_suite("goldens").workloads}
    assert read_golden(FILE).workloads.keys() == expected


def test_every_algorithm_is_there_on_three_sizes() -> None:
    present = {(each.algorithm, each.model) for each in load_suite("goldens").workloads}
    assert {(name, size) for name in algorithm_names() for size in SIZES} <= present


def test_what_every_push_measures_is_part_of_it_and_has_every_algorithm_on_two_sizes() -> None:
    pushed = load_suite(str(FILE.with_name("gate.toml")))
    goldens = load_suite("goldens")
    known = {key_of(workload) for workload in goldens.workloads}
    assert {key_of(workload) for workload in pushed.workloads} <= known
    assert (pushed.measure, pushed.threads) == (goldens.measure, goldens.threads)
    present = {(each.algorithm, each.model) for each in pushed.workloads}
    assert {(name, size) for name in algorithm_names() for size in (SIZES[0], SIZES[2])} <= present


def test_the_golden_is_of_the_pinned_torch_and_written_by_the_gate() -> None:
    golden = read_golden(FILE)
    assert version("torch").split("+")[0] in golden.conditions.torch_versions
    assert to_text(golden) == FILE.read_text("utf-8")
    assert FILE.stat().st_size < 1_500_000


def test_measured_and_predicted_agree_in_the_golden() -> None:
    for key, entry in read_golden(FILE).workloads.items():
        for place, metrics in entry.figures.items():
            peak = metrics.get("peak_bytes", metrics.get("peak_dynamic_bytes"))
            assert peak == metrics["predicted_bytes"], f"{key}: {place}"
