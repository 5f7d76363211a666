"""Claims: what papers say, in our words, and the checks that test it by records.

::

    PAPER = Paper("ff-int8", "FF-INT8 (Ma, Panda & Reda, DAC 2025)")
    NET = {"model": "mlp-784-1000-1000-10", "batch_size": 32}
    PAPER.claim(
        "ff-int8-memory-fp32",                 # its name on the command line
        "what is claimed, in our words",
        source="Table V, last row",
        suites=["paper-ff-int8"],              # make the records that test it
        checks=compare(
            "FF-INT8 against backprop",
            RAM,
            CHANGE_PERCENT,
            rule("ff_int8", lookahead="true").at(**NET),
            rule("backprop").at(**NET),
            expected=near(-38.7, give=5),
        ),
        remark="what else has to be known",
    )

A claim holds if all its checks do, holds in part if some do, and does not hold if none does. What
is missing or undecided never counts as holding. Where what nets have learnt is compared, a check is
decided only on one experiment (:mod:`trainfit.bench.claims.pairing`) with enough evidence
(:mod:`trainfit.bench.claims.evidence`); else the claim is not decided, and why is said. Nothing
here measures; a claim that fails is a result.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path

from trainfit.bench.claims.evidence import Evidence, Fair, weigh
from trainfit.bench.claims.pairing import pair
from trainfit.bench.claims.quantities import Quantity, Tables
from trainfit.bench.claims.statistics import Computed, Expected, Outcome, Statistic, decide
from trainfit.bench.claims.workloads import Cited, Operand, Side
from trainfit.bench.errors import BenchError
from trainfit.bench.records.reading import run_name

_MOST_PROBLEMS = 2


class ClaimsError(BenchError):
    """The claims cannot be read, or none of them can be judged."""


# ---- what is claimed -----------------------------------------------------------------------------


@dataclass(frozen=True)
class Check:
    """One figure of a claim: a statistic of some workloads, and what was published of it.

    Attributes:
        what: What is compared, in words.
        quantity: Of what.
        statistic: What is computed.
        workloads: Of which workloads, a side each.
        expected: What was published.
        fair: What has to be equal on all sides.
    """

    what: str
    quantity: Quantity
    statistic: Statistic
    workloads: tuple[Side, ...]
    expected: Expected
    fair: Fair = field(default_factory=Fair)

    def __post_init__(self) -> None:
        if self.statistic.shares and self.quantity.unit != "%":
            name, key = self.statistic.name, self.quantity.key
            raise ValueError(f"{self.what}: {name} is of shares such as accuracies, not {key}")
        if self.quantity.varies and any(isinstance(each, Cited) for each in self.workloads):
            raise ValueError(
                f"{self.what}: {self.quantity.key} differs from seed to seed, so a"
                " figure from elsewhere cannot be a side"
            )


def compare(
    what: str,
    quantities: Quantity | Sequence[Quantity],
    statistic: Statistic,
    *sides: Side,
    expected: Expected,
    fair: Fair | None = None,
) -> list[Check]:
    """A check per quantity; where there are several, each is named behind ``what``.

    Args:
        what: What is compared, in words.
        quantities: Of what.
        statistic: What is computed.
        sides: Of which workloads: left and right, or as many as the statistic takes.
        expected: What was published.
        fair: What has to be equal on all sides, if not everything but the rule.
    """
    rest = (statistic, sides, expected, fair or Fair())
    if isinstance(quantities, Quantity):
        return [Check(what, quantities, *rest)]
    return [Check(f"{what}, {q.name}", q, *rest) for q in quantities]


@dataclass(frozen=True)
class Claim:
    """What a paper claims, in our words.

    Attributes:
        id: Its name.
        paper: Whose it is.
        text: What is claimed.
        source: Where in the paper.
        suites: Make the records that its checks need: names, or paths from the root of the project.
        checks: Test it; without any it cannot be tested here.
        not_testable: Why.
        remark: What else has to be known.
    """

    id: str
    paper: Paper
    text: str
    source: str
    suites: Sequence[str] = ()
    checks: Sequence[Check] = ()
    not_testable: str | None = None
    remark: str | None = None

    def __post_init__(self) -> None:
        if bool(self.checks) == bool(self.not_testable):
            raise ValueError(f"{self.id}: needs either checks or not_testable, the reason")
        if self.checks and not self.suites:
            raise ValueError(f"{self.id}: needs suites, which make the records that test it")


@dataclass(frozen=True)
class Paper:
    """A paper and what it claims, in the order in which that is written down."""

    name: str
    title: str
    claims: list[Claim] = field(default_factory=list, compare=False)

    def claim(
        self,
        id: str,  # noqa: A002  (as the field is called)
        text: str,
        *,
        source: str,
        suites: Sequence[str] = (),
        checks: Sequence[Check] = (),
        not_testable: str | None = None,
        remark: str | None = None,
    ) -> None:
        """Add a claim; see :class:`Claim`.

        Raises:
            ValueError: It has neither checks nor a reason, or no suite.
        """
        given = (id, self, text, source, suites, checks, not_testable, remark)
        self.claims.append(Claim(*given))


# ---- what the records say of it ------------------------------------------------------------------


class ClaimVerdict(StrEnum):
    """What became of a claim."""

    HOLDS = "holds"
    IN_PART = "holds in part"
    DOES_NOT_HOLD = "does not hold"
    NOT_DECIDED = "not decided"
    NOT_TESTABLE = "not testable here"
    NO_RECORDS = "no records"


@dataclass(frozen=True)
class JudgedCheck:
    """A check beside what the records say.

    Attributes:
        check: What is tested.
        sides: What the records say of each side.
        outcome: Whether it holds.
        computed: What was computed; None where nothing could be.
        problems: Why it is undecided, or what is missing.
        evidence: What it rests on; None of bytes and products, and where nothing was computed.
    """

    check: Check
    sides: Sequence[Operand]
    outcome: Outcome
    computed: Computed | None = None
    problems: tuple[str, ...] = ()
    evidence: Evidence | None = None

    @property
    def reason(self) -> str | None:
        """The problems as one text."""
        return _shortened(self.problems)

    @property
    def seeds(self) -> int | None:
        """Of the setting that has the fewest; None where nothing was computed."""
        counts = [len(each.by_seed) for side in self.sides for each in side.settings]
        return min(counts) if counts and self.computed else None


@dataclass(frozen=True)
class Judged:
    """One claim and its verdict; ``suites`` make the records that are missing."""

    claim: Claim
    verdict: ClaimVerdict
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


def judge_claims(runs: Sequence[Path], claims: Sequence[Claim]) -> list[Judged]:
    """Test claims by the records of some runs.

    Args:
        runs: Run folders; none leaves every claim that needs records without.
        claims: Which ones.

    Raises:
        BenchError: A run cannot be read.
    """
    tables, there = Tables(runs), {run_name(path) for path in runs}
    return [_judged(claim, tables, there) for claim in claims]


def _judged(claim: Claim, tables: Tables, there: set[str]) -> Judged:
    checks = [_checked(check, tables) for check in claim.checks]
    missing = any(each.outcome is Outcome.MISSING for each in checks)
    suites = list(claim.suites) if missing else []
    new = [suite for suite in suites if Path(suite).stem not in there]
    return Judged(claim, _verdict([each.outcome for each in checks]), checks, new or suites)


def _checked(check: Check, tables: Tables) -> JudgedCheck:
    grid = check.statistic.grid
    paired = pair(tables, check.quantity, check.workloads, check.fair, grid=grid)
    if paired.missing or paired.refused:
        outcome = Outcome.MISSING if paired.missing else Outcome.UNDECIDED
        return JudgedCheck(check, (), outcome, problems=paired.missing or paired.refused)
    computed = check.statistic.compute(paired.sides)
    outcome, why = decide(check.expected, check.statistic, computed)
    evidence = weigh(paired.sides, check.fair) if check.quantity.varies else None
    if evidence and evidence.lacking:
        outcome, why = Outcome.UNDECIDED, "; ".join(evidence.lacking)
    problems = (f"{check.what}: {why}",) if why else ()
    return JudgedCheck(check, paired.sides, outcome, computed, problems, evidence)


def _verdict(outcomes: Sequence[Outcome]) -> ClaimVerdict:
    found = set(outcomes)
    if not found:
        return ClaimVerdict.NOT_TESTABLE
    if found == {Outcome.HOLDS}:
        return ClaimVerdict.HOLDS
    if Outcome.HOLDS in found:
        return ClaimVerdict.IN_PART
    if Outcome.FAILS in found:
        return ClaimVerdict.DOES_NOT_HOLD
    return ClaimVerdict.NO_RECORDS if found == {Outcome.MISSING} else ClaimVerdict.NOT_DECIDED


def command(suite: str) -> str:
    """The command that makes the records of a suite."""
    name = Path(suite).stem
    out = f"results/runs/{name}" if suite.startswith("results/suites/") else f"runs/{name}"
    return f"trainfit run {suite} --data-root DATA --out {out}"
