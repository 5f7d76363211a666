"""Parsing of a file into a model, with a helpful one-line error for a malformed file."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping, Sequence
from typing import Any, TypeVar, get_args

from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails

from trainfit._text import nearest
from trainfit.hardware_profiles.errors import ProfileError
from trainfit.hardware_profiles.figures import Sourced

_POSITION = re.compile(r"\s*\(at (line \d+, column \d+|end of document)\)$")
_OF_A_KEY = "[key]"  # how pydantic marks a problem with the key of a mapping, not its value

Model = TypeVar("Model", bound=BaseModel)


def parse_table(model: type[Model], content: bytes, file: str) -> Model:
    """A model from the bytes of its file.

    Args:
        model: The schema of the whole file.
        content: TOML in UTF-8.
        file: Name of the file in a message.

    Raises:
        ProfileError: The file is malformed or contradicts itself. The message is one line: file,
            key, what is wrong, what would be right.
    """
    try:
        table = tomllib.loads(content.decode("utf-8"))
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise ProfileError(f"{file}: line {line}: not UTF-8; save the file as UTF-8") from error
    except tomllib.TOMLDecodeError as error:
        where = _POSITION.search(str(error))
        position = f"{where.group(1)}: " if where else ""
        what = _POSITION.sub("", str(error))
        raise ProfileError(
            f"{file}: {position}not valid TOML: {what}; correct that line (text goes in quotes,"
            " a table of one line in braces)"
        ) from error
    return validate(model, table, file, whole="this file")


def validate(model: type[Model], table: Mapping[str, Any], where: str, *, whole: str) -> Model:
    """A model from a mapping of keys as a file has them.

    Args:
        model: The schema.
        table: Keys to values.
        where: Beginning of a message.
        whole: Name of the whole input, for a message on further problems.

    Raises:
        ProfileError: As for ``parse_table``.
    """
    try:
        return model.model_validate(table)
    except ValidationError as error:
        raise ProfileError(f"{where}: {_explain(model, error, whole)}") from error


def _explain(root: type[BaseModel], error: ValidationError, whole: str) -> str:
    """The first problem as ``key: what is wrong; what would be right``, and how many others."""
    problems = error.errors(include_url=False)
    first = problems[0]
    kind, loc = first["type"], first["loc"]
    if kind == "value_error":  # raised by the schema itself, worded for users
        text = first["msg"].removeprefix("Value error, ")
    elif kind in {"missing", "extra_forbidden"}:
        text = _key_problem(root, kind, loc)
    else:
        text = _value_problem(root, first)
    more = len(problems) - 1
    tail = f" ({more} more {'problem' if more == 1 else 'problems'} in {whole})" if more else ""
    return f"{_key(loc)}: {text}{tail}" if loc else f"{text}{tail}"


def _key_problem(root: type[BaseModel], kind: str, loc: tuple[int | str, ...]) -> str:
    if kind == "extra_forbidden":
        owner = _model_at(root, loc[:-1]) or root
        return f"unknown key; {nearest(str(loc[-1]), _fields(owner))}"
    figure = _sourced(_model_at(root, loc))
    write = f'; write {figure.example} or {{ unknown = "why" }}' if figure else ""
    return f"missing{write}"


def _value_problem(root: type[BaseModel], error: ErrorDetails) -> str:
    kind, loc, given = error["type"], error["loc"], error["input"]
    owner = _sourced(_model_at(root, loc[:-1]))
    if kind == "model_type":
        figure = _sourced(_model_at(root, loc))
        return f"{given!r} is not a table; write {figure.example if figure else 'a table'}"
    if kind == "literal_error" and owner and loc[-1] == "unit":
        return f"{given!r} is not a unit of {owner.quantity}; {owner.advice}"
    if kind == "literal_error":
        return f"{given!r} is not allowed; write {error['ctx']['expected']}"
    if kind == "string_pattern_mismatch":
        return f"{given!r} is not a name; write small letters and digits, with single hyphens"
    rule = error["msg"][:1].lower() + error["msg"][1:]
    return f"{given!r} is wrong: {rule}"


def _key(loc: Sequence[int | str]) -> str:
    text = ""
    for part in loc:
        if part != _OF_A_KEY:
            text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else part
    return text


def _fields(model: type[BaseModel]) -> dict[str, FieldInfo]:
    """The fields of a model, by their keys in a file."""
    return {field.alias or name: field for name, field in model.model_fields.items()}


def _model_at(root: type[BaseModel], loc: Sequence[int | str]) -> type[BaseModel] | None:
    """The schema class that describes the place ``loc`` of a file."""
    found: Any = root
    for part in loc:
        if isinstance(part, int):
            continue
        model = _model_in(found)
        if _is_mapping(found):
            found = get_args(found)[1]
        else:
            field = _fields(model).get(part) if model else None
            found = field.annotation if field else None
    return None if _is_mapping(found) else _model_in(found)


def _is_mapping(annotation: Any) -> bool:
    return getattr(annotation, "__origin__", None) is dict


def _model_in(annotation: Any) -> type[BaseModel] | None:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    for part in get_args(annotation):
        found = _model_in(part)
        if found:
            return found
    return None


def _sourced(model: type[BaseModel] | None) -> type[Sourced] | None:
    return model if model is not None and issubclass(model, Sourced) else None
