"""The comparison itself can fail, and figures are the same from run to run."""

import pandas as pd
import pytest

from tests.plots import images
from trainfit.plots import UnknownFigureError, figure_names, load_figure
from trainfit.plots.drawing.saving import save_figure
from trainfit.plots.drawing.style import format_bytes, new_figure, styled

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
