"""Figures that are remembered are those that are made, and are made again where they must be."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from trainfit.algorithms.registry import BUILTIN
from trainfit.bench.records.schema import Workload
from trainfit.bench.sizing import predicted_workload as module
from trainfit.bench.sizing.memo import identity
from trainfit.bench.sizing.memo.memo import remembering
from trainfit.bench.sizing.memo.stage import KEPT
from trainfit.bench.sizing.memo.store import FILE, Store
from trainfit.bench.sizing.predicted_workload import PredictedWorkload, predicted_workload

NET = "mlp-16-8-8-4"


@pytest.fixture(autouse=True)
def folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    monkeypatch.setenv("TRAINFIT_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def traced(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Rules of which a stage was traced."""
    seen: list[str] = []
    real = module.predict

    def predict(algorithm: Any, batch_size: int) -> Any:
        seen.append(algorithm.name)
        return real(algorithm, batch_size)

    monkeypatch.setattr(module, "predict", predict)
    return seen


def workload(algorithm: str = "backprop", **changes: Any) -> Workload:
    values: dict[str, Any] = {"model": NET, "dataset": "none", "batch_size": 4}
    return Workload(algorithm=algorithm, **values | changes)


def figures(form: PredictedWorkload) -> tuple[Any, ...]:
    """Everything that sizing may ask."""
    return (
        *(form.stages, form.storage_note, form.storage_bytes, form.worst, form.takes_long),
        *(form.operations, form.sample_operations),
        [
            (p.static_bytes, p.peak_bytes, p.storage_bytes, p.device_bytes, p.arena_bytes)
            for p in form.plans
        ],
        [(p.static, p.storage, p.live_at_peak, p.peak_phase) for p in form.plans],
    )


@pytest.mark.parametrize("rule", BUILTIN)
def test_what_is_remembered_is_what_is_made(rule: str, traced: list[str]) -> None:
    made = figures(predicted_workload(workload(rule)))
    with remembering() as memo:
        assert figures(predicted_workload(workload(rule))) == made
        assert memo.found == 0
    del traced[:]
    with remembering() as memo:
        form = predicted_workload(workload(rule))
        assert form.ram_bytes
        assert form.operations == made[5]
        assert [p.arena_bytes for p in form.plans] == [each[-1] for each in made[7]]
        assert memo.found == 1
        assert traced == []
        assert figures(form) == made  # tensors are traced again
    assert traced


def test_within_a_command_nothing_is_made_twice(
    traced: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TRAINFIT_CACHE", "off")
    with remembering():
        predicted_workload(workload())
        predicted_workload(workload())
    assert traced == ["backprop"]
    predicted_workload(workload())
    assert traced == ["backprop"] * 2


def test_without_a_command_nothing_is_kept(folder: Path) -> None:
    predicted_workload(workload())

    assert not folder.exists()


def test_old_traces_are_let_go_and_made_again(traced: list[str]) -> None:
    first = predicted_workload(workload())
    for batch in range(1, KEPT + 1):
        predicted_workload(workload(batch_size=batch))
    del traced[:]

    assert first.plan.live_at_peak == predicted_workload(workload()).plan.live_at_peak
    assert len(traced) == 2


def key(**changes: Any) -> str:
    given = workload(**changes)
    return identity.key_of(given, str(identity.code_of(given.algorithm)))


def test_the_key_is_another_where_anything_differs(monkeypatch: pytest.MonkeyPatch) -> None:
    keys = [
        key(),
        key(batch_size=5),
        key(model="mlp-16-8-4"),
        key(options={"momentum": 0.0}),
        key(algorithm="dfa"),
    ]
    for name in identity.DISTRIBUTIONS:
        with monkeypatch.context() as patch:
            patch.setattr(identity, "versions", lambda name=name: {name: "99"})
            keys.append(key())
    monkeypatch.setattr(identity, "_own_digest", lambda: "edited")
    keys.append(key())

    assert len(set(keys)) == len(keys)
    assert key(epochs=3, dataset="digits") == key()


def test_code_is_told_by_its_content(tmp_path: Path) -> None:
    one, other = tmp_path / "a.py", tmp_path / "b.py"
    one.write_text("x = 1")
    other.write_text("y = 1")
    before = identity.digest([one, other])
    assert identity.digest([other, one]) == before
    one.write_text("x = 2")
    assert identity.digest([one, other]) != before


RULE = (Path(__file__).parents[3] / "plugins" / "plain.py").read_text()

ASK = """
import sys
from trainfit.bench.records.schema import Workload
from trainfit.bench.sizing.memo.memo import remembering
from trainfit.bench.sizing.predicted_workload import predicted_workload
sys.path.insert(0, sys.argv[1])
with remembering() as memo:
    for batch in (2, 3):
        predicted_workload(Workload(algorithm="own:Delta", model="mlp-6-4-3", dataset="none",
                                    batch_size=batch))
print(memo.found)
"""


def asking(folder: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", ASK, str(folder)], stdout=subprocess.PIPE, text=True
    )


@pytest.mark.slow
def test_a_rule_of_a_stranger_is_traced_again_when_it_was_edited(tmp_path: Path) -> None:
    # GIVEN two processes that ask at once
    (tmp_path / "own.py").write_text(RULE)
    both = [asking(tmp_path), asking(tmp_path)]
    assert all(each.communicate()[0].strip() in {"0", "2"} for each in both)

    # WHEN another one asks, THEN it finds what they kept
    assert asking(tmp_path).communicate()[0].strip() == "2"

    # WHEN the rule is edited, THEN it does not
    (tmp_path / "own.py").write_text(RULE + "\nOTHER = 1\n")
    assert asking(tmp_path).communicate()[0].strip() == "0"


@pytest.mark.parametrize(
    "text",
    [
        "{",
        "3",
        "[]",
        '{"stages": ["all"], "storage_note": "x", "plans": []}',
        '{"stages": ["all"], "storage_note": "x", "plans": [{"static_bytes": -1}]}',
        '{"stages": ["all"], "storage_note": "x", "plans": [{"weight": 1}]}',
        '{"stages": "all", "storage_note": 7, "plans": [[]]}',
    ],
)
def test_an_entry_that_is_not_ours_is_made_again(
    folder: Path, traced: list[str], text: str
) -> None:
    with remembering():
        right = predicted_workload(workload()).ram_bytes
    replaced(folder, text)
    with remembering() as memo:
        assert predicted_workload(workload()).ram_bytes == right
    assert memo.found == 0
    with remembering() as memo:
        assert predicted_workload(workload()).ram_bytes == right
    assert memo.found == 1
    assert len(traced) == 2


def test_arithmetic_that_is_not_ours_is_counted_again(folder: Path) -> None:
    with remembering():
        right = predicted_workload(workload()).operations
    (text,) = Store(folder).read().values()
    document = json.loads(text)
    document["plans"][0]["operations"] = {"macs": "many"}
    replaced(folder, json.dumps(document))
    with remembering() as memo:
        assert predicted_workload(workload()).operations == right
    assert memo.found == 1


def replaced(folder: Path, text: str) -> None:
    import sqlite3

    with sqlite3.connect(folder / FILE) as connection:
        connection.execute("UPDATE figures SET value = ?", (text,))
    connection.close()
