"""Tensors of the CPU without bytes: torch takes them for any other tensor, and there is nothing.

The address of such a tensor is a number that no memory has. Whoever reads or writes elements there
ends his process, so that they are for code under :mod:`~trainfit.bench.trace.strangers.engine`
only, where no operator computes.

A meta tensor would not do for a step that is not ours: its code asks for the device, and torch's
own code for the CPU is another than that for meta tensors; and autograd puts no meta gradient
beside a weight on the CPU.
"""

from __future__ import annotations

import ctypes
import weakref
from collections.abc import Callable, Sequence
from typing import Any

import torch

_view_of_memory = ctypes.pythonapi.PyMemoryView_FromMemory
_view_of_memory.restype = ctypes.py_object
_view_of_memory.argtypes = [ctypes.c_void_p, ctypes.c_ssize_t, ctypes.c_int]
_WRITABLE = 0x200

FIRST_ADDRESS = 1 << 60
"""Addresses from here on belong to no process."""

_ALIGNMENT = 64


class AbsentMemory:
    """Hands out addresses, each once, and tells when nothing refers to one any more."""

    def __init__(self) -> None:
        self._next = FIRST_ADDRESS
        self._watched: dict[int, weakref.ref[Any]] = {}

    def tensor(
        self,
        size_bytes: int,
        dtype: torch.dtype,
        shape: Sequence[int],
        strides: Sequence[int],
        died: Callable[[], None] | None = None,
    ) -> torch.Tensor:
        """A tensor over a storage of its own.

        The storage is not asked for as a Python object, which would count as a reference to it:
        autograd adds gradients in place where nobody else refers to them.

        Args:
            size_bytes: Of the storage; at least 1.
            dtype: Of the tensor.
            shape: Likewise.
            strides: Likewise, in elements.
            died: Called when the storage is gone.
        """
        address = self._next
        self._next += -(-size_bytes // _ALIGNMENT) * _ALIGNMENT
        memory = _view_of_memory(address, size_bytes, _WRITABLE)

        def gone(_: object) -> None:
            del self._watched[address]
            if died is not None:
                died()

        self._watched[address] = weakref.ref(memory, gone)
        row = torch.frombuffer(memory, dtype=dtype, count=size_bytes // dtype.itemsize)
        return row.as_strided(shape, strides)

    def forget(self) -> None:
        """Deaths are no longer told of."""
        self._watched.clear()


def is_absent(tensor: torch.Tensor) -> bool:
    """Whether a tensor of the CPU has no bytes."""
    return tensor.data_ptr() >= FIRST_ADDRESS
