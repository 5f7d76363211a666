"""What is wrong in a file that a person wrote: which key, what is wrong, what would be right.

Places read like the file, counted from 1: ``workload[2].batch_size`` is the key of the second
``[[workload]]``. A leaf: it imports nothing of this project but the other leaf.

A schema can help: ``description`` of a field with a pattern says what may stand there, a class
attribute ``example`` what to write for a table, and ``quantity`` and ``advice`` which units it has.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple, get_args

from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo

from trainfit._limits import LONGEST_MESSAGE
from trainfit._text import nearest, shortened, shown

_SAYS = {
    "greater_than_equal": "must be at least {ge}, got {input}",
    "greater_than": "must be more than {gt}, got {input}",
    "less_than_equal": "must be at most {le}, got {input}",
    "int_type": "must be a whole number, got {input}",
    "int_from_float": "must be a whole number, got {input}",
    "int_parsing": "must be a whole number, got {input}",
    "float_type": "must be a number, got {input}",
    "float_parsing": "must be a number, got {input}",
    "string_type": "must be text in quotes, got {input}",
    "string_too_short": "must not be empty",
    "string_too_long": "may have at most {max_length} characters, got {input}",
    "too_short": "must not be empty",
    "list_type": "must be a list, got {input}",
    "dict_type": "must be a table, got {input}",
    "model_type": "must be a table, got {input}",
    "literal_error": "must be {expected}, got {input}",
    "enum": "must be {expected}, got {input}",
    "bool_type": "must be true or false, got {input}",
}


def explain(
    error: ValidationError,
    raw: Mapping[str, Any],
    schema: type[BaseModel],
    *,
    at: str = "",
    whole: str = "",
) -> str:
    """The first problem of a validation, in one line: place, what is wrong, what would be right.

    Args:
        error: What pydantic found.
        raw: The parsed file, or a table of it.
        schema: What it was validated by; names the right keys.
        at: Where in the file that table is.
        whole: What to call all of it where there are further problems; empty to leave them out.
    """
    found = error.errors(include_url=False)
    # A misspelt key is the cause of the key that is missing.
    first = next((each for each in found if each["type"] == "extra_forbidden"), found[0])
    where = _find(first["loc"], raw, schema)
    place = ".".join(filter(None, [at, where.place]))
    if first["type"] == "extra_forbidden":
        key = str(first["loc"][-1])
        place = place.removesuffix(key).removesuffix(".")
        text = f"unknown key {shown(key)}; {nearest(key, _fields(where.owner))}"
    else:
        text = _problem(first, where)
    more = len(found) - 1 if whole else 0
    place = shown(place, quoted=False)
    tail = f" ({more} more {'problem' if more == 1 else 'problems'} in {whole})" if more else ""
    return f"{place}: {text}{tail}" if place else f"{text}{tail}"


def _problem(first: Any, where: _Place) -> str:
    kind, given = first["type"], shown(first["input"])
    example = getattr(where.value, "example", "")
    if kind == "value_error":  # raised by the schema itself, in the words a user should read
        return shortened(str(first["ctx"]["error"]), LONGEST_MESSAGE)
    if kind == "missing":
        return f'is missing; write {example} or {{ unknown = "why" }}' if example else "is missing"
    if kind == "model_type" and example:
        return f"must be a table, got {given}; write {example}"
    owner: Any = where.owner
    if kind == "literal_error" and first["loc"][-1] == "unit" and hasattr(owner, "advice"):
        return f"{given} is not a unit of {owner.quantity}; {owner.advice}"
    if kind == "string_pattern_mismatch" and where.field is not None and where.field.description:
        return f"must be made of {where.field.description}, got {given}"
    says = _SAYS.get(kind, f"{_plain(first['msg'])}, got {{input}}")
    return says.format(**first.get("ctx", {}) | {"input": given})


def _plain(message: str) -> str:
    """A sentence of pydantic's as the rest of ours, safe to be formatted."""
    begun = message.removeprefix("Input should be ")
    text = f"must be {begun}" if begun != message else message[:1].lower() + message[1:]
    return text.replace("{", "{{").replace("}", "}}")


class _Place(NamedTuple):
    """Where an error is, the schema that the last key belongs to, its field, and that's schema."""

    place: str
    owner: type[BaseModel]
    field: FieldInfo | None
    value: type[BaseModel] | None


def _find(loc: tuple[int | str, ...], raw: Any, schema: type[BaseModel]) -> _Place:
    """Steps that the file does not have are left out.

    Such are the tags of unions, and the index that comes from reading a single value as a list.
    """
    found = _Place("", schema, None, schema)
    at = raw
    for step in loc:
        owner = found.value or found.owner
        if isinstance(step, int):
            if isinstance(at, list) and step < len(at):
                found, at = found._replace(place=f"{found.place}[{step + 1}]"), at[step]
        elif step in _fields(owner) or (isinstance(at, dict) and step in at):
            field = _fields(owner).get(step)
            place = f"{found.place}.{step}" if found.place else step
            at = at.get(step) if isinstance(at, dict) else None
            # a key of a mapping has the same schema as the mapping's values
            value = _model_in(field.annotation) if field else found.value
            found = _Place(place, owner, field, value)
    return found


def _fields(model: type[BaseModel]) -> dict[str, FieldInfo]:
    """The fields of a model by the keys they have in a file."""
    return {field.alias or name: field for name, field in model.model_fields.items()}


def _model_in(annotation: Any) -> type[BaseModel] | None:
    """The model inside an annotation such as ``list[Entry]``, if there is one."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    found = (_model_in(argument) for argument in get_args(annotation))
    return next((model for model in found if model is not None), None)
