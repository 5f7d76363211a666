"""Budgets: text with units, what is refused in which words, and that they only ever tighten."""

from __future__ import annotations

import tomllib

import pytest
from pydantic import ValidationError

from trainfit.hardware_profiles import (
    Budgets,
    Device,
    ProfileError,
    device_names,
    load_device,
    parse_budgets,
    parse_device,
    tighten,
)

BOARD = """\
name = "board"
title = "Board"
short = "board"
kind = "mcu"
core = "Arm Cortex-M4F"
fpu = true
clock = { value = 100000000, unit = "Hz", source = "sheet, 1" }
supply = { value = 3.3, unit = "V", source = "sheet, 1" }
current_per_mhz = { value = 100, unit = "uA/MHz", source = "sheet, 1" }
reserved = { value = 1024, unit = "B", source = "assumption" }
flash = { value = 65536, unit = "B", source = "sheet, 1" }
flash_reserved = { value = 1536, unit = "B", source = "assumption" }

[[regions]]
name = "A"
base = 0x20000000
size = { value = 132096, unit = "B", source = "sheet, 2" }
arena = true

[budgets]
"""
SIZES = "(units: B, KiB, MiB, GiB)"
TIMES = "(units: s, ms, us)"
ENERGIES = "(units: J, mJ, uJ)"
BATTERIES = "(units: Wh, mWh, J)"


def board(*lines: str) -> Device:
    return parse_device((BOARD + "\n".join(lines)).encode(), "board.toml", stem="board")


def refusal(*lines: str) -> str:
    with pytest.raises(ProfileError) as caught:
        board(*lines)
    return str(caught.value).removeprefix("board.toml: ")


# --- what is read


@pytest.mark.parametrize(
    ("line", "attribute", "value"),
    [
        ('ram = "96 KiB"', "ram_bytes", 98304),
        ('ram = "500 B"', "ram_bytes", 500),
        ('ram = "0.125 MiB"', "ram_bytes", 131072),
        ('ram = "96KiB"', "ram_bytes", 98304),
        ('ram = "  96   KiB "', "ram_bytes", 98304),
        ('ram = "1e3 B"', "ram_bytes", 1000),
        ('flash = "1.5 KiB"', "flash_bytes", 1536),
        ('flash = "0.00001 GiB"', None, None),
        ('step_latency = "50 ms"', "step_latency_seconds", 0.05),
        ('step_latency = "2 s"', "step_latency_seconds", 2.0),
        ('step_latency = "250us"', "step_latency_seconds", 250e-6),
        ('step_latency = ".5 s"', "step_latency_seconds", 0.5),
        ('energy_per_step = "2 mJ"', "energy_per_step_joules", 0.002),
        ('energy_per_step = "1 J"', "energy_per_step_joules", 1.0),
        ('energy_per_step = "30 uJ"', "energy_per_step_joules", 30e-6),
    ],
)
def test_text_with_a_unit(line: str, attribute: str | None, value: float | None) -> None:
    if attribute is None:
        assert "write a whole number of bytes" in refusal(line)
        return
    budgets = board(line).budgets
    assert getattr(budgets, attribute) == value
    rest = set(Budgets.model_fields) - {attribute}
    assert all(getattr(budgets, other) is None for other in rest)


def test_bytes_are_integers_and_times_floats() -> None:
    budgets = board('ram = "96 KiB"', 'step_latency = "2 s"').budgets
    assert type(budgets.ram_bytes) is int
    assert type(budgets.step_latency_seconds) is float


@pytest.mark.parametrize(
    ("text", "joules"), [("1000 mWh", 3600.0), ("2 Wh", 7200.0), ("3.7 J", 3.7), ("1 mWh", 3.6)]
)
def test_battery(text: str, joules: float) -> None:
    budgets = board(f'battery = "{text}"', "training_samples = 60000").budgets
    assert budgets.battery_joules == joules
    assert budgets.training_samples == 60000
    assert budgets.energy_per_sample_joules == joules / 60000


