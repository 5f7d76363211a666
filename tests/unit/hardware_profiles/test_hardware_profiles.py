"""The packaged profiles, the arena rule, and one clear message per kind of bad file."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from pydantic import BaseModel, ValidationError

from tests.fakes import small_boards
from trainfit import hardware_profiles
from trainfit.hardware_profiles import (
    Device,
    Figure,
    ProfileError,
    device_names,
    format_bytes,
    load_device,
    parse_device,
)

FOLDER = Path(hardware_profiles.__file__).parent
WANTED = {
    "jetson-orin-nano-4gb",
    "jetson-orin-nano-8gb",
    "jetson-nano",
    "jetson-xavier-nx",
    "jetson-agx-orin",
    "stm32f407",
    "stm32f411",
    "stm32f746",
    "stm32h743",
    "stm32l4r5",
    "nrf52840",
    "rp2040",
    "rp2350",
    "apollo4-plus",
    "microbit-v1",
}
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
flash_reserved = { value = 0, unit = "B", source = "assumption" }

[[regions]]
name = "A"
base = 0x20000000
size = { value = 8192, unit = "B", source = "sheet, 2" }
arena = true

[[regions]]
name = "B"
base = 0x20002000
size = { value = 4096, unit = "B", source = "sheet, 2" }
arena = true
"""


def figures(model: BaseModel) -> Iterator[Figure]:
    """Every figure at any depth."""
    for name in type(model).model_fields:
        value = getattr(model, name)
        for item in value if isinstance(value, tuple) else (value,):
            if isinstance(item, Figure):
                yield item
            elif isinstance(item, BaseModel):
                yield from figures(item)


def board(*changes: tuple[str, str]) -> Device:
    text = BOARD
    for old, new in changes:
        assert text.count(old) >= 1, old
        text = text.replace(old, new, 1)
    return parse_device(text.encode(), "board.toml", stem="board")


# --- the packaged profiles


def test_all_wanted_devices_are_packaged() -> None:
    names = device_names()
    assert set(names) >= WANTED
    assert names == sorted(names)


@pytest.mark.parametrize("name", device_names())
def test_packaged_profile_loads_and_is_sourced(name: str) -> None:
    device = load_device(name)
    assert device.name == name
    found = list(figures(device))
    assert len(found) >= 7
    for figure in found:
        assert (figure.value is None) == (figure.unknown is not None)
        assert (figure.source or figure.unknown or "").strip()
        assert "[MEM]" not in (figure.source or "")
        assert "[2nd]" not in (figure.source or "")
    assert device.usable_ram_bytes is not None
    assert device.usable_ram_bytes > 0
    assert device.ram_unknown == ""
    assert "assumption" in device.reserved.origin


def test_short_labels_are_distinct() -> None:
    labels = [load_device(name).short for name in device_names()]
    assert len(set(labels)) == len(labels)


@pytest.mark.parametrize("name", device_names())
def test_sheet_shows_every_figure_with_its_origin(name: str) -> None:
    device = load_device(name)
    rows = device.describe()
    origins = [row.source for row in rows]
    for figure in figures(device):
        assert any(origin.startswith(figure.origin) for origin in origins), figure
    assert all(row.figure and row.value and row.source for row in rows)


def test_sheet_values_are_for_people() -> None:
    values = {row.figure: row.value for row in load_device("stm32f407").describe()}
    assert values["CPU clock"] == "168 MHz"
    assert values["current per MHz"] == "238 µA/MHz"
    assert values["RAM SRAM2"] == "16.0 KiB (16,384 B) at 0x2001C000"
    assert values["RAM BKPSRAM"].endswith("no arena")
    assert values["arena SRAM1+SRAM2"] == "128.0 KiB"
    assert values["usable RAM"] == "112.0 KiB (114,688 B)"
    jetson = {row.figure: row.value for row in load_device("jetson-nano").describe()}
    assert jetson["mode 5W (nvpmodel 1)"] == "5 W"
    assert jetson["memory bandwidth"] == "25.6 GB/s"
    assert jetson["INT8 dense"] == "unknown"
    assert jetson["flash"] == "unknown"
    assert jetson["FP32 peak"] == "0.23593 TFLOPS"
    assert jetson["idle power"] == "1.25 W"
    assert "cycles" not in jetson


