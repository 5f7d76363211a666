import string

import pandas as pd
import pytest

from tests.plots.frames import KIB, by_phase, numbers, row, timed, verdict
from trainfit.plots import (
    MissingDataError,
    UnknownTableError,
    figure_names,
    load_table,
    table_names,
)
from trainfit.plots.drawing.tables import latex_table, markdown_table, save_table, shown
from trainfit.plots.tables import accuracy as table_accuracy
from trainfit.plots.tables import cost as table_cost
from trainfit.plots.tables import memory as table_memory
from trainfit.plots.tables import verdicts as table_verdicts

SOURCES = ("records", "values", "costs", "verdicts")


def cells(table):
    """The text of the cells, row by row."""
    return [list(row) for row in zip(*(column.cells for column in shown(table)), strict=True)]


def heads(table):
    return [column.head for column in shown(table)]


def column(name, *values):
    return [row[0] for row in cells(pd.DataFrame({name: list(values)}))]


def test_tables_are_no_figures():
    assert "memory" in table_names()
    assert not [name for name in figure_names() if name.startswith("table")]
    assert load_table("memory") is table_memory


def test_an_unknown_table_is_told_with_the_nearest():
    with pytest.raises(UnknownTableError, match="did you mean memory"):
        load_table("memori")


def test_every_table_says_what_it_is():
    for name in table_names():
        module = load_table(name)
        assert {module.SOURCE, *getattr(module, "ALSO", ())} <= set(SOURCES)
        assert module.TITLE
        assert module.CAPTION.endswith(".")


def test_bytes_are_exact_in_csv_and_binary_units_for_people(tmp_path):
    table = pd.DataFrame({"peak_bytes": [1536, 100 * 1024]})
    csv, markdown, latex = save_table(table, tmp_path / "new", "t", caption="Bytes.")
    assert csv.read_text() == "peak_bytes\n1536\n102400\n"
    assert markdown.read_text() == (
        "Bytes.\n\n|   peak (KiB) |\n|-------------:|\n|         1.50 |\n|          100 |\n"
    )
    assert "1.50 \\\\" in latex.read_text()


def test_bytes_of_all_columns_share_a_unit():
    table = pd.DataFrame({"a_bytes": [10, 20], "b_bytes": [5 * 2**20, 6 * 2**20]})
    units = {head.partition(" ")[2] for head in heads(table)}
    assert len(units) == 1


def test_bytes_that_stay_bytes_have_all_their_digits():
    assert column("a_bytes", 1000, 12, 0) == ["1,000", "12", "0"]


@pytest.mark.parametrize(
    ("name", "value", "head", "cell"),
    [
        ("step_seconds", 0.00125, "step (ms)", "1.25"),
        ("step_joules", 2e-6, "step (µJ)", "2.00"),
        ("test_accuracy", 0.98765, "test accuracy (%)", "98.77"),
        ("peak_ratio", 0.5, "peak", "0.500"),
        ("m7_verdict", "tight", "m7", "tight"),
        ("seeds", 12345, "seeds", "12,345"),
        ("name", "plain", "name", "plain"),
    ],
)
def test_a_cell_is_written_as_the_end_of_its_column_says(name, value, head, cell):
    table = pd.DataFrame({name: [value]})
    assert (heads(table), cells(table)) == ([head], [[cell]])


def test_what_is_missing_is_a_dash_and_never_zero():
    table = pd.DataFrame({"a_bytes": pd.array([None, 2048], dtype="Int64"), "b": [None, "x"]})
    assert cells(table)[0] == ["\N{EN DASH}", "\N{EN DASH}"]
    assert latex_table(table, "t").count("-- & --") == 1


def test_ends_of_an_interval_share_a_cell():
    table = pd.DataFrame(
        {
            "x_seconds_median": [1.25, None],
            "x_seconds_low": [1.0, 1.0],
            "x_seconds_high": [2.0, 3.0],
            "y_seconds_low": [10.0, None],
            "y_seconds_high": [200.0, None],
            "z_accuracy": [0.5, 0.5],
            "z_accuracy_deviation": [0.01, None],
        }
    )
    dash = "\N{EN DASH}"
    assert heads(table) == ["x (s)", "y (s)", "z accuracy (%)"]
    assert cells(table) == [
        ["1.25 [1.00, 2.00]", f"10{dash}200", "50.00 ± 1.00"],
        [f"1.00{dash}3.00", dash, "50.00"],
    ]


def test_signs_that_mean_something_are_escaped():
    table = pd.DataFrame({"a_b": ["50% & #1 |x| {y} $z ~^\\"]})
    assert r"50% \& \#1 \|x\| {y} \$z \~^\\" in markdown_table(table)
    latex = latex_table(table, "t", caption="5 % more_or_less")
    assert r"50\% \& \#1 \textbar{}x\textbar{} \{y\} \$z" in latex
    assert r"\textasciitilde{}\textasciicircum{}\textbackslash{}" in latex
    assert r"\caption{5 \% more\_or\_less}" in latex


LATEX = {
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    **{sign: f"\\{sign}" for sign in "_%&#${}"},
}
"""What LaTeX takes for a command, and what its oldest fonts print as something else."""


@pytest.mark.parametrize("sign", string.punctuation)
def test_every_sign_reaches_latex_as_what_prints_it(sign):
    table = pd.DataFrame({f"a{sign}a_verdict": [f"b{sign}b"]})
    printed = LATEX.get(sign, sign)
    latex = latex_table(table, "t", caption=f"c{sign}c")
    head = " " if sign == "_" else printed
    assert rf"\rotatebox{{90}}{{a{head}a}} \\" in latex
    assert f"\nb{printed}b \\\\\n" in latex
    assert rf"\caption{{c{printed}c}}" in latex