def test_no_budgets() -> None:
    budgets = board().budgets
    assert budgets == Budgets()
    assert budgets.energy_per_sample_joules is None


@pytest.mark.parametrize("name", device_names())
def test_packaged_profiles_declare_no_budgets(name: str) -> None:
    # What is allowed is for a user to say, not for the maker of a chip.
    assert load_device(name).budgets == Budgets()


def test_budgets_cannot_be_changed() -> None:
    with pytest.raises(ValidationError):
        board().budgets.ram_bytes = 1  # type: ignore[misc]


# --- what is refused


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("ram = 98304", f'budgets.ram: 98304 has no unit; write text such as "96 KiB" {SIZES}'),
        (
            'ram = "98304"',
            f"budgets.ram: '98304' has no unit; write text such as \"96 KiB\" {SIZES}",
        ),
        (
            "step_latency = 0.05",
            f'budgets.step_latency: 0.05 has no unit; write text such as "50 ms" {TIMES}',
        ),
        (
            "energy_per_step = 2",
            f'budgets.energy_per_step: 2 has no unit; write text such as "2 mJ" {ENERGIES}',
        ),
        (
            'ram = "96 kB"',
            f"budgets.ram: '96 kB': 'kB' may mean 1000 or 1024 bytes; write KiB {SIZES}",
        ),
        (
            'ram = "96 KB"',
            f"budgets.ram: '96 KB': 'KB' may mean 1000 or 1024 bytes; write KiB {SIZES}",
        ),
        (
            'flash = "1MB"',
            f"budgets.flash: '1MB': 'MB' may mean 1000^2 or 1024^2 bytes; write MiB {SIZES}",
        ),
        (
            'flash = "1 GB"',
            f"budgets.flash: '1 GB': 'GB' may mean 1000^3 or 1024^3 bytes; write GiB {SIZES}",
        ),
        (
            'ram = "96 kib"',
            f"budgets.ram: '96 kib': 'kib' is not a unit of size; write KiB {SIZES}",
        ),
        ('ram = "96 b"', f"budgets.ram: '96 b': 'b' is not a unit of size; write B {SIZES}"),
        (
            'ram = "96 ms"',
            f"budgets.ram: '96 ms': 'ms' is not a unit of size; write one of them {SIZES}",
        ),
        (
            'step_latency = "50 MS"',
            f"budgets.step_latency: '50 MS': 'MS' is not a unit of time; write ms {TIMES}",
        ),
        (
            'step_latency = "50 µs"',
            f"budgets.step_latency: '50 µs': 'µs' is not a unit of time; write us {TIMES}",
        ),
        (
            'energy_per_step = "2 MJ"',
            f"budgets.energy_per_step: '2 MJ': 'MJ' is not a unit of energy; write mJ {ENERGIES}",
        ),
        (
            'energy_per_step = "2 mWh"',
            "budgets.energy_per_step: '2 mWh': 'mWh' is not a unit of energy; write one of them"
            f" {ENERGIES}",
        ),
        (
            'ram = "0 KiB"',
            "budgets.ram: '0 KiB' allows nothing; write more than 0, or leave it out",
        ),
        (
            'ram = "-5 KiB"',
            "budgets.ram: '-5 KiB' allows nothing; write more than 0, or leave it out",
        ),
        (
            'step_latency = "0 ms"',
            "budgets.step_latency: '0 ms' allows nothing; write more than 0, or leave it out",
        ),
        (
            'ram = "0.3 B"',
            "budgets.ram: '0.3 B' is 0.3 bytes; write a whole number of bytes",
        ),
        (
            'ram = "1.0001 KiB"',
            "budgets.ram: '1.0001 KiB' is 1024.1024 bytes; write a whole number of bytes",
        ),
        (
            'ram = "all"',
            f"budgets.ram: 'all' is not a number with a unit; write \"96 KiB\" or the like {SIZES}",
        ),
        (
            'ram = "nan KiB"',
            "budgets.ram: 'nan KiB' is not a number with a unit; write \"96 KiB\" or the like"
            f" {SIZES}",
        ),
        (
            'ram = "1e999999999 KiB"',
            "budgets.ram: '1e999999999 KiB' is beyond all measure; write \"96 KiB\" or the like"
            f" {SIZES}",
        ),
        (
            'step_latency = "1e-400 s"',
            "budgets.step_latency: '1e-400 s' is beyond all measure; write \"50 ms\" or the like"
            f" {TIMES}",
        ),
        (
            'ram = "96,5 KiB"',
            f"budgets.ram: '96,5 KiB': ',5 KiB' is not a unit of size; write one of them {SIZES}",
        ),
        (
            "ram = true",
            f'budgets.ram: True is not a number with a unit; write "96 KiB" or the like {SIZES}',
        ),
        ('rma = "96 KiB"', "budgets: unknown key 'rma'; did you mean ram?"),
        (
            "step_latency_seconds = 1",
            "budgets: unknown key 'step_latency_seconds'; did you mean step_latency?",
        ),
        (
            "xyz = 1",
            "budgets: unknown key 'xyz'; known: battery, energy_per_step, flash, ram, step_latency,"
            " training_samples",
        ),
    ],
)
def test_refused_in_one_line(line: str, message: str) -> None:
    assert refusal(line) == message


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("0", "0 is no training; write 1 to 1,000,000,000,000,000 samples"),
        ("-1", "-1 is no training; write 1 to 1,000,000,000,000,000 samples"),
        (
            "1000000000000001",
            "1000000000000001 is no training; write 1 to 1,000,000,000,000,000 samples",
        ),
        ("1.5", "1.5 is not a number of samples; write a whole one, such as 60000"),
        ('"60000"', "'60000' is not a number of samples; write a whole one, such as 60000"),
        ("true", "True is not a number of samples; write a whole one, such as 60000"),
    ],
)
def test_training_samples_are_a_whole_number(text: str, message: str) -> None:
    found = refusal('battery = "1 Wh"', f"training_samples = {text}")
    assert found == f"budgets.training_samples: {message}"


