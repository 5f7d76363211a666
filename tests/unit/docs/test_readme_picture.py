from __future__ import annotations

from pathlib import Path

from readme_picture import draw

ROOT = Path(__file__).parents[3]


def test_a_kept_run_is_drawn_with_its_bytes_and_loads_nothing() -> None:
    svg = draw(ROOT / "results" / "runs" / "mnist-feedback")

    assert svg.startswith('<svg class="rich-terminal"')
    assert "drtp" in svg
    assert "trainfit run mnist-feedback" in svg.replace("&#160;", " ")
    assert "@font-face" not in svg
