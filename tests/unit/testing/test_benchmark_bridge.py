"""Bytes in pytest-benchmark's ``extra_info``, and ``trainfit gate-benchmark`` on its JSON."""

from __future__ import annotations

import json
import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tests.builders.profiles import GRADIENT, step_profile
from tests.builders.runs import failed, record
from trainfit.bench.cli import main as cli
from trainfit.bench.gate.golden import read_golden
from trainfit.bench.profiler.fold import Block
from trainfit.bench.records.schema import Energy, Evidence
from trainfit.bench.testing.benchmark_bridge import (
    KEY,
    BenchmarkError,
    read_benchmarks,
    record_benchmark,
)
from trainfit.hardware_profiles import ProfileError, load_device

OUTPUT = Block(320, "forward", "activations", "addmm float32 8x10")
LEAK: dict[str, Any] = {"left_after_step_bytes": 320, "left_blocks": (OUTPUT,)}


def benchmark() -> Any:
    return SimpleNamespace(extra_info={"own": 1})


def written(file: Path, **profiles: Any) -> Path:
    """A file as pytest-benchmark writes it, one benchmark per profile or record."""
    found: list[dict[str, Any]] = [{"fullname": "test_b.py::test_time", "extra_info": {}}]
    for name, measured in profiles.items():
        made = benchmark()
        record_benchmark(made, measured)
        found.append({"fullname": f"test_b.py::{name}", "extra_info": made.extra_info})
    file.write_text(json.dumps({"machine_info": {}, "benchmarks": found, "version": "5.3.1"}))
    return file


# ---- into extra_info -----------------------------------------------------------------------------


def test_bytes_verdicts_and_energy_stand_beside_the_times() -> None:
    made = benchmark()
    energy = Energy(evidence=Evidence.SENSOR, joules_per_step=0.25, valid=True)
    record_benchmark(made, step_profile(), device="stm32f746", energy=energy)
    record_benchmark(
        made, step_profile(GRADIENT), device=[load_device("rp2350"), "nrf52840"], name="larger"
    )

    assert made.extra_info["own"] == 1
    found = json.loads(json.dumps(made.extra_info[KEY]))
    assert found["schema"] == "trainfit.benchmark/1"
    first, second = found["steps"][""], found["steps"]["larger"]
    assert first["ram_bytes"] == 4_000
    assert first["entry"]["figures"]["all/gradient"]["peak_bytes"] == 1_000
    assert [(each["device"], each["status"]) for each in first["verdicts"]] == [
        ("stm32f746", "fits")
    ]
    assert first["energy"]["joules_per_step"] == 0.25
    assert second["entry"]["figures"]["workload"]["peak_dynamic_bytes"] == 1_400
    assert [each["device"] for each in second["verdicts"]] == ["rp2350", "nrf52840"]
    assert second["energy"] == {"evidence": "unavailable", "reason": "not measured"}


def test_a_record_brings_its_operations_and_is_judged() -> None:
    made = benchmark()
    record_benchmark(made, record(), device="stm32f746")
    step = made.extra_info[KEY]["steps"][""]
    assert step["entry"]["figures"]["workload"]["static_bytes"] == 3_000
    assert [each["device"] for each in step["verdicts"]] == ["stm32f746"]


def test_what_cannot_be_recorded_is_refused() -> None:
    made = benchmark()
    record_benchmark(made, step_profile())
    with pytest.raises(BenchmarkError, match="a step named '' already"):
        record_benchmark(made, step_profile())
    with pytest.raises(BenchmarkError, match=r"has no bytes \(it is failed\)"):
        record_benchmark(made, failed(), name="b")
    with pytest.raises(ProfileError, match="unknown device"):
        record_benchmark(made, step_profile(), device="abacus", name="c")
    assert list(made.extra_info[KEY]["steps"]) == [""]


# ---- and back ------------------------------------------------------------------------------------