@pytest.mark.parametrize(
    ("line", "start"),
    [
        ('battery = "1 Wh"', "battery without training_samples"),
        ("training_samples = 5", "training_samples without battery"),
    ],
)
def test_battery_and_samples_belong_together(line: str, start: str) -> None:
    assert refusal(line) == (
        f"budgets: {start}: a battery is compared with the energy of a whole training; write both,"
        ' such as battery = "1000 mWh" and training_samples = 60000, or neither'
    )


def test_battery_in_a_unit_it_does_not_have() -> None:
    assert refusal('battery = "1000 mAh"', "training_samples = 5") == (
        "budgets.battery: '1000 mAh': 'mAh' is not a unit of a battery's energy; write one of them"
        f" {BATTERIES}"
    )


# --- against the hardware


def test_all_there_is_may_be_budgeted() -> None:
    device = board('ram = "128 KiB"', 'flash = "62.5 KiB"')
    assert device.budgets.ram_bytes == device.usable_ram_bytes
    assert device.budgets.flash_bytes == device.usable_flash_bytes


def test_more_ram_than_there_is() -> None:
    assert refusal('ram = "131073 B"') == (
        "budgets.ram: 128.0 KiB (131,073 B) is more than the 128.0 KiB (131,072 B) of RAM in one"
        " piece that the device has to spare; write at most that"
    )


def test_more_flash_than_there_is() -> None:
    assert refusal('flash = "64 KiB"') == (
        "budgets.flash: 64.0 KiB (65,536 B) is more than the 62.5 KiB (64,000 B) of flash that the"
        " device has to spare; write at most that"
    )


