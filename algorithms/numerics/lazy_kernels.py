"""Compiled kernels, imported when one is first called.

Importing numba and loading its compiled code takes a second, for which a prediction, a wrong
option or a rule in plain torch need not wait.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any


class Kernels:
    """The functions of a module of this package, which is imported when one is first used."""

    def __init__(self, module: str) -> None:
        self._module = module

    def __getattr__(self, name: str) -> Any:  # called once per name, which is then set
        function = getattr(import_module(f".{self._module}", __package__), name)
        setattr(self, name, function)
        return function


adam_kernel = Kernels("adam_kernel")
dropout_kernel = Kernels("dropout_kernel")
int8_rounding_kernels = Kernels("int8.rounding_kernels")
int8_product_kernels = Kernels("int8.product_kernels")
int8_convolution_kernels = Kernels("int8.convolution.kernels")
int8_weight_kernels = Kernels("int8.convolution.weight_kernels")
int8_depthwise_kernels = Kernels("int8.convolution.depthwise_kernels")
int8_layer_kernels = Kernels("int8.layer_kernels")
int8_update_kernels = Kernels("int8.update_kernels")
locally_connected_kernels = Kernels("locally_connected_kernels")
popcount_kernels = Kernels("binary.popcount_kernels")
lookup_kernels = Kernels("binary.lookup_kernels")
pack_kernels = Kernels("binary.pack_kernels")
sum_kernels = Kernels("binary.sum_kernels")
rectified_kernel = Kernels("rectified_kernel")
