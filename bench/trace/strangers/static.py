"""Static bytes of a traced step: what it uses and neither makes nor frees, counted as measured."""

from __future__ import annotations

from dataclasses import dataclass

from trainfit.algorithms.phases import Category
from trainfit.bench.profiler.fold import Block
from trainfit.bench.profiler.session import storage_pointer
from trainfit.bench.profiler.touches import Extent, union_bytes
from trainfit.bench.trace.strangers.settling import Traced
from trainfit.bench.trace.trace import Operand


@dataclass(frozen=True)
class _Shown:
    """An operand as :class:`Extent` wants to see a tensor."""

    operand: Operand

    def element_size(self) -> int:
        return self.operand.dtype.itemsize

    def storage_offset(self) -> int:
        return self.operand.offset

    def size(self) -> tuple[int, ...]:
        return self.operand.shape

    def stride(self) -> tuple[int, ...]:
        return self.operand.strides


def static_blocks(traced: Traced) -> list[Block]:
    """The blocks that the step uses and neither makes nor frees, largest first.

    What an earlier call made, this one does not use and a later one frees is there all the same.
    """
    _, end = traced.call.events
    stream = traced.watcher._stream
    freed = {
        number
        for number, size in zip(stream.pointers[:end], stream.sizes[:end], strict=True)
        if size < 0
    }
    later = {
        number
        for number, size in zip(stream.pointers[end:], stream.sizes[end:], strict=True)
        if size < 0
    }
    used: dict[int, set[Operand]] = {}
    written: set[int] = set()
    for operator in traced.operators:
        for operand in operator.given:
            if 0 < operand.storage < traced.call.storages and operand.storage not in freed:
                used.setdefault(operand.storage, set()).add(operand)
        written |= {each.storage for each in operator.written}
    kept = range(traced.first, traced.call.storages)
    whole = {
        number for number in kept if number not in used and number not in freed and number in later
    }
    sizes = {
        number: union_bytes(Extent.of(_Shown(each)) for each in operands)  # type: ignore[arg-type]
        for number, operands in used.items()
    } | {number: traced.storages[number].size for number in whole}
    categorised = _Purposes(traced, written, whole, used)
    found = [categorised.block(number, size) for number, size in sizes.items() if size]
    return sorted(found, key=lambda block: -block.size)


class _Purposes:
    """What static storages are for."""

    def __init__(
        self,
        traced: Traced,
        written: set[int],
        whole: set[int],
        used: dict[int, set[Operand]],
    ) -> None:
        self._traced, self._written, self._whole, self._used = traced, written, whole, used
        numbers = traced.watcher._numbers
        self._named: dict[int, tuple[str, str]] = {}
        for kind, path, tensor in traced.names.held():
            if tensor.device.type == "cpu" and tensor.numel():
                number = numbers.get(storage_pointer(tensor))
                if number is not None:
                    self._named[number] = kind, path
        self._gradients: dict[int, str] = {}
        for number, reference in traced.watcher.trainable.items():
            trained = reference()
            if trained is not None and trained.grad is not None:
                gradient = numbers.get(storage_pointer(trained.grad))
                if gradient is not None:
                    self._gradients[gradient] = self._named.get(number, ("", ""))[1]

    def block(self, number: int, size: int) -> Block:
        kind, path = self._named.get(number, ("", ""))
        shape = next((_described(each) for each in self._used.get(number, ())), "")
        label = f"{path} {shape}".strip()
        category = Category.OPTIMIZER_STATE if number in self._written else Category.INPUTS
        if number in self._traced.watcher.trainable or kind == "parameter":
            category = Category.PARAMETERS
        elif number in self._gradients:
            category = Category.GRADIENTS
            label = f"gradient of {self._gradients[number] or 'a parameter'} {label}".strip()
        elif kind == "buffer":
            category = Category.BUFFERS
        elif number in self._whole:
            category, label = Category.WORKSPACE, "kept from an earlier step"
        return Block(size, "", str(category), label, path.rpartition(".")[0])


def _described(operand: Operand) -> str:
    shape = "x".join(map(str, operand.shape)) or "scalar"
    return f"{str(operand.dtype).removeprefix('torch.')} {shape}"
