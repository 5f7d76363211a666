from __future__ import annotations

import pandas as pd
import pytest

from tests.plots.images import assert_like_baseline
from tests.plots.probe_frames import BINS, gradient, without_gradient
from trainfit.plots import MissingDataError
from trainfit.plots.drawing.style import WIDTHS
from trainfit.plots.figures import gradients

ROWS = [
    *(gradient("backprop", "w1", 7, 0.02 + 0.01 * seed, 0.5, seed=seed) for seed in (0, 1)),
    *(gradient("backprop", "w2", 6, 0.03, 0.4, seed=seed) for seed in (0, 1)),
    gradient("backprop", "w3", 5, 0.02, 0.3),
    gradient("forward_forward", "w1", 4, 0.02, 0.2),
    gradient("forward_forward", "w2", 5, 0.03, 0.3),
    gradient("local_head", "w1", 6, 0.02, 0.4),
    gradient("local_head", "v1", 6, 0.01, 0.3),
    gradient("local_head", "w2", 9, 0.04, 0.6),
    without_gradient("ff_int8", "w1", "w1 is int8"),
]


def test_numbers_are_shares_and_errors_per_tensor_with_means_over_seeds():
    table = gradients.numbers(pd.DataFrame(ROWS))

    assert set(table["workload"]) == {"backprop", "forward_forward", "local_head"}
    own = table[(table["workload"] == "backprop") & (table["tensor"] == "w1")]
    shares = own[own["quantity"] == "share"]
    assert list(shares["log2_of_largest"]) == [-octave for octave in range(BINS)]
    assert shares["value"].sum() == pytest.approx(1.0)  # exact zeros are not counted
    (error,) = own[own["quantity"] == "int8_relative_rms"].to_dict("records")
    assert error["value"] == pytest.approx(0.025)
    assert error["deviation"] == pytest.approx(0.01 / 2**0.5)
    assert (error["seeds"], error["evidence"]) == (2, "analytic")
    assert len(own[own["quantity"] == "int8_rounded_to_zero"]) == 1


def test_of_several_moments_the_last_one_is_drawn():
    early = [gradient("backprop", "w1", 7, 0.5, after=after) for after in (0, 5)]
    last = gradient("backprop", "w1", 5, 0.02)

    table = gradients.numbers(pd.DataFrame([last, *early]))

    pd.testing.assert_frame_equal(table, gradients.numbers(pd.DataFrame([last])))


def test_where_no_gradient_was_had_the_first_reason_and_the_remedy_are_told():
    frame = pd.DataFrame([without_gradient("ff_int8", "w1", "w1 is int8")])

    with pytest.raises(MissingDataError) as error:
        gradients.numbers(frame)

    assert str(error.value).startswith("no workload of the run has a gradient: w1 is int8; name")
    assert "mnist-gradients.toml" in error.value.remedy
    with pytest.raises(MissingDataError, match="the run has no histogram"):
        gradients.numbers(frame.iloc[:0])


def test_the_figure(tmp_path):
    figure = gradients.draw(gradients.numbers(pd.DataFrame(ROWS)))

    assert_like_baseline(figure, "gradients", tmp_path)


@pytest.mark.parametrize("columns", [1, 2])
def test_one_workload_and_thirty(columns):
    one = gradients.draw(gradients.numbers(pd.DataFrame(ROWS[:1])), columns)
    many = [
        gradient("backprop", tensor, 5, checkpoint=n) for n in range(30) for tensor in ("w1", "w2")
    ]
    many += [gradient("drtp", f"w{n}", 5) for n in (1, 2, 3)]

    figure = gradients.draw(gradients.numbers(pd.DataFrame(many)), columns)

    assert one.get_figwidth() == figure.get_figwidth() == WIDTHS[columns]
    (top, _) = figure.subfigs
    (legend,) = top.legends
    assert len(legend.get_texts()) == gradients.MOST
    assert "drtp" in [text.get_text() for text in legend.get_texts()]


def test_heads_that_only_one_rule_has_are_not_compared():
    figure = gradients.draw(gradients.numbers(pd.DataFrame(ROWS)))

    top, bottom = figure.subfigs
    titles = [axes.get_title("left") for axes in top.axes if axes.get_visible()]
    assert titles == ["w1", "w2"]
    assert "Not shown: v1, w3, which only one" in bottom.get_supxlabel()