def test_what_was_recorded_is_read_back(tmp_path: Path) -> None:
    file = written(tmp_path / "b.json", test_a=step_profile(), test_r=record())
    found = read_benchmarks(file)
    assert set(found.figures) == {"test_b.py::test_a", "test_b.py::test_r"}
    metrics = dict(found.figures["test_b.py::test_a"].metrics())
    assert metrics["workload/peak_dynamic_bytes"] == 1_000
    assert (found.conditions.evidence, found.conditions.threads) == ("allocator", 1)


def test_what_is_not_deterministic_is_not_gated(tmp_path: Path) -> None:
    file = written(tmp_path / "b.json", test_a=step_profile(deterministic=False))
    found = read_benchmarks(file)
    assert found.figures == {}
    assert list(found.invalid) == ["test_b.py::test_a"]


def change(file: Path, text: str, other: str) -> None:
    before = file.read_text()
    assert text in before
    file.write_text(before.replace(text, other, 1))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (None, "no such file; make it with pytest --benchmark-json="),
        ("{", "cannot be read as JSON"),
        ("[]", "has no list of benchmarks"),
        ('{"benchmarks": [1]}', "has no list of benchmarks"),
        ('{"benchmarks": []}', "no benchmark in it has bytes; put them there with trainfit.record"),
        (
            '{"benchmarks": [{"fullname": "a", "extra_info": {"trainfit": {"schema": "x/2"}}}]}',
            "benchmark 1 (a): extra_info.trainfit: schema is 'x/2', expected 'trainfit.benchm",
        ),
        (
            '{"benchmarks": [{"fullname": "a", "extra_info": {"trainfit":'
            ' {"schema": "trainfit.benchmark/1", "torch": 2}}}]}',
            "extra_info.trainfit: torch: must be text in quotes, got 2",
        ),
    ],
)
def test_a_file_that_is_wrong_is_said_in_one_line(
    text: str | None, said: str, tmp_path: Path
) -> None:
    file = tmp_path / "b.json"
    if text is not None:
        file.write_text(text)
    with pytest.raises(BenchmarkError, match=re.escape(said)) as caught:
        read_benchmarks(file)
    assert str(caught.value).startswith(str(file))
    assert "\n" not in str(caught.value)


def test_two_versions_of_torch_in_one_file_are_refused(tmp_path: Path) -> None:
    file = written(tmp_path / "b.json", test_a=step_profile(), test_b=step_profile())
    change(file, '"torch": "', '"torch": "1.')
    with pytest.raises(BenchmarkError, match="more than one version of torch in it"):
        read_benchmarks(file)


# ---- the command ---------------------------------------------------------------------------------


@pytest.fixture
def main(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capfd: Any) -> Any:
    """The command line in this process: exit code, stdout, stderr."""
    monkeypatch.chdir(tmp_path)
    for name in ("GITHUB_ACTIONS", "GITHUB_STEP_SUMMARY"):
        monkeypatch.delenv(name, raising=False)

    def run(*arguments: str) -> tuple[Any, str, str]:
        with pytest.raises(SystemExit) as ended:
            cli.main(["gate-benchmark", *arguments])
        return (ended.value.code, *capfd.readouterr())

    return run


def test_the_exit_code_says_pass_regression_or_not_comparable(main: Any, tmp_path: Path) -> None:
    file = written(tmp_path / "b.json", test_a=step_profile())
    asked = ("b.json", "--golden", "g.json")

    code, _, err = main(*asked)
    assert code == 2
    assert "there is no golden; make it: trainfit gate-benchmark b.json --golden g.json" in err

    code, out, err = main(*asked, "--update")
    assert (code, err) == (0, "")
    assert "1 added" in out
    assert list(read_golden(tmp_path / "g.json").workloads) == ["test_b.py::test_a"]
    assert main(*asked)[0] == 0

    written(file, test_a=step_profile(GRADIENT))
    code, out, err = main(*asked, "--markdown", "r.md", "--junit", "r.xml")
    assert (code, err) == (1, "")
    assert "+400 B" in out
    assert "mm float32 10x10" in out
    assert "trainfit gate-benchmark b.json --golden g.json --update" in out
    assert "+400 B" in (tmp_path / "r.md").read_text()
    assert 'failures="1"' in (tmp_path / "r.xml").read_text()
    assert main(*asked, "--update")[0] == 0
    assert main(*asked)[0] == 0

    written(file, test_a=step_profile())
    code, out, _ = main(*asked)
    assert (code, "-400 B" in out) == (1, True)  # less is not expected either

    change(file, '"torch": "', '"torch": "1.')
    code, out, err = main(*asked)
    assert code == 3
    assert err.startswith("trainfit: not comparable: torch differs: ")
    assert main(*asked, "--update")[0] == 0


