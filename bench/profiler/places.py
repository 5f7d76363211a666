"""Where a tensor was made: the line of the user's code, and the module that was running.

While watched, every ``nn.Module`` tells when its forward begins and ends. What backward makes is
of the module whose forward recorded the node that runs: nodes are known by their sequence number.
"""

from __future__ import annotations

import sys
import sysconfig
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple
from weakref import ref

import torch
from torch._C import _autograd
from torch.nn.modules import module as hooks

_TORCH = str(Path(torch.__file__).parent)
_BENCH = str(Path(__file__).parents[1])
_OURS = str(Path(__file__).parents[2])
_TYPED = ("<stdin>", "<string>", "<ipython-input")  # code that was never in a file
_MARKERS = str(Path("algorithms", "phases.py"))
_LIBRARIES = tuple({*sysconfig.get_paths().values()} - {sysconfig.get_paths()["data"]})


class Place(NamedTuple):
    """Where something was made.

    Attributes:
        module: Path of the innermost module, as ``features.3.conv``; empty if none ran.
        line: ``train.py:41``; empty if no line of the user's code ran.
    """

    module: str = ""
    line: str = ""


NOWHERE = Place()


class ModuleNames:
    """What modules are called: the path from the outermost module they are part of.

    Args:
        modules: All modules of the process, by weak reference.
    """

    def __init__(self, modules: Sequence[ref[torch.nn.Module]] = ()) -> None:
        self._modules = [module for each in modules if (module := each()) is not None]
        self._parents: dict[int, tuple[torch.nn.Module, str]] = {}
        self._owners: dict[int, str] = {}
        self._by_id: dict[int, torch.nn.Module] = {}
        for module in self._modules:
            children: Mapping[str, Any] = module.__dict__.get("_modules") or {}
            for name, child in children.items():
                if child is not None and not _own_ancestor(child, module, self._parents):
                    self._parents.setdefault(id(child), (module, name))

    def path_at(self, identity: int) -> str:
        """The path of the module with an ``id()``; empty if it is not known."""
        if not self._by_id:
            self._by_id.update((id(module), module) for module in self._modules)
        module = self._by_id.get(identity)
        return "" if module is None else self.path(module)

    def path(self, module: torch.nn.Module) -> str:
        """``features.3.conv``; of an outermost module the name of its class."""
        names: list[str] = []
        at: torch.nn.Module = module
        while (above := self._parents.get(id(at))) is not None:
            at, name = above
            if name != "_orig_mod":  # what torch.compile wraps a module in
                names.append(name)
        return ".".join(reversed(names)) or type(module).__name__

    def owner(self, parameter: torch.Tensor) -> str:
        """Path of the module that holds a parameter; empty if none does."""
        if not self._owners:
            for module in self._modules:
                for tensor in (module.__dict__.get("_parameters") or {}).values():
                    if tensor is not None:
                        self._owners.setdefault(id(tensor), self.path(module))
        return self._owners.get(id(parameter), "")

    def held(self) -> Iterator[tuple[str, str, torch.Tensor]]:
        """(kind, path, tensor) of every parameter and buffer; kind is that word."""
        for module in self._modules:
            root = id(module) not in self._parents
            prefix = "" if root else f"{self.path(module)}."
            for kind, store in (("parameter", "_parameters"), ("buffer", "_buffers")):
                for name, tensor in (module.__dict__.get(store) or {}).items():
                    if isinstance(tensor, torch.Tensor):
                        yield kind, prefix + name, tensor


def _own_ancestor(
    child: torch.nn.Module, module: torch.nn.Module, parents: dict[int, tuple[torch.nn.Module, str]]
) -> bool:
    """Whether modules would hold each other in a ring (a module may keep its owner)."""
    at: torch.nn.Module | None = module
    while at is not None:
        if at is child:
            return True
        above = parents.get(id(at))
        at = above[0] if above else None
    return False