def test_peaks_of_boards_with_a_gpu_follow_from_their_cores_and_clock() -> None:
    for name in device_names():
        device = load_device(name)
        if device.kind == "mcu":
            assert device.fp32_peak is None
            assert device.idle_power is None
            continue
        assert device.fp32_peak is not None
        assert device.fp32_peak.value is not None
        assert device.gpu_clock is not None
        assert device.gpu_clock.value is not None
        cores = re.search(r"(\d+) CUDA cores", device.core)
        assert cores is not None
        derived = int(cores[1]) * 2 * device.gpu_clock.value
        assert device.fp32_peak.value * 1e12 == pytest.approx(derived, rel=1e-3)
        assert device.fp32_peak.origin.startswith(f"derived: {cores[1]} CUDA cores x 2 x ")
        clocks = [mode.gpu_clock.value for mode in device.power_modes if mode.gpu_clock]
        if clocks:
            assert device.fp32_peak.value * 1e12 == int(cores[1]) * 2 * max(filter(None, clocks))


def test_idle_power_is_below_every_mode() -> None:
    for name in device_names():
        device = load_device(name)
        if device.kind == "sbc":
            assert device.idle_power is not None
            assert device.idle_power.value is not None
            modes = [mode.power.value for mode in device.power_modes if mode.power.value]
            assert device.idle_power.value < min(modes) / 2


def test_loads_where_there_are_no_files_on_disk(tmp_path: Path) -> None:
    archive = tmp_path / "installed.zip"
    with zipfile.ZipFile(archive, "w") as packed:
        for file in [*FOLDER.rglob("*.py"), *FOLDER.rglob("*.toml")]:
            packed.write(file, "trainfit/hardware_profiles" / file.relative_to(FOLDER))
        for file in FOLDER.parent.glob("*.py"):
            packed.write(file, f"trainfit/{file.name}")
    code = (
        "import trainfit.hardware_profiles as h; print(h.__file__, len(h.device_names()),"
        " h.load_device('rp2350').usable_ram_bytes, h.load_device('rp2350').core_table.name)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONPATH": str(archive)},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    )
    origin, count, usable, core = done.stdout.split()
    assert "installed.zip" in origin
    assert int(count) == len(device_names())
    assert int(usable) == 520 * 1024 - 16384
    assert core == "cortex-m33f"


# --- the arena rule


@pytest.mark.parametrize(
    ("name", "arena", "kib"),
    [
        ("stm32f407", "SRAM1+SRAM2", 128),
        ("stm32f411", "SRAM", 128),
        ("stm32f746", "DTCM+SRAM1+SRAM2", 320),
        ("stm32h743", "AXI", 512),
        ("stm32l4r5", "SRAM1+SRAM2+SRAM3", 640),
        ("nrf52840", "RAM", 256),
        ("rp2040", "RAM+SCRATCH_X+SCRATCH_Y", 264),
        ("rp2350", "RAM+SCRATCH_X+SCRATCH_Y", 520),
        ("apollo4-plus", "TCM+SSRAM0+EXTRAM+SSRAM1", 2816),
        ("microbit-v1", "RAM", 16),
        ("jetson-orin-nano-4gb", "LPDDR5", 4 * 2**20),
    ],
)
def test_largest_arena_of_known_layouts(name: str, arena: str, kib: int) -> None:
    device = load_device(name)
    largest = device.largest_arena
    assert largest is not None
    assert (largest.name, largest.size_bytes) == (arena, kib * 1024)
    assert device.reserved.value is not None
    assert device.usable_ram_bytes == kib * 1024 - device.reserved.value


def test_one_megabyte_of_the_h743_is_not_one_piece() -> None:
    sizes = {arena.name: arena.size_bytes for arena in load_device("stm32h743").arenas}
    assert sizes == {
        "DTCM": 128 * 1024,
        "AXI": 512 * 1024,
        "SRAM1+SRAM2+SRAM3": 288 * 1024,
        "SRAM4": 64 * 1024,
    }


