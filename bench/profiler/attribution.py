"""What bytes are for: watches one step at the operator level and tags what is born there.

Runs in a repeat of its own; :mod:`~trainfit.bench.profiler.carrying` carries the answer over to the
others. That works only if both allocate the same blocks in the same order; autograd, for one, adds
gradients in place only while nobody watches operators this way. Where they differ,
:mod:`~trainfit.bench.profiler.operators` gives the answer.
"""

from __future__ import annotations

import ctypes
import sys
import weakref
import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import lru_cache
from typing import Any, Protocol

import torch
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from trainfit.algorithms.phases import Category
from trainfit.bench.profiler.determinism import is_plain
from trainfit.bench.profiler.events import Stream
from trainfit.bench.profiler.fold import Block
from trainfit.bench.profiler.places import ModuleNames
from trainfit.bench.profiler.session import storage_pointer
from trainfit.bench.profiler.touches import Extent, StaticBlock, Touch, static_blocks

_BY_PHASE = {
    "forward": Category.ACTIVATIONS,
    "gradient": Category.GRADIENTS,
    "update": Category.WORKSPACE,
}

_EXPORTS = frozenset({"numpy", "data_ptr", "__array__", "__dlpack__", "untyped_storage"})
"""Methods that hand a tensor's memory to code which is no operator of torch."""


class Listener(Protocol):
    """What is told of tensors, and knows in which phase the step is."""

    @property
    def phase(self) -> str:
        """The innermost open phase, empty outside of all."""

    def tag(self, tensor: torch.Tensor, category: Category, label: str) -> None:
        """A tensor is for something."""

    def touch(self, number: int) -> None:
        """An operator is given tensors: entry ``number`` of a list that the caller keeps."""

    def scratch(self, operator: str) -> None:
        """An operator that was given tensors has ended; what it made and freed was for itself."""


def category_of(phase: str, *, backward: bool, recording: bool) -> Category:
    """What a tensor is for, by when it is made.

    Args:
        phase: The innermost phase, empty outside of all.
        backward: Autograd runs backward.
        recording: Operators are recorded for a later backward.
    """
    root = phase.split(".", 1)[0]
    if backward and root != "update":
        # Autograd runs backward without recording; what records there is a recomputation.
        return Category.ACTIVATIONS if recording else Category.GRADIENTS
    if root in _BY_PHASE:
        return _BY_PHASE[root]
    return Category.ACTIVATIONS if recording else Category.WORKSPACE


