"""Compiled kernels, imported when one is first called.

To import numba and to load what it has compiled takes a second, which a closed form, an option
that is wrong or a rule in plain torch need not wait for.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any


class Kernels:
    """The functions of a module of this package, without importing it before one is asked for."""

    def __init__(self, module: str) -> None:
        self._module = module

    def __getattr__(self, name: str) -> Any:  # called once for each name, which then is there
        function = getattr(import_module(f".{self._module}", __package__), name)
        setattr(self, name, function)
        return function


adam_kernel = Kernels("adam_kernel")
dropout_kernel = Kernels("dropout_kernel")
int8_kernels = Kernels("int8.kernels")
int8_layer_kernels = Kernels("int8.layer_kernels")
int8_update_kernels = Kernels("int8.update_kernels")
locally_connected_kernels = Kernels("locally_connected_kernels")
popcount = Kernels("binary.popcount_kernels")
