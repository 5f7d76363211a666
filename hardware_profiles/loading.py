"""From a name or a file to a ``Device``, and from a malformed file to one line that helps."""

from __future__ import annotations

import difflib
import re
import tomllib
from collections.abc import Iterable, Sequence
from importlib import resources
from pathlib import Path
from typing import Any, get_args

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from .errors import ProfileError
from .figures import Figure
from .schema import Device

_SUFFIX = ".toml"
_POSITION = re.compile(r"\s*\(at (line \d+, column \d+|end of document)\)$")


def device_names() -> list[str]:
    """Names of the packaged devices, sorted."""
    folder = resources.files(__package__ or "hardware_profiles")
    return sorted(
        entry.name.removesuffix(_SUFFIX)
        for entry in folder.iterdir()
        if entry.name.endswith(_SUFFIX)
    )


def load_device(name_or_path: str) -> Device:
    """A packaged device by its name, or any device by the path of its ``.toml`` file.

    Args:
        name_or_path: A name from ``device_names``, or a path that ends with ``.toml``.

    Raises:
        ProfileError: There is no such device or file, or the file is malformed or contradicts
            itself. The message is one line: file, key, what is wrong, what would be right.
    """
    if name_or_path.endswith(_SUFFIX):
        path = Path(name_or_path)
        try:
            content = path.read_bytes()
        except FileNotFoundError:
            raise ProfileError(
                f"{name_or_path}: no such file; packaged devices are named without {_SUFFIX}:"
                f" {', '.join(device_names())}"
            ) from None
        except OSError as error:
            raise ProfileError(f"{name_or_path}: cannot be read: {error.strerror}") from error
        return parse_device(content, name_or_path, stem=path.stem)
    names = device_names()
    if name_or_path not in names:
        raise ProfileError(
            f"unknown device {name_or_path!r}; {_nearest(name_or_path, names)}"
            f" (or give the path of a {_SUFFIX} file)"
        )
    file = resources.files(__package__ or "hardware_profiles") / f"{name_or_path}{_SUFFIX}"
    return parse_device(file.read_bytes(), f"{name_or_path}{_SUFFIX}", stem=name_or_path)


def parse_device(content: bytes, file: str, *, stem: str) -> Device:
    """A device from the bytes of its file.

    Args:
        content: TOML in UTF-8.
        file: What to call the file in a message.
        stem: The name the device has to have.

    Raises:
        ProfileError: As for ``load_device``.
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
    try:
        device = Device.model_validate(table)
    except ValidationError as error:
        raise ProfileError(f"{file}: {_explain(error)}") from error
    if device.name != stem:
        raise ProfileError(
            f"{file}: name: {device.name!r} is not the name of the file; write name = {stem!r} or"
            f" name the file {device.name}{_SUFFIX}"
        )
    return device


def _explain(error: ValidationError) -> str:
    """The first problem as ``key: what is wrong; what would be right``, and how many follow."""
    problems = error.errors(include_url=False)
    first = problems[0]
    kind, loc = first["type"], first["loc"]
    if kind == "value_error":  # raised by the schema itself, in the words a user should read
        text = first["msg"].removeprefix("Value error, ")
    elif kind in {"missing", "extra_forbidden"}:
        text = _key_problem(kind, loc)
    else:
        text = _value_problem(first)
    more = len(problems) - 1
    tail = f" ({more} more {'problem' if more == 1 else 'problems'} in this file)" if more else ""
    return f"{_key(loc)}: {text}{tail}" if loc else f"{text}{tail}"


def _key_problem(kind: str, loc: tuple[int | str, ...]) -> str:
    if kind == "extra_forbidden":
        owner = _model_at(loc[:-1]) or Device
        return f"unknown key; {_nearest(str(loc[-1]), owner.model_fields)}"
    figure = _figure(_model_at(loc))
    write = f'; write {figure.example} or {{ unknown = "why" }}' if figure else ""
    return f"missing{write}"


def _value_problem(error: ErrorDetails) -> str:
    kind, loc, given = error["type"], error["loc"], error["input"]
    owner = _figure(_model_at(loc[:-1]))
    if kind == "model_type":
        figure = _figure(_model_at(loc))
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
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else part
    return text


def _model_at(loc: Sequence[int | str]) -> type[BaseModel] | None:
    """The schema class that describes the place ``loc`` of a device file."""
    model: type[BaseModel] | None = Device
    for part in loc:
        if isinstance(part, int):
            continue
        field = model.model_fields.get(part) if model else None
        model = _model_in(field.annotation) if field else None
    return model


def _model_in(annotation: Any) -> type[BaseModel] | None:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    for part in get_args(annotation):
        found = _model_in(part)
        if found:
            return found
    return None


def _figure(model: type[BaseModel] | None) -> type[Figure] | None:
    return model if model is not None and issubclass(model, Figure) else None


def _nearest(name: str, known: Iterable[str]) -> str:
    names = sorted(known)
    near = difflib.get_close_matches(name, names, n=3, cutoff=0.5)
    return f"did you mean {' or '.join(near)}?" if near else f"known: {', '.join(names)}"
