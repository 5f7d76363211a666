"""The watcher of a traced step: operators, births and deaths of storages, phases, purposes.

Every operator of the step comes here, with tensors that have shapes but no data. A storage is born
when an operator gives a tensor of a storage not seen before, and dies when nothing holds it any
more, which Python tells at once, as torch's allocator would be told.
"""

from __future__ import annotations

import gc
import sys
import weakref
from collections.abc import Callable
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from trainfit.algorithms.memory.meta import FROM_NUMBERS, made_without_values, without_values
from trainfit.algorithms.memory.stand_ins import READ, result_of, value_of
from trainfit.algorithms.phases import Category
from trainfit.bench.profiler.attribution import category_of, describe
from trainfit.bench.profiler.carrying import SCALAR_BYTES
from trainfit.bench.profiler.events import Stream
from trainfit.bench.profiler.fold import OUTSIDE
from trainfit.bench.trace.kinds import kind_of
from trainfit.bench.trace.scratch import scratch_bytes
from trainfit.bench.trace.trace import Operand, Operator, Storage, Trace, operands


class Recorder(TorchDispatchMode):
    """Writes down a step; an observer of its phases, too.

    ``with observing(recorder), recorder: step()``, then :meth:`finish`.

    Args:
        answer: What a step is told that asks for the value of a tensor.
        on_meta: What is made of nothing has no values, as with
            :func:`~trainfit.algorithms.memory.meta.meta_tensors`.
    """

    def __init__(
        self,
        answer: Callable[[torch.Tensor], bool | int | float] = value_of,
        *,
        on_meta: bool = False,
    ) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._says = answer
        self._on_meta = on_meta
        self._storages: list[Storage] = []
        self._numbers: dict[int, int] = {}  # address of a storage that is alive: its number
        self._operands: dict[tuple[Any, ...], Operand] = {}  # all that were met, by what they are
        self._watched: dict[int, weakref.ref[torch.UntypedStorage]] = {}
        self._stream = Stream()
        self._operators: list[Operator] = []
        self._open: list[str] = []
        self._times = [1]  # how often what is shown now is done, of all loops around it
        self._again = [False]  # whether it goes on with an earlier tile of one of them
        self._reads_of_data: dict[str, None] = {}
        self._closed = False

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        """No: that wraps every call, and the first of them imports torch's compiler."""
        return False

    # What the step says of itself -----------------------------------------------------------

    def enter(self, name: str) -> None:
        """A phase begins."""
        self._open.append(name)
        self._stream.enter(name)

    def leave(self, name: str) -> None:
        """A phase ends."""
        self._open.pop()
        self._stream.leave(name)

    def tag(self, tensor: torch.Tensor, category: Category, label: str) -> None:
        """A tensor is for something."""
        number = self._number(tensor)
        storage = self._storages[number]
        if label:
            storage.label = f"{label} {describe(tensor)}"
        self._mark(storage, str(category))

    def repeat(self, times: int, *, again: bool = False) -> None:
        """What follows is done ``times`` as often as it is shown."""
        self._times.append(self._times[-1] * times)
        self._again.append(self._again[-1] or again)

    def repeated(self) -> None:
        """That part ends."""
        self._times.pop()
        self._again.pop()

    # Storages -------------------------------------------------------------------------------

    def adopt(self, tensor: torch.Tensor, category: str, label: str) -> None:
        """A tensor that is there before the step."""
        number = self._number(tensor)
        self._storages[number].category = category
        self._storages[number].label = label

    def _number(self, tensor: torch.Tensor) -> int:
        """The number of a tensor's storage.

        One that was not seen before was there already; in a step of which all that was there is
        known it was made from Python's numbers (``torch.tensor(0.5)``), which is no operator.
        """
        memory = tensor.untyped_storage()
        number = self._numbers.get(memory._cdata)
        return self._new(memory, tensor, found=not self._closed) if number is None else number

    def _born(self, tensor: torch.Tensor, operator: str) -> tuple[int, ...]:
        """The number of a tensor's storage if it was not seen before: the operator made it."""
        memory = tensor.untyped_storage()
        if memory._cdata in self._numbers:
            return ()
        return (self._new(memory, tensor, found=False, by=operator),)

    def _new(
        self, memory: torch.UntypedStorage, tensor: torch.Tensor, *, found: bool, by: str = ""
    ) -> int:
        number, size, address = len(self._storages), memory.nbytes(), memory._cdata
        label = f"{by} {describe(tensor)}" if by else describe(tensor)
        storage = Storage(number, size, label, "inputs", "" if found else self._phase, found)
        self._storages.append(storage)
        self._numbers[address] = number

        def died(_: object) -> None:
            if self._numbers.get(address) == number:
                del self._numbers[address]
            del self._watched[number]
            self._stream.free(number, size)

        self._watched[number] = weakref.ref(memory, died)
        if not found:
            self._stream.alloc(number, size)
            self._mark(
                storage,
                category_of(
                    self._open[-1] if self._open else "",
                    backward=torch._C._current_graph_task_id() != -1,
                    recording=torch.is_grad_enabled(),
                ),
            )
        return number

    def _mark(self, storage: Storage, category: str) -> None:
        if storage.size <= SCALAR_BYTES:
            category = str(Category.WORKSPACE)
        storage.category = str(category)
        self._stream.tag(storage.number, storage.category, storage.label)

    @property
    def _phase(self) -> str:
        return self._open[-1] if self._open else OUTSIDE

    # Operators ------------------------------------------------------------------------------

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        """Run the operator on shapes, and write down what it read, wrote and made."""
        kwargs = kwargs or {}
        if func is READ:
            self._reads_of_data[_place()] = None
            return self._says(args[0])
        if func is FROM_NUMBERS:
            made_of = without_values(args[0]) if self._on_meta else args[0]
            self._born(made_of, "")
            return func(made_of)
        kind = kind_of(func)
        if kind.is_view:
            return func(*args, **kwargs)
        if self._on_meta:
            kwargs = made_without_values(func, kwargs)
        given = tuple([self._described(each) for each in args])  # no frame for a generator
        named = {name: self._described(each) for name, each in kwargs.items()} if kwargs else {}
        own = self._scratch(func, args, kwargs) if kind.scratch else ()
        imported = len(sys.modules)
        result = result_of(func, args, kwargs)
        if len(sys.modules) != imported:  # torch's compiler, whose import leaves cycles of frames
            gc.collect(0)  # that would keep the step's tensors, in a process's first trace only
        made: tuple[int, ...] = ()
        results: tuple[Operand, ...]
        if args and result is args[0]:
            results = (given[0],)
        elif isinstance(result, torch.Tensor):
            made = self._born(result, kind.base)
            results = (self._described(result),)
        else:
            made = tuple(n for each in _tensors_in(result) for n in self._born(each, kind.base))
            results = tuple(operands(self._described(result)))
        for storage in reversed(own):
            self._stream.free(storage.number, storage.size)
        self._operators.append(
            Operator(
                kind.name,
                self._open[-1] if self._open else "",
                given,
                named,
                kind.written(given, named) if kind.writes else (),
                results,
                made,
                len(self._stream.sizes),
                self._times[-1],
                self._again[-1],
            )
        )
        return result

    def _described(self, value: Any) -> Any:
        """A value with operands in place of tensors."""
        if isinstance(value, torch.Tensor):
            number, shape, strides = self._number(value), value.shape, value.stride()
            seen = (number, shape, strides, value.storage_offset(), value.dtype)
            operand = self._operands.get(seen)
            if operand is None:
                operand = Operand(number, tuple(shape), strides, int(seen[3]), value.dtype)
                self._operands[seen] = operand
            return operand
        if isinstance(value, (list, tuple)):
            if value and isinstance(value[0], int):  # a shape
                return tuple(value)
            return tuple([self._described(each) for each in value])
        if isinstance(value, dict):
            return {name: self._described(each) for name, each in value.items()}
        return value

    def _scratch(self, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> list[Storage]:
        own: list[Storage] = []
        for size in scratch_bytes(func, args, kwargs):
            name = func.overloadpacket.__name__
            storage = Storage(
                len(self._storages),
                size,
                f"scratch of {name}",
                str(Category.WORKSPACE),
                self._phase,
                found=False,
                scratch=name,
            )
            self._storages.append(storage)
            self._stream.alloc(storage.number, size)
            self._mark(storage, storage.category)
            own.append(storage)
        return own

    # The step -------------------------------------------------------------------------------

    def begin(self, *, closed: bool = False) -> None:
        """The step begins; with ``closed`` all that was there before it has been adopted."""
        self._closed = closed
        self._stream.begin()

    def finish(self) -> Trace:
        """The step has ended; what still lives is no longer watched."""
        self._stream.end()
        self._watched.clear()
        return Trace(self._storages, self._operators, self._stream, tuple(self._reads_of_data))


def _tensors_in(result: Any) -> list[torch.Tensor]:
    """The tensors in what an operator gave."""
    if isinstance(result, torch.Tensor):
        return [result]
    return [each for each in tree_leaves(result) if isinstance(each, torch.Tensor)]


def _place() -> str:
    """Where in the traced code: the innermost line outside of torch and of the tracer."""
    frame = sys._getframe(2)
    while frame.f_back is not None and frame.f_globals.get("__name__", "").startswith(
        ("torch.", "trainfit.bench.trace")
    ):
        frame = frame.f_back
    return f"{frame.f_code.co_filename}:{frame.f_lineno}"