def test_adjoining_regions_join_in_whatever_order_they_are_written() -> None:
    head, first, second = BOARD.split("[[regions]]")
    swapped = f"{head}[[regions]]{second}\n[[regions]]{first}"
    device = parse_device(swapped.encode(), "board.toml", stem="board")
    assert [arena.regions for arena in device.arenas] == [("A", "B")]


def test_a_gap_of_one_byte_parts_an_arena() -> None:
    device = board(("0x20002000", "0x20002001"))
    assert [arena.name for arena in device.arenas] == ["A", "B"]


def test_a_region_that_may_not_hold_data_parts_an_arena() -> None:
    between = (
        '[[regions]]\nname = "M"\nbase = 0x20002000\n'
        'size = { value = 4096, unit = "B", source = "sheet" }\narena = false\nnote = "mailbox"\n'
    )
    moved = BOARD.replace("0x20002000", "0x20003000")
    device = parse_device(f"{moved}\n{between}".encode(), "board.toml", stem="board")
    assert [arena.name for arena in device.arenas] == ["A", "B"]


def test_regions_without_address_do_not_join() -> None:
    device = board(("base = 0x20000000\n", ""), ("base = 0x20002000\n", ""))
    assert [(arena.name, arena.base) for arena in device.arenas] == [("A", None), ("B", None)]
    assert device.usable_ram_bytes == 8192 - 1024


# --- what is unknown stays unknown


def test_unknown_region_makes_usable_ram_unknown() -> None:
    known = '{ value = 4096, unit = "B", source = "sheet, 2" }'
    device = board((known, '{ unknown = "not in the sheet" }'))
    assert device.usable_ram_bytes is None
    assert device.largest_arena is None
    assert device.ram_unknown == "the size of region B is unknown: not in the sheet"
    rows = {row.figure: row for row in device.describe()}
    assert rows["usable RAM"].value == "unknown"
    assert rows["usable RAM"].source == device.ram_unknown
    assert rows["RAM B"].value == "unknown at 0x20002000"


def test_unknown_region_that_holds_no_data_does_not_matter() -> None:
    device = board(
        (
            '{ value = 4096, unit = "B", source = "sheet, 2" }\narena = true',
            '{ unknown = "?" }\narena = false\nnote = "backup"',
        )
    )
    assert device.usable_ram_bytes == 8192 - 1024


def test_unknown_reserve_and_flash() -> None:
    device = board(
        ('{ value = 1024, unit = "B", source = "assumption" }', '{ unknown = "depends" }'),
        ('{ value = 65536, unit = "B", source = "sheet, 1" }', '{ unknown = "external" }'),
    )
    assert device.usable_ram_bytes is None
    assert device.ram_unknown == "reserved is unknown: depends"
    assert device.usable_flash_bytes is None
    assert device.flash_unknown == "flash is unknown: external"


def test_unknown_cycles_and_clock() -> None:
    device = board(
        ('{ value = 100000000, unit = "Hz", source = "sheet, 1" }', '{ unknown = "a secret" }')
    )
    assert device.clock_unknown == "clock is unknown: a secret"
    assert device.cycles is None
    assert device.core_table is None
    assert device.cycles_unknown == (
        "the profile names no cycle table; add cycles = one of cortex-m0, cortex-m0plus,"
        " cortex-m33f, cortex-m4f, cortex-m7"
    )
    rows = {row.figure: row for row in device.describe()}
    assert rows["cycles"].value == "unknown"
    assert rows["cycles"].source == device.cycles_unknown


def test_known_cycles_and_clock() -> None:
    device = board(("fpu = true", 'fpu = true\ncycles = "cortex-m4f"'))
    assert device.clock_unknown == ""
    assert device.cycles_unknown == ""
    assert device.core_table is not None
    assert device.core_table.name == "cortex-m4f"


