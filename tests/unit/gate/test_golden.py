"""The golden file: written, read, and refused with a place and a remedy."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.builders.gate import KEY, entry, golden
from trainfit.bench.gate.golden import Golden, read_golden, to_text, write_golden
from trainfit.bench.gate.rules import GoldenError

RULE = {"metric": "peak_bytes", "unit": "B", "percent": 2.0, "why": "being tuned"}


def saved(file: Path, **changes: Any) -> dict[str, Any]:
    """The content of a golden file, some of it changed."""
    write_golden(file, golden(RULE))
    content: dict[str, Any] = json.loads(file.read_text())
    content |= changes
    file.write_text(json.dumps(content))
    return content


def test_what_is_written_is_read(tmp_path: Path) -> None:
    made = golden(RULE)
    write_golden(tmp_path / "folder" / "a.json", made)
    assert read_golden(tmp_path / "folder" / "a.json") == made
    assert [file.name for file in (tmp_path / "folder").iterdir()] == ["a.json"]


def test_one_figure_is_one_line() -> None:
    before = to_text(golden()).splitlines()
    made = golden()
    made.workloads[KEY].figures["all/update"]["peak_bytes"] = 5
    after = to_text(made).splitlines()
    assert sum(old != new for old, new in zip(before, after, strict=True)) == 1
    assert to_text(golden()) == to_text(golden())


def test_workloads_are_sorted() -> None:
    made = golden(**{name: entry() for name in ("tinyfoa", "backprop", "ff")})
    assert list(json.loads(to_text(made))["workloads"]) == ["backprop", "ff", "tinyfoa"]


@pytest.mark.parametrize("torch", ["2.13.0", ("2.13.0", "2.14.1")])
def test_a_golden_may_hold_for_several_versions_of_torch(
    tmp_path: Path, torch: str | tuple[str, ...]
) -> None:
    write_golden(tmp_path / "g.json", golden(torch=torch))
    found = read_golden(tmp_path / "g.json")
    assert found.conditions.torch == torch
    assert found.conditions.torch_versions[0] == "2.13.0"
    assert to_text(found) == (tmp_path / "g.json").read_text()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"schema": "trainfit.golden/9"}, "schema must be 'trainfit.golden/1', got 'trainfit.gol"),
        ({"schema": None}, "not a golden of this version"),
        ({"thresholds": []}, "unknown key 'thresholds'"),
        ({"rules": [RULE, RULE | {"unit": "KiB"}]}, r"rules\[2\].unit: must be 'B'"),
        ({"rules": [{"metric": "*", "unit": "B"}]}, r"rules\[1\].why: is missing"),
        ({"rules": [RULE | {"percent": -1}]}, r"rules\[1\].percent: must be 0 or more, got -1"),
        (
            {"rules": [RULE | {"metric": "step_seconds_median"}]},
            r"rules\[1\]: 'step_seconds_median' depends on the machine.*compare-revisions REV",
        ),
        ({"rules": [RULE | {"unit": "ratio"}]}, r"rules\[1\]: a ratio has no stored value"),
        (
            {"workloads": {KEY: {"figures": {"workload": {"joules_per_step": 1}}}}},
            f"workload '{KEY}': 'joules_per_step' depends on the machine",
        ),
        ({"workloads": {KEY: {"figures": {"workload": {"peak_bytes": 1.5}}}}}, "peak_bytes"),
        ({"workloads": {KEY: {"figures": {"workload": {"peak_bytes": True}}}}}, "peak_bytes"),
        ({"conditions": {}}, "conditions.torch: is missing"),
        ({"conditions": {"torch": 2.13}}, "conditions.torch: must be a version such as '2.13.0'"),
        ({"conditions": {"torch": []}}, "conditions.torch: must be a version such as '2.13.0'"),
        ({"conditions": {"torch": ["2.13.0", 2]}}, "conditions.torch: must be a version such as"),
    ],
)
def test_what_is_wrong_in_a_golden_is_said(
    tmp_path: Path, changes: dict[str, Any], message: str
) -> None:
    file = tmp_path / "g.json"
    saved(file, **changes)
    with pytest.raises(GoldenError, match=message) as refused:
        read_golden(file)
    assert str(refused.value).startswith(f"{file}: ")
    assert "\n" not in str(refused.value)


def test_text_that_is_no_golden_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "g.json"
    with pytest.raises(GoldenError, match=r"there is no golden; make it .* --update"):
        read_golden(file)
    for text, message in (
        ("{", "not valid JSON"),
        ("[1]", "not a golden of this version"),
        ("{}", "not a golden of this version"),
    ):
        file.write_text(text)
        with pytest.raises(GoldenError, match=message):
            read_golden(file)
    file.write_bytes(b"\xff\xfe")
    with pytest.raises(GoldenError, match="not UTF-8"):
        read_golden(file)
    with pytest.raises(GoldenError, match="cannot be read"):
        read_golden(tmp_path)


def test_a_golden_that_cannot_be_written_says_so(tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("")
    with pytest.raises(GoldenError, match="cannot be written"):
        write_golden(tmp_path / "taken" / "g.json", golden())


def test_a_golden_holds_no_unknown_condition() -> None:
    with pytest.raises(ValueError, match="extra"):
        Golden.model_validate({"conditions": {"torch": "2", "moon": "full"}})
