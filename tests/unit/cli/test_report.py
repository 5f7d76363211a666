from __future__ import annotations

import io
import re
from typing import Any

import pytest
from rich.console import Console
from rich.text import Text

from tests.builders.runs import failed, memory, record
from trainfit.bench.cli.reports.run import figures, verdicts
from trainfit.bench.records.schema import ErrorRecord, RecordStatus
from trainfit.bench.verdicts.memory import Status, Verdict
from trainfit.hardware_profiles import load_device

SMALL, LARGE = load_device("stm32f407"), load_device("stm32h743")


def text(parts: list[Any], width: int = 100, *, color: bool = False) -> str:
    stream = io.StringIO()
    console = Console(
        file=stream, width=width, highlight=False, force_terminal=color, _environ={"COLUMNS": ""}
    )
    for part in parts:
        console.print(part, soft_wrap=isinstance(part, Text))
    return stream.getvalue()


def judged(small: str, large: str) -> list[Verdict]:
    return [
        Verdict(
            device=device.name,
            budget="ram",
            status=Status(status),
            margin=None if status == "unknown" else -5,
            reason=f"because of {device.name}",
        )
        for device, status in ((SMALL, small), (LARGE, large))
    ]


def test_the_table_says_what_is_shared_once_and_bytes_exactly() -> None:
    records = [record(memory=memory(static=1_234_567)), record(options={"lr": 0.1, "fast": True})]

    lines = text(figures(records, 100)).splitlines()

    assert lines[0] == "mlp-64-10, digits, batch size 32, seed 0"
    assert re.split(r"  +", lines[3].strip())[0] == "1 backprop"
    assert "1,234,567" in lines[3]
    assert "91.2%" in lines[3]
    assert "gradient" in lines[3]
    assert "= peak" in lines[3]
    assert "1.25" in lines[3]
    assert "backprop fast=true lr=0.1" in lines[4]


def test_what_is_not_shared_is_in_the_label() -> None:
    lines = text(figures([record(batch_size=8), record(batch_size=16)], 100))

    assert "mlp-64-10, digits, seed 0\n" in lines
    assert "backprop b8 " in lines
    assert "backprop b16 " in lines


def test_a_residual_is_signed_and_what_is_not_deterministic_is_marked() -> None:
    more = record(memory=memory(peak=1_000, closed=900, deterministic=False))
    less = record(memory=memory(peak=1_000, closed=3_000), options={"lr": 1})

    shown = text(figures([more, less], 100))

    assert " +100 " in shown
    assert " -2,000 " in shown
    assert "~1,000" in shown
    assert "not deterministic" in shown


def test_a_failure_is_in_its_row_and_on_one_line_below() -> None:
    shown = text(figures([record(), failed(options={"lr": 1})], 100))

    assert "backprop lr=1 (failed)" in shown
    assert "#2 failed: ValueError: no [red]luck[/red] at a.py:3 step\n" in shown


def test_figures_from_before_a_failure_are_shown() -> None:
    error = ErrorRecord(type="KeyboardInterrupt", message="")
    shown = text(
        figures(
            [record(status=RecordStatus.TIMED_OUT, error=error, accuracy=None, latency=None)], 100
        )
    )

    assert "(timed out)" in shown
    assert "3,000" in shown
    assert "#1 timed out: KeyboardInterrupt\n" in shown


@pytest.mark.parametrize("width", [80, 100])
def test_numbers_are_never_cut(width: int) -> None:
    large = memory(
        static=57_123_456, peak=123_456_789, closed=123_456_000, peak_phase="forward.modulated"
    )
    many = [record(memory=large, options={"lr": 0.001 * n, "momentum": 0.9}) for n in range(12)]

    shown = text(figures(many, width), width)

    assert shown.count("57,123,456") == shown.count("123,456,789") == shown.count("+789") == 12
    assert shown.count("forward.modulated") == (12 if width == 100 else 0)
    assert max(len(line) for line in shown.splitlines()) <= width


def test_the_matrix_has_words_where_there_is_room() -> None:
    workloads = [judged("exceeds", "fits"), judged("tight", "unknown"), []]

    shown = text(verdicts(workloads, [LARGE, SMALL], 100))

    rows = {line.split()[0]: line.split()[3:] for line in shown.splitlines()[1:3]}
    assert rows == {SMALL.name: ["no", "tight", "-"], LARGE.name: ["fits", "?", "-"]}
    assert "112.0 KiB" in shown
    assert "smallest device for #1: stm32h743" in shown
    assert "smallest device for #2: stm32f407" in shown
    assert "? stm32h743: because of stm32h743" in shown


def test_the_matrix_has_short_words_where_there_is_little_room_and_blocks_where_less() -> None:
    workloads = [judged("exceeds", "fits")] * 30

    shown = text(verdicts(workloads, [SMALL, LARGE], 80))

    assert max(len(line) for line in shown.splitlines()[:6]) <= 80
    assert len(re.findall(r"^stm32f407 .* X( +X)+ *$", shown, re.MULTILINE)) == 3
    assert "X = too little | ? = not known\n" in shown
    for number in range(1, 31):
        assert re.search(rf"#{number}\b", shown)


def test_no_short_word_reads_as_true_or_false() -> None:
    workloads = [judged("fits", "tight")] * 9

    shown = text(verdicts(workloads, [SMALL, LARGE], 60))

    rows = {line.split()[0]: line.split()[3:] for line in shown.splitlines()[1:3]}
    assert rows == {SMALL.name: ["ok"] * 9, LARGE.name: ["ok-"] * 9}
    assert "ok = enough | ok- = enough, little left | X = too little | ? = not known" in shown
    assert max(len(line) for line in shown.splitlines()[:3]) <= 60


def test_what_fits_nowhere_says_by_how_much() -> None:
    shown = text(verdicts([judged("exceeds", "exceeds")], [SMALL, LARGE], 100))

    assert "#1 fits on none; stm32f407: because of stm32f407" in shown


def test_storage_that_does_not_fit_decides() -> None:
    ram = Verdict(device=SMALL.name, budget="ram", status=Status.FITS, margin=1, reason="")
    flash = ram.model_copy(update={"budget": "flash", "status": Status.EXCEEDS, "margin": -1})

    shown = text(verdicts([[ram, flash]], [SMALL], 100))

    assert shown.splitlines()[1].split()[-1] == "no"


def test_no_colour_says_anything_alone() -> None:
    parts = verdicts([judged("exceeds", "fits")], [SMALL, LARGE], 100)

    plain, coloured = text(parts), text(parts, color=True)

    assert "\x1b[" in coloured
    assert re.sub(r"\x1b\[[0-9;]*m", "", coloured) == plain


def test_without_verdicts_there_is_no_matrix() -> None:
    assert verdicts([[]], [SMALL], 100) == []
    assert verdicts([judged("fits", "fits")], [], 100) == []