class Places:
    """Tells where the step is now. Use :meth:`watching` around the step."""

    def __init__(self, names: ModuleNames) -> None:
        self._names = names
        self._running: list[str] = []
        self._recorded: dict[int, Place] = {}

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Listen to every module inside the block."""

        def begins(module: torch.nn.Module, _: Any) -> None:
            self._running.append(self._names.path(module))

        def ends(module: torch.nn.Module, _: Any, __: Any) -> None:
            if self._running:
                self._running.pop()

        handles = [
            hooks.register_module_forward_pre_hook(begins),
            hooks.register_module_forward_hook(ends, always_call=True),
        ]
        try:
            with warnings.catch_warnings():
                # A compiled module asks its user whether hooks on all modules are meant.
                warnings.filterwarnings("ignore", message=r"Using `torch\.compile\(module\)` when")
                yield
        finally:
            for handle in handles:
                handle.remove()
            self._running.clear()

    def here(self) -> Place:
        """The place of what is made now."""
        line = user_line(sys._getframe(1))
        if torch._C._current_graph_task_id() == -1:
            place = Place(self._running[-1] if self._running else "", line)
            # The node of an operator, if it has one, was numbered before the operator runs; who
            # comes after it without a node of his own finds the same number.
            self._recorded.setdefault(_autograd._get_sequence_nr() - 1, place)
            return place
        return backward_place(self._recorded_at(torch._C._current_autograd_node()), line)

    def _recorded_at(self, node: Any) -> Place:
        """Where forward recorded a node; of one that adds up gradients, whose they are."""
        if node is None:
            return NOWHERE
        variable = getattr(node, "variable", None)
        if variable is not None:
            return Place(self._names.owner(variable))
        return self._recorded.get(node._sequence_nr(), NOWHERE)


def backward_place(made: Place, line: str) -> Place:
    """The place of what backward makes at a line, for an operator of forward that was elsewhere."""
    if made.module or not made.line or made.line == line:
        return Place(made.module, line)
    return Place("", f"{line}, for {made.line}" if line else made.line)


def user_line(frame: Any) -> str:
    """The innermost line that is neither torch's nor ours; one of a library if there is no other.

    Training rules of this project are users of torch as any other.
    """
    library = ""
    while frame is not None:
        kind, shown = _file(frame.f_code.co_filename)
        if kind == "user":
            return f"{shown}:{frame.f_lineno}"
        if kind == "library" and not library:
            library = f"{shown}:{frame.f_lineno}"
        frame = frame.f_back
    return library


def user_file(name: str) -> str:
    """How a file of the user's is shown; empty for any other, also by a name cut short."""
    kind, shown = _file(_found(name))
    return shown if kind == "user" else ""


@cache
def _found(name: str) -> str:
    """A file by the name that torch's tracer gives it, which leaves out where Python found it."""
    if not name.startswith("<") and not Path(name).is_absolute():
        for start in sys.path:
            path = Path(start, name)
            if path.is_file():
                return str(path)
    return name


@cache
def _file(name: str) -> tuple[str, str]:
    """What kind of file it is (``user``, ``library``, ``engine``), and how it is shown."""
    if name.startswith(_TYPED):
        return "user", name
    if name.startswith("<") or not name or _is_engine(name):
        return "engine", ""
    path = Path(name)
    if path.is_relative_to(_OURS):
        return "user", (Path("trainfit") / path.relative_to(_OURS)).as_posix()
    return ("library" if name.startswith(_LIBRARIES) else "user"), _relative(path)


def _is_engine(name: str) -> bool:
    """Whether a file is part of torch or of the measuring, of which no user is told."""
    return name.startswith((_TORCH, _BENCH)) or name.endswith(_MARKERS)


def _relative(path: Path) -> str:
    """From the current folder, otherwise from where Python found it, otherwise the last two."""
    searched = sorted((Path(each) for each in sys.path if each), key=lambda p: -len(p.parts))
    for start in (Path.cwd(), *searched):
        if path.is_relative_to(start):
            return path.relative_to(start).as_posix()
    return "/".join(path.parts[-2:])
