"""What bytes are for, from the profiler's own record of operators: no watching, nothing changed.

A dispatch mode has one side effect on the step: autograd does not add up in place while one is
active. Where that changes what is allocated (a tensor that is used twice, recurrent nets,
attention, gradients of gradients), this module answers instead. A session records operators,
Python calls and allocations in one tree; an allocation belongs to the operator it stands below:

::

    train.py(8): loss_of                                   <- line
      nn.Module: Linear_1                                  <- module
        aten::linear
          aten::addmm     sequence 11
            [memory] +1,280 B
    autograd::engine::evaluate_function: AddmmBackward0    sequence 11: the same module
      aten::mm
        [memory] +2,560 B

It costs several times the step, so it is asked only then.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from trainfit.algorithms.phases import Category
from trainfit.bench.profiler.attribution import category_of
from trainfit.bench.profiler.events import Stream
from trainfit.bench.profiler.places import NOWHERE, ModuleNames, Place, backward_place, user_file
from trainfit.bench.profiler.session import record, words


@dataclass(frozen=True)
class _Around:
    """What an event of the tree stands in."""

    operator: str = ""
    backward: bool = False
    recording: bool = False
    module: str = ""
    line: str = ""
    number: int = 0  # of the operator, counted from 1
    made: Place = NOWHERE  # where forward recorded the node of backward that runs


def operator_stream(program: Callable[[], None], names: ModuleNames) -> Stream:
    """Run a program in which one ``mark("step")`` stands; give its stream with tags.

    Args:
        program: Warm-up and the step.
        names: What modules are called.

    Raises:
        SessionError: Another profiler session is active.
    """
    reader = _Reader(names)
    reader.read(record(program, operators=True))
    return reader.stream


class _Reader:
    """Builds a stream from the event tree."""

    def __init__(self, names: ModuleNames) -> None:
        self.stream = Stream()
        self._names = names
        self._recorded: dict[int, Place] = {}
        self._made: dict[int, _Around] = {}  # by address: where the block there was made
        self._unshaped: set[int] = set()  # addresses of blocks of no known shape
        self._running = 0
        self._phases: list[str] = []
        self._ends: list[tuple[int, Callable[[], None]]] = []  # of open marks, the innermost last

    def read(self, roots: Sequence[Any]) -> None:
        """Read events in time order; a stack of our own, as Python calls go deep.

        Our marks are opened and closed by Python calls and so stand beside what they surround.
        They are told apart by their times.
        """
        waiting = [(event, _Around()) for event in reversed(roots)]
        while waiting:
            event, around = waiting.pop()
            self._pass(event.start_time_ns)
            if marked := words(event.name):
                self._mark(marked, event, around)
            elif event.tag.name == "Allocation":
                self._allocation(event.extra_fields.ptr, event.extra_fields.alloc_size, around)
            elif event.tag.name in ("PyCall", "PyCCall"):
                around = self._call(event.extra_fields, around)
            elif event.tag.name == "TorchOp":
                around = self._operator(event.name, event.extra_fields, around)
            waiting += [(child, around) for child in reversed(event.children)]
        while self._ends:
            self._ends.pop()[1]()

    def _pass(self, now: int) -> None:
        """Close the marks that ended before a time."""
        while self._ends and self._ends[-1][0] <= now:
            self._ends.pop()[1]()

    def _mark(self, marked: tuple[str, ...], event: Any, around: _Around) -> None:
        match marked:
            case ("tag", category, pointer, label, *_):
                self._unshaped.discard(int(pointer))
                self.stream.tag(int(pointer), category, label, *_place(around))
            case ("freed", pointer, size):
                self.stream.free(int(pointer), int(size))
            case ("step",):
                self.stream.begin()
                self._ends.append((event.end_time_ns, self.stream.end))
            case ("phase", name):
                self.stream.enter(name)
                self._phases.append(name)
                self._ends.append((event.end_time_ns, self._leave))

    def _leave(self) -> None:
        self.stream.leave(self._phases.pop())

    def _allocation(self, pointer: int, size: int, around: _Around) -> None:
        made = self._made.pop(pointer, None)
        self._unshaped.discard(pointer)
        if size < 0:
            if made is not None and made.number == around.number:  # gone before its operator ends
                self.stream.tag(pointer, str(Category.WORKSPACE), f"scratch of {made.operator}")
            self.stream.free(pointer, -size)
            return
        self.stream.alloc(pointer, size)
        if around.operator:
            self._made[pointer] = around
            self._unshaped.add(pointer)
            self._tag(pointer, around, around.operator)

    def _tag(self, pointer: int, around: _Around, label: str) -> None:
        phase = self._phases[-1] if self._phases else ""
        category = category_of(phase, backward=around.backward, recording=around.recording)
        self.stream.tag(pointer, str(category), label, *_place(around))

    def _call(self, extra: Any, around: _Around) -> _Around:
        """A Python function is called from a line, a module's forward begins."""
        line = _line(extra.caller) or around.line
        own = getattr(extra, "callsite", None)  # a built-in function has none
        if own is not None:
            line = _line(own) or line  # its first line, until it calls something itself
        module = around.module
        if getattr(extra, "module", None) is not None:
            module = self._names.path_at(extra.module.self_ptr) or module
        return replace(around, line=line, module=module)

    def _operator(self, name: str, extra: Any, around: _Around) -> _Around:
        """An operator begins, or a node of backward; what counts is the outermost operator."""
        number = int(extra.sequence_number)
        if name.startswith("autograd::engine::"):
            made = self._recorded.get(number, NOWHERE)
            return replace(around, backward=True, recording=False, made=made, operator="")
        self._describe(extra.inputs)
        recording = number >= 0
        if recording and not around.backward:
            self._recorded.setdefault(number, Place(around.module, around.line))
        if around.operator:
            return replace(around, recording=around.recording or recording)
        if "Backward" in name:  # the node's own function, inside which its operators run
            return around
        self._running += 1
        operator = name.removeprefix("aten::")
        return replace(around, operator=operator, recording=recording, number=self._running)

    def _describe(self, inputs: Any) -> None:
        """What shape a block has is known when it is first given to an operator."""
        for given in inputs:
            pointer = getattr(given, "storage_data_ptr", None)
            if pointer in self._unshaped:
                self._unshaped.discard(pointer)
                shape = "x".join(map(str, given.sizes)) or "scalar"
                kind = str(given.dtype).removeprefix("torch.")
                around = self._made[pointer]
                self._tag(pointer, around, f"{around.operator} {kind} {shape}")


def _place(around: _Around) -> Place:
    if around.backward:
        return backward_place(around.made, around.line)
    return Place(around.module, around.line)


def _line(frame: Any) -> str:
    """A line of the user's code; empty for any other."""
    shown = user_file(str(frame.file_name))
    return f"{shown}:{frame.line_number}" if shown else ""
