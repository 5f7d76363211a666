"""Which tensors are alive at a point, by name: pytorch-memlab finds names, the bytes are ours.

``MemReporter`` knows parameters, their gradients and optimiser state by name, which an allocator
does not. Its bytes are not used: on the CPU it multiplies the size of a storage, which is in bytes
already, by the size of an element, and rounds up to the 512 bytes of the CUDA allocator
(``tests/unit/profiler/test_memlab.py`` notices when that changes).
"""

from __future__ import annotations

import gc
import warnings
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from pytorch_memlab import MemReporter


@dataclass(frozen=True)
class NamedTensor:
    """One block of memory that tensors hold.

    Attributes:
        name: Of the parameter, gradient, buffer or optimiser state; of anything else the class
            and a number, as ``Tensor3``.
        shape: Elements per dimension of the widest tensor on the block.
        dtype: Its element type.
        bytes: Size of the block; a block that several tensors share is listed once.
        device: Where it is, as ``cpu`` or ``cuda:0``.
    """

    name: str
    shape: tuple[int, ...]
    dtype: torch.dtype
    bytes: int
    device: str


def name_live_tensors(
    model: torch.nn.Module | None = None,
    *,
    optimizer: torch.optim.Optimizer | None = None,
    known: Mapping[str, torch.Tensor] | None = None,
) -> list[NamedTensor]:
    """List the tensors that are alive now, largest first, each block of memory once.

    What only C++ holds is not seen: activations that autograd has saved, above all. For the
    complete sum see :func:`trainfit.bench.profiler.step.profile_step`, whose blocks have no such
    names.

    Args:
        model: Names its parameters, their gradients and its buffers.
        optimizer: Names its state after the parameters of ``model``.
        known: Further tensors by name.

    Raises:
        ValueError: An optimiser without the model that its parameters belong to.
    """
    reporter = MemReporter(model)
    if model is not None:
        reporter.tensor_name |= {id(buffer): name for name, buffer in model.named_buffers()}
    if optimizer is not None:
        try:
            reporter.add_optimizer(optimizer)
        except KeyError:
            raise ValueError(
                "optimizer holds a parameter that model does not have; give the model it trains"
            ) from None
    reporter.tensor_name |= {id(tensor): name for name, tensor in (known or {}).items()}
    named = set(reporter.tensor_name)

    tensors = _live_tensors()
    for tensor in [*tensors, *(known or {}).values()]:
        if tensor.is_leaf and tensor.grad is not None:
            if id(tensor) in named:
                reporter.tensor_name[id(tensor.grad)] = f"{reporter.tensor_name[id(tensor)]}.grad"
                named.add(id(tensor.grad))
            tensors.append(tensor.grad)
    for tensor in tensors:
        reporter.device_mapping[tensor.device].append(tensor)
    reporter.get_stats()  # gives everything else a number

    blocks: dict[tuple[str, int], list[torch.Tensor]] = {}
    for tensor in tensors:
        place = (str(tensor.device), tensor.untyped_storage().data_ptr())
        blocks.setdefault(place, []).append(tensor)
    found = []
    for (device, _), sharers in blocks.items():
        widest = max(sharers, key=lambda tensor: tensor.nbytes)
        # A name that somebody gave beats a number; of two names that of the wider tensor counts.
        best = max(sharers, key=lambda tensor: (id(tensor) in named, tensor.nbytes))
        found.append(
            NamedTensor(
                name=reporter.tensor_name[id(best)],
                shape=tuple(widest.shape),
                dtype=widest.dtype,
                bytes=widest.untyped_storage().nbytes(),
                device=device,
            )
        )
    return sorted(found, key=lambda tensor: (-tensor.bytes, tensor.name))


def _live_tensors() -> list[torch.Tensor]:
    """Strided tensors with memory of their own that the garbage collector knows."""
    found = []
    for thing in gc.get_objects():
        # By type, not isinstance: lazy objects answer isinstance by importing what they stand for.
        if not issubclass(type(thing), torch.Tensor):
            continue
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            strided = thing.layout == torch.strided and thing.device.type != "meta"
            if strided and thing.numel() and thing.untyped_storage().data_ptr():
                found.append(thing)
    return found
