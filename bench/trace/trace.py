"""What a traced step did: its operators in order, and the storages they read, write and make.

::

    operator    mm      add_     mul      sum     ...
    storage 7   made    written  read                    freed: nobody holds it any more
    storage 8                    made     read    ...

A storage is what an allocator gives: a tensor and its views are one storage. Storages found before
the step (weights, the batch) are in the list too.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property

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
class Operator:
    """One call of an operator that reads or writes elements; views are none.

    Attributes:
        name: As torch names it: ``aten.mm.default``.
        phase: The innermost phase.
        reads: Numbers of the storages it is given.
        writes: Numbers of those among them that it changes.
        makes: Numbers of the storages of its results.
        position: Number of births and deaths before it ended.
    """

    name: str
    phase: str
    reads: tuple[int, ...]
    writes: tuple[int, ...]
    makes: tuple[int, ...]
    position: int


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
        """Whether both are the same operators, births and deaths in the same order."""
        return (
            self.stream.sizes == other.stream.sizes
            and self.operators == other.operators
            and [each.size for each in self.storages] == [each.size for each in other.storages]
        )
