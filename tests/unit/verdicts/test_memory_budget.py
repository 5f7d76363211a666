"""Verdicts at their borders, and what is unknown."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from trainfit.bench.verdicts.memory import Status, Verdict, judge, worst
from trainfit.hardware_profiles import (
    Device,
    device_names,
    load_device,
    parse_budgets,
    parse_device,
)

KIB = 1024
USABLE = 112 * KIB
"""Of the STM32F407: SRAM1 and SRAM2 adjoin to 128 KiB, less 16 KiB."""
FLASH = 960 * KIB
"""Of the STM32F407: 1 MiB, less 64 KiB for the program."""


@pytest.fixture(scope="module")
def f407() -> Device:
    return load_device("stm32f407")


def tiny(arena: int, *, margin: float = 0.1, size_b: str = "", flash: str = "") -> Device:
    """A device with ``arena`` bytes and 1 byte more in a second, separate region."""
    size_b = size_b or '{ value = 1, unit = "B", source = "sheet" }'
    flash = flash or '{ value = 100, unit = "B", source = "sheet" }'
    return parse_device(
        f"""
name = "tiny"
title = "Tiny"
short = "tiny"
kind = "mcu"
core = "core"
fpu = false
clock = {{ unknown = "-" }}
supply = {{ unknown = "-" }}
current_per_mhz = {{ unknown = "-" }}
reserved = {{ value = 0, unit = "B", source = "assumption" }}
flash = {flash}
flash_reserved = {{ value = 0, unit = "B", source = "assumption" }}
tight_margin = {margin}
[[regions]]
name = "A"
base = 0
size = {{ value = {arena}, unit = "B", source = "sheet" }}
arena = true
[[regions]]
name = "B"
base = 0x10000
size = {size_b}
arena = true
""".encode(),
        "tiny.toml",
        stem="tiny",
    )


def ram(static: int | None, dynamic: int | None, device: Device) -> Verdict:
    (verdict,) = judge(static, dynamic, 0, device)
    assert verdict.budget == "ram"
    assert verdict.device == device.name
    return verdict


# --- RAM


@pytest.mark.parametrize(
    ("needed", "status"),
    [
        (0, Status.FITS),
        (USABLE - 11469, Status.FITS),  # 10 % of the usable bytes are 11468.8
        (USABLE - 11468, Status.TIGHT),
        (USABLE - 1, Status.TIGHT),
        (USABLE, Status.TIGHT),
        (USABLE + 1, Status.EXCEEDS),
        (10 * USABLE, Status.EXCEEDS),
    ],
)
def test_borders_to_the_byte(needed: int, status: Status, f407: Device) -> None:
    verdict = ram(0, needed, f407)
    assert verdict.status is status
    assert verdict.margin == USABLE - needed


def test_a_margin_of_exactly_the_fraction_fits() -> None:
    # 0.1 as a binary float is a little more than a tenth; the profile means a tenth.
    assert ram(0, 27, tiny(30)).status is Status.FITS
    assert ram(0, 28, tiny(30)).status is Status.TIGHT


def test_without_a_margin_nothing_is_tight() -> None:
    assert ram(0, 30, tiny(30, margin=0.0)).status is Status.FITS


def test_static_and_dynamic_count_together(f407: Device) -> None:
    assert ram(USABLE, 0, f407).margin == 0
    assert ram(USABLE - 5, 6, f407).margin == -1


def test_reason_when_it_exceeds(f407: Device) -> None:
    verdict = ram(64 * KIB, 124 * KIB, f407)
    assert verdict.reason == (
        "needs 188.0 KiB (64.0 KiB static + 124.0 KiB peak dynamic) of the 112.0 KiB usable in"
        " SRAM1+SRAM2 (128.0 KiB less 16.0 KiB reserved): 76.0 KiB too much"
    )


def test_reason_when_only_contiguity_lacks(f407: Device) -> None:
    # 112 KiB in one piece, 176 KiB with the core-coupled memory.
    assert ram(0, 176 * KIB, f407).reason.endswith(
        "64.0 KiB too much; all arenas together have 176.0 KiB, but no contiguous run is long"
        " enough"
    )
    assert "together" not in ram(0, 176 * KIB + 1, f407).reason
    assert "together" not in ram(0, USABLE, f407).reason


def test_reason_when_tight_and_when_it_fits(f407: Device) -> None:
    assert ram(0, 111 * KIB, f407).reason.endswith(": 1.0 KiB left, under the margin of 10%")
    assert ram(0, 100, f407).reason == (
        "needs 100 B (0 B static + 100 B peak dynamic) of the 112.0 KiB usable in SRAM1+SRAM2"
        " (128.0 KiB less 16.0 KiB reserved): 111.9 KiB left"
    )


@given(
    static=st.integers(0, 2**21),
    dynamic=st.integers(0, 2**21),
    more=st.integers(0, 2**21),
    name=st.sampled_from(["stm32f407", "stm32h743", "microbit-v1"]),
)
def test_needing_more_never_helps(static: int, dynamic: int, more: int, name: str) -> None:
    device = load_device(name)
    less_needed, more_needed = ram(static, dynamic, device), ram(static, dynamic + more, device)
    assert less_needed.margin is not None
    assert more_needed.margin is not None
    assert less_needed.margin - more_needed.margin == more
    order = [Status.FITS, Status.TIGHT, Status.EXCEEDS]
    assert order.index(less_needed.status) <= order.index(more_needed.status)


# --- flash


def test_flash_is_judged_only_where_there_is_storage(f407: Device) -> None:
    assert [verdict.budget for verdict in judge(1, 1, 0, f407)] == ["ram"]
    assert [verdict.budget for verdict in judge(1, 1, 1, f407)] == ["ram", "flash"]


@pytest.mark.parametrize(
    ("storage", "status"),
    [
        (FLASH - 98304, Status.FITS),
        (FLASH - 98303, Status.TIGHT),
        (FLASH, Status.TIGHT),
        (FLASH + 1, Status.EXCEEDS),
    ],
)
def test_flash_borders(storage: int, status: Status, f407: Device) -> None:
    verdict = judge(0, 0, storage, f407)[1]
    assert (verdict.status, verdict.margin) == (status, FLASH - storage)


def test_flash_reason(f407: Device) -> None:
    assert judge(0, 0, 2 * KIB, f407)[1].reason == (
        "needs 2.0 KiB of storage of the 960.0 KiB usable in flash (1.0 MiB less 64.0 KiB for the"
        " program): 958.0 KiB left"
    )


# --- unknown


def test_unknown_size_makes_the_verdict_unknown() -> None:
    verdict = ram(1, 1, tiny(30, size_b='{ unknown = "not in the sheet" }'))
    assert verdict.status is Status.UNKNOWN
    assert verdict.margin is None
    assert verdict.reason == (
        "needs 2 B (1 B static + 1 B peak dynamic), but the size of region B is unknown:"
        " not in the sheet"
    )


def test_unknown_flash_concerns_flash_alone() -> None:
    verdicts = judge(1, 1, 5, tiny(30, flash='{ unknown = "external" }'))
    assert [verdict.status for verdict in verdicts] == [Status.FITS, Status.UNKNOWN]
    assert verdicts[1].reason == "needs 5 B of storage, but flash is unknown: external"


BOUND = '{ unknown = "external" }\nflash_at_least = { value = 100, unit = "B", source = "box" }'


@pytest.mark.parametrize(
    ("storage", "limit", "status", "margin"),
    [
        (5, None, Status.FITS, 95),
        (95, None, Status.TIGHT, 5),
        (100, None, Status.TIGHT, 0),
        (101, None, Status.UNKNOWN, None),
        (5, 50, Status.FITS, 45),
        (51, 50, Status.EXCEEDS, -1),
        (101, 200, Status.UNKNOWN, None),
        (5, 200, Status.FITS, 95),
    ],
)
def test_storage_that_is_free_at_least(
    storage: int, limit: int | None, status: Status, margin: int | None
) -> None:
    budgets = parse_budgets({} if limit is None else {"flash": f"{limit}B"}, "-")

    verdict = judge(1, 1, storage, tiny(30, flash=BOUND), budgets=budgets)[1]

    assert (verdict.status, verdict.margin) == (status, margin)
    if limit is None and status is not Status.UNKNOWN:
        assert "of at least 100 B that are free (flash is unknown: external)" in verdict.reason
    if limit is None and status is Status.UNKNOWN:
        assert "more than the 100 B that are free at least, but flash is unknown" in (
            verdict.reason
        )


@pytest.mark.parametrize("name", [each for each in device_names() if each.startswith("jetson")])
def test_some_storage_is_free_on_every_jetson_and_no_more_is_promised(name: str) -> None:
    device = load_device(name)

    assert judge(1, 1, 2**30, device)[1].status is Status.FITS
    assert judge(1, 1, 2**40, device)[1].status is Status.UNKNOWN


def test_what_was_not_measured_is_unknown(f407: Device) -> None:
    assert ram(None, 1, f407).reason == (
        "cannot be judged because the static bytes were not measured"
    )
    assert ram(1, None, f407).reason == (
        "cannot be judged because the peak dynamic memory was not measured"
    )
    storage = judge(1, 1, None, f407)[1]
    assert (storage.status, storage.margin) == (Status.UNKNOWN, None)


@pytest.mark.parametrize("counts", [(-1, 0, 0), (0, -1, 0), (0, 0, -1)])
def test_negative_bytes_are_refused(counts: tuple[int, int, int], f407: Device) -> None:
    with pytest.raises(ValueError, match=r"_bytes is -1; bytes are counted from 0"):
        judge(*counts, f407)


# --- the worst


def verdict_of(status: Status) -> Verdict:
    return Verdict(device="d", budget="ram", status=status, margin=None, reason="r")


def test_worst_verdict() -> None:
    fits, tight, unknown, exceeds = (
        verdict_of(status) for status in (Status.FITS, Status.TIGHT, Status.UNKNOWN, Status.EXCEEDS)
    )
    assert worst([fits]) == fits
    assert worst([tight, fits]) == tight
    assert worst([fits, unknown, tight]) == unknown
    assert worst(iter([unknown, exceeds, fits])) == exceeds
    with pytest.raises(ValueError, match="no verdicts"):
        worst([])


def test_verdict_is_fixed_and_serialises() -> None:
    verdict = verdict_of(Status.TIGHT)
    assert verdict.model_dump(mode="json")["status"] == "tight"
    assert Verdict.model_validate_json(verdict.model_dump_json()) == verdict
    with pytest.raises(ValidationError):
        verdict.margin = 1