def test_known_flash() -> None:
    device = board()
    assert device.usable_flash_bytes == 65536
    assert device.flash_unknown == ""


# --- a user's own file


def test_load_from_a_path(tmp_path: Path) -> None:
    file = tmp_path / "board.toml"
    file.write_text(f'{BOARD}\n[budgets]\nstep_latency = "500 ms"\n')
    device = load_device(str(file))
    assert device.usable_ram_bytes == 12288 - 1024
    assert device.tight_margin == 0.10
    assert device.budgets.step_latency_seconds == 0.5


def test_a_device_cannot_be_changed() -> None:
    with pytest.raises(ValidationError):
        board().name = "other"


# --- bad input


def test_unknown_name_gets_the_nearest() -> None:
    with pytest.raises(ProfileError, match=r"unknown device 'stm32f47'; did you mean stm32f407"):
        load_device("stm32f47")
    with pytest.raises(ProfileError, match=r"unknown device '\?'; known: apollo4-plus, .*\.toml"):
        load_device("?")


def test_missing_file(tmp_path: Path) -> None:
    with pytest.raises(ProfileError, match=r"gone\.toml: no such file; packaged devices are"):
        load_device(str(tmp_path / "gone.toml"))


def test_unreadable_file(tmp_path: Path) -> None:
    (tmp_path / "folder.toml").mkdir()
    with pytest.raises(ProfileError, match=r"folder\.toml: cannot be read: "):
        load_device(str(tmp_path / "folder.toml"))


