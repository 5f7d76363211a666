from __future__ import annotations

import pytest

from tests.plots.frames import frame
from tests.plots.images import assert_like_baseline
from tests.plots.probe_frames import disturbed, workload
from trainfit.plots import MissingDataError
from trainfit.plots.drawing.style import WIDTHS
from trainfit.plots.figures import robustness

ROWS = [
    *disturbed("backprop", 0.95),
    *disturbed("backprop", 0.93, seed=1),
    *disturbed("forward_forward", 0.85),
    *disturbed("ff_int8", 0.8),
]

UNAVAILABLE = {
    **workload("tinyfoa"),
    "disturbance": "unavailable",
    "test_accuracy": None,
    "bits": None,
    "amplitude": None,
    "noise_seed": None,
    "samples": None,
    "reason": "packed bits",
}


def test_numbers_are_means_over_both_kinds_of_seeds():
    table = robustness.numbers(frame(*ROWS, UNAVAILABLE))

    assert set(table["workload"]) == {"backprop", "forward_forward", "ff_int8"}
    own = table[table["workload"] == "backprop"].set_index("disturbance")
    assert own.loc["none", "test_accuracy"] == pytest.approx(0.94)
    assert own.loc["none", "measured"] == 2
    two_bits = own[own["bits"] == 2].iloc[0]
    assert two_bits["test_accuracy"] == pytest.approx(0.47)
    noisy = own[own["amplitude"] == 0.1].iloc[0]
    assert noisy["measured"] == 4
    assert noisy["test_accuracy"] == pytest.approx(0.94 * 0.9 - 0.005)
    assert noisy["deviation"] > 0


def test_without_an_accuracy_the_reason_and_the_remedy_are_told():
    noise = frame(UNAVAILABLE)

    with pytest.raises(MissingDataError, match=r"noise: packed bits; name .noise. in the"):
        robustness.numbers(noise)
    with pytest.raises(MissingDataError, match="the run has no disturbance"):
        robustness.numbers(noise.iloc[:0])


def test_the_figure(tmp_path):
    figure = robustness.draw(robustness.numbers(frame(*ROWS)))

    assert_like_baseline(figure, "robustness", tmp_path)


@pytest.mark.parametrize("columns", [1, 2])
def test_one_workload_and_thirty(columns):
    one = robustness.draw(robustness.numbers(frame(*disturbed("backprop", 0.9))), columns)
    many = [row for n in range(30) for row in disturbed("drtp", 0.9, slices=n)]

    figure = robustness.draw(robustness.numbers(frame(*many)), columns)

    assert one.get_figwidth() == figure.get_figwidth() == WIDTHS[columns]
    assert "seeds" in one.get_supxlabel()  # the noise has several
    (legend,) = figure.legends
    assert len(legend.get_texts()) == robustness.MOST
    assert "Not shown: drtp, slices=8; " in figure.get_supxlabel().replace("\n", " ")


def test_nets_that_were_trained_for_longer_are_named_so():
    """Curves of two experiments stood side by side under the names of their rules alone."""
    longer = [row | {"epochs": 50} for row in disturbed("ff_int8", 0.8)]

    table = robustness.numbers(frame(*disturbed("backprop", 0.95), *longer))

    assert set(table["workload"]) == {"backprop, 10 epochs", "ff_int8, 50 epochs"}
