"""What ``trainfit check`` shows of an algorithm: a line per promise."""

from __future__ import annotations

from collections.abc import Sequence

from rich.text import Text

from trainfit._text import counted, plain
from trainfit.bench.cli.output import Row, unseen
from trainfit.bench.promises.catalogue import BY_NAME, PROMISES
from trainfit.bench.promises.checking import Asked
from trainfit.bench.promises.finding import Finding, Standing

COLUMNS = unseen("algorithm options promise standing text reason where")

STYLES = {
    Standing.OK: "green",
    Standing.BROKEN: "bold red",
    Standing.NOT_APPLICABLE: "dim",
}

ROOM = max(len(promise.name) for promise in PROMISES) + 2


def promises(*, quick: bool) -> list[str]:
    """Names of what is checked, in order."""
    return [promise.name for promise in PROMISES if promise.quick or not quick]


def rows(asked: Asked, findings: Sequence[Finding]) -> list[Row]:
    """One per promise."""
    return [
        {
            "algorithm": asked.rule,
            "options": asked.options,
            "promise": each.promise,
            "standing": str(each.standing),
            "text": BY_NAME[each.promise].text,
            "reason": each.reason or None,
            "where": each.where or None,
        }
        for each in findings
    ]


def lines(asked: Asked, own: Sequence[Row]) -> list[Text]:
    """The same for people."""
    options = ",".join(f"{name}={plain(value)}" for name, value in asked.options.items())
    broken = sum(row["standing"] == Standing.BROKEN for row in own)
    kept = sum(row["standing"] == Standing.OK for row in own)
    head = Text(f"{asked.rule}{f'[{options}]' if options else ''}: ", style="bold")
    head.append(f"{counted(broken, 'promise')} broken, {kept} of {len(own)} kept")
    return [head, *(_line(row) for row in own), Text()]


def _line(row: Row) -> Text:
    line = Text("  ")
    line.append(f"{row['standing']:<16}", style=STYLES[Standing(row["standing"])])
    line.append(f"{row['promise']:<{ROOM}}{row['text']}")
    if row["reason"]:
        line.append(f": {row['reason']}")
    if row["where"]:
        line.append(f" ({row['where']})")
    return line
