"""Draw the report of a run as the SVG that the README shows.

::

    trainfit run --out runs/picture
    python docs/scripts/readme_picture.py runs/picture docs/images/quick.svg

The picture is what ``trainfit run`` prints for that run, recorded by rich. Nothing in it is loaded
from elsewhere: the font is whatever monospaced one the reader has.
"""

from __future__ import annotations

import io
import re
import sys
from pathlib import Path

from rich.console import Console

from trainfit.bench.cli.reports.run import figures, verdicts
from trainfit.bench.records.reading import read_records, read_suite
from trainfit.bench.verdicts.judges import judges_of
from trainfit.hardware_profiles import Device

WIDTH = 104
"""Columns of the picture."""

FORMAT = """<svg class="rich-terminal" viewBox="0 0 {width} {height}" \
xmlns="http://www.w3.org/2000/svg">
<title>What trainfit run prints</title>
<style>
.{unique_id}-matrix {{
  font-family: ui-monospace, monospace; font-size: {char_height}px; line-height: {line_height}px;
}}
.{unique_id}-title {{ font-size: 18px; font-weight: bold; font-family: sans-serif; }}
{styles}
</style>
<defs>
<clipPath id="{unique_id}-clip-terminal">
<rect x="0" y="0" width="{terminal_width}" height="{terminal_height}"/>
</clipPath>
{lines}
</defs>
{chrome}
<g transform="translate({terminal_x}, {terminal_y})" clip-path="url(#{unique_id}-clip-terminal)">
{backgrounds}
<g class="{unique_id}-matrix">
{matrix}
</g>
</g>
</svg>
"""
"""rich's own frame, without the fonts that it would fetch from a host."""


def draw(run: Path) -> str:
    """The report of a run folder as SVG text."""
    suite, judges, records = read_suite(run), judges_of(run), read_records(run)
    devices = [each for each in judges.devices if isinstance(each, Device)]
    judged = [judges.verdicts(record) for record in records]
    console = Console(
        record=True,
        width=WIDTH,
        file=io.StringIO(),
        force_terminal=True,
        color_system="truecolor",
        highlight=False,
    )
    for part in [*figures(records, WIDTH), "", *verdicts(judged, devices, WIDTH)]:
        console.print(part)
    svg = console.export_svg(
        title=f"trainfit run {suite['name']}", code_format=FORMAT, unique_id="trainfit"
    )
    return re.sub(r"[ \t]+$", "", svg, flags=re.MULTILINE).rstrip("\n") + "\n"


if __name__ == "__main__":
    folder, target = map(Path, sys.argv[1:])
    target.write_text(draw(folder), encoding="utf-8")
