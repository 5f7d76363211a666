import pandas as pd
import pytest

from tests.plots.images import assert_like_baseline
from tests.plots.test_timeline import IDENTITY
from trainfit.plots import MissingDataError
from trainfit.plots.figures import budget_matrix

KIB = 1024
NEEDS = 100 * KIB


def record(algorithm, verdicts, **changes):
    """A row of a run's records; verdicts are (status, margin) by DEVICE.BUDGET_UNIT."""
    row = IDENTITY | {"algorithm": algorithm}
    row |= {"static_bytes": NEEDS // 2, "peak_dynamic_bytes": NEEDS // 2}
    for name, (status, margin) in verdicts.items():
        place, _, unit = name.rpartition("_")
        row[f"verdict.{place}"] = status
        row[f"margin.{place}_{unit}"] = margin
        row[f"evidence.{place}"] = "allocator" if unit == "bytes" else "modelled"
    return row | changes


def cells(*rows):
    return budget_matrix.numbers(pd.DataFrame(rows)).set_index(["workload", "device"])


def test_it_looks_as_it_did(tmp_path):
    rows = [
        record(
            "backprop",
            {
                "microbit.ram_bytes": ("exceeds", -218 * KIB),
                "stm32.ram_bytes": ("tight", 4 * KIB),
                "jetson.ram_bytes": ("fits", 3 * 2**30),
            },
        ),
        record(
            "tinyfoa",
            {
                "microbit.ram_bytes": ("fits", 20 * KIB),
                "stm32.ram_bytes": ("fits", 300 * KIB),
                "stm32.step_latency_seconds": ("exceeds", -0.25),
                "jetson.ram_bytes": ("fits", 3 * 2**30),
                "jetson.flash_bytes": ("unknown", None),
            },
        ),
    ]
    figure = budget_matrix.draw(budget_matrix.numbers(pd.DataFrame(rows)), columns=2)
    assert_like_baseline(figure, "budget_matrix", tmp_path)


@pytest.mark.parametrize(
    ("verdicts", "budget", "status", "margin"),
    [
        ({"b.ram_bytes": ("fits", 5), "b.flash_bytes": ("fits", 3)}, "flash", "fits", 3),
        ({"b.ram_bytes": ("fits", 5), "b.flash_bytes": ("fits", 5)}, "ram", "fits", 5),
        ({"b.ram_bytes": ("tight", 5), "b.flash_bytes": ("fits", 3)}, "ram", "tight", 5),
        (
            {"b.ram_bytes": ("fits", 5), "b.flash_bytes": ("unknown", None)},
            "flash",
            "unknown",
            None,
        ),
        (
            {"b.ram_bytes": ("exceeds", -5), "b.flash_bytes": ("unknown", None)},
            "ram",
            "exceeds",
            -5,
        ),
        (
            {"b.ram_bytes": ("fits", 5), "b.energy_per_step_joules": ("exceeds", -0.1)},
            "energy_per_step",
            "exceeds",
            -0.1,
        ),
        (
            {"b.ram_bytes": ("fits", 5), "b.step_latency_seconds": ("fits", 0.1)},
            "ram",
            "fits",
            5,
        ),
    ],
)
def test_the_worst_budget_decides(verdicts, budget, status, margin):
    cell = cells(record("a", verdicts)).loc[("a", "b")]
    assert (cell["budget"], cell["status"]) == (budget, status)
    assert cell["margin"] == margin or (margin is None and pd.isna(cell["margin"]))


def test_devices_are_in_the_order_of_what_they_leave_to_a_training():
    verdicts = {
        "nobody.ram_bytes": ("unknown", None),
        "large.ram_bytes": ("fits", 900),
        "small.one.ram_bytes": ("exceeds", -900),
    }
    found = cells(record("a", verdicts))
    assert found.index.get_level_values("device").tolist() == ["small.one", "large", "nobody"]


def test_a_workload_without_a_verdict_on_a_device_has_no_cell_there():
    found = cells(
        record("a", {"x.ram_bytes": ("fits", 1)}), record("b", {"y.ram_bytes": ("fits", 1)})
    )
    assert found.index.tolist() == [("a", "x"), ("b", "y")]


def texts(figure):
    return [text.get_text() for text in figure.axes[0].texts]


def test_narrow_cells_have_symbols_and_wide_ones_amounts():
    many = {f"device-{n:02}.ram_bytes": ("fits", 61 * KIB + n) for n in range(15)}
    numbers = budget_matrix.numbers(pd.DataFrame([record("a", many)]))
    assert set(texts(budget_matrix.draw(numbers, columns=2))) == {"+61K"}
    assert set(texts(budget_matrix.draw(numbers, columns=1))) == {"+"}


@pytest.mark.parametrize(
    ("margin", "unit", "text"),
    [
        (-1, "bytes", "\N{MINUS SIGN}1"),
        (-999, "bytes", "\N{MINUS SIGN}999"),
        (-1000, "bytes", "\N{MINUS SIGN}0.98K"),
        (-1023 * KIB, "bytes", "\N{MINUS SIGN}1M"),
        (-2.5 * 2**20, "bytes", "\N{MINUS SIGN}2.5M"),
        (-0.0005, "seconds", "\N{MINUS SIGN}500\N{MICRO SIGN}s"),
        (-12.0, "joules", "\N{MINUS SIGN}12J"),
    ],
)
def test_amounts_are_as_short_as_a_cell(margin, unit, text):
    budget = {"bytes": "ram", "seconds": "step_latency", "joules": "energy_per_step"}[unit]
    frame = pd.DataFrame([record("a", {f"b.{budget}_{unit}": ("exceeds", margin)})])
    (found,) = texts(budget_matrix.draw(budget_matrix.numbers(frame)))
    assert found.split("\n")[0] == text


def test_a_run_that_was_not_judged_says_what_judges_it():
    with pytest.raises(MissingDataError, match="devices ="):
        budget_matrix.numbers(pd.DataFrame([record("a", {})]))
