from __future__ import annotations

import pandas as pd
import pytest

from tests.plots.images import assert_like_baseline
from tests.plots.probe_frames import trained
from trainfit.plots import MissingDataError
from trainfit.plots.drawing.style import WIDTHS
from trainfit.plots.figures import sensitivity

RATES = (0.01, 0.1, 1.0)

GRID = [
    trained("ff_int8", accuracy, lr=lr, threshold=threshold)
    for threshold, line in ((2.0, (0.5, 0.6, None)), (500.0, (0.8, 0.9, 0.89)))
    for lr, accuracy in zip(RATES, line, strict=True)
]
STRIP = [trained("backprop", a, lr=lr) for lr, a in zip(RATES, (0.94, 0.95, 0.3), strict=True)]


def frame(*rows):
    table = pd.DataFrame(rows)
    return table.assign(test_accuracy=table["test_accuracy"].astype(float))


def test_a_grid_knows_its_best_and_how_much_of_it_is_near():
    table = sensitivity.numbers(frame(*GRID, *STRIP))

    grid = table[table["workload"] == "ff_int8"]
    assert len(grid) == 6
    assert set(grid["best"]) == {0.9}
    assert list(grid["near_best"]) == [False, False, False, False, True, True]
    assert set(grid["share_near_best"]) == {2 / 6}  # the cell that failed counts as far
    strip = table[table["workload"] == "backprop"]
    assert strip["threshold"].isna().all()
    assert set(strip["share_near_best"]) == {2 / 3}


def test_seeds_are_averaged_and_one_that_failed_spoils_its_cell():
    again = [trained("backprop", 0.9, seed=1, lr=0.01), trained("backprop", None, seed=1, lr=0.1)]

    table = sensitivity.numbers(frame(*STRIP, *again)).set_index("lr")

    assert table.loc[0.01, "test_accuracy"] == pytest.approx(0.92)
    assert table.loc[0.01, "seeds"] == 2
    assert pd.isna(table.loc[0.1, "test_accuracy"])
    assert table["best"].unique() == [pytest.approx(0.92)]


def test_other_options_make_another_grid():
    other = [trained("backprop", 0.9, lr=lr, momentum=0.0) for lr in RATES]

    table = sensitivity.numbers(frame(*STRIP, *other))

    assert list(dict.fromkeys(table["workload"])) == ["backprop", "backprop, momentum=0.0"]


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (STRIP[:2], "no rule was trained at 3 learning rates; give a workload per"),
        ([trained("backprop", 0.9)], "no test_accuracy at a learning rate of its own"),
        ([trained("backprop", None, lr=lr) for lr in RATES], "no test_accuracy at a learning rate"),
    ],
)
def test_what_is_no_grid_is_told(rows, message):
    with pytest.raises(MissingDataError, match=message):
        sensitivity.numbers(frame(*rows))


def test_an_empty_frame_has_no_accuracy():
    with pytest.raises(MissingDataError, match="the run has no test_accuracy"):
        sensitivity.numbers(pd.DataFrame())


def test_the_figure(tmp_path):
    figure = sensitivity.draw(sensitivity.numbers(frame(*GRID, *STRIP)))

    assert_like_baseline(figure, "sensitivity", tmp_path)


@pytest.mark.parametrize("columns", [1, 2])
def test_one_grid_and_many(columns):
    one = sensitivity.draw(sensitivity.numbers(frame(*STRIP)), columns)
    rows = [trained("drtp", 0.9, lr=lr, keep=n / 50) for n in range(1, 11) for lr in RATES]

    many = sensitivity.draw(sensitivity.numbers(frame(*rows)), columns)

    assert one.get_figwidth() == many.get_figwidth() == WIDTHS[columns]
    assert many.get_figheight() > 4 * one.get_figheight() / columns