SIZE_B = 'size = { value = 4096, unit = "B", source = "sheet, 2" }'
MESSAGES = {
    "wrong unit": (
        (SIZE_B, SIZE_B.replace('"B"', '"kB"')),
        "regions[2].size.unit: 'kB' is not a unit of size; write bytes as unit 'B'",
    ),
    "wrong unit of clock": (
        ('"Hz"', '"MHz"'),
        "clock.unit: 'MHz' is not a unit of frequency; write hertz as unit 'Hz'",
    ),
    "no unit": (
        (SIZE_B, 'size = { value = 4096, source = "sheet" }'),
        "regions[2].size: has no unit; write bytes as unit 'B'",
    ),
    "no source": (
        (SIZE_B, 'size = { value = 4096, unit = "B" }'),
        'regions[2].size: has no source; add source = "document, section", or write'
        ' { unknown = "why" }',
    ),
    "no value": (
        (SIZE_B, 'size = { unit = "B", source = "sheet" }'),
        'regions[2].size: has no value; write { value = 131072, unit = "B", source = "document,'
        ' section" } or { unknown = "why" }',
    ),
    "empty source": (
        (SIZE_B, 'size = { value = 4096, unit = "B", source = " " }'),
        "regions[2].size.source: ' ' names no document; write its number or title and section,"
        ' or replace the figure by { unknown = "why" }',
    ),
    "tag as source": (
        (SIZE_B, 'size = { value = 4096, unit = "B", source = "[MEM]" }'),
        "regions[2].size.source: '[MEM]' names no document; write its number or title and section,"
        ' or replace the figure by { unknown = "why" }',
    ),
    "empty reason": (
        (SIZE_B, 'size = { unknown = "" }'),
        "regions[2].size.unknown: the reason is empty; say why the figure is not known",
    ),
    "value and unknown": (
        (SIZE_B, 'size = { value = 4096, unit = "B", unknown = "why" }'),
        "regions[2].size: has unknown and value and unit; keep unknown alone, or drop it",
    ),
    "bare number": (
        (SIZE_B, "size = 4096"),
        'regions[2].size: must be a table, got 4096; write { value = 131072, unit = "B",'
        ' source = "document, section" }',
    ),
    "negative size": (
        ("value = 4096", "value = -5"),
        "regions[2].size.value: must be more than 0, got -5",
    ),
    "size zero": (
        ("value = 4096", "value = 0"),
        "regions[2].size.value: must be more than 0, got 0",
    ),
    "size as text": (
        ("value = 4096", 'value = "4096"'),
        "regions[2].size.value: must be a whole number, got '4096'",
    ),
    "key misspelt": (
        ("value = 4096", "vaule = 4096"),
        "regions[2].size: unknown key 'vaule'; did you mean value?",
    ),
    "key of a region misspelt": (
        ("base = 0x20002000", "bass = 0x20002000"),
        "regions[2]: unknown key 'bass'; did you mean base?",
    ),
    "key nowhere near": (
        ("base = 0x20002000", "xyz = 1"),
        "regions[2]: unknown key 'xyz'; known: arena, base, name, note, size",
    ),
    "key missing": (('core = "Arm Cortex-M4F"\n', ""), "core: is missing"),
    "figure missing": (
        ('flash = { value = 65536, unit = "B", source = "sheet, 1" }\n', ""),
        'flash: is missing; write { value = 131072, unit = "B", source = "document, section" } or'
        ' { unknown = "why" }',
    ),
    "figure missing for the kind": (
        ('supply = { value = 3.3, unit = "V", source = "sheet, 1" }\n', ""),
        "supply: missing, but kind = 'mcu' needs it; write { value = 3.3, unit = \"V\","
        ' source = "document, section" } or { unknown = "why" }',
    ),
    "no power mode": (
        ('kind = "mcu"', 'kind = "sbc"'),
        "power_modes: missing, but kind = 'sbc' needs at least one; write [[power_modes]] with"
        ' name = "..." and power = { value = 15.0, unit = "W", source = "document, section" }',
    ),
    "kind unknown": (
        ('kind = "mcu"', 'kind = "cpu"'),
        "kind: must be 'mcu' or 'sbc', got 'cpu'",
    ),
    "name no slug": (
        ('name = "board"', 'name = "My Board"'),
        "name: must be made of small letters and digits, with single hyphens, got 'My Board'",
    ),
    "name of another file": (
        ('name = "board"', 'name = "other"'),
        "name: 'other' is not the name of the file; write name = 'board' or name the file"
        " other.toml",
    ),
    "label too long": (
        ('short = "board"', 'short = "discovery"'),
        "short: may have at most 7 characters, got 'discovery'",
    ),
    "same region twice": (
        ('name = "B"', 'name = "A"'),
        "regions[2].name: 'A' is there 2 times; give each its own name",
    ),
    "overlap": (
        ("0x20002000", "0x20001FFF"),
        "regions[2].base: B at 0x20001FFF overlaps A (0x20000000 to 0x20001FFF); write 0x20002000"
        " or above, or a smaller size",
    ),
    "reserve eats the arena": (
        ("value = 1024", "value = 12288"),
        "reserved.value: 12288 bytes leave nothing of the largest arena with its 12288 bytes;"
        " write less than 12288",
    ),
    "program eats the flash": (
        ("flash_reserved = { value = 0", "flash_reserved = { value = 65536"),
        "flash_reserved.value: 65536 bytes leave nothing of flash with its 65536 bytes; write less"
        " than 65536",
    ),
    "no reason for no arena": (
        ("arena = true", "arena = false"),
        "regions[1]: has arena = false and no note; say in note why it may not hold data",
    ),
    "flag as text": (
        ("fpu = true", 'fpu = "yes"'),
        "fpu: must be true or false, got 'yes'",
    ),
    "unknown core": (
        ("fpu = true", 'fpu = true\ncycles = "cortex-m5f"'),
        "cycles: unknown core 'cortex-m5f'; did you mean cortex-m4f or cortex-m33f or cortex-m7?",
    ),
    "wrong unit of floating-point throughput": (
        (
            "fpu = true",
            'fpu = true\nfp32_peak = { value = 640, unit = "GFLOPS", source = "sheet" }',
        ),
        "fp32_peak.unit: 'GFLOPS' is not a unit of floating-point throughput; write 10^12"
        " floating-point operations per second as unit 'TFLOPS'",
    ),
    "not TOML": (
        ("value = 4096", "value = "),
        "line 23, column 18: not valid TOML: Invalid value; correct that line (text goes in"
        " quotes, a table of one line in braces)",
    ),
}


