"""What becomes of results: printed, as one JSON document, as CSV files."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console
from rich.text import Text

from trainfit.bench.cli.output import (
    Column,
    Output,
    OutputError,
    drawn,
    output,
    plain,
    prose,
    running,
    shared_out,
)

COLUMNS = (
    Column("name", "name"),
    Column("size", "size", right=True),
    Column("ok", "ok"),
    Column("parts"),
)
ROWS: list[dict[str, Any]] = [
    {"name": "a", "size": 1_234_567, "ok": True, "parts": [1, 2]},
    {"name": "b", "size": None, "ok": False, "parts": {"x": 1}, "other": "not a column"},
]


def test_people_see_the_columns_that_have_a_title(capsys: pytest.CaptureFixture[str]) -> None:
    Output().table("sizes", COLUMNS, ROWS)

    head, first, second = capsys.readouterr().out.splitlines()
    assert head.split() == ["name", "size", "ok"]
    assert first.split() == ["a", "1,234,567", "true"]
    assert second.split() == ["b", "-", "false"]
    assert first.index("7") == second.index("-"), "numbers are flush right"


def test_people_may_see_something_else_than_the_table(capsys: pytest.CaptureFixture[str]) -> None:
    Output().table("sizes", COLUMNS, ROWS, printed=["two of them", Text("in all")])
    assert capsys.readouterr().out == "two of them\nin all\n"

    Output().table("sizes", COLUMNS, ROWS, printed=())
    assert capsys.readouterr().out == ""


def test_nothing_of_a_text_is_taken_for_markup(capsys: pytest.CaptureFixture[str]) -> None:
    label = "backprop[optimizer=adam] [red]x[/red] a:on:b"

    out = Output()
    out.show(label)
    out.table("labels", [Column("label", "label")], [{"label": label}])

    assert capsys.readouterr().out.count(label) == 2


def test_a_long_line_stays_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    Output().show("word " * 100)

    assert capsys.readouterr().out.count("\n") == 1


def terminal(width: int) -> Console:
    return Console(
        file=io.StringIO(), width=width, force_terminal=True, color_system=None, _environ={}
    )


def test_a_terminal_gets_lines_broken_between_words() -> None:
    text = "  needs 103.5 KiB of storage, but\n\nflash is unknown: a/path/that/is/wider/than/it"

    shown = [line.plain for line in prose(text, terminal(20))]

    assert shown == [
        "  needs 103.5 KiB of",
        "  storage, but",
        "",
        "flash is unknown:",
        "a/path/that/is/wider/than/it",
    ]


def test_a_line_that_is_broken_keeps_its_style_and_one_that_fits_its_spaces() -> None:
    text = Text("no energy:   ", style="bold").append("the sensor  is stuck", style="red")

    (whole,) = prose(text, terminal(40))
    broken = list(prose(text, terminal(16)))

    assert whole.plain == text.plain
    assert [line.plain for line in broken] == ["no energy:   the", "sensor  is stuck"]
    assert str(broken[1].spans[-1].style) == "red"


@pytest.mark.parametrize("width", [40, 60, 80, 120])
def test_a_table_breaks_its_cells_between_words(width: int) -> None:
    text = "Peak bytes against batch size, width and depth, on made-up data; memory only"
    rows: list[dict[str, Any]] = [
        {"name": "scaling", "size": 75, "what": text},
        {"name": "paper-ff-int8", "what": "x"},
    ]
    columns = (
        Column("name", "name"),
        Column("size", "workloads", right=True),
        Column("what", "it"),
    )
    console = terminal(width)

    console.print(drawn(columns, rows))

    shown = console.file.getvalue()  # type: ignore[attr-defined]
    assert set(shown.split()) == {"name", "workloads", "it", "75", "-", "x", *text.split()} | {
        "scaling",
        "paper-ff-int8",
    }
    assert all(len(line) <= width for line in shown.splitlines())
    assert (shown.count("\n") == 3) == (width == 120), "one line per row where there is room"


def test_widths_are_shared_out_so_that_words_stay_whole() -> None:
    least = [[10, 6, 8], [5, 6, 8], [5, 6, 4]]
    most = [10, 100, 8]
    # Where all fits as it is, it stays so.
    assert shared_out(200, most, least) == most
    # What a column needs first, and what is left to those that can use it.
    assert shared_out(30, most, least) == [10, 12, 8]
    # Then names are broken between words,
    assert shared_out(22, most, least) == [6, 8, 8]
    # then numbers from their units,
    assert shared_out(18, most, least) == [6, 7, 5]
    # and at last the longest words.
    assert shared_out(12, most, least) == [4, 4, 4]
    assert shared_out(1, most, least) == [1, 1, 1]


def test_a_number_is_not_broken_from_its_unit_for_the_sake_of_a_title() -> None:
    columns = (Column("ram", "RAM", right=True), Column("s", "s/sample at most", right=True))
    console = terminal(20)

    console.print(drawn(columns, [{"ram": "236.2 KiB", "s": "14.5 ms"}]))

    shown = console.file.getvalue()  # type: ignore[attr-defined]
    assert "236.2 KiB" in shown
    assert "14.5 ms" in shown


@pytest.mark.parametrize(
    ("value", "text"),
    [(None, "-"), (True, "true"), (1_000_000, "1,000,000"), (0, "0"), (0.25, "0.25"), ("a", "a")],
)
def test_plain_values(value: Any, text: str) -> None:
    assert plain(value) == text


def test_machines_get_one_document_and_nothing_else(capsys: pytest.CaptureFixture[str]) -> None:
    out = Output(as_json=True)

    out.table("sizes", COLUMNS, ROWS, printed=["for people"])
    out.table("none", COLUMNS, [])
    out.fact("run", "runs/x")
    out.show("for people")
    assert capsys.readouterr().out == ""
    out.finish()

    assert json.loads(capsys.readouterr().out) == {
        "sizes": [
            {"name": "a", "size": 1_234_567, "ok": True, "parts": [1, 2]},
            {"name": "b", "size": None, "ok": False, "parts": {"x": 1}},
        ],
        "none": [],
        "run": "runs/x",
    }


def test_without_json_nothing_is_printed_at_the_end(capsys: pytest.CaptureFixture[str]) -> None:
    for out in (Output(), Output(quiet=True), Output(as_json=True)):
        if not out.as_json:  # one that was asked for JSON and given nothing
            out.fact("run", "runs/x")
        out.finish()

    assert capsys.readouterr().out == ""


def test_quiet_prints_nothing_but_the_document(capsys: pytest.CaptureFixture[str]) -> None:
    for as_json in (False, True):
        out = Output(quiet=True, as_json=as_json)
        out.table("sizes", COLUMNS, ROWS)
        out.show("for people")
        out.finish()
        assert bool(capsys.readouterr().out) == as_json


def test_every_table_is_a_csv_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "new" / "folder"

    for quiet in (False, True):
        out = Output(csv_folder=folder, quiet=quiet)
        out.table("sizes", COLUMNS, iter(ROWS), printed=["printed as ever"])
        out.table("none", COLUMNS, [])
        assert bool(capsys.readouterr().out) != quiet

    assert sorted(path.name for path in folder.iterdir()) == ["none.csv", "sizes.csv"]
    with (folder / "sizes.csv").open(encoding="utf-8", newline="") as stream:
        assert list(csv.DictReader(stream)) == [
            {"name": "a", "size": "1234567", "ok": "true", "parts": "[1, 2]"},
            {"name": "b", "size": "", "ok": "false", "parts": '{"x": 1}'},
        ]
    assert (folder / "none.csv").read_text("utf-8").split() == ["name,size,ok,parts"]


def test_text_with_commas_quotes_and_lines_comes_back(tmp_path: Path) -> None:
    text = 'a, "b"\nµ'

    Output(csv_folder=tmp_path, quiet=True).table("t", [Column("x")], [{"x": text}])

    with (tmp_path / "t.csv").open(encoding="utf-8", newline="") as stream:
        assert list(csv.reader(stream)) == [["x"], [text]]


def test_a_folder_that_cannot_be_written_is_one_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")

    with pytest.raises(OutputError, match=r"--csv .*file: cannot be written: File exists"):
        Output(csv_folder=tmp_path / "file").table("t", COLUMNS, [])
    with pytest.raises(OutputError, match=r"--csv .*below: cannot be written: Not a directory"):
        Output(csv_folder=tmp_path / "file" / "below").table("t", COLUMNS, [])


def test_what_was_chosen_is_what_commands_get_while_they_run() -> None:
    with running(Output(quiet=True)) as chosen:
        assert output() is chosen
        with running(Output()) as inner:
            assert output() is inner
        assert output() is chosen
    assert output() == Output()


def test_rows_of_tuples_are_a_table(capsys: pytest.CaptureFixture[str]) -> None:
    chosen = Output(as_json=True)
    chosen.rows("sizes", ("name", ("size_bytes", "size")), [("a", 1), ("b", None)])
    chosen.finish()

    rows = [{"name": "a", "size_bytes": 1}, {"name": "b", "size_bytes": None}]
    assert json.loads(capsys.readouterr().out) == {"sizes": rows}
