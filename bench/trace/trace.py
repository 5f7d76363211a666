"""What a traced step did: its operators in order, and the storages they read, write and make.

::

    operator    mm      add_     mul      sum     ...
    storage 7   made    written  read                    freed: nobody holds it any more
    storage 8                    made     read    ...

A storage is what an allocator gives: a tensor and its views are one storage. Storages found before
the step (weights, the batch) are in the list too.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import torch

from trainfit.bench.profiler.events import Stream
from trainfit.bench.profiler.fold import Fold, fold


@dataclass(slots=True)
class Storage:
    """Bytes that live and die together.

    Attributes:
        number: Its place in the trace's list, from 0.
        size: Bytes, as the allocator is asked for them.
        label: Type and shape of the tensor it was made for, or what it was tagged as.
        category: What it is for.
        phase: The innermost phase it was made in; empty if it was found.
        found: It was there before the step.
        scratch: The operator that made it for itself; empty for a tensor.
    """

    number: int
    size: int
    label: str
    category: str
    phase: str
    found: bool
    scratch: str = ""


@dataclass(frozen=True, slots=True)
class Operand:
    """A tensor as an operator sees it: a part of a storage.

    Attributes:
        storage: Number of its storage.
        shape, strides, offset: Where its elements lie, in elements from the start of the storage.
        dtype: Their type.
    """

    storage: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]
    offset: int
    dtype: torch.dtype

    @property
    def elements(self) -> int:
        """Number of elements, those counted again that strides of 0 repeat."""
        return math.prod(self.shape)

    @property
    def distinct(self) -> int:
        """Number of elements of the storage that it covers."""
        return math.prod(n for n, by in zip(self.shape, self.strides, strict=True) if by)


OUT = ("out", "grad_input")
"""Names of arguments that are only written to."""


@dataclass(frozen=True)
class Operator:
    """One call of an operator that reads or writes elements; views are none.

    Attributes:
        name: As torch names it: ``aten.mm.default``.
        phase: The innermost phase; empty outside of all.
        args, kwargs: What it is called with; a tensor is an :class:`Operand`.
        written: The tensors among them that it changes.
        results: The tensors it gives, those it was given included.
        makes: Numbers of the storages that it makes.
        position: Number of births and deaths before it ended.
        times: How often it is called in all, with tensors of these sizes: of a loop over tiles
            (:func:`trainfit.algorithms.tiling.in_tiles`) only the first ones are walked through.
        again: It goes on with what an earlier tile of such a loop began, on other rows.
    """

    name: str
    phase: str
    args: tuple[Any, ...]
    kwargs: Mapping[str, Any]
    written: tuple[Operand, ...]
    results: tuple[Operand, ...]
    makes: tuple[int, ...]
    position: int
    times: int = 1
    again: bool = False

    @cached_property
    def given(self) -> tuple[Operand, ...]:
        """The tensors it is called with, in order."""
        return tuple(operands((self.args, tuple(self.kwargs.values()))))

    @cached_property
    def read(self) -> tuple[Operand, ...]:
        """The tensors whose elements it reads: all but what it only writes to."""
        args = self.args
        if self.name.startswith(("aten.copy_.", "trainfit.copy_patches.")):
            args = args[1:] if self.name.startswith("aten") else args[:1]
            return tuple(each for each in args if isinstance(each, Operand))
        out = [each for name, each in self.kwargs.items() if name in OUT]
        return tuple(e for e in self.given if not any(e is o for o in out)) if out else self.given

    @property
    def on_tensors(self) -> tuple[Any, ...]:
        """All of it but Python's numbers."""
        return (
            self.name,
            self.phase,
            self.given,
            self.written,
            self.results,
            self.position,
            self.times,
        )

    @property
    def reads(self) -> tuple[int, ...]:
        """Numbers of the storages it is given, each once."""
        return tuple(dict.fromkeys(each.storage for each in self.given))

    @property
    def writes(self) -> tuple[int, ...]:
        """Numbers of those among them that it changes."""
        return tuple(dict.fromkeys(each.storage for each in self.written))


def operands(value: object) -> Iterator[Operand]:
    """The operands in a value that an operator is called with, lists of tensors included."""
    if isinstance(value, Operand):
        yield value
    elif isinstance(value, (list, tuple)):
        for each in value:
            yield from operands(each)


@dataclass(frozen=True)
class Trace:
    """A step that was run on tensors without data.

    Attributes:
        storages: All of them, found and made, in the order in which they were first seen.
        operators: Calls in order.
        stream: Births and deaths as the profiler's own stream of events, by number of storage.
        reads_of_data: Where the step asked for a value of a tensor (``float(loss)``), each place
            once. It was given a stand-in.
    """

    storages: Sequence[Storage]
    operators: Sequence[Operator]
    stream: Stream = field(repr=False)
    reads_of_data: Sequence[str] = ()

    @cached_property
    def torch_view(self) -> Fold:
        """Dynamic bytes as torch's allocator will hold them, folded like measured ones."""
        return fold(self.stream)

    def same_steps(self, other: Trace) -> bool:
        """Whether both are the same operators, births and deaths in the same order.

        Python's numbers among the operands may differ: a rate that falls, Adam's count of steps.
        """
        return (
            self.stream.sizes == other.stream.sizes
            and [each.on_tensors for each in self.operators]
            == [each.on_tensors for each in other.operators]
            and [each.size for each in self.storages] == [each.size for each in other.storages]
        )
