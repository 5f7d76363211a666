"""The claims ledger: what papers claim, held against records.

A claim holds if all its checks do, holds in part if some do, and does not hold if none does. What
is missing or undecided never counts as holding. Nothing here measures; a claim that fails is a
result.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from trainfit.bench.claims.columns import Tables
from trainfit.bench.claims.file import CLAIMS, chosen, read_claims
from trainfit.bench.claims.schema import Check, Claim
from trainfit.bench.claims.select import Interval, Side, select
from trainfit.bench.claims.statistics import Outcome, compute, hold
from trainfit.bench.claims.words import ClaimsError, Statistic

__all__ = [
    "CLAIMS",
    "Claim",
    "ClaimsError",
    "Judged",
    "JudgedCheck",
    "Verdict",
    "command",
    "judge_claims",
    "read_claims",
]


_MOST_PROBLEMS = 2


class Verdict(StrEnum):
    """What became of a claim."""

    HOLDS = "holds"
    IN_PART = "holds in part"
    DOES_NOT_HOLD = "does not hold"
    NOT_TESTABLE = "not testable here"
    NO_RECORDS = "no records"


@dataclass(frozen=True)
class JudgedCheck:
    """One check beside what the records say.

    Attributes:
        check: What was asked.
        outcome: Whether it holds.
        value: What was computed, in the unit of the statistic; None where nothing could be.
        deviation: Over seeds that all sides have; None with one seed.
        sides: What was compared.
        problems: Why it is undecided, or what is missing.
    """

    check: Check
    outcome: Outcome
    value: Interval | None
    deviation: float | None
    sides: list[Side]
    problems: list[str]

    @property
    def reason(self) -> str | None:
        """The problems as one text."""
        return _shortened(self.problems)

    @property
    def seeds(self) -> int | None:
        """Of the side that has the fewest."""
        counts = [len(each.by_seed) for side in self.sides for each in side.settings]
        return min(counts) if counts and self.value is not None else None


@dataclass(frozen=True)
class Judged:
    """One claim and its verdict.

    ``suites`` make the records that are missing.
    """

    claim: Claim
    verdict: Verdict
    checks: list[JudgedCheck]
    suites: list[str]

    @property
    def reason(self) -> str | None:
        """Why it cannot be tested, or which records are missing; None if all was judged."""
        found = [problem for each in self.checks for problem in each.problems]
        return self.claim.not_testable or _shortened(found)


def _shortened(problems: Sequence[str]) -> str | None:
    found = list(dict.fromkeys(problems))
    more = [f"and {len(found) - _MOST_PROBLEMS} more"] if len(found) > _MOST_PROBLEMS else []
    return "; ".join([*found[:_MOST_PROBLEMS], *more]) or None


def judge_claims(
    runs: Sequence[Path], claims: Sequence[Claim], paper: str | None = None
) -> list[Judged]:
    """Hold claims against the records of some runs.

    Args:
        runs: Run folders; none leaves every claim that needs records without.
        claims: From :func:`read_claims`.
        paper: Only the claims of this one.

    Raises:
        BenchError: A run cannot be read, or no claim is of that paper.
    """
    tables, there = Tables(runs), {path.resolve().name for path in runs}
    return [_judged(claim, tables, there) for claim in chosen(claims, [], paper)]


def command(suite: str) -> str:
    """The command that makes the records of a suite."""
    name = Path(suite).stem
    out = f"results/runs/{name}" if suite.startswith("results/suites/") else f"runs/{name}"
    return f"trainfit run {suite} --data-root DATA --out {out}"


def _judged(claim: Claim, tables: Tables, there: set[str]) -> Judged:
    checks = [_checked(check, tables) for check in claim.checks]
    lacking = [each.check for each in checks if each.outcome is Outcome.MISSING]
    suites = list(dict.fromkeys(suite for each in lacking for suite in each.suite))
    new = [suite for suite in suites if Path(suite).stem not in there]
    return Judged(claim, _verdict([each.outcome for each in checks]), checks, new or suites)


def _checked(check: Check, tables: Tables) -> JudgedCheck:
    grid = check.statistic is Statistic.NEAR_BEST_POINTS
    sides = [select(tables, check, selector, grid=grid) for selector in check.compared]
    missing = [side.problem for side in sides if side.problem and not side.undecided]
    unclear = [side.problem for side in sides if side.problem and side.undecided]
    if missing or unclear:
        outcome = Outcome.MISSING if missing else Outcome.UNDECIDED
        return JudgedCheck(check, outcome, None, None, sides, missing or unclear)
    found = compute(check, sides)
    outcome, why = hold(check, found)
    problems = [f"{check.what}: {why}"] if why else []
    return JudgedCheck(check, outcome, found.value, found.deviation, sides, problems)


def _verdict(outcomes: Sequence[Outcome]) -> Verdict:
    found = set(outcomes)
    if not found:
        return Verdict.NOT_TESTABLE
    if found == {Outcome.HOLDS}:
        return Verdict.HOLDS
    if Outcome.HOLDS in found:
        return Verdict.IN_PART
    if Outcome.FAILS in found:
        return Verdict.DOES_NOT_HOLD
    return Verdict.NO_RECORDS if found == {Outcome.MISSING} else Verdict.NOT_TESTABLE