def test_unknown_memory_contradicts_nothing() -> None:
    size = '{ value = 132096, unit = "B", source = "sheet, 2" }'
    text = BOARD.replace(size, '{ unknown = "?" }') + 'ram = "1 GiB"'
    device = parse_device(text.encode(), "board.toml", stem="board")
    assert device.usable_ram_bytes is None
    assert device.budgets.ram_bytes == 2**30


# --- on a command line


def test_from_a_command_line() -> None:
    budgets = parse_budgets(
        {
            "ram": "96KiB",
            "flash": "1 MiB",
            "step_latency": "50ms",
            "energy_per_step": "2mJ",
            "battery": "1000mWh",
            "training_samples": "60000",
        },
        "--budget",
    )
    assert budgets.ram_bytes == 98304
    assert budgets.flash_bytes == 2**20
    assert budgets.step_latency_seconds == 0.05
    assert budgets.energy_per_step_joules == 0.002
    assert budgets.battery_joules == 3600
    assert budgets.training_samples == 60000
    assert parse_budgets({}, "--budget") == Budgets()


@pytest.mark.parametrize(
    ("texts", "message"),
    [
        ({"stepp_latency": "1 s"}, "unknown budget 'stepp_latency'; did you mean step_latency?"),
        (
            {"memory": "1 B"},
            "unknown budget 'memory'; known: battery, energy_per_step, flash, ram,"
            " step_latency, training_samples",
        ),
        ({"ram": "96 kB"}, f"ram: '96 kB': 'kB' may mean 1000 or 1024 bytes; write KiB {SIZES}"),
        (
            {"ram": ""},
            f"ram: '' is not a number with a unit; write \"96 KiB\" or the like {SIZES}",
        ),
        (
            {"step_latency": "50"},
            f"step_latency: '50' has no unit; write text such as \"50 ms\" {TIMES}",
        ),
        (
            {"battery": "1 Wh", "training_samples": "many"},
            "training_samples: 'many' is not a number of samples; write a whole one, such as 60000",
        ),
        (
            {"battery": "1 Wh", "training_samples": "-3"},
            "training_samples: -3 is no training; write 1 to 1,000,000,000,000,000 samples",
        ),
        (
            {"battery": "1 Wh", "training_samples": "1" * 20},
            f"training_samples: '{'1' * 20}' is not a number of samples; write a whole one, such as"
            " 60000",
        ),
        (
            {"training_samples": "60000"},
            "training_samples without battery: a battery is compared with the energy of a whole"
            ' training; write both, such as battery = "1000 mWh" and training_samples = 60000, or'
            " neither",
        ),
        (
            {"ram": "0 B", "flash": "0 B"},
            "ram: '0 B' allows nothing; write more than 0, or leave it out (1 more problem in these"
            " budgets)",
        ),
    ],
)
def test_refused_on_a_command_line(texts: dict[str, str], message: str) -> None:
    with pytest.raises(ProfileError) as caught:
        parse_budgets(texts, "--budget")
    assert str(caught.value) == f"--budget: {message}"


# --- tightening


def budgets(**texts: str) -> Budgets:
    return parse_budgets(texts, "test")


DECLARED = {
    "ram": "96 KiB",
    "flash": "1 MiB",
    "step_latency": "50 ms",
    "energy_per_step": "2 mJ",
    "battery": "1 Wh",
    "training_samples": "3600",
}


def test_nothing_asked() -> None:
    declared = budgets(**DECLARED)
    assert tighten(declared, Budgets()) == (declared, {})


def test_nothing_declared() -> None:
    asked = budgets(**DECLARED)
    assert tighten(Budgets(), asked) == (asked, {})


def test_the_same_again_is_no_contradiction() -> None:
    declared = budgets(**DECLARED)
    assert tighten(declared, declared) == (declared, {})


