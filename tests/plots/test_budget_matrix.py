import pandas as pd
import pytest

from tests.plots import frames
from tests.plots.frames import KIB, numbers
from tests.plots.images import assert_like_baseline
from trainfit.plots import MissingDataError
from trainfit.plots.figures import budget_matrix

NEEDS = 100 * KIB


def record(algorithm, *verdicts, **changes):
    """A row of a run's records; verdicts are arguments of :func:`frames.verdict`."""
    found = frames.record(algorithm, epochs=1, model="mlp-64-10", **changes)
    found |= frames.held(NEEDS // 2, NEEDS // 2)
    return found | {"verdicts": [frames.verdict(*each) for each in verdicts]}


def cells(*rows):
    return numbers(budget_matrix, *rows).set_index(["workload", "device"])


def test_it_looks_as_it_did(tmp_path):
    rows = [
        record(
            "backprop",
            ("microbit", "exceeds", -218 * KIB),
            ("stm32", "tight", 4 * KIB),
            ("jetson", "fits", 3 * 2**30),
        ),
        record(
            "tinyfoa",
            ("microbit", "fits", 20 * KIB),
            ("stm32", "fits", 300 * KIB),
            ("stm32", "exceeds", -0.25, "step_latency", "s"),
            ("jetson", "fits", 3 * 2**30),
            ("jetson", "unknown", None, "flash"),
        ),
    ]
    figure = budget_matrix.draw(numbers(budget_matrix, *rows), columns=2)
    assert_like_baseline(figure, "budget_matrix", tmp_path)


@pytest.mark.parametrize(
    ("verdicts", "budget", "status", "margin"),
    [
        ((("b", "fits", 5, "ram", "B"), ("b", "fits", 3, "flash", "B")), "flash", "fits", 3),
        ((("b", "fits", 5, "ram", "B"), ("b", "fits", 5, "flash", "B")), "ram", "fits", 5),
        ((("b", "tight", 5, "ram", "B"), ("b", "fits", 3, "flash", "B")), "ram", "tight", 5),
        (
            (("b", "fits", 5, "ram", "B"), ("b", "unknown", None, "flash", "B")),
            "flash",
            "unknown",
            None,
        ),
        (
            (("b", "exceeds", -5, "ram", "B"), ("b", "unknown", None, "flash", "B")),
            "ram",
            "exceeds",
            -5,
        ),
        (
            (("b", "fits", 5, "ram", "B"), ("b", "exceeds", -0.1, "energy_per_step", "J")),
            "energy_per_step",
            "exceeds",
            -0.1,
        ),
        (
            (("b", "fits", 5, "ram", "B"), ("b", "fits", 0.1, "step_latency", "s")),
            "ram",
            "fits",
            5,
        ),
    ],
)
def test_the_worst_budget_decides(verdicts, budget, status, margin):
    cell = cells(record("a", *verdicts)).loc[("a", "b")]
    assert (cell["budget"], cell["status"]) == (budget, status)
    assert cell["margin"] == margin or (margin is None and pd.isna(cell["margin"]))


def test_devices_are_in_the_order_of_what_they_leave_to_a_training():
    verdicts = ("nobody", "unknown", None), ("large", "fits", 900), ("small.one", "exceeds", -900)
    found = cells(record("a", *verdicts))
    assert found.index.get_level_values("device").tolist() == ["small.one", "large", "nobody"]


def test_a_workload_without_a_verdict_on_a_device_has_no_cell_there():
    found = cells(record("a", ("x", "fits", 1)), record("b", ("y", "fits", 1)))
    assert found.index.tolist() == [("a", "x"), ("b", "y")]


def texts(figure):
    return [text.get_text() for text in figure.axes[0].texts]


def test_narrow_cells_have_symbols_and_wide_ones_amounts():
    many = [(f"device-{n:02}", "fits", 61 * KIB + n) for n in range(15)]
    table = numbers(budget_matrix, record("a", *many))
    assert set(texts(budget_matrix.draw(table, columns=2))) == {"+61K"}
    assert set(texts(budget_matrix.draw(table, columns=1))) == {"+"}


@pytest.mark.parametrize(
    ("margin", "unit", "text"),
    [
        (-1, "B", "\N{MINUS SIGN}1"),
        (-999, "B", "\N{MINUS SIGN}999"),
        (-1000, "B", "\N{MINUS SIGN}0.98K"),
        (-1023 * KIB, "B", "\N{MINUS SIGN}1M"),
        (-2.5 * 2**20, "B", "\N{MINUS SIGN}2.5M"),
        (-0.0005, "s", "\N{MINUS SIGN}500\N{MICRO SIGN}s"),
        (-12.0, "J", "\N{MINUS SIGN}12J"),
    ],
)
def test_amounts_are_as_short_as_a_cell(margin, unit, text):
    budget = {"B": "ram", "s": "step_latency", "J": "energy_per_step"}[unit]
    judged = record("a", ("b", "exceeds", margin, budget, unit))
    (found,) = texts(budget_matrix.draw(numbers(budget_matrix, judged)))
    assert found.split("\n")[0] == text


def test_which_ram_was_judged_is_said_where_it_is_not_torchs():
    planned = record("a", ("b", "fits", 1))
    planned["verdicts"] = [frames.verdict("b", "fits", 1, judged_by="arena")]

    notes = [
        " ".join(text.get_text() for text in budget_matrix.draw(numbers(budget_matrix, each)).texts)
        for each in (planned, record("a", ("b", "fits", 1)))
    ]

    assert ["planned arena on microcontrollers" in " ".join(n.split()) for n in notes] == [
        True,
        False,
    ]


def test_a_run_that_was_not_judged_says_what_judges_it():
    with pytest.raises(MissingDataError, match="devices ="):
        numbers(budget_matrix, record("a"))
