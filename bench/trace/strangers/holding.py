"""The storages of steps that are not ours: found by their address, made without bytes."""

from __future__ import annotations

import sys
import weakref
from typing import Any

import torch

from trainfit.algorithms.phases import Category
from trainfit.bench.profiler.attribution import category_of, describe
from trainfit.bench.profiler.carrying import SCALAR_BYTES
from trainfit.bench.profiler.places import Places, user_line
from trainfit.bench.profiler.session import storage_pointer
from trainfit.bench.trace.recorder import Recorder
from trainfit.bench.trace.strangers.absent import AbsentMemory, is_absent
from trainfit.bench.trace.strangers.engine import running
from trainfit.bench.trace.strangers.errors import UntraceableError
from trainfit.bench.trace.strangers.numbers import KnownNumbers
from trainfit.bench.trace.trace import Storage

aten = torch.ops.aten

_NO_STORAGE = 0
"""The address of tensors without elements; its storage is number 0, of 0 bytes."""


class Holding(Recorder):
    """Knows which storage a tensor is of, makes new ones, and is told when one is gone.

    No storage that is made here is asked for as a Python object
    (:class:`~trainfit.bench.trace.strangers.absent.AbsentMemory` says why).

    Args:
        places: Tells where the step is.
    """

    def __init__(self, places: Places) -> None:
        super().__init__()
        self.places = places
        self._memory = AbsentMemory()
        self._known = KnownNumbers()
        self._inside = ""  # the operator that is being taken apart
        self._storages.append(Storage(0, 0, "nothing", "inputs", "", found=True))
        self._numbers[_NO_STORAGE] = 0

    def _made(self, shape: torch.Tensor) -> torch.Tensor:
        """A new tensor of the CPU, of the shape of a meta tensor."""
        if shape.layout is not torch.strided:
            raise UntraceableError(
                f"{self._line()}: makes a tensor of layout {shape.layout}, whose size depends on"
                " data; measure the step (profile_step)"
            )
        size = shape.untyped_storage().nbytes()
        if not size:
            return torch.empty_strided(shape.shape, shape.stride(), dtype=shape.dtype, device="cpu")
        number = len(self._storages)

        def died() -> None:
            self._numbers.pop(address, None)
            self._known.forget(address)
            self._stream.free(number, size)

        tensor = self._memory.tensor(size, shape.dtype, shape.shape, shape.stride(), died)
        address = tensor.data_ptr()
        self._add(number, address, size, describe(tensor))
        return tensor

    def _add(self, number: int, address: int, size: int, label: str) -> None:
        storage = Storage(number, size, label, "inputs", self._phase, found=False)
        self._storages.append(storage)
        self._numbers[address] = number
        self._stream.alloc(number, size)
        if self._inside:
            storage.label = f"scratch of {self._inside}"
            self._mark(storage, str(Category.WORKSPACE))

    def _resized(self, tensor: torch.Tensor, size: Any) -> torch.Tensor:
        """Of another shape; in a new storage where the old one is too small."""
        shape = size.shape if isinstance(size, torch.Tensor) else size
        wanted = torch.empty(shape, dtype=tensor.dtype, device="meta")
        room = self._storages[self._number(tensor)].size
        if wanted.untyped_storage().nbytes() > room:
            aten.set_.source_Tensor(tensor, self._made(wanted))
        else:
            aten.as_strided_.default(tensor, wanted.shape, wanted.stride())
        return tensor

    def _category(self) -> str:
        return category_of(
            self._open[-1] if self._open else "",
            backward=torch._C._current_graph_task_id() != -1,
            recording=torch.is_grad_enabled(),
        )

    def _mark(self, storage: Storage, category: str) -> None:
        if storage.size <= SCALAR_BYTES:
            category = str(Category.WORKSPACE)
        storage.category = str(category)
        self._stream.tag(storage.number, storage.category, storage.label, *self.places.here())

    def _number(self, tensor: torch.Tensor) -> int:
        """The number of a tensor's storage; one that nobody made in a step was there already."""
        try:
            address = storage_pointer(tensor) if tensor.numel() else _NO_STORAGE
        except RuntimeError:
            kind = tensor.layout if tensor.layout is not torch.strided else type(tensor).__name__
            raise UntraceableError(f"{self._line()}: works on a tensor of kind {kind}") from None
        number = self._numbers.get(address)
        if number is None:
            if tensor.device.type != "cpu":
                raise UntraceableError(
                    f"{self._line()}: works on {tensor.device}; what is predicted is the memory of"
                    " the CPU"
                )
            number = self._seen(tensor, address, found=True)
            with running():
                self._known.find(address, tensor)
        return number

    def made_elsewhere(self, tensor: torch.Tensor) -> None:
        """What no operator made is there by now: ``torch.tensor(0.5)``, with its number."""
        address = storage_pointer(tensor)
        if tensor.numel() and address not in self._numbers and not is_absent(tensor):
            ours = bool(tensor.untyped_storage().resizable())  # numpy's memory is not
            self._seen(tensor, address, found=not ours)
            with running():
                self._known.find(address, tensor)

    def _seen(self, tensor: torch.Tensor, address: int, *, found: bool) -> int:
        memory = tensor.untyped_storage()
        number, size = len(self._storages), memory.nbytes()
        phase = "" if found else self._phase
        storage = Storage(number, size, describe(tensor), "inputs", phase, found)
        self._storages.append(storage)
        self._numbers[address] = number

        def died(_: object) -> None:
            self._numbers.pop(address, None)
            self._known.forget(address)
            del self._watched[number]
            self._stream.free(number, size)

        self._watched[number] = weakref.ref(memory, died)
        if not found:
            self._stream.alloc(number, size)
            self._mark(storage, self._category())
        return number

    def _position(self) -> tuple[int, int, int, int]:
        """Numbers of events, marks, operators and storages so far."""
        return (
            len(self._stream.sizes),
            len(self._stream.marks),
            len(self._operators),
            len(self._storages),
        )

    def end(self) -> None:
        """What still lives is no longer watched."""
        self._watched.clear()
        self._memory.forget()

    def _line(self) -> str:
        """Where in the user's code the step is."""
        return user_line(sys._getframe(1)) or "the step"
