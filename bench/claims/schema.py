"""What a list of claims holds: claims, their checks, and the workloads that a check compares."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, Any, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from trainfit.bench.claims.words import (
    ALONG,
    DEFAULT,
    SHARES,
    Expect,
    Source,
    Statistic,
    quantity_name,
    require_quantity,
)


def _listed(value: Any) -> Any:
    return value if isinstance(value, list) or value is None else [value]


def _span(value: Any) -> Any:
    """One number as a range that is a point."""
    return value if isinstance(value, list) else [value, value]


Text = Annotated[str, Field(min_length=1)]
Texts = Annotated[list[Text], BeforeValidator(_listed), Field(min_length=1)]
_Range = Annotated[list[float], BeforeValidator(_span), Field(min_length=2, max_length=2)]
Suites = Annotated[list[Text], BeforeValidator(_listed)]
_Sizes = Annotated[list[Annotated[int, Field(ge=1)]], BeforeValidator(_listed), Field(min_length=1)]


class Strict(BaseModel):
    """Fixed once read, no key but its own, and no value of another type."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class Selector(Strict):
    """Which rows are meant: every column that is given has to have one of its values.

    ``options`` is a part of the workload's options; ``"(default)"`` is an option that is not set.
    A side that matches several settings with different values is not decided.
    """

    algorithm: Texts | None = None
    options: dict[str, Any] = Field(default_factory=dict)
    model: Texts | None = None
    dataset: Texts | None = None
    batch_size: _Sizes | None = None
    epochs: Annotated[list[int], BeforeValidator(_listed)] | None = None
    train_samples: Annotated[int, Field(ge=1)] | str | None = None
    standardise: bool | None = None
    shuffle: bool | None = None
    run: Texts | None = None
    bits: Annotated[int, Field(ge=1)] | None = None
    """Of the source ``noise``: weights rounded to so many bits."""
    amplitude: float | None = None
    """Of the source ``noise``: even noise of that share of the largest weight."""

    def merged(self, other: Selector) -> Selector:
        """This one with what ``other`` says added; ``other`` wins."""
        said = {name: getattr(other, name) for name in other.model_fields_set}
        if "options" in said:
            said["options"] = self.options | other.options
        return self.model_copy(update=said)

    @property
    def text(self) -> str:
        """``algorithm[option=value] model dataset b32``, as far as it says so."""
        options = ",".join(
            f"{key}={_words(_listed(value))}"
            for key, value in sorted(self.options.items())
            if value != DEFAULT
        )
        parts = [_words(self.algorithm or ["any algorithm"]) + (f"[{options}]" if options else "")]
        parts += [_words(each) for each in (self.model, self.dataset) if each]
        parts += [f"b{_words(self.batch_size)}"] if self.batch_size else []
        parts += [f"of {self.train_samples} samples"] if isinstance(self.train_samples, int) else []
        parts += [f"{_words(self.epochs)} epochs"] if self.epochs else []
        parts += [f"at {self.bits} bits"] if self.bits else []
        parts += [f"with noise of {self.amplitude:g}"] if self.amplitude is not None else []
        return " ".join(parts)


def _words(values: Iterable[Any]) -> str:
    return "|".join(str(each).lower() if isinstance(each, bool) else str(each) for each in values)


class Check(Strict):
    """One figure of a claim, and what is computed to hold against it.

    ``left`` and ``right`` are compared; ``where`` is what both have in common. ``along`` lists what
    varies from step to step, for statistics over several points; ``sides`` are those of an order,
    the smallest first. ``published`` (one figure, or the two ends of a range) and ``tolerance`` are
    in the unit of the statistic. With several quantities it is judged by each.
    """

    what: Text
    statistic: Annotated[Statistic, Field(strict=False)]
    quantity: Texts = ["test_accuracy"]
    source: Annotated[Source, Field(strict=False)] | None = None
    expect: Annotated[Expect, Field(strict=False)]
    published: _Range | None = None
    than: float | None = None
    """What ``more`` and ``less`` mean; by itself no difference."""
    tolerance: float = Field(ge=0)
    margin: float = Field(default=2.0, gt=0)
    """Of ``near_best_points``: how many points below the best still count as near it."""
    where: Selector = Selector()
    left: Selector | None = None
    right: Selector | None = None
    along: list[Selector] = Field(default_factory=list)
    sides: list[Selector] = Field(default_factory=list)
    suite: Suites = []

    @model_validator(mode="after")
    def _whole(self) -> Self:
        for each in self.quantity:
            require_quantity(each)
            if self.statistic in SHARES and not each.endswith("accuracy"):
                raise ValueError(f"{self.statistic} needs an accuracy, not {each}")
        if self.statistic is Statistic.PAIRS_IN_ORDER and len(self.sides) < 2:
            raise ValueError("pairs_in_order needs sides, two or more")
        if self.statistic in ALONG and len(self.along) < 2:
            raise ValueError(f"{self.statistic} needs along, two or more")
        if self.published is None and self.expect not in (Expect.MORE, Expect.LESS):
            raise ValueError(f"{self.expect} needs published")
        if self.published is not None and self.published[0] > self.published[1]:
            raise ValueError("published: the low end comes first")
        return self

    @property
    def frame(self) -> Source:
        """The frame that it reads."""
        passes = self.statistic is Statistic.PASSES_RATIO
        return self.source or (Source.CURVES if passes else Source.RECORDS)

    @property
    def compared(self) -> list[Selector]:
        """Every side whose rows are needed; left and right of one step follow each other."""
        if self.sides:
            return [self.where.merged(each) for each in self.sides]
        steps = self.along or [Selector()]
        pair = [side for side in (self.left, self.right) if side is not None]
        return [self.where.merged(step).merged(side) for step in steps for side in pair]


class Claim(Strict):
    """What a paper claims, in our words, and the checks that test it here.

    ``suite`` makes the records that the checks need; ``remark`` says what else has to be known.
    ``where``, ``left`` and ``right`` are those of every check that does not say otherwise.
    """

    id: str = Field(
        pattern=r"^[a-z0-9][a-z0-9-]*$", description="small letters, digits and hyphens"
    )
    paper: Text
    text: Text
    source: Text
    suite: Suites = []
    not_testable: Text | None = None
    remark: Text | None = None
    where: Selector = Selector()
    left: Selector | None = None
    right: Selector | None = None
    check: list[Check] = Field(default_factory=list)
    paper_title: str = ""

    @model_validator(mode="after")
    def _testable(self) -> Self:
        if bool(self.check) == bool(self.not_testable):
            raise ValueError("needs either checks or not_testable, the reason")
        for each in self.checks:
            if not each.suite:
                raise ValueError("needs suite, which makes the records that test it")
            if not each.sides and (each.left is None or each.right is None):
                raise ValueError(f"{each.statistic} needs left and right")
        return self

    @property
    def checks(self) -> list[Check]:
        """The checks, one per quantity, each with what it takes over from the claim."""
        return [
            check.model_copy(
                update={
                    "what": check.what
                    if len(check.quantity) == 1
                    else f"{check.what}, {quantity_name(quantity)}",
                    "quantity": [quantity],
                    "where": self.where.merged(check.where),
                    "left": check.left or self.left,
                    "right": check.right or self.right,
                    "suite": check.suite or self.suite,
                }
            )
            for check in self.check
            for quantity in check.quantity
        ]
