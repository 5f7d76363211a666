"""What bytes are for: watches one step at the operator level and tags what is born there.

Runs in a repeat of its own, whose answer is carried over to the repeats without it allocation
by allocation. That works only if both allocate the same blocks in the same order; otherwise the
bytes are ``workspace``, for want of knowledge. Blocks of at most 8 bytes are always workspace:
they are scalars, and watching operators makes a few more of them.
"""

from __future__ import annotations

import weakref
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from trainfit.algorithms.phases import Category
from trainfit.bench.profiler.events import Mark, MarkKind, Stream
from trainfit.bench.profiler.session import storage_pointer

SCALAR_BYTES = 8

_BY_PHASE = {
    "forward": Category.ACTIVATIONS,
    "gradient": Category.GRADIENTS,
    "update": Category.WORKSPACE,
}


class Listener(Protocol):
    """What is told of tensors, and knows in which phase the step is."""

    @property
    def phase(self) -> str:
        """The innermost open phase, empty outside of all."""

    def tag(self, tensor: torch.Tensor, category: Category, label: str) -> None:
        """A tensor is for something."""


@dataclass
class Touched:
    """A storage that an operator was given; ``bytes`` is the widest view of it that was used."""

    bytes: int
    written: bool = False


class Attribution(TorchDispatchMode):
    """Tags every tensor an operator makes; notes every storage an operator is given.

    The rule: what is born while autograd runs backward, or in phase ``gradient``, is a gradient;
    in ``forward``, or recomputed during backward, an activation; in ``update`` workspace. In no
    phase, what is made while gradients are being recorded is an activation and the rest is
    workspace. What an operator allocates for itself is seen by nobody here and stays workspace.

    A dispatch mode is part of the thread state that autograd hands to its device threads, so
    operators of a backward on CUDA are seen too.

    Args:
        observer: Is told of every tensor made.
        device: Whose tensors are watched: all devices of a type (``"cpu"``, ``"cuda"``), or one
            (``"cuda:1"``).
    """

    def __init__(self, observer: Listener, device: torch.device | str = "cpu") -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._observer = observer
        self._device = torch.device(device)
        self._touched: dict[int, Touched] = {}
        self._trainable: dict[int, weakref.ref[torch.Tensor]] = {}

    def _category(self) -> Category:
        root = self._observer.phase.split(".", 1)[0]
        if torch._C._current_graph_task_id() != -1 and root != "update":
            # Autograd runs backward without recording; what records there is a recomputation.
            return Category.ACTIVATIONS if torch.is_grad_enabled() else Category.GRADIENTS
        if root in _BY_PHASE:
            return _BY_PHASE[root]
        return Category.ACTIVATIONS if torch.is_grad_enabled() else Category.WORKSPACE

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        """Run the operator, then tag what it made."""
        given = self._tensors((args, kwargs))
        pointers = {storage_pointer(tensor) for tensor in given}
        for tensor in given:
            if tensor._base is None and tensor.requires_grad and tensor.is_leaf:
                self._trainable[storage_pointer(tensor)] = weakref.ref(tensor)
            if not func.is_view:  # a view reads nothing: what is read is the part it shows
                self._touch(tensor)
        result = func(*args, **(kwargs or {}))
        for tensor in self._tensors(result):
            pointer = storage_pointer(tensor)
            if pointer not in pointers:
                name = func.overloadpacket.__name__
                kind = str(tensor.dtype).removeprefix("torch.")
                shape = "x".join(map(str, tensor.shape)) or "scalar"
                self._observer.tag(tensor, self._category(), f"{name} {kind} {shape}")
            elif func._schema.is_mutable and pointer in self._touched:
                self._touched[pointer].written = True
        return result

    def _tensors(self, tree: Any) -> list[torch.Tensor]:
        """The plain tensors on the watched device; sparse ones have no storage of their own."""
        return [
            leaf
            for leaf in tree_leaves(tree)
            if isinstance(leaf, torch.Tensor)
            and leaf.device.type == self._device.type
            and self._device.index in (None, leaf.device.index)
            and leaf.layout == torch.strided
        ]

    def _touch(self, tensor: torch.Tensor) -> None:
        pointer = storage_pointer(tensor)
        known = self._touched.get(pointer)
        if known is None:
            self._touched[pointer] = Touched(tensor.nbytes)
        elif tensor.nbytes > known.bytes:
            known.bytes = tensor.nbytes

    def static(self, born_inside: set[int]) -> dict[Category, int]:
        """Bytes by category of what the step used and neither made nor freed.

        Of a storage that is used through views only (a batch sliced from a data set) the widest
        view counts. What the step writes without training it is optimiser state; what it only
        reads is input.

        Args:
            born_inside: Addresses that were allocated during the step.
        """
        gradients = {
            storage_pointer(tensor.grad)
            for reference in self._trainable.values()
            if (tensor := reference()) is not None and tensor.grad is not None
        }
        sums: dict[Category, int] = {}
        for pointer, touched in self._touched.items():
            if pointer in born_inside or not touched.bytes:
                continue
            if pointer in self._trainable:
                category = Category.PARAMETERS
            elif pointer in gradients:
                category = Category.GRADIENTS
            else:
                category = Category.OPTIMIZER_STATE if touched.written else Category.INPUTS
            sums[category] = sums.get(category, 0) + touched.bytes
        return sums


