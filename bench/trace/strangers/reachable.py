"""The modules that a step holds: what it is a function of, looked for a few references deep."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from types import FunctionType, MethodType
from typing import Any

import torch

_DEEPEST = 4
_LONGEST = 1000  # of a list or a dictionary


def modules_of(step: object) -> list[torch.nn.Module]:
    """Modules among a callable's cells, globals and attributes, and all that are part of them."""
    found: dict[int, torch.nn.Module] = {}
    seen: set[int] = set()
    level: list[Any] = [step]
    for _ in range(_DEEPEST):
        following: list[Any] = []
        for thing in level:
            if id(thing) in seen:
                continue
            seen.add(id(thing))
            if isinstance(thing, torch.nn.Module):
                found.update((id(each), each) for each in thing.modules())
            following += _held(thing)
        level = following
    return list(found.values())


def _held(thing: Any) -> Iterator[Any]:
    if isinstance(thing, partial):
        yield from (thing.func, *thing.args, *thing.keywords.values())
    elif isinstance(thing, MethodType):
        yield from (thing.__self__, thing.__func__)
    elif isinstance(thing, FunctionType):
        for cell in thing.__closure__ or ():
            try:
                yield cell.cell_contents
            except ValueError:  # empty
                continue
        yield from thing.__defaults__ or ()
        names = thing.__globals__
        yield from (names[name] for name in thing.__code__.co_names if name in names)
    elif isinstance(thing, (list, tuple, set)) and len(thing) <= _LONGEST:
        yield from thing
    elif isinstance(thing, dict) and len(thing) <= _LONGEST:
        yield from thing.values()
    elif type(thing).__module__.partition(".")[0] not in ("builtins", "torch"):
        yield from getattr(thing, "__dict__", {}).values() if not isinstance(thing, type) else ()