def test_what_was_not_run_fails_and_what_is_new_is_said(main: Any, tmp_path: Path) -> None:
    file = written(tmp_path / "b.json", test_a=step_profile(), test_b=step_profile())
    assert main("b.json", "--golden", "g.json", "--update")[0] == 0

    written(file, test_a=step_profile(), test_c=step_profile())
    code, out, _ = main("b.json", "--golden", "g.json")
    assert code == 1
    assert "missing" in out
    assert main("b.json", "--golden", "g.json", "--missing", "ignore")[0] == 0
    assert main("b.json", "--golden", "g.json", "--missing", "ignore", "--strict")[0] == 1
    code, out, _ = main("b.json", "--golden", "g.json", "--update", "--prune")
    assert (code, "1 added, 1 removed" in out) == (0, True)


def test_a_step_that_differs_from_itself_makes_no_golden(main: Any, tmp_path: Path) -> None:
    written(tmp_path / "b.json", test_a=step_profile(deterministic=False))
    code, _, err = main("b.json", "--golden", "g.json", "--update")
    assert code == 2
    assert "not deterministic" in err
    assert not (tmp_path / "g.json").exists()


# ---- as the gate of runs -------------------------------------------------------------------------


def test_a_leak_fills_the_board_that_a_benchmark_is_judged_for() -> None:
    made = benchmark()
    record_benchmark(made, step_profile(**LEAK), device="nrf52840")
    (verdict,) = made.extra_info[KEY]["steps"][""]["verdicts"]
    assert verdict["status"] == "exceeds"
    assert "leaves 320 B per step: full after" in verdict["reason"]


def test_growth_and_leaks_are_told_as_the_gate_tells_them(
    tmp_path: Path, capfd: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("GITHUB_ACTIONS", "GITHUB_STEP_SUMMARY"):
        monkeypatch.delenv(name, raising=False)
    file = tmp_path / "b.json"

    def run(*options: str) -> tuple[Any, str]:
        with pytest.raises(SystemExit) as ended:
            cli.main(["gate-benchmark", str(file), "--golden", str(tmp_path / "g.json"), *options])
        return ended.value.code, capfd.readouterr().out

    written(file, test_a=step_profile(), test_l=step_profile())
    assert run("--update")[0] == 0
    grown = GRADIENT._replace(module="head", line="train.py:9")
    written(file, test_a=step_profile(grown), test_l=step_profile(**LEAK))
    code, out = run("--markdown", str(tmp_path / "page.md"))
    assert code == 1
    lines = [line.strip() for line in out.splitlines()]
    assert lines[:5] == [
        "leaks  test_b.py::test_l",
        "RAM 4,000 B, as before",
        "all/left_after_step_bytes 0 B -> 320 B, +320 B",
        "leak: every step leaves 320 B behind: addmm float32 8x10 (activations, 320 B)",
        "grew   test_b.py::test_a",
    ]
    assert lines[5].startswith("RAM 4,000 B -> 4,400 B, +400 B (+10.0 %): peak_dynamic +400 B")
    assert lines[7].startswith("1 more of mm float32 10x10 (gradients, 400 B each): 2, was 1")
    assert lines[7].endswith("[head at train.py:9]")
    assert "| change | left |" in (tmp_path / "page.md").read_text()