def test_tighter_is_taken_one_by_one() -> None:
    declared = budgets(**DECLARED)
    found, refused = tighten(declared, budgets(ram="95 KiB", step_latency="49 ms"))
    assert refused == {}
    assert found.ram_bytes == 95 * 1024
    assert found.step_latency_seconds == 0.049
    assert found.flash_bytes == declared.flash_bytes
    assert found.energy_per_step_joules == declared.energy_per_step_joules
    assert found.battery_joules == declared.battery_joules


@pytest.mark.parametrize(
    ("asked", "name", "message"),
    [
        (
            {"ram": "128 KiB"},
            "ram",
            "ram: 128.0 KiB (131,072 B) is looser than the 96.0 KiB (98,304 B) that the profile"
            " declares, which stays; a budget can only be tightened",
        ),
        (
            {"flash": "1048577 B"},
            "flash",
            "flash: 1.0 MiB (1,048,577 B) is looser than the 1.0 MiB (1,048,576 B) that the profile"
            " declares, which stays; a budget can only be tightened",
        ),
        (
            {"step_latency": "1 s"},
            "step_latency",
            "step_latency: 1 s is looser than the 50 ms that the profile declares, which stays; a"
            " budget can only be tightened",
        ),
        (
            {"energy_per_step": "2001 uJ"},
            "energy_per_step",
            "energy_per_step: 2.001 mJ is looser than the 2 mJ that the profile declares, which"
            " stays; a budget can only be tightened",
        ),
        (
            {"battery": "1 Wh", "training_samples": "1800"},
            "training_energy",
            "training_energy: 2 J per sample is looser than the 1 J per sample that the profile"
            " declares, which stays; a budget can only be tightened",
        ),
    ],
)
def test_looser_is_not_taken(asked: dict[str, str], name: str, message: str) -> None:
    declared = budgets(**DECLARED)
    found, refused = tighten(declared, budgets(**asked))
    assert found == declared
    assert refused == {name: message}


def test_a_larger_battery_for_more_samples_may_be_tighter() -> None:
    asked = budgets(battery="2 Wh", training_samples="14400")
    found, refused = tighten(budgets(**DECLARED), asked)
    assert refused == {}
    assert (found.battery_joules, found.training_samples) == (7200, 14400)


def test_tighter_and_looser_at_once() -> None:
    found, refused = tighten(budgets(**DECLARED), budgets(ram="1 KiB", flash="1 GiB"))
    assert found.ram_bytes == 1024
    assert found.flash_bytes == 2**20
    assert list(refused) == ["flash"]


# --- on the sheet


def test_sheet_shows_budgets_and_where_they_come_from() -> None:
    lines = [
        f"{key} = {text}" if key == "training_samples" else f'{key} = "{text}"'
        for key, text in {**DECLARED, "flash": "500 B"}.items()
    ]
    rows = {row.figure: row for row in board(*lines).describe()}
    assert {key: row.value for key, row in rows.items() if key.startswith("budget")} == {
        "budget: RAM": "96.0 KiB (98,304 B)",
        "budget: flash": "500 B",
        "budget: step latency": "50 ms",
        "budget: energy per step": "2 mJ",
        "budget: battery": "3600 J for 3,600 samples",
        "budget: energy per sample": "1 J",
    }
    assert rows["budget: RAM"].source == "set in this profile"
    assert rows["budget: energy per sample"].source == "battery over training samples"


@pytest.mark.parametrize(
    ("text", "shown"), [("2 s", "2 s"), ("2000 us", "2 ms"), ("3 us", "3 us"), ("0.5 us", "0.5 us")]
)
def test_times_for_people(text: str, shown: str) -> None:
    rows = {row.figure: row.value for row in board(f'step_latency = "{text}"').describe()}
    assert rows["budget: step latency"] == shown


def test_example_of_this_file_is_toml() -> None:
    assert tomllib.loads(BOARD)["budgets"] == {}
