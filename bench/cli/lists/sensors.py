"""``trainfit sensors``."""

from __future__ import annotations

from trainfit.bench.cli.output import Column, Row, drawn, output, unseen
from trainfit.bench.sensors import Unavailable, survey

COLUMNS = (
    Column("sensor", "sensor"),
    Column("available"),
    Column("interval_seconds", "every", lambda value: "-" if value is None else f"{value:g} s"),
    *unseen("rails total watts coverage reason"),
)


def sensors() -> None:
    """List energy sensors, and why some cannot be read here.

    Rails have the names that the board's or chip's maker gives them; those marked * add up to the
    figure in a record.
    """
    rows: list[Row] = []
    for name, found in survey():
        if isinstance(found, Unavailable):
            rows.append({"sensor": name, "available": False, "reason": found.reason})
        else:
            rows.append(
                {
                    "sensor": name,
                    "available": True,
                    "interval_seconds": found.interval_seconds,
                    "rails": list(found.rails),
                    "total": list(found.total),
                    "watts": found.watts,
                    "coverage": found.coverage,
                }
            )
    columns = (*COLUMNS, Column("what", "what, or why not"))
    people = [{**row, "what": _what(row)} for row in rows]
    closing = "\nRails marked * add up to the figure. replay:FILE replays a recording (CSV)."
    output().table("sensors", COLUMNS, rows, printed=(drawn(columns, people), closing))


def _what(row: Row) -> str:
    """Rails with their power now, where it is a power that is read, and what they cover."""
    if not row["available"]:
        return f"unavailable: {row['reason']}"
    shown = []
    for rail in row["rails"]:
        watts = (row["watts"] or {}).get(rail)
        now = "" if watts is None else f" {watts:.3g} W"
        shown.append(f"{rail}{'*' if rail in row['total'] else ''}{now}")
    return f"{', '.join(shown)}; {row['coverage']}"