class Attribution(TorchDispatchMode):
    """Tags every tensor an operator makes; notes every storage an operator is given.

    The rule: what is born while autograd runs backward, or in phase ``gradient``, is a gradient;
    in ``forward``, or recomputed during backward, an activation; in ``update`` workspace. In no
    phase, what is made while gradients are being recorded is an activation and the rest is
    workspace, and so is what an operator allocates for itself.

    A dispatch mode is part of the thread state that autograd hands to its device threads, so
    operators of a backward on CUDA are seen too. Compiled code that is given a tensor's memory
    (``numpy``, ``data_ptr``) counts as an operator that is given the tensor.

    Args:
        observer: Is told of every tensor made.
        device: Whose tensors are watched: all devices of a type (``"cpu"``, ``"cuda"``), or one
            (``"cuda:1"``).
        names: What parameters and buffers are called.
    """

    def __init__(
        self,
        observer: Listener,
        device: torch.device | str = "cpu",
        names: ModuleNames | None = None,
    ) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.elsewhere: set[str] = set()
        """Kinds of devices on which operators ran that are not watched."""
        self._observer = observer
        self._device = torch.device(device)
        self._names = names or ModuleNames()
        self._touches: list[list[Touch]] = []
        self._trainable: dict[int, weakref.ref[torch.Tensor]] = {}
        self._described: dict[int, str] = {}
        self._exported: dict[int, tuple[int, int]] = {}  # pointer: (bytes, checksum)
        self._foreign = _ForeignMemory()

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        """No: that wraps every call, and the first of them imports torch's compiler."""
        return False

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Watch operators, and what is handed to code that is none, inside the block."""
        for kind, path, tensor in self._names.held():
            if kind == "parameter" and tensor.grad is not None:
                for gradient in self._tensors(tensor.grad):
                    label = f"gradient of {path} {describe(gradient)}"
                    self._observer.tag(gradient, Category.GRADIENTS, label)
        with _uncompiled(), _Exports(self._export), self:
            yield

    def _category(self) -> Category:
        return category_of(
            self._observer.phase,
            backward=torch._C._current_graph_task_id() != -1,
            recording=torch.is_grad_enabled(),
        )

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        """Run the operator, then tag what it made."""
        if any(_wraps(kind) for kind in types):
            return NotImplemented  # the operators on what is wrapped come here by themselves
        kwargs = kwargs or {}
        given = self._tensors((args, kwargs))
        pointers = {storage_pointer(tensor) for tensor in given}
        for tensor in given:
            if tensor._base is None and tensor.requires_grad and tensor.is_leaf:
                self._trainable[storage_pointer(tensor)] = weakref.ref(tensor)
        if given and not func.is_view:  # a view reads nothing: what is read is the part it shows
            self._touch(given, self._written(func, args, kwargs))
        result = func(*args, **kwargs)
        name = func.overloadpacket.__name__
        if given and not func.is_view:
            self._observer.scratch(name)
        for tensor in self._tensors(result):
            if storage_pointer(tensor) not in pointers:
                label = f"{name} {describe(tensor)}"
                self._observer.tag(tensor, self._category(), label)
        return result

    def _written(self, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> set[int]:
        """Addresses of what an operator may change, by its schema."""
        if not func._schema.is_mutable:
            return set()
        changed = [
            kwargs.get(argument.name, args[place] if place < len(args) else None)
            for place, argument in enumerate(func._schema.arguments)
            if argument.alias_info is not None and argument.alias_info.is_write
        ]
        return {storage_pointer(tensor) for tensor in self._tensors(changed)}

    def _tensors(self, tree: Any) -> list[torch.Tensor]:
        """The plain tensors on the watched device, and those that sparse ones are made of."""
        found: list[torch.Tensor] = []
        for leaf in _tensors_in(tree):
            if leaf.device.type != self._device.type:
                self.elsewhere.add(leaf.device.type)
            elif self._device.index in (None, leaf.device.index):
                found += _parts(leaf)
        return found

    def _touch(self, tensors: list[torch.Tensor], written: set[int]) -> None:
        touches: list[Touch] = []
        for tensor in tensors:
            pointer = storage_pointer(tensor)
            owned = self._device.type != "cpu" or self._foreign.owned(tensor)
            if not owned:
                self._foreign.note(pointer, tensor)
            self._described.setdefault(pointer, describe(tensor))
            touches.append(Touch(pointer, Extent.of(tensor), pointer in written, owned))
        self._observer.touch(len(self._touches))
        self._touches.append(touches)

    def _export(self, tensor: torch.Tensor) -> None:
        """Memory goes to code that is no operator; what it writes shows in a checksum."""
        plain = self._tensors([tensor])
        if not plain:
            return
        self._touch(plain, set())
        pointer, size = storage_pointer(tensor), tensor.untyped_storage().nbytes()
        if tensor.device.type == "cpu" and pointer not in self._exported:
            self._exported[pointer] = size, _checksum(pointer, size)

    def static(self, stream: Stream, outside: Mapping[int, int]) -> list[Block]:
        """The blocks that the step used and neither made nor freed, largest first.

        What is a parameter or a buffer of a module is that; so is what gradients are wanted of
        (``parameters``). Of the rest, what the step writes is optimiser state, what it only reads
        is input, and what an earlier step made and this one does not use is workspace.

        Args:
            stream: Of the watched step, with the marks made here.
            outside: Bytes of the storages that existed before the profile, by address.
        """
        named = {
            storage_pointer(tensor): (kind, path)
            for kind, path, tensor in self._names.held()
            if _is_dense(tensor) and tensor.device.type == self._device.type
        }
        gradients = {
            storage_pointer(tensor.grad): named.get(pointer, ("", ""))[1]
            for pointer, reference in self._trainable.items()
            if (tensor := reference()) is not None and tensor.grad is not None
        }
        found, foreign = static_blocks(stream, self._touches, outside)
        blocks = [self._static_block(block, named, gradients) for block in found if block.size]
        held = self._foreign.peak_bytes(foreign)
        if held:
            blocks.append(
                Block(held, "", str(Category.INPUTS), "memory of numpy or another library")
            )
        return sorted(blocks, key=lambda block: -block.size)

    def _static_block(
        self, block: StaticBlock, named: dict[int, tuple[str, str]], gradients: dict[int, str]
    ) -> Block:
        pointer = block.pointer
        kind, path = named.get(pointer, ("", ""))
        label = f"{path} {self._described.get(pointer, '')}".strip()
        category = Category.OPTIMIZER_STATE if self._changed(block) else Category.INPUTS
        if pointer in self._trainable or kind == "parameter":
            category = Category.PARAMETERS
        elif pointer in gradients:
            category = Category.GRADIENTS
            label = f"gradient of {gradients[pointer] or 'a parameter'} {label}".strip()
        elif kind == "buffer":
            category = Category.BUFFERS
        elif block.whole_bytes:
            category, label = Category.WORKSPACE, "kept from an earlier step"
        return Block(block.size, "", str(category), label, path.rpartition(".")[0])

    def _changed(self, block: StaticBlock) -> bool:
        if block.written:
            return True
        if block.pointer not in self._exported:
            return False
        size, before = self._exported[block.pointer]
        return _checksum(block.pointer, size) != before

    @property
    def saw_nothing(self) -> bool:
        """No operator was given a tensor on the watched device."""
        return not self._touches


@contextmanager
def _uncompiled() -> Iterator[None]:
    """Run what torch.compile compiled as it was written, inside the block only.

    Compiled code has no operators to watch, and the compiler gives up for good on a function that
    it meets while they are watched.
    """
    if "torch._dynamo" not in sys.modules:  # importing it takes seconds
        yield
        return
    with torch.compiler.set_stance("force_eager"):
        yield


class _Exports(TorchFunctionMode):
    """Tells of every tensor whose memory is handed out."""

    def __init__(self, tell: Callable[[torch.Tensor], None]) -> None:
        super().__init__()
        self._tell = tell

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        exported = getattr(func, "__name__", "") in _EXPORTS
        if exported and args and isinstance(args[0], torch.Tensor):
            self._tell(args[0])
        return func(*args, **(kwargs or {}))


class _ForeignMemory:
    """Storages that no allocator of torch made: how much of it is alive at once."""

    def __init__(self) -> None:
        self._alive: dict[int, int] = {}  # pointer: tensors alive on it
        self._sizes: dict[int, int] = {}
        self._seen: dict[int, weakref.ref[torch.Tensor]] = {}
        self._levels: list[dict[int, int]] = []

    @staticmethod
    def owned(tensor: torch.Tensor) -> bool:
        """Whether torch allocated it: then it can be resized."""
        return bool(tensor.untyped_storage().resizable())

    def note(self, pointer: int, tensor: torch.Tensor) -> None:
        """A tensor is in use."""
        if id(tensor) in self._seen:
            return

        def died(_: object, number: int = id(tensor)) -> None:
            del self._seen[number]
            self._alive[pointer] -= 1
            if not self._alive[pointer]:
                del self._alive[pointer]

        self._seen[id(tensor)] = weakref.ref(tensor, died)
        self._alive[pointer] = self._alive.get(pointer, 0) + 1
        self._sizes[pointer] = tensor.untyped_storage().nbytes()
        self._levels.append({each: self._sizes[each] for each in self._alive})

    def peak_bytes(self, pointers: set[int]) -> int:
        """The largest sum alive at once, of storages at some addresses."""
        sums = (
            sum(size for pointer, size in level.items() if pointer in pointers)
            for level in self._levels
        )
        return max(sums, default=0)


_WITHOUT_TENSORS = frozenset(
    {
        type(None),
        bool,
        int,
        float,
        str,
        torch.dtype,
        torch.device,
        torch.layout,
        torch.memory_format,
    }
)
"""What operators are given besides tensors, mostly."""


def _tensors_in(tree: Any) -> list[torch.Tensor]:
    """The tensors among an operator's arguments or results, in order.

    Of what operators mostly are given: torch's own walk asks of everything what it is.
    """
    if isinstance(tree, torch.Tensor):
        return [tree]
    kind = type(tree)
    if kind in _WITHOUT_TENSORS:
        return []
    if kind is tuple or kind is list:
        return [tensor for each in tree for tensor in _tensors_in(each)]
    if kind is dict:
        return [tensor for each in tree.values() for tensor in _tensors_in(each)]
    return [leaf for leaf in tree_leaves(tree) if isinstance(leaf, torch.Tensor)]


def describe(tensor: torch.Tensor) -> str:
    """Type and shape: ``float32 32x10``."""
    return _described(tensor.dtype, tensor.shape)


@lru_cache(maxsize=1024)
def _described(dtype: torch.dtype, shape: tuple[int, ...]) -> str:
    sizes = "x".join(map(str, shape)) or "scalar"
    return f"{str(dtype).removeprefix('torch.')} {sizes}"


_PARTS = {
    torch.sparse_coo: (torch.Tensor._indices, torch.Tensor._values),
    torch.sparse_csr: (torch.Tensor.crow_indices, torch.Tensor.col_indices, torch.Tensor.values),
    torch.sparse_bsr: (torch.Tensor.crow_indices, torch.Tensor.col_indices, torch.Tensor.values),
    torch.sparse_csc: (torch.Tensor.ccol_indices, torch.Tensor.row_indices, torch.Tensor.values),
    torch.sparse_bsc: (torch.Tensor.ccol_indices, torch.Tensor.row_indices, torch.Tensor.values),
}
"""What a sparse tensor consists of; it has no storage of its own."""


def _parts(tensor: torch.Tensor) -> list[torch.Tensor]:
    """The plain tensors that a tensor consists of: mostly itself."""
    if _is_dense(tensor):
        return [tensor]
    try:
        if tensor.is_nested:
            return [tensor.values()]
        return [part(tensor) for part in _PARTS.get(tensor.layout, ())]
    except Exception:
        return []


def _is_dense(tensor: torch.Tensor) -> bool:
    try:
        return is_plain(tensor)
    except Exception:
        return False


def _wraps(kind: type) -> bool:
    """Whether a class of tensors handles operators itself."""
    own = getattr(kind, "__torch_dispatch__", None)
    return own is not None and own not in (
        torch._C._disabled_torch_dispatch_impl,
        torch.Tensor.__torch_dispatch__,
    )


def _checksum(pointer: int, size: int) -> int:
    return zlib.crc32((ctypes.c_char * size).from_address(pointer)) if size else 0