@pytest.mark.parametrize(("change", "message"), MESSAGES.values(), ids=MESSAGES.keys())
def test_bad_file_gets_one_line(change: tuple[str, str], message: str) -> None:
    with pytest.raises(ProfileError) as caught:
        board(change)
    assert str(caught.value) == f"board.toml: {message}"


def test_cycle_table_of_a_board_with_a_gpu() -> None:
    mode = '\n[[power_modes]]\nname = "m"\npower = { value = 5, unit = "W", source = "s" }\n'
    text = BOARD.replace('kind = "mcu"', 'kind = "sbc"\ncycles = "cortex-m7"') + mode
    with pytest.raises(ProfileError) as caught:
        parse_device(text.encode(), "board.toml", stem="board")
    assert str(caught.value) == (
        "board.toml: cycles: cycle tables are for microcontrollers; leave it out for kind = 'sbc'"
    )


def test_same_address_with_unknown_size() -> None:
    with pytest.raises(ProfileError, match=r"regions\[2\]\.base: B at 0x20000000 overlaps A \(0x"):
        board(
            ('{ value = 8192, unit = "B", source = "sheet, 2" }', '{ unknown = "?" }'),
            ("0x20002000", "0x20000000"),
        )


def test_no_arena_at_all() -> None:
    text = BOARD.replace("arena = true", 'arena = false\nnote = "for code"')
    with pytest.raises(ProfileError, match="regions: no region has arena = true; mark those"):
        parse_device(text.encode(), "board.toml", stem="board")


def test_further_problems_are_counted() -> None:
    with pytest.raises(ProfileError, match=r"core: is missing \(1 more problem in this file\)"):
        board(('core = "Arm Cortex-M4F"\n', ""), ('"Hz"', '"x"'))


def test_not_utf8() -> None:
    with pytest.raises(ProfileError, match=r"board\.toml: line 2: not UTF-8; save the file as"):
        parse_device(b'name = "board"\ntitle = "\xff"\n', "board.toml", stem="board")


def test_empty_file_names_the_first_missing_key() -> None:
    with pytest.raises(ProfileError, match=r"board\.toml: name: is missing \(\d+ more problems"):
        parse_device(b"", "board.toml", stem="board")


@pytest.mark.parametrize(
    ("count", "text"),
    [
        (0, "0 B"),
        (1023, "1023 B"),
        (1024, "1.0 KiB"),
        (131072, "128.0 KiB"),
        (2**20, "1.0 MiB"),
        (3 * 2**29, "1.5 GiB"),
        (2**40, "1024.0 GiB"),
    ],
)
def test_bytes_for_people(count: int, text: str) -> None:
    assert format_bytes(count) == text


def test_power_modes_need_distinct_names() -> None:
    mode = '\n[[power_modes]]\nname = "m"\npower = { value = 5, unit = "W", source = "s" }\n'
    text = BOARD.replace('kind = "mcu"', 'kind = "sbc"') + mode + mode
    with pytest.raises(ProfileError, match=r"power_modes\[2\]\.name: 'm' is there 2 times"):
        parse_device(text.encode(), "board.toml", stem="board")


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (
            'flash_at_least = { value = 1, unit = "B", source = "box" }',
            "flash_at_least: flash and flash_reserved are known; leave the lower bound out",
        ),
        ('flash_at_least = { unknown = "no box" }', "a bound that is unknown is none"),
    ],
)
def test_a_lower_bound_of_storage_is_for_what_is_unknown(line: str, message: str) -> None:
    text = small_boards.board(10**6, flash=None if "unknown" in line else 10**6)
    text = text.replace("[[regions]]", f"{line}\n[[regions]]")

    with pytest.raises(ProfileError, match=message):
        parse_device(text.encode(), "small.toml", stem="small")


def test_a_lower_bound_of_storage_is_in_the_sheet() -> None:
    rows = {row.figure: row for row in load_device("jetson-nano").describe()}

    assert rows["flash free at least"].value.startswith("2.0 GiB")
    assert "assumption of this project" in rows["flash free at least"].source
