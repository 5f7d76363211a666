"""The comparison itself can fail, and figures are the same from run to run."""

import pandas as pd
import pytest
from matplotlib import cbook

from tests.builders.disks import largest_file
from tests.plots import images
from trainfit.plots import UnknownFigureError, figure_names, load_figure
from trainfit.plots.drawing.saving import save_figure
from trainfit.plots.drawing.style import format_bytes, literal, new_figure, styled

SOURCES = {
    "records",
    "values",
    "costs",
    "verdicts",
    "curves",
    "timelines",
    "gradients",
    "noise",
}


@styled
def bar(height):
    figure = new_figure(1, height=1.5)
    figure.subplots().bar(["a", "b"], [1, height])
    return figure


def test_a_bar_of_another_height_is_seen(tmp_path, monkeypatch):
    monkeypatch.setattr(images, "BASELINES", tmp_path / "kept")
    monkeypatch.setenv("TRAINFIT_UPDATE_BASELINES", "1")
    images.assert_like_baseline(bar(2.0), "bar", tmp_path)
    monkeypatch.delenv("TRAINFIT_UPDATE_BASELINES")
    images.assert_like_baseline(bar(2.0), "bar", tmp_path)
    with pytest.raises(AssertionError, match="RMS"):
        images.assert_like_baseline(bar(1.5), "bar", tmp_path)


def test_a_picture_that_nobody_kept_is_named(tmp_path, monkeypatch):
    monkeypatch.setattr(images, "BASELINES", tmp_path)
    with pytest.raises(AssertionError, match="no picture is kept of bar"):
        images.assert_like_baseline(bar(2.0), "bar", tmp_path)


def test_every_figure_has_what_a_figure_has():
    assert figure_names()
    for name in figure_names():
        figure = load_figure(name)
        assert {figure.SOURCE, *getattr(figure, "ALSO", ())} <= SOURCES
        assert figure.TITLE
        assert callable(figure.numbers)
        assert callable(figure.draw)


def test_an_unknown_figure_names_the_nearest():
    name = figure_names()[0]
    with pytest.raises(UnknownFigureError, match=f"did you mean .*{name}"):
        load_figure(name[:-1])


def test_the_same_numbers_give_the_same_files(tmp_path):
    numbers = pd.DataFrame({"a_bytes": [1, 2]})
    first = save_figure(bar(2.0), numbers, tmp_path / "one", "bar")
    second = save_figure(bar(2.0), numbers, tmp_path / "two", "bar")
    assert [path.suffix for path in first] == [".pdf", ".svg", ".png", ".csv"]
    for one, two in zip(first, second, strict=True):
        assert one.read_bytes() == two.read_bytes()


def test_no_label_is_cut_off_in_print(tmp_path):
    """Letters are wider there than on a screen, where the layout used to be found."""
    figure = styled(new_figure)(2, height=1.5)
    axes = figure.subplots()
    axes.set_yticks([0], ["mlp-784-1000-1000-10, b32 " * 3], fontsize=6)
    save_figure(figure, pd.DataFrame({"a": [1]}), tmp_path, "long")
    figure.set_dpi(300)
    figure.draw_without_rendering()
    (label,) = axes.get_yticklabels()
    assert label.get_window_extent().x0 >= 0


def test_fonts_in_a_pdf_are_truetype(tmp_path):
    files = save_figure(bar(2.0), pd.DataFrame({"a": [1]}), tmp_path, "bar")
    text = files[0].read_bytes()
    assert b"/FontFile2" in text or b"/CIDFontType2" in text
    assert b"/Type3" not in text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0, "0 B"),
        (96 * 1024, "96 KiB"),
        (1.5 * 2**20, "1.5 MiB"),
        (-2048, "-2 KiB"),
        (1010, "1010 B"),
    ],
)
def test_bytes_on_an_axis(value, text):
    assert format_bytes(value) == text


def test_on_a_full_disk_there_is_no_half_figure(tmp_path):
    numbers = pd.DataFrame({"a": [1]})
    largest = max(f.stat().st_size for f in save_figure(bar(2.0), numbers, tmp_path / "a", "bar"))
    for size in (0, largest - 1):  # within the first file, or in one of the others
        with largest_file(size), pytest.raises(OSError, match="File too large"):
            save_figure(bar(2.0), numbers, tmp_path / "new" / "figures", "bar")
        assert not (tmp_path / "new").exists()

    files = sorted((tmp_path / "a").iterdir())
    before = [file.read_bytes() for file in files]
    with largest_file(100), pytest.raises(OSError, match="File too large"):
        save_figure(bar(3.0), numbers, tmp_path / "a", "bar")
    assert sorted((tmp_path / "a").iterdir()) == files
    assert [file.read_bytes() for file in files] == before


NAMES = [
    "plain",
    "b_{$ ^$",
    "$5",
    r"a\$b",
    "_hidden",
    "bell\x07",
    "half \ud800",
    "\u202eturned",
    "模",
]
SHOWN = [
    "plain",
    "b_{$ ^$",
    "$5",
    r"a\$b",
    " _hidden",
    r"bell\x07",
    r"half \ud800",
    r"\u202eturned",
]


@styled
def named(numbers):
    figure = new_figure(1, height=3.0)
    axes = figure.subplots()
    for position, name in enumerate(numbers["name"]):
        axes.plot([0, 1], [position, position], label=name)
    axes.set_yticks(range(len(numbers)), list(numbers["name"]))
    axes.set_title(numbers["name"].iloc[1])
    axes.legend()
    return figure


@pytest.mark.parametrize("kind", [object, "category", "string"])
def test_names_are_drawn_as_they_are(kind, tmp_path):
    """None is mathematics, none is missing from the legend, and no warning is given."""
    given = NAMES if kind is object else [n for n in NAMES if "half" not in n]
    numbers = pd.DataFrame({"name": pd.Series(given, dtype=kind), "value": range(len(given))})
    before = numbers.copy()

    figure = named(numbers)
    files = save_figure(figure, numbers, tmp_path, "named")

    pd.testing.assert_frame_equal(numbers, before)
    (axes,) = figure.axes
    drawn = [text.get_text() for text in axes.get_legend().get_texts()]
    assert [cbook.is_math_text(text) for text in drawn] == [False] * len(given)
    shown = [text.replace(r"\$", "$") for text in drawn]
    expected = SHOWN if kind is object else [n for n in SHOWN if "half" not in n]
    assert shown == [*expected, "模"]
    text = files[-1].read_text("utf-8")
    assert "$ ^$" in text
    assert r"b_{\$" not in text


def test_a_frame_without_such_names_is_drawn_as_it_is():
    numbers = pd.DataFrame({"a": ["x", None], "b": [1, 2], "c": [True, None]})
    numbers.attrs = {"left_out": ["$x", "y"], "share": 0.5}
    drawn = literal(numbers)
    pd.testing.assert_frame_equal(drawn, numbers)
    assert drawn.attrs == {"left_out": [r"\$x", "y"], "share": 0.5}
