"""Parsing of a file into a model, with a helpful one-line error for a malformed file."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from trainfit._files import FileError, decoded, parse_toml
from trainfit._schema_errors import explain
from trainfit.hardware_profiles.errors import ProfileError

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
        table = parse_toml(decoded(content))
    except FileError as problem:
        raise ProfileError(f"{file}: {problem}") from None
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
        raise ProfileError(f"{where}: {explain(error, table, model, whole=whole)}") from error
