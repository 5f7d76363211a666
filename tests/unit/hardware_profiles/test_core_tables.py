"""The packaged cycle tables: sourced, ordered, complete for what algorithms do, and plausible."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from trainfit import hardware_profiles
from trainfit.algorithms import algorithm_names, build_algorithm
from trainfit.bench.trace.prediction import predict
from trainfit.hardware_profiles import (
    CoreTable,
    CycleRange,
    ProfileError,
    core_names,
    device_names,
    load_core,
    load_device,
)
from trainfit.hardware_profiles.core_table import parse_core

FORMATS = ("fp32", "int8", "fp32_binary", "binary")
FPU = {"cortex-m4f", "cortex-m7", "cortex-m33f"}
CORES_OF_DEVICES = {
    "stm32f407": "cortex-m4f",
    "stm32f411": "cortex-m4f",
    "stm32l4r5": "cortex-m4f",
    "nrf52840": "cortex-m4f",
    "apollo4-plus": "cortex-m4f",
    "stm32f746": "cortex-m7",
    "stm32h743": "cortex-m7",
    "rp2040": "cortex-m0plus",
    "rp2350": "cortex-m33f",
    "microbit-v1": "cortex-m0",
}
TABLE = """\
name = "toy"
title = "Toy core"
load = { low = 1, high = 2, unit = "cycles", source = "manual, table 1" }
store = { low = 1, high = 3, unit = "cycles", source = "manual, table 1" }
loop = { low = 4, high = 5, unit = "cycles", source = "manual, table 2" }
[mac]
fp32 = { low = 10, high = 20, unit = "cycles", source = "manual, table 3" }
int8 = { low = 0.5, high = 1, unit = "cycles", source = "manual, table 3" }
fp32_binary = { low = 6, high = 8, unit = "cycles", source = "manual, table 3" }
binary = { low = 0.25, high = 0.5, unit = "cycles", source = "manual, table 3" }
[operations.fp32]
add = { low = 7, high = 9, unit = "cycles", source = "manual, table 3" }
divide = { unknown = "the manual is silent" }
"""


def toy(*changes: tuple[str, str]) -> CoreTable:
    text = TABLE
    for old, new in changes:
        assert text.count(old) >= 1, old
        text = text.replace(old, new, 1)
    return parse_core(text.encode(), "cores/toy.toml")


def ranges(core: CoreTable) -> Iterator[CycleRange]:
    yield from (core.load, core.store, core.loop)
    yield from core.mac.values()
    for kinds in core.operations.values():
        yield from kinds.values()


# --- the packaged tables


def test_packaged_tables() -> None:
    assert core_names() == sorted(core_names())
    assert set(core_names()) == {"cortex-m0", "cortex-m0plus", *FPU}
    assert not set(core_names()) & set(device_names())


@pytest.mark.parametrize("name", core_names())
def test_every_figure_is_a_sourced_range(name: str) -> None:
    core = load_core(name)
    assert core.name == name
    assert set(core.mac) == set(FORMATS)
    for cycles in ranges(core):
        assert cycles.low is not None
        assert cycles.high is not None
        assert 0 < cycles.low <= cycles.high
        assert cycles.source
        assert "[" not in cycles.source
        assert cycles.source.startswith("assumption of this project: ") or any(
            document in cycles.source
            for document in ("Arm ", "TI ", "LLVM ", "NXP ", "Nordic ", "Qfplib")
        )


@pytest.mark.parametrize("name", core_names())
@pytest.mark.parametrize("number_format", FORMATS)
def test_high_is_above_the_arithmetic(name: str, number_format: str) -> None:
    core = load_core(name)
    low, high = core.mac_cycles(number_format)
    arithmetic = core.mac[number_format]  # type: ignore[index]
    assert low == arithmetic.low
    assert arithmetic.high is not None
    assert high > arithmetic.high


@pytest.mark.parametrize("name", core_names())
def test_every_operation_of_every_algorithm_is_known(name: str) -> None:
    core = load_core(name)
    seen = set()
    for algorithm in algorithm_names():
        plan = predict(build_algorithm(algorithm, "mlp-64-32-10"), 8)
        for phase in plan.operations.phases.values():
            for number_format in phase.macs:
                low, high = core.mac_cycles(number_format)
                assert 0 < low < high
            for number_format, kind in phase.elementwise:
                low, high = core.operation_cycles(number_format, kind)
                assert 0 < low < high
                seen.add((str(number_format), str(kind)))
    assert ("int8", "multiply") in seen
    assert ("fp32", "random") in seen


@pytest.mark.parametrize("name", core_names())
@pytest.mark.parametrize("kind", ["add", "multiply", "compare", "divide", "transcendental"])
def test_element_operations_in_fp32(name: str, kind: str) -> None:
    low, high = load_core(name).operation_cycles("fp32", kind)
    assert 0 < low < high


def test_cycles_that_a_paper_assumed_lie_inside() -> None:
    """Pau and Aymone (COINS 2023): 3 per INT8 MAC on an STM32H735, 4.5 on an STM32G474."""
    low, high = load_core("cortex-m7").mac_cycles("int8")
    assert low <= 3 <= high
    low, high = load_core("cortex-m4f").mac_cycles("int8")
    assert low <= 4.5 <= high


@pytest.mark.parametrize("name", core_names())
def test_int8_is_cheaper_than_fp32_at_both_ends(name: str) -> None:
    core = load_core(name)
    int8, fp32, binary = (core.mac_cycles(each) for each in ("int8", "fp32", "binary"))
    assert int8[0] < fp32[0]
    assert int8[1] < fp32[1]
    assert binary[0] < int8[0]
    assert binary[1] < int8[1]


@pytest.mark.parametrize("name", ["cortex-m0", "cortex-m0plus"])
def test_floating_point_in_software_is_dear(name: str) -> None:
    core = load_core(name)
    assert core.mac_cycles("fp32")[0] >= 10 * core.mac_cycles("int8")[0]
    assert core.mac_cycles("fp32")[0] > load_core("cortex-m4f").mac_cycles("fp32")[1]


def test_published_averages_of_software_floating_point_lie_inside() -> None:
    """Qfplib-M0-full's README: its own averages and libgcc's, on a Cortex-M0+."""
    core = load_core("cortex-m0plus")
    for kind, fast, slow in (("add", 76, 102), ("multiply", 62, 166), ("divide", 83, 475)):
        cycles = core.operations["fp32"][kind]  # type: ignore[index]
        assert cycles.low is not None
        assert cycles.high is not None
        assert cycles.low < fast < slow < cycles.high


# --- what is computed from a table


def test_cycles_of_a_multiply_accumulate() -> None:
    core = toy()
    assert core.mac_cycles("fp32") == (10, 20 + 2 * 2 + 5)
    assert core.mac_cycles("int8") == (0.5, 1 + 2 * 2 + 5)
    assert core.mac_cycles("fp32_binary") == (6, 8 + (2 + 5) * 33 / 32)
    assert core.mac_cycles("binary") == (0.25, 0.5 + (2 * 2 + 5) / 32)


def test_cycles_of_an_element_operation() -> None:
    assert toy().operation_cycles("fp32", "add") == (7, 9 + 2 * 2 + 3 + 5)


@pytest.mark.parametrize(
    ("number_format", "kind", "message"),
    [
        ("fp33", "add", "cycle table toy: no element operations in 'fp33'; did you mean fp32?"),
        ("int8", "add", "cycle table toy: no element operations in 'int8'; known: fp32"),
        ("fp32", "ad", "cycle table toy: no fp32 operation 'ad'; did you mean add?"),
        (
            "fp32",
            "divide",
            "cycle table toy: operations.fp32.divide is unknown: the manual is silent",
        ),
    ],
)
def test_what_a_table_does_not_say(number_format: str, kind: str, message: str) -> None:
    with pytest.raises(ProfileError) as caught:
        toy().operation_cycles(number_format, kind)
    assert str(caught.value) == message


def test_multiply_accumulate_that_a_table_does_not_say() -> None:
    with pytest.raises(ProfileError) as caught:
        toy().mac_cycles("int88")
    assert str(caught.value) == (
        "cycle table toy: no multiply-accumulate of 'int88'; did you mean int8?"
    )
    unknown = toy(
        ('{ low = 4, high = 5, unit = "cycles", source = "manual, table 2" }', '{ unknown = "?" }')
    )
    with pytest.raises(ProfileError, match=r"^cycle table toy: loop is unknown: \?$"):
        unknown.mac_cycles("fp32")


@pytest.mark.parametrize(
    ("low", "high", "text"),
    [(1, 1, "1 cycle"), (2, 2, "2 cycles"), (0.5, 3, "0.5 to 3 cycles")],
)
def test_range_for_people(low: float, high: float, text: str) -> None:
    assert CycleRange(low=low, high=high, unit="cycles", source="manual").text == text
    assert CycleRange(unknown="why").text == "unknown"


# --- a malformed table


INT8 = 'int8 = { low = 0.5, high = 1, unit = "cycles", source = "manual, table 3" }'
MESSAGES = {
    "bounds swapped": (
        (INT8, INT8.replace("0.5", "2")),
        "mac.int8: low 2 is above high 1; swap them",
    ),
    "zero": (
        (INT8, INT8.replace("0.5", "0")),
        "mac.int8.low: must be more than 0.0, got 0",
    ),
    "no unit": (
        (INT8, INT8.replace(' unit = "cycles",', "")),
        "mac.int8: has no unit; write unit = 'cycles'",
    ),
    "wrong unit": (
        (INT8, INT8.replace('"cycles"', '"ns"')),
        "mac.int8.unit: 'ns' is not a unit of cycle count; write unit = 'cycles'",
    ),
    "no high": (
        (INT8, INT8.replace(" high = 1,", "")),
        'mac.int8: has no high; write { low = 1, high = 2, unit = "cycles", source = "document,'
        ' section" } or { unknown = "why" }',
    ),
    "no source": (
        (INT8, INT8.replace(', source = "manual, table 3"', "")),
        'mac.int8: has no source; add source = "document, section", or write { unknown = "why" }',
    ),
    "tag as source": (
        (INT8, INT8.replace("manual, table 3", "[MEM]")),
        "mac.int8.source: '[MEM]' names no document; write its number or title and section,"
        ' or replace the figure by { unknown = "why" }',
    ),
    "low and unknown": (
        (INT8, 'int8 = { low = 1, unknown = "why" }'),
        "mac.int8: has unknown and low; keep unknown alone, or drop it",
    ),
    "bare number": (
        (INT8, "int8 = 1"),
        'mac.int8: must be a table, got 1; write { low = 1, high = 2, unit = "cycles", source ='
        ' "document, section" }',
    ),
    "number format": (
        ("int8 =", "int7 ="),
        "mac.int7: must be 'fp32', 'int8', 'fp32_binary' or 'binary', got 'int7'",
    ),
    "kind": (
        ("add =", "plus ="),
        "operations.fp32.plus: must be 'add', 'multiply', 'compare',"
        " 'divide', 'transcendental' or 'random', got 'plus'",
    ),
    "key of a range": (
        (INT8, INT8.replace("high", "hihg")),
        "mac.int8: unknown key 'hihg'; did you mean high?",
    ),
    "key of the table": (
        ('title = "Toy core"', 'titel = "Toy core"'),
        "unknown key 'titel'; did you mean title?",
    ),
    "missing": (
        ('loop = { low = 4, high = 5, unit = "cycles", source = "manual, table 2" }\n', ""),
        'loop: is missing; write { low = 1, high = 2, unit = "cycles", source = "document,'
        ' section" } or { unknown = "why" }',
    ),
    "name": (
        ('name = "toy"', 'name = "boy"'),
        "name: 'boy' is not the name of the file; write name = 'toy'",
    ),
}


@pytest.mark.parametrize(("change", "message"), MESSAGES.values(), ids=MESSAGES.keys())
def test_bad_table_gets_one_line(change: tuple[str, str], message: str) -> None:
    with pytest.raises(ProfileError) as caught:
        toy(change)
    assert str(caught.value).split(" (1 more problem")[0] == f"cores/toy.toml: {message}"


def test_unknown_core() -> None:
    with pytest.raises(ProfileError) as caught:
        load_core("cortex-m4")
    assert str(caught.value).startswith("unknown core 'cortex-m4'; did you mean cortex-m4f or ")


# --- cycle tables in profiles


@pytest.mark.parametrize(("device", "core"), CORES_OF_DEVICES.items())
def test_core_of_a_packaged_device(device: str, core: str) -> None:
    found = load_device(device)
    assert found.cycles == core
    assert found.core_table is load_core(core)
    assert found.cycles_unknown == ""
    assert found.clock_unknown == ""
    assert found.fpu == (core in FPU)


def test_every_microcontroller_has_a_core() -> None:
    mcus = {name for name in device_names() if load_device(name).kind == "mcu"}
    assert mcus == set(CORES_OF_DEVICES)


def test_board_with_a_gpu_has_none() -> None:
    device = load_device("jetson-nano")
    assert device.core_table is None
    assert device.cycles_unknown == "cycle tables are for microcontrollers"


def test_tables_are_files_of_a_package_and_no_devices() -> None:
    folder = Path(hardware_profiles.__file__).parent / "cores"
    assert (folder / "__init__.py").is_file()
    assert {file.stem for file in folder.glob("*.toml")} == set(core_names())


@pytest.mark.parametrize("name", CORES_OF_DEVICES)
def test_sheet_shows_the_whole_table(name: str) -> None:
    device = load_device(name)
    core = device.core_table
    assert core is not None
    rows = device.describe()
    for cycles in ranges(core):
        assert any(
            row.source == cycles.origin and row.value.startswith(cycles.text) for row in rows
        )
    values = {row.figure: row.value for row in rows}
    assert values["cycles"] == core.name


def test_sheet_adds_loads_and_loop() -> None:
    values = {row.figure: row.value for row in load_device("rp2040").describe()}
    assert values["cycles: int8 multiply-accumulate"] == (
        "2 to 4 cycles; 2 to 16 with loads and loop"
    )
    assert values["cycles: fp32 multiply"] == "31 to 249 cycles"
