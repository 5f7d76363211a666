"""One line about a file that a person wrote, whatever its schema."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal

import pytest
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from trainfit._schema_errors import explain


class Size(BaseModel):
    model_config = ConfigDict(extra="forbid")

    quantity: ClassVar[str] = "size"
    advice: ClassVar[str] = "write bytes"
    example: ClassVar[str] = '{ value = 1, unit = "B" }'

    value: int = Field(gt=0, multiple_of=2)
    unit: Literal["B"]


def in_braces(name: str) -> str:
    if name == "bad":
        raise ValueError("write {good}")
    return name


class Board(BaseModel):
    model_config = ConfigDict(extra="forbid")

    slug: Annotated[str, AfterValidator(in_braces)] = Field(
        alias="name", pattern="^[a-z]+$", description="small letters"
    )
    size: Size
    by_kind: dict[str, Size] = Field(default_factory=dict)
    regions: list[Size] = Field(default_factory=list)


GOOD = {"value": 2, "unit": "B"}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"name": "A"}, "name: must be made of small letters, got 'A'"),
        ({"name": "bad"}, "name: write {good}"),
        ({"nmae": "a"}, "unknown key 'nmae'; did you mean name?"),
        ({"size": 3}, 'size: must be a table, got 3; write { value = 1, unit = "B" }'),
        ({"size": {"value": 3, "unit": "B"}}, "size.value: must be a multiple of 2, got 3"),
        (
            {"size": {"value": 2, "unit": "kB"}},
            "size.unit: 'kB' is not a unit of size; write bytes",
        ),
        ({"size": {"value": 2}}, "size.unit: is missing"),
        ({"regions": [GOOD, {**GOOD, "value": 0}]}, "regions[2].value: must be more than 0, got 0"),
        (
            {"regions": [{**GOOD, "vlaue": 2}]},
            "regions[1]: unknown key 'vlaue'; did you mean value?",
        ),
        (
            {"by_kind": {"ram": {**GOOD, "value": "{}"}}},
            "by_kind.ram.value: must be a whole number, got '{}'",
        ),
    ],
)
def test_place_problem_and_remedy(change: dict[str, Any], message: str) -> None:
    raw = {"name": "a", "size": GOOD, **change}
    with pytest.raises(ValidationError) as caught:
        Board.model_validate(raw)

    assert explain(caught.value, raw, Board).startswith(message)


def test_a_figure_that_is_missing_has_an_example_and_what_follows_is_counted() -> None:
    with pytest.raises(ValidationError) as caught:
        Board.model_validate({})

    assert explain(caught.value, {}, Board) == "name: is missing"
    text = explain(caught.value, {}, Board, at="board", whole="this file")
    assert text == "board.name: is missing (1 more problem in this file)"
    with pytest.raises(ValidationError) as caught:
        Board.model_validate({"name": "a"})
    assert explain(caught.value, {"name": "a"}, Board) == (
        'size: is missing; write { value = 1, unit = "B" } or { unknown = "why" }'
    )
