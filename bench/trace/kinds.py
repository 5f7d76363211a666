"""What is the same for every call of an operator of torch, looked up once."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

from trainfit.bench.trace.scratch import rule_of
from trainfit.bench.trace.trace import Operand, operands


@dataclass(frozen=True, slots=True)
class Kind:
    """An operator.

    Attributes:
        name: As torch names it, ``aten.add_.Tensor``.
        base: Its name alone, ``add_``.
        is_view: It gives a view of what it is given.
        writes: Place and name of the arguments that it changes, as its schema says.
        scratch: Gives the bytes of what it makes for itself; None if that is nothing.
    """

    name: str
    base: str
    is_view: bool
    writes: tuple[tuple[int, str], ...]
    scratch: Callable[[Sequence[Any], Mapping[str, Any]], tuple[int, ...]] | None

    def written(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[Operand, ...]:
        """Those of the tensors that it is called with."""
        found: list[Operand] = []
        for at, name in self.writes:
            value = args[at] if at < len(args) else kwargs.get(name)
            found += [value] if isinstance(value, Operand) else operands(value)
        return tuple(found)


@cache
def kind_of(func: Any) -> Kind:
    """What is known of an operator."""
    writes = tuple(
        (place, argument.name)
        for place, argument in enumerate(func._schema.arguments)
        if argument.alias_info is not None and argument.alias_info.is_write
    )
    name = func.overloadpacket.__name__
    return Kind(str(func), name, func.is_view, writes, rule_of(name))
