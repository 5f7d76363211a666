"""One torch.profiler session that records allocations and our own marks, and nothing else.

Operators are left out (they cost most of a session's overhead), which the public wrapper has no
switch for; the pieces used here are the ones it is made of. Marks are user annotations with a
reserved prefix, so they stand in the same stream as the allocations they belong to.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

import torch
from torch._C import _autograd
from torch._C._profiler import ProfilerActivity, RecordScope, _EventType, _ExperimentalConfig

from trainfit.algorithms.phases import Category
from trainfit.bench.profiler.events import Stream, StreamError
from trainfit.bench.profiler.places import NOWHERE, Places

_PREFIX = f"trainfit-{os.urandom(4).hex()}|"  # no annotation of the user's begins like this
_CANARY_BYTES = 4099  # a prime nobody allocates by chance


class SessionError(RuntimeError):
    """A session could not see what it has to see."""


class Node(NamedTuple):
    """An event of the session: an allocation (``size`` set) or one of our marks (``words``)."""

    words: tuple[str, ...]
    pointer: int
    size: int
    children: list[Node]


def mark(*words: object) -> torch.profiler.record_function:
    """An annotation that :func:`to_streams` understands; use as a context manager."""
    return torch.profiler.record_function(_name(words))


def note(*words: object) -> None:
    """A mark that surrounds nothing, made by one call of torch's; there are several an operator.

    Not for what a compiled step may call: the compiler knows ``record_function`` alone.
    """
    _autograd._record_function_with_args_exit(
        _autograd._record_function_with_args_enter(_name(words))
    )


def _name(words: Iterable[object]) -> str:
    return _PREFIX + "|".join([str(word).replace("|", "/") for word in words])


def words(name: str) -> tuple[str, ...]:
    """What a mark says, from its name in the stream; empty if it is no mark of ours."""
    return tuple(name.split("|")[1:]) if name.startswith(_PREFIX) else ()


def storage_pointer(tensor: torch.Tensor) -> int:
    """Address of a tensor's storage: what the allocator knows it by.

    Computed, since asking for the storage makes a Python object that keeps a reference to it,
    and autograd adds gradients in place only where nobody else holds one.
    """
    offset = int(tensor.storage_offset())
    return tensor.data_ptr() - offset * tensor.element_size() if offset else tensor.data_ptr()


class SessionObserver:
    """Writes phase borders, and tags if asked to, into the running session.

    Args:
        tags: Write what tensors are for, too.
        places: Tells where they are made.
    """

    def __init__(self, *, tags: bool = False, places: Places | None = None) -> None:
        self._open: list[tuple[str, torch.profiler.record_function]] = []
        self._tags = tags
        self._places = places

    @property
    def phase(self) -> str:
        """The innermost open phase, empty outside of all."""
        return self._open[-1][0] if self._open else ""

    def enter(self, name: str) -> None:
        """A phase begins."""
        annotation = mark("phase", name)
        annotation.__enter__()
        self._open.append((name, annotation))

    def leave(self, name: str) -> None:
        """A phase ends."""
        for place in range(len(self._open) - 1, -1, -1):
            if self._open[place][0] == name:
                self._open.pop(place)[1].__exit__(None, None, None)
                return

    def tag(self, tensor: torch.Tensor, category: Category, label: str) -> None:
        """A tensor is for something."""
        if self._tags:
            place = self._places.here() if self._places else NOWHERE
            note("tag", category, storage_pointer(tensor), label, *place)

    def touch(self, number: int) -> None:
        """An operator is given tensors: entry ``number`` of a list that the caller keeps."""
        note("touch", number)

    def scratch(self, operator: str) -> None:
        """An operator has ended that was the last to be given tensors."""
        place = self._places.here() if self._places else NOWHERE
        note("scratch", operator, *place)


def record(
    program: Callable[[], None], *, all_threads: bool = False, operators: bool = False
) -> list[Any]:
    """Run a program inside a session and return the roots of its event tree.

    Args:
        program: What to run; an exception it raises passes through after the session is closed.
        all_threads: Record operators of every thread instead of allocations of this one
            (the profiler has no session that does both).
        operators: Record operators and Python calls besides allocations.

    Raises:
        SessionError: Another profiler session is already active in this process.
    """
    if _autograd._profiler_enabled():
        raise SessionError("another torch profiler session is active; close it before measuring")
    config = torch.autograd.profiler.profile(
        profile_memory=True,
        record_shapes=operators,
        with_stack=operators,
        experimental_config=_ExperimentalConfig(profile_all_threads=all_threads),
    ).config()
    activities = {ProfilerActivity.CPU}
    scopes = set() if all_threads or operators else {RecordScope.USER_SCOPE}
    _autograd._prepare_profiler(config, activities)
    _autograd._enable_profiler(config, activities, scopes)  # type: ignore[call-arg]
    try:
        program()
    finally:
        result = _autograd._disable_profiler()
    return list(result.experimental_event_tree())


def capture(program: Callable[[], None]) -> list[Stream]:
    """Run a program in a session and return one stream per ``mark("step")`` in it.

    Raises:
        SessionError: The session saw no allocation although one was made.
    """

    def with_canary() -> None:
        torch.empty(_CANARY_BYTES, dtype=torch.uint8, device="cpu")
        program()

    nodes = _nodes(record(with_canary))
    if not any(node.size == _CANARY_BYTES for node in nodes):
        raise SessionError(
            "the profiler session does not see allocations of this thread (the canary is missing)"
        )
    steps = _count_steps(nodes)
    return [_to_stream(nodes, number) for number in range(steps)]


def _nodes(events: Iterable[Any]) -> list[Node]:
    """Allocations and our marks from a profiler tree; everything else is looked through."""
    found: list[Node] = []
    for event in events:
        if event.tag == _EventType.Allocation:
            extra = event.extra_fields
            found.append(Node((), extra.ptr, extra.alloc_size, []))
        elif ours := words(event.name):
            found.append(Node(ours, 0, 0, _nodes(event.children)))
        else:
            found += _nodes(event.children)
    return found


def _count_steps(nodes: Iterable[Node]) -> int:
    return sum((node.words[:1] == ("step",)) + _count_steps(node.children) for node in nodes)


def _to_stream(nodes: list[Node], chosen: int) -> Stream:
    """The stream in which step number ``chosen`` is the measured one."""
    stream = Stream()
    seen = 0

    def walk(level: list[Node]) -> None:
        nonlocal seen
        for node in level:
            match node.words:
                case ():
                    if node.size > 0:
                        stream.alloc(node.pointer, node.size)
                    else:
                        stream.free(node.pointer, -node.size)
                case ("step",):
                    measured = seen == chosen
                    seen += 1
                    if measured:
                        stream.begin()
                    walk(node.children)
                    if measured:
                        stream.end()
                case ("collect",):
                    stream.collect()
                    walk(node.children)
                case ("phase", name):
                    stream.enter(name)
                    walk(node.children)
                    stream.leave(name)
                case _:
                    _tell(stream, node.words)

    walk(nodes)
    return stream


def _tell(stream: Stream, said: tuple[str, ...]) -> None:
    """Marks that surround nothing."""
    match said:
        case ("tag", category, pointer, label, module, line):
            stream.tag(int(pointer), category, label, module, line)
        case ("touch", number):
            stream.touch(int(number))
        case ("scratch", operator, module, line):
            stream.scratch(operator, module, line)
        case ("freed", pointer, size):
            stream.free(int(pointer), int(size))
        case _:
            raise StreamError(f"unknown mark {'|'.join(said)!r} in the session")