def born_inside(stream: Stream) -> set[int]:
    """Addresses that were allocated in the measured step, or after it."""
    begin = next(m.position for m in stream.marks if m.kind is MarkKind.BEGIN)
    return {
        pointer
        for pointer, size in zip(stream.pointers[begin:], stream.sizes[begin:], strict=True)
        if size > 0
    }


def carry_tags(source: Stream, target: Stream) -> str:
    """Tag the blocks of ``target`` as the matching blocks of ``source`` are tagged.

    Blocks are matched backwards from the end of the measured step, beyond its beginning as far
    as both agree, since a step may free what an earlier one made.

    Returns:
        Empty if every block of the measured step was matched, otherwise why not.
    """
    tags: dict[int, Mark] = {}
    born: dict[int, int] = {}
    marks = sorted((m for m in source.marks if m.kind is MarkKind.TAG), key=lambda m: m.position)
    upcoming = iter(marks)
    mark = next(upcoming, None)
    for event in range(len(source.sizes) + 1):
        while mark is not None and mark.position == event:
            if mark.pointer in born:
                tags[born[mark.pointer]] = mark
            mark = next(upcoming, None)
        if event < len(source.sizes):
            if source.sizes[event] > 0:
                born[source.pointers[event]] = event
            else:
                born.pop(source.pointers[event], None)
    ours, our_begin = _blocks(source)
    theirs, their_begin = _blocks(target)
    carried: list[Mark] = []
    for mine, its in zip(reversed(ours), reversed(theirs), strict=False):
        if source.sizes[mine] != target.sizes[its] or (mine >= our_begin) != (its >= their_begin):
            if mine >= our_begin or its >= their_begin:
                return "watching operators changes what is allocated"
            break
        if mine in tags:
            tag = tags[mine]
            carried.append(Mark(its + 1, MarkKind.TAG, tag.name, target.pointers[its], tag.label))
    missed = sum(e >= our_begin for e in ours) != sum(e >= their_begin for e in theirs)
    if missed:
        return "watching operators changes what is allocated"
    target.marks[:0] = carried
    return ""


def _blocks(stream: Stream) -> tuple[list[int], int]:
    """Allocations of more than a scalar up to the end of the measured step, and its begin."""
    begin = next(m.position for m in stream.marks if m.kind is MarkKind.BEGIN)
    end = next(m.position for m in stream.marks if m.kind is MarkKind.END)
    sizes = stream.sizes[:end]
    return [event for event, size in enumerate(sizes) if size > SCALAR_BYTES], begin
