import pytest

from tests.plots.frames import KIB, LIMITS, numbers, planned, row
from tests.plots.images import assert_like_baseline
from trainfit.plots import MissingDataError
from trainfit.plots.drawing.workloads import STARRED
from trainfit.plots.figures import scaling


def grown(axis, *sizes, algorithm="backprop"):
    """The same training at several sizes; its bytes are 60 KiB and 1 KiB per unit."""
    made = {
        "batch_size": lambda n: {"batch_size": n},
        "width": lambda n: {"model": f"mlp-64-{n}x2-10"},
        "depth": lambda n: {"model": f"mlp-64-128x{n}-10"},
    }
    return [row(algorithm, static=60 * KIB, peak=n * KIB, **made[axis](n)) for n in sizes]


def points(*rows):
    """What is drawn, but for the limits of devices."""
    table = numbers(scaling, *rows)
    return table[table["device"].isna()]


def test_it_looks_as_it_did(tmp_path):
    rows = [
        *grown("batch_size", 8, 32, 128, 512),
        *grown("width", 16, 32, 64),
        *grown("depth", 1, 2, 4),
        *grown("batch_size", 8, 16, 64, algorithm="forward_forward"),
    ]
    assert_like_baseline(scaling.draw(numbers(scaling, *rows)), "scaling", tmp_path)


@pytest.mark.parametrize("axis", ["batch_size", "width", "depth"])
def test_an_axis_is_found_from_what_varies(axis):
    table = points(*grown(axis, 3, 1, 2))
    assert list(table["axis"]) == [axis] * 3
    assert list(table["at"]) == [1, 2, 3]


def test_a_size_belongs_to_every_axis_that_passes_through_it():
    rows = [*grown("batch_size", 16, 32), row(model="mlp-64-64x2-10")]
    table = points(*rows)
    assert list(table.loc[table["axis"] == "width", "at"]) == [64, 128]


def test_nets_that_differ_in_width_and_depth_make_no_axis():
    rows = [row(model="mlp-64-128-10"), row(model="mlp-64-64x2-10"), row(model="lc-8-8-8")]
    with pytest.raises(MissingDataError, match="run the suite scaling"):
        points(*rows)


def test_hidden_layers_of_several_widths_are_not_guessed_at():
    rows = [row(model="mlp-64-128-64-10"), row(model="mlp-64-128-128-10")]
    with pytest.raises(MissingDataError):
        points(*rows)


def test_the_largest_that_fits_is_a_point_and_a_larger_one_does_not_fit():
    table = points(*grown("batch_size", 8, 32, 128)).set_index("at")
    assert list(table["largest_that_fits"]) == ["", "small", ""]  # 92 of 100 KiB; 188 is too much


def test_what_fits_in_a_planned_arena_fits_although_torch_would_not():
    # GIVEN 60 KiB static and 1 KiB a sample, of which an arena needs half
    rows = [planned(static=60 * KIB, peak=n * KIB, batch_size=n) for n in (8, 32, 64, 128)]

    # WHEN the small device with 100 KiB judges arenas
    table = numbers(scaling, *rows)

    # THEN 60 + 32 KiB fit, and 60 + 64 are too much
    of_points = table[table["device"].isna()].set_index("at")
    assert list(of_points["largest_that_fits"]) == ["", "", "small", ""]
    assert of_points.loc[64, "ram_bytes"] == 124 * KIB
    limits = table.dropna(subset=["device"]).set_index("device")
    assert limits["limit_bytes"].to_dict() == LIMITS
    assert limits["judged_by"].to_dict() == {"small": "arena", "middle": "torch", "huge": "torch"}

    # THEN its line is marked, and the mark explained
    figure = scaling.draw(table)
    assert STARRED in [text.get_text() for text in figure.legends[0].texts]
    assert "small*" in [text.get_text() for text in figure.axes[0].texts]
    plain = scaling.draw(numbers(scaling, *grown("batch_size", 8, 32, 128)))
    assert STARRED not in [text.get_text() for text in plain.legends[0].texts]


def test_of_several_settings_the_one_with_the_most_points_is_taken():
    rows = grown("batch_size", 1, 2)
    rows += [row(model="mlp-64-9-10", batch_size=n, peak=n) for n in (4, 5, 6)]
    assert set(points(*rows)["model"]) == {"mlp-64-9-10"}


def test_seeds_are_no_sizes():
    with pytest.raises(MissingDataError):
        points(row(seed=0), row(seed=1))


@pytest.mark.parametrize("columns", [1, 2])
def test_with_many_series_it_says_how_many_are_left_out(columns):
    rows = [r for n in range(13) for r in grown("batch_size", 1, 8, algorithm=f"rule_{n}")]
    figure = scaling.draw(numbers(scaling, *rows), columns=columns)
    assert "3 more series" in [text.get_text() for text in figure.legends[0].texts][-1]