@pytest.mark.parametrize("text", ["[1, 2]", "*"])
def test_a_row_is_no_argument_of_the_end_of_the_row_before(text):
    assert f"\\\\\n{{}}{text} \\\\" in latex_table(pd.DataFrame({"a": ["b", text]}), "t")


def test_numbers_stand_right_and_text_left():
    table = pd.DataFrame({"name": ["x"], "a_bytes": [1]})
    assert r"\begin{tabular}{lr}" in latex_table(table, "t")
    assert "|:-------|--------:|" in markdown_table(table)


def test_what_a_latex_table_needs_is_in_its_first_line():
    table = pd.DataFrame({"workload": ["long " * 9], "board_verdict": ["fits"]})
    first, _, rest = latex_table(table, "t").partition("\n")
    assert first.startswith("% Needs")
    for package, command in (
        ("array", r">{\raggedright\arraybackslash}p{"),
        ("booktabs", r"\toprule"),
        ("graphicx", r"\rotatebox{90}{board}"),
    ):
        assert rf"\usepackage{{{package}}}" in first
        assert command in rest
    assert rest.count(r"\begin") == rest.count(r"\end") == 2


def test_a_latex_table_is_never_wider_than_the_text():
    latex = latex_table(pd.DataFrame({"peak_of_all_phases_bytes": [1]}), "t")
    assert r"\resizebox{\ifdim\width>\linewidth\linewidth\else\width\fi}{!}{%" in latex
    assert r"\shortstack[r]{peak of all\\phases (B)} \\" in latex  # heads break between words


def test_a_wide_table_spans_both_columns():
    table = pd.DataFrame({f"c{n}": [n] for n in range(9)})
    assert r"\begin{table*}" in latex_table(table, "t")


def test_memory_is_beside_what_it_is_compared_with():
    rows = [row(options={"lr": 0.1}), row("tinyfoa", peak=20 * KIB), row("drtp", batch_size=8)]
    rows.append(row(options={"update": "fused"}, peak=1))
    table = numbers(table_memory, *rows, row(peak_dynamic_bytes=None))
    assert list(table["peak_to_backprop_ratio"].astype(object).fillna("none")) == [
        1.0,
        0.4,
        "none",
        pytest.approx(1 / (50 * KIB)),
    ]
    assert list(table["device_bytes"]) == [25 * KIB, 10 * KIB, 25 * KIB, 0]


def test_memory_has_the_peaks_of_the_phases_that_there_are():
    phases = by_phase("peak_bytes", 10, None, 30)
    other = [{**phases[0], "value": 99, "stage": "not the worst"}]
    table = numbers(table_memory, row(values=phases + other), row("drtp"))
    assert "gradient_bytes" not in table
    assert list(table["forward_bytes"].astype(object).fillna("none")) == [10, "none"]
    assert list(table["update_bytes"].astype(object).fillna("none")) == [30, "none"]


def test_verdicts_are_the_worst_of_all_budgets_from_the_smallest_device():
    found = row()
    found["verdicts"] += [
        verdict("huge", "unknown", None, "flash"),
        verdict("middle", "tight", 1, "flash"),
    ]
    table = numbers(table_verdicts, found)
    assert list(table.columns) == ["workload", "small_verdict", "middle_verdict", "huge_verdict"]
    assert list(table.iloc[0])[1:] == ["exceeds", "tight", "unknown"]


def test_accuracy_is_over_seeds_and_only_of_what_was_trained():
    rows = [row(test_accuracy=0.5 + seed / 10, seed=seed) for seed in range(3)]
    table = numbers(table_accuracy, *rows, row("drtp", test_accuracy=None))
    assert list(table["seeds"]) == [3]
    assert table["test_accuracy"].iloc[0] == pytest.approx(0.6)
    assert table["RAM_bytes"].iloc[0] == 150 * KIB


def test_cost_has_a_fast_and_a_slow_device_and_says_of_the_others():
    table = numbers(table_cost, timed(), timed("drtp", 2))
    assert heads(table)[1:] == [
        "step (ms)",
        "step (mJ)",
        "d0 (ms)",
        "d0 (mJ)",
        "d4 (ms)",
        "d4 (mJ)",
    ]
    assert table.attrs["note"] == "Devices in the figure's numbers only: 3."


def test_what_all_rows_share_is_said_once():
    table = numbers(table_memory, row(), row("drtp", batch_size=64))
    assert list(table.columns[:2]) == ["workload", "batch_size"]
    assert table.attrs["note"] == "Net mlp-64-128x2-10, data set digits throughout."


@pytest.mark.parametrize(
    ("module", "column"),
    [(table_memory, "peak_dynamic_bytes"), (table_accuracy, "test_accuracy")],
)
def test_a_table_without_its_data_says_what_is_missing(module, column):
    with pytest.raises(MissingDataError, match=f"no {column}"):
        numbers(module, row(**{column: None}))


def test_verdicts_of_a_run_that_was_not_judged_are_missing():
    with pytest.raises(MissingDataError, match="judged against a device"):
        numbers(table_verdicts, row(verdicts=[]))


def test_a_device_that_judged_only_some_workloads_has_its_place():
    first = row(verdicts=[verdict("huge", "fits", 2**30)])
    table = numbers(table_verdicts, first, row("drtp"))
    assert list(table.columns) == ["workload", "small_verdict", "middle_verdict", "huge_verdict"]
    assert list(table["small_verdict"].isna()) == [True, False]
