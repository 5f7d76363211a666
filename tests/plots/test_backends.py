"""Figures are files: whatever display matplotlib was told to use, they are the same files."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import matplotlib as mpl
import pytest
from matplotlib import pyplot as plt

import trainfit.plots
from tests.plots.frames import numbers
from tests.plots.test_peak_by_phase import record
from trainfit.plots.drawing.saving import save_figure
from trainfit.plots.figures import peak_by_phase

(PLOTS,) = trainfit.plots.__path__

DRAW = """
import sys
import trainfit.plots  # before matplotlib, as a command does it
from pathlib import Path
from tests.plots.test_backends import draw
draw(Path(sys.argv[1]))
"""

IMPORT = """
import os
import trainfit.plots
import matplotlib as mpl
print(mpl.rcParams._get_backend_or_none(), os.environ["MPLBACKEND"])
"""


def draw(folder):
    table = numbers(peak_by_phase, record("backprop"))
    return save_figure(peak_by_phase.draw(table), table, folder, "f")


def python(code, backend, *arguments):
    return subprocess.run(
        [sys.executable, "-c", code, *map(str, arguments)],
        check=True,
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ | {"MPLBACKEND": backend},
    ).stdout.split()


def test_a_backend_that_is_not_there_changes_no_byte(tmp_path):
    """``!trainfit plot`` in a notebook, from an environment without the notebook's packages."""
    here = draw(tmp_path / "here")

    python(DRAW, "module://matplotlib_inline.backend_inline", tmp_path / "there")

    for file in here:
        assert (tmp_path / "there" / file.name).read_bytes() == file.read_bytes(), file.name


@pytest.mark.parametrize(("backend", "chosen"), [("TkAgg", "TkAgg"), ("nonsense", "None")])
def test_what_the_user_chose_stays_chosen_if_it_can_be_loaded(backend, chosen):
    assert python(IMPORT, backend) == [chosen, backend]


def test_without_a_home_and_with_a_backend_that_is_not_there_nothing_is_said():
    """matplotlib keeps its fonts among the temporary files then, and warns of it."""
    environment = os.environ | {"HOME": "/proc/none", "MPLBACKEND": "nonsense"}
    for name in ("MPLCONFIGDIR", "XDG_CONFIG_HOME", "XDG_CACHE_HOME"):
        environment.pop(name, None)
    done = subprocess.run(
        [sys.executable, "-m", "trainfit", "figures"],
        check=False,
        capture_output=True,
        text=True,
        env=environment,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert "peak-by-phase" in done.stdout


def test_drawing_leaves_the_backend_and_the_figures_of_the_user_alone(tmp_path, monkeypatch):
    monkeypatch.setitem(mpl.rcParams, "backend", "svg")
    mine = plt.figure()
    try:
        draw(tmp_path)
        assert mpl.rcParams["backend"] == "svg"
        assert plt.get_fignums() == [mine.number]
        assert plt.gcf() is mine
    finally:
        plt.close(mine)


def test_no_figure_is_made_with_pyplot():
    """It would belong to the user's session, and be shown below a cell of a notebook."""
    texts = {file.name: file.read_text("utf-8") for file in Path(PLOTS).rglob("*.py")}
    assert [name for name, text in texts.items() if "import pyplot" in text or "plt." in text] == []
