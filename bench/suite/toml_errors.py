"""What is wrong in a file a person wrote: which key, what is wrong, what would be right.

Places read like the file: ``workload[2].batch_size`` is the key of the second ``[[workload]]``.
"""

from __future__ import annotations

from typing import Any, get_args

from pydantic import BaseModel, ValidationError

from trainfit._text import nearest

_SAYS = {
    "greater_than_equal": "must be at least {ge}, got {input!r}",
    "greater_than": "must be more than {gt}, got {input!r}",
    "less_than_equal": "must be at most {le}, got {input!r}",
    "int_type": "must be a whole number, got {input!r}",
    "int_from_float": "must be a whole number, got {input!r}",
    "float_type": "must be a number, got {input!r}",
    "string_type": "must be text in quotes, got {input!r}",
    "string_too_short": "must not be empty",
    "too_short": "must not be empty",
    "missing": "is missing",
    "list_type": "must be a list, got {input!r}",
    "dict_type": "must be a table, got {input!r}",
    "model_type": "must be a table, got {input!r}",
    "literal_error": "must be {expected}, got {input!r}",
    "enum": "must be {expected}, got {input!r}",
    "bool_type": "must be true or false, got {input!r}",
    "string_pattern_mismatch": "may hold letters, digits, '.', '_' and '-' only, got {input!r}",
}


def explain(
    error: ValidationError, raw: dict[str, Any], schema: type[BaseModel], *, at: str = ""
) -> str:
    """The first problem of a validation as ``place: what is wrong``.

    Args:
        error: What pydantic found.
        raw: The parsed file, or a table of it.
        schema: The model it was held against; names the right keys.
        at: Where in the file that table is.
    """
    found = error.errors()
    # a misspelt key is the cause of the key that is missing
    first = next((each for each in found if each["type"] == "extra_forbidden"), found[0])
    place, known = _place(first["loc"], raw, schema)
    place = ".".join(filter(None, [at, place]))
    if first["type"] == "extra_forbidden":
        outer, _, key = place.rpartition(".")
        return f"{outer + ': ' if outer else ''}unknown key {key!r}; {nearest(key, known)}"
    if first["type"] == "value_error":
        return f"{place}: {first['ctx']['error']}"
    says = _SAYS.get(first["type"], first["msg"].replace("{", "{{").replace("}", "}}"))
    return f"{place}: {says.format(input=first['input'], **first.get('ctx', {}))}"


def _place(loc: tuple[int | str, ...], raw: Any, schema: type[BaseModel]) -> tuple[str, list[str]]:
    """Where an error is, and which keys exist there.

    Steps that the file does not have are left out: the tags of unions, and the index that comes
    from reading a single value as a list of one.
    """
    place, at, model = "", raw, schema
    for step in loc:
        if isinstance(step, int):
            if isinstance(at, list) and step < len(at):
                place, at = f"{place}[{step + 1}]", at[step]
        elif step in model.model_fields or (isinstance(at, dict) and step in at):
            place = f"{place}.{step}" if place else str(step)
            at = at.get(step) if isinstance(at, dict) else None
            field = model.model_fields.get(step)
            model = _inner(field.annotation) or model if field else model
    return place, [field.alias or name for name, field in model.model_fields.items()]


def _inner(annotation: Any) -> type[BaseModel] | None:
    """The model inside an annotation such as ``list[Entry]``, if there is one."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    found = (_inner(argument) for argument in get_args(annotation))
    return next((model for model in found if model is not None), None)
