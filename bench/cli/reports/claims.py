"""Judged claims as tables, for people and for machines."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from trainfit.bench.claims.claim import ClaimVerdict, Judged, JudgedCheck, command
from trainfit.bench.claims.statistics import Computed, Outcome
from trainfit.bench.claims.text import by_paper, claimed, evidence, missing, reproduced, sentences
from trainfit.bench.claims.workloads import Operand
from trainfit.bench.cli.output import Row, unseen

CLAIMS = unseen("id paper text source claimed reproduced verdict reason remark commands")
CHECKS = unseen(
    "claim what statistic quantity unit expect published_low published_high tolerance",
    "value_low value_high deviation seeds evidence outcome reason sides",
)


def claim_row(judged: Judged) -> Row:
    """A claim as a row of :data:`CLAIMS`."""
    claim = judged.claim
    return {
        "id": claim.id,
        "paper": claim.paper.name,
        "text": claim.text,
        "source": claim.source,
        "claimed": [claimed(each.check) for each in judged.checks],
        "reproduced": [reproduced(each) for each in judged.checks],
        "verdict": judged.verdict.value,
        "reason": judged.reason,
        "remark": claim.remark,
        "commands": [command(suite) for suite in judged.suites],
    }


def check_rows(judged: Judged) -> list[Row]:
    """The checks of a claim as rows of :data:`CHECKS`."""
    return [_check_row(judged.claim.id, each) for each in judged.checks]


def _check_row(claim: str, found: JudgedCheck) -> Row:
    check, expected, computed = found.check, found.check.expected, found.computed
    low, high = expected.published or (None, None)
    return {
        "claim": claim,
        "what": check.what,
        "statistic": check.statistic.name,
        "quantity": check.quantity.key,
        "unit": check.statistic.unit,
        "expect": expected.expect.value,
        "published_low": low,
        "published_high": high,
        "tolerance": expected.tolerance,
        "value_low": _finite(computed, 0),
        "value_high": _finite(computed, 1),
        "deviation": computed.deviation if computed else None,
        "seeds": found.seeds,
        "evidence": found.evidence and found.evidence.text,
        "outcome": found.outcome.value,
        "reason": found.reason,
        "sides": [_side_row(side) for side in found.sides],
    }


def _finite(computed: Computed | None, end: int) -> float | None:
    if computed is None or math.isinf(computed.value[end]):
        return None
    return computed.value[end]


def _side_row(side: Operand) -> dict[str, Any]:
    return {
        "asked": side.workloads.text,
        "settings": [
            {
                "workload": each.label,
                "epochs": each.epochs,
                "low": each.mean[0],
                "high": each.mean[1],
                "deviation": each.deviation,
                "seeds": sorted(each.by_seed),
            }
            for each in side.settings
        ],
    }


def printed(judged: Sequence[Judged]) -> list[RenderableType]:
    """By paper and claim: the verdict, a table of the checks, what else has to be known."""
    parts: list[RenderableType] = []
    for title, group in by_paper(judged):
        parts.append(Text(f"\n{title}", style="bold underline"))
        for each in group:
            head = Text(f"\n{each.verdict.value.upper()}  ", style="bold")
            parts.append(head.append(f"{each.claim.id}: {each.claim.text}", style="not bold"))
            parts += [_table(each)] if each.checks else []
            parts += [Text(f"  {notes}", style="dim")] if (notes := _notes(each)) else []
    return [*parts, "", *missing(judged)]


def _table(judged: Judged) -> Table:
    """Of one claim; the widths are those of every other claim's."""
    table = Table(box=None, padding=(0, 2, 0, 2), show_header=False, expand=True)
    for ratio in (7, 4, 8):
        table.add_column(ratio=ratio, overflow="fold")
    table.add_column(no_wrap=True, width=len(Outcome.FAILS.value))
    for check in judged.checks:
        note = f", {evidence(check)}" if evidence(check) else ""
        table.add_row(
            Text(check.check.what),
            Text(f"claimed {claimed(check.check)}"),
            Text(f"found {reproduced(check)}{note}" if check.computed else "not found"),
            Text(check.outcome.value),
        )
    return table


def _notes(judged: Judged) -> str:
    """Why it is not judged, and what has to be known of what does not fully hold."""
    clear = judged.verdict in (ClaimVerdict.HOLDS, ClaimVerdict.NO_RECORDS)
    remark = None if clear else judged.claim.remark
    return sentences(judged.reason, remark)
