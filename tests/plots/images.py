"""A figure beside the picture that was kept of it.

``TRAINFIT_UPDATE_BASELINES=1 pytest tests/plots`` makes the pictures again; look at them before
committing them.
"""

from __future__ import annotations

import os
from pathlib import Path

from matplotlib.testing.compare import compare_images

from trainfit.plots.drawing.style import styled

BASELINES = Path(__file__).parent / "baseline"

TOLERANCE = 2.0
"""Root mean square of the difference, of 255: text that is rasterised differently stays below, a
bar, a label or a legend that is missing does not."""


@styled
def assert_like_baseline(figure, name, tmp_path):
    """The figure looks like ``baseline/NAME.png``."""
    kept = BASELINES / f"{name}.png"
    if os.environ.get("TRAINFIT_UPDATE_BASELINES"):
        kept.parent.mkdir(exist_ok=True)
        figure.savefig(kept, dpi=100, metadata={"Software": None})
        return
    assert kept.exists(), f"no picture is kept of {name}: see the head of {__file__}"
    drawn = tmp_path / f"{name}.png"
    figure.savefig(drawn, dpi=100)
    difference = compare_images(str(kept), str(drawn), tol=TOLERANCE)
    assert difference is None, difference
