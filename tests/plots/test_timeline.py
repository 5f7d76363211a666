import pandas as pd
import pytest

from tests.plots.frames import record
from tests.plots.images import assert_like_baseline
from trainfit.plots import MissingDataError
from trainfit.plots.figures import timeline

IDENTITY = record(epochs=1, train_samples=pd.NA, stage="all", model="mlp-64-10")


def course(algorithm, scale=1024, **changes):
    """Five points of a step: a forward pass, a gradient beside it, an update."""
    phases = ["outside", "forward", "forward", "gradient.late", "update"]
    columns = {"activations": [0, 16, 32, 32, 0], "gradients": [0, 0, 0, 88, 40]}
    rows = [
        {"index": index, "phase": phase, "category": name, "bytes": column[index] * scale}
        for name, column in columns.items()
        for index, phase in enumerate(phases)
    ]
    return pd.DataFrame(rows).assign(
        **IDENTITY | {"algorithm": algorithm, "label": algorithm, "events": 4} | changes
    )


def runs(*parts):
    frame = pd.concat(parts, ignore_index=True)
    return frame.astype({"algorithm": "category", "phase": "category", "category": "category"})


def test_it_looks_as_it_did(tmp_path):
    frame = runs(course("backprop"), course("tinyfoa", scale=128))
    numbers = timeline.numbers(frame)
    assert_like_baseline(timeline.draw(numbers, columns=2), "timeline", tmp_path)


def test_panels_of_like_size_share_a_scale():
    like = timeline.draw(timeline.numbers(runs(course("a"), course("b", scale=512))))
    assert len({axes.get_ylim() for axes in like.axes}) == 1
    unlike = timeline.draw(timeline.numbers(runs(course("a"), course("b", scale=10))))
    assert len({axes.get_ylim() for axes in unlike.axes}) == 2
    assert "scale of its own" in unlike.get_supxlabel()


def test_the_peak_is_written_to_the_byte():
    figure = timeline.draw(timeline.numbers(runs(course("a", scale=1001))), columns=1)
    texts = [text.get_text() for text in figure.axes[0].texts]
    assert f"117 KiB ({120 * 1001:,} B)" in texts


def test_six_are_shown_with_every_algorithm_and_the_rest_are_named():
    parts = [course("backprop", options=f'{{"checkpoint":{n}}}') for n in range(2, 10)]
    numbers = timeline.numbers(runs(*parts, course("tinyfoa"), course("dfa")))
    shown = list(dict.fromkeys(numbers["workload"]))
    assert shown == [*(f"backprop, checkpoint={n}" for n in range(2, 6)), "tinyfoa", "dfa"]
    figure = timeline.draw(numbers, columns=1)
    left_out = "; ".join(f"backprop, checkpoint={n}" for n in range(6, 10))
    assert f"Not shown: {left_out}." in figure.get_supxlabel().replace("\n", " ")


def test_repeats_with_other_seeds_and_a_run_given_twice_are_one_panel():
    again = course("a", seed=1), course("a"), course("a", run="other night")
    numbers = timeline.numbers(runs(course("a"), *again))
    assert len(numbers) == 10
    assert numbers["bytes"].max() == 88 * 1024


def test_a_long_step_says_that_its_edge_is_drawn():
    numbers = timeline.numbers(runs(course("a", events=1_000_000)))
    figure = timeline.draw(numbers)
    assert figure.get_supxlabel() == "Of long steps the upper edge is drawn."
    assert figure.axes[0].get_xlim() == (0, 1_000_001)


def test_a_run_without_timelines_says_what_makes_them():
    with pytest.raises(MissingDataError, match="trainfit run"):
        timeline.numbers(course("a").iloc[:0])
