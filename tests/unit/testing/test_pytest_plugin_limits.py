"""What a marker asks for, what holds of it, and goldens of tests; without running pytest."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from tests.builders.profiles import GRADIENT, step_profile
from trainfit.bench.errors import BenchError
from trainfit.bench.gate.figures import figures_of_profile
from trainfit.bench.gate.golden import read_golden
from trainfit.bench.profiler.fold import Block
from trainfit.bench.testing import goldens
from trainfit.bench.testing.checks import CheckKind, check, message, tensor_lines, verdicts_of
from trainfit.bench.testing.limits import LimitError, StepLimits, golden_beside, read_limits
from trainfit.hardware_profiles import load_device

FILE = Path("/somewhere/tests/test_step.py")


def limits(**named: Any) -> StepLimits:
    return read_limits([((), named)], FILE)


# ---- the marker ----------------------------------------------------------------------------------


def test_every_argument_is_read() -> None:
    found = limits(
        max_peak="256 KiB",
        max_static="1MiB",
        max_ram="2 MiB",
        max_phase={"gradient": "100 KiB"},
        device=["stm32f746", "rp2350"],
        min_margin="1 KiB",
        max_left="64 B",
        golden=True,
    )
    assert found == StepLimits(
        max_peak_bytes=262_144,
        max_static_bytes=1_048_576,
        max_ram_bytes=2_097_152,
        max_phase_bytes={"gradient": 102_400},
        devices=(load_device("stm32f746"), load_device("rp2350")),
        min_margin_bytes=1_024,
        max_left_bytes=64,
        golden=golden_beside(FILE),
    )


def test_the_nearest_marker_decides_and_none_takes_a_limit_away() -> None:
    own: tuple[tuple[Any, ...], dict[str, Any]] = ((), {"max_peak": "1 KiB", "max_ram": None})
    outer: tuple[tuple[Any, ...], dict[str, Any]] = (
        (),
        {"max_peak": "9 KiB", "max_ram": "9 KiB", "max_static": "5 KiB"},
    )
    found = read_limits([own, outer], FILE)
    assert found == StepLimits(max_peak_bytes=1_024, max_static_bytes=5_120)


@pytest.mark.parametrize(
    ("named", "said"),
    [
        ({}, "asks for nothing; give it one of max_peak"),
        ({"max_ram": None}, "asks for nothing"),
        ({"max_peek": "1 KiB"}, "unknown argument 'max_peek'; did you mean max_peak"),
        ({"max_peak": "256 KB"}, "max_peak: '256 KB': 'KB' may mean 1000 or 1024 bytes; write KiB"),
        ({"max_peak": 4096}, 'max_peak: 4096 has no unit; write text such as "96 KiB"'),
        ({"max_phase": "1 KiB"}, "max_phase: '1 KiB' is not a table of phases"),
        ({"max_phase": {"update": "much"}}, "max_phase['update']: 'much' is not a number with"),
        ({"device": "stm32f747"}, "device: unknown device 'stm32f747'; did you mean stm32f746"),
        ({"device": "our.toml"}, "device: /somewhere/tests/our.toml: no such file"),
        ({"device": 7}, "device: 7 is neither a name nor a list of names"),
        ({"min_margin": "1 KiB"}, "min_margin is what is left on a device; add device="),
        ({"golden": 1}, "golden: 1 is no file; write golden=True for test_step.training_memory"),
        ({"golden": ""}, "golden: '' is no file"),
    ],
)
def test_what_cannot_be_meant_is_one_line(named: dict[str, Any], said: str) -> None:
    with pytest.raises(LimitError, match=re.escape(said)) as caught:
        limits(**named)
    assert str(caught.value).startswith("training_memory: ")
    assert "\n" not in str(caught.value)


def test_positional_arguments_are_refused() -> None:
    with pytest.raises(LimitError, match=r"\('1 KiB'\): takes named arguments only"):
        read_limits([(("1 KiB",), {})], FILE)


def test_paths_begin_at_the_test(tmp_path: Path) -> None:
    assert limits(golden="goldens/steps.json").golden == FILE.parent / "goldens/steps.json"
    assert limits(golden=False, max_ram="1 B").golden is None
    text = (Path(__file__).parents[3] / "hardware_profiles/rp2350.toml").read_text()
    (tmp_path / "ours.toml").write_text(text.replace('name = "rp2350"', 'name = "ours"', 1))
    found = read_limits([((), {"device": "ours.toml"})], tmp_path / "test_step.py")
    assert [device.name for device in found.devices] == ["ours"]


# ---- what holds ----------------------------------------------------------------------------------


def problems(asked: StepLimits, **changes: Any) -> dict[str, tuple[CheckKind, int | None, str]]:
    found = check(step_profile(**changes), asked)
    return {each.limit: (each.kind, each.over_bytes, each.text) for each in found}


def test_a_limit_that_is_just_met_holds() -> None:
    asked = limits(
        max_peak="1000 B",
        max_static="3000 B",
        max_ram="4000 B",
        max_phase={"forward": "600 B", "gradient": "1000 B"},
    )
    assert problems(asked) == {}


def test_one_byte_over_fails_and_says_by_how_much() -> None:
    asked = limits(
        max_peak="999 B", max_static="2999 B", max_ram="3999 B", max_phase={"forward": "599 B"}
    )
    found = problems(asked)
    assert {limit: (kind, over) for limit, (kind, over, _) in found.items()} == dict.fromkeys(
        ["max_peak", "max_static", "max_ram", "max_phase['forward']"], (CheckKind.OVER, 1)
    )
    assert found["max_peak"][2] == (
        "peak dynamic memory is 1,000 B, 1 B over the 999 B allowed (in phase gradient)"
    )
    assert found["max_static"][2].endswith("(parameters 2,000, inputs 1,000)")
    assert "3,000 B static + 1,000 B peak dynamic in phase gradient" in found["max_ram"][2]
    assert found["max_phase['forward']"][2].endswith("(activations 600)")


def test_a_phase_that_is_not_there_is_no_pass() -> None:
    ((kind, over, text),) = problems(limits(max_phase={"update": "1 KiB"})).values()
    assert (kind, over) == (CheckKind.UNKNOWN, None)
    assert 'it has: forward, gradient); mark it with trainfit.phase("update")' in text


def test_a_step_that_differs_from_itself_is_held_to_nothing() -> None:
    found = problems(limits(max_peak="1 B"), deterministic=False)
    assert [kind for kind, _, _ in found.values()] == [CheckKind.NOT_DETERMINISTIC]


def test_a_step_that_repeats_itself_is_offered_a_whole_cycle() -> None:
    found = problems(limits(max_peak="1 B"), deterministic=False, period=4)
    ((_, _, text),) = found.values()
    assert "every 4 calls: measure a whole cycle with training_memory(step, steps=4)" in text


def test_a_device_needs_room_for_all_of_it() -> None:
    asked = limits(device=["microbit-v1", "stm32f746"])
    usable = asked.devices[0].usable_ram_bytes
    assert usable is not None
    assert problems(asked, static_bytes=usable - 1_000) == {}
    ((limit, (kind, over, text)),) = problems(asked, static_bytes=usable - 999).items()
    assert (limit, kind, over) == ("device microbit-v1", CheckKind.OVER, 1)
    assert text.startswith("exceeds: 1 B too much in phase gradient; needs ")


def test_a_margin_can_be_asked_for() -> None:
    asked = limits(device="microbit-v1", min_margin="100 B")
    usable = asked.devices[0].usable_ram_bytes
    assert usable is not None
    assert problems(asked, static_bytes=usable - 1_100) == {}
    ((_, over, text),) = problems(asked, static_bytes=usable - 1_090).values()
    assert over == 10
    assert "tight: 90 B left, 10 B less than min_margin (100 B) wants" in text


def test_a_verdict_that_is_not_known_is_no_pass() -> None:
    board = load_device("stm32f746")
    regions = tuple(
        region.model_copy(
            update={"size": region.size.model_copy(update={"value": None, "unknown": "secret"})}
        )
        for region in board.regions
    )
    unknown = board.model_copy(update={"regions": regions})
    ((kind, _, text),) = problems(StepLimits(devices=(unknown,))).values()
    assert kind is CheckKind.UNKNOWN
    assert "secret" in text


def test_the_message_leads_with_a_problem_and_names_the_tensors() -> None:
    step = step_profile(GRADIENT, Block(8, "", "workspace", ""))
    asked = limits(max_peak="1 KiB", max_phase={"forward": "500 B", "gradient": "1 KiB"})
    text = message(check(step, asked), step)
    assert text.splitlines() == [
        "max_peak: peak dynamic memory is 1,408 B, 384 B over the 1.0 KiB allowed"
        " (in phase gradient)",
        "max_phase['forward']: peak dynamic memory of forward is 600 B, 100 B over the 500 B"
        " allowed (activations 600)",
        "max_phase['gradient']: peak dynamic memory of gradient is 1,408 B, 384 B over the 1.0 KiB"
        " allowed (gradients 800, activations 600, workspace 8)",
        "alive at the peak of gradient (1,408 B dynamic), largest first:",
        "           800 B  gradients: 2 x mm float32 10x10, from gradient",
        "           600 B  activations: relu float32 10x15, from forward",
        "             8 B  workspace: unnamed, from before the step",
        "alive at the peak of forward (600 B dynamic), largest first:",
        "           600 B  activations: relu float32 10x15, from forward",
        "unnamed: made by no operator that was watched: a scalar of at most 8 B, or memory that an"
        " operator takes for itself",
    ]


def test_a_long_list_of_tensors_is_cut_and_stays_a_sum() -> None:
    blocks = [Block(10 + size, "forward", "activations", f"t{size}") for size in range(20)]
    lines = tensor_lines(step_profile(*blocks).live_at_peak)
    assert len(lines) == 7
    listed = [int(line.split(" B ")[0].replace(",", "")) for line in lines]
    assert sum(listed) == 1_000 + sum(block.size for block in blocks)


# ---- leaks ---------------------------------------------------------------------------------------

OUTPUT = Block(1_284, "forward", "activations", "addmm float32 32x10", "head", "train.py:41")
LEAK = {"left_after_step_bytes": 1_288, "left_blocks": (OUTPUT, Block(4, "", "workspace", ""))}


def test_a_leak_fails_without_being_asked_for() -> None:
    asked = limits(max_ram="1 MiB", device="nrf52840")
    ((limit, (kind, over, text)),) = problems(asked, **LEAK).items()
    assert (limit, kind, over) == ("max_left", CheckKind.LEAK, 1_288)
    board = load_device("nrf52840").usable_ram_bytes
    assert board is not None
    steps = (board - 4_000) // 1_288 + 1
    assert text.splitlines() == [
        f"leaves 1,288 B per step: on nrf52840 full after {steps} steps",
        "  left behind: addmm float32 32x10 (activations, 1,284 B) [head at train.py:41]",
        "  left behind: unnamed (workspace, 4 B)",
        '  if that is meant: max_left="1288 B" allows it, max_left=None any leak',
    ]


def test_a_leak_can_be_allowed() -> None:
    assert problems(limits(max_left="1288 B", device="nrf52840"), **LEAK) == {}
    assert problems(limits(max_ram="1 MiB", max_left=None, device="nrf52840"), **LEAK) == {}
    ((_, (_, over, text)),) = problems(limits(max_left="1 KiB"), **LEAK).items()
    assert over == 264
    assert text.startswith("leaves 1,288 B per step, 264 B over the 1.0 KiB allowed: any memory")
    outer: tuple[tuple[Any, ...], dict[str, Any]] = ((), {"max_left": "9 B", "max_ram": "1 MiB"})
    assert read_limits([((), {"max_left": None}), outer], FILE).max_left_bytes is None
    assert read_limits([outer], FILE).max_left_bytes == 9


def test_a_board_that_fills_up_does_not_hold_the_step() -> None:
    step = step_profile(**LEAK)
    (verdict,) = verdicts_of(step, limits(device="nrf52840"))
    assert verdict.status == "exceeds"
    assert "leaves 1,288 B per step: full after" in verdict.reason
    (allowed,) = verdicts_of(step, limits(device="nrf52840", max_left="1288 B"))
    assert allowed.status == "fits"


def test_what_is_alive_at_the_peak_is_listed_only_where_that_says_something() -> None:
    step = step_profile(**LEAK)
    assert "alive" not in message(check(step, limits(max_left="0 B")), step)
    assert "alive" not in message(check(step, limits(max_static="1 B", max_left=None)), step)
    assert "alive at the peak" in message(check(step, limits(max_ram="1 B")), step)


# ---- goldens -------------------------------------------------------------------------------------

KEY = "test_step.py::test_it"


def entry(*extra: Block, **changes: Any) -> Any:
    return figures_of_profile(step_profile(*extra, **changes))


def test_what_was_accepted_is_equal_in_every_figure(tmp_path: Path) -> None:
    file = tmp_path / "steps.json"
    problem, _ = goldens.compare(entry(), file, KEY)
    assert problem is not None
    assert problem.kind is CheckKind.NO_GOLDEN

    said = goldens.accept_into(file, {KEY: entry()})

    assert said == [f"written: {file} (1 of torch {goldens.conditions().torch})"]
    assert goldens.compare(entry(), file, KEY) == (None, [])
    metrics = dict(read_golden(file).workloads[KEY].metrics())
    assert metrics["workload/peak_dynamic_bytes"] == 1_000
    assert metrics["all/static.parameters_bytes"] == 2_000
    assert metrics["all/gradient/category.gradients_bytes"] == 400


@pytest.mark.parametrize(
    ("then", "now", "said"),
    [
        ([], [GRADIENT], ["peak_dynamic +400 B", "1 more of mm float32 10x10"]),
        ([GRADIENT], [], ["peak_dynamic -400 B", "1 fewer of mm float32 10x10"]),
    ],
    ids=["grew", "shrank"],
)
def test_a_change_fails_in_both_directions_and_names_the_tensor(
    then: list[Block], now: list[Block], said: list[str], tmp_path: Path
) -> None:
    file = tmp_path / "steps.json"
    goldens.accept_into(file, {KEY: entry(*then)})
    problem, _ = goldens.compare(entry(*now), file, KEY)
    assert problem is not None
    assert problem.kind is CheckKind.CHANGED
    assert problem.over_bytes == (400 if now else None)
    assert [part for part in said if part not in problem.text] == []
    assert "gradient/peak_bytes: " in problem.text


def test_static_bytes_and_phases_are_gated_too(tmp_path: Path) -> None:
    file = tmp_path / "steps.json"
    goldens.accept_into(file, {KEY: entry()})
    for change in ({"static_bytes": 3_001}, {"entry_bytes": 4}, {"left_after_step_bytes": 4}):
        problem, findings = goldens.compare(entry(**change), file, KEY)
        assert problem is not None
        assert len(findings) == 1


def test_another_torch_is_not_comparable_and_no_regression(tmp_path: Path) -> None:
    file = tmp_path / "steps.json"
    goldens.accept_into(file, {KEY: entry(), "test_step.py::test_other": entry()})
    rewrite_torch(file, "1.0.0")
    problem, findings = goldens.compare(entry(GRADIENT), file, KEY)
    assert problem is not None
    assert problem.kind is CheckKind.NOT_COMPARABLE
    assert findings == []
    assert "torch differs: the golden was made with 1.0.0" in problem.text

    said = goldens.accept_into(file, {KEY: entry(GRADIENT)})

    assert said[1] == "  taken out: 1 of torch 1.0.0 not run now"
    assert set(read_golden(file).workloads) == {KEY}
    assert goldens.compare(entry(GRADIENT), file, KEY) == (None, [])


def test_a_torch_that_needs_the_same_bytes_is_added(tmp_path: Path) -> None:
    file, own = tmp_path / "steps.json", goldens.conditions().torch
    goldens.accept_into(file, {KEY: entry()})
    rewrite_torch(file, "1.0.0")

    said = goldens.accept_into(file, {KEY: entry()})

    assert said == [f"written: {file} (1 of torch 1.0.0 and {own})"]
    assert read_golden(file).conditions.torch == ("1.0.0", own)
    assert goldens.compare(entry(), file, KEY) == (None, [])
    said = goldens.accept_into(file, {KEY: entry(GRADIENT)})
    assert said[1:] == ["  no longer for torch 1.0.0: measure with it again"]
    assert read_golden(file).conditions.torch == own


def rewrite_torch(file: Path, torch: str) -> None:
    document = json.loads(file.read_text())
    document["conditions"]["torch"] = torch
    file.write_text(json.dumps(document))


def test_rules_and_other_steps_stay(tmp_path: Path) -> None:
    file = tmp_path / "steps.json"
    goldens.accept_into(file, {"test_a.py::test_a": entry(), KEY: entry()})
    document = json.loads(file.read_text())
    rule = {"metric": "*", "unit": "B", "percent": 150.0, "direction": "smaller", "why": "tuning"}
    document["rules"] = [rule]
    file.write_text(json.dumps(document))
    assert goldens.compare(entry(GRADIENT), file, KEY)[0] is None

    goldens.accept_into(file, {KEY: entry(GRADIENT)})

    found = read_golden(file)
    assert list(found.workloads) == ["test_a.py::test_a", KEY]
    assert [each.why for each in found.rules] == ["tuning"]


@pytest.mark.parametrize("text", ["", "{}", '{"schema": "trainfit.golden/9"}', "[1, 2"])
def test_a_file_of_another_kind_is_said_in_one_line(text: str, tmp_path: Path) -> None:
    file = tmp_path / "steps.json"
    file.write_text(text)
    with pytest.raises(BenchError, match=re.escape(str(file))) as caught:
        goldens.compare(entry(), file, KEY)
    assert "\n" not in str(caught.value)


def test_a_key_is_seen_from_the_golden(tmp_path: Path) -> None:
    test = tmp_path / "tests" / "unit" / "test_step.py"
    beside = golden_beside(test)
    shared = tmp_path / "goldens" / "steps.json"
    for nodeid in ("tests/unit/test_step.py::test_it[a]", "test_step.py::test_it[a]"):
        assert goldens.key_of(nodeid, test, beside) == "test_step.py::test_it[a]"
        assert goldens.key_of(nodeid, test, shared) == "../tests/unit/test_step.py::test_it[a]"
