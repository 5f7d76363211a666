"""The recorder of a step that is not ours: it gets every operator, and lets none compute.

Results are tensors without bytes (:mod:`~trainfit.bench.trace.strangers.absent`). An operator that
torch has written in terms of others is taken apart: what those make is the operator's own scratch.
"""

from __future__ import annotations

import weakref
from typing import Any, NamedTuple

import torch
from torch.utils._pytree import tree_map

from trainfit.algorithms.memory.stand_ins import READ
from trainfit.bench.profiler.attribution import describe
from trainfit.bench.profiler.places import Places
from trainfit.bench.profiler.session import storage_pointer
from trainfit.bench.trace.kinds import kind_of
from trainfit.bench.trace.scratch import is_known
from trainfit.bench.trace.strangers import geometry
from trainfit.bench.trace.strangers.absent import is_absent
from trainfit.bench.trace.strangers.answers import Answering
from trainfit.bench.trace.strangers.arguments import argument_of, on_meta, tensors_in, twin
from trainfit.bench.trace.strangers.engine import consists_of_others, run_in_parts, running
from trainfit.bench.trace.strangers.errors import ReadsDataError, UntraceableError
from trainfit.bench.trace.strangers.holding import Holding
from trainfit.bench.trace.strangers.shapes import shapes_of
from trainfit.bench.trace.trace import Operator, operands

aten = torch.ops.aten

_OF_NO_TENSORS = frozenset({"profiler"})
"""Namespaces of operators that compute nothing."""


class _About(NamedTuple):
    """What is the same for every call of an operator, looked up once.

    Attributes:
        func: It, held so that nothing else gets its number.
        computes_nothing: It only looks at tensors, or has none.
        consists_of_others: torch has written it in terms of other operators.
        gives_no_tensor: It answers a question.
        may_refuse: The size of what it gives may depend on values.
        is_known: It is known what it makes for itself.
    """

    func: Any
    computes_nothing: bool
    consists_of_others: bool
    gives_no_tensor: bool
    may_refuse: bool
    is_known: bool


_seen: dict[int, _About] = {}  # by number, since their own hash is slow


def _about(func: Any) -> _About:
    found = _seen.get(id(func))
    if found is None:
        found = _seen[id(func)] = _About(
            func,
            func.is_view or func in geometry.ONLY_GEOMETRY or func.namespace in _OF_NO_TENSORS,
            consists_of_others(func),
            geometry.gives_no_tensor(func),
            func in geometry.BY_MASK or geometry.gives_as_many_as_there_are(func),
            is_known(func),
        )
    return found


class Watcher(Holding):
    """Writes down steps; :meth:`run` is the handler of operators.

    Args:
        answers: To questions for values.
        places: Tells where the step is.
    """

    def __init__(self, answers: Answering, places: Places) -> None:
        super().__init__(places)
        self._answers = answers
        self._questions = 0  # of this call of the step
        self.reads: list[tuple[int, str]] = []  # number of operators before, place
        self.trainable: dict[int, weakref.ref[torch.Tensor]] = {}  # by number of storage
        self.unknown_scratch: dict[str, None] = {}

    # Operators ------------------------------------------------------------------------------

    def run(self, func: Any, *args: Any, **kwargs: Any) -> Any:
        """The result of an operator, of which no element is computed."""
        about = _about(func)
        if about.computes_nothing:
            if func is aten.lift_fresh.default:
                self.made_elsewhere(args[0])
            with running():
                return func(*args, **kwargs)
        if func is READ:
            return self._read(args[0])
        if self._inside:
            return self._result(func, args, kwargs)
        kind = kind_of(func)
        first = len(self._storages)
        given, named = self._described(args), self._described(kwargs) if kwargs else {}
        self._note_trainable(args)
        result = self._result(func, args, kwargs)
        made = self._name_results(func, result, first)
        self._operators.append(
            Operator(
                kind.name,
                self._open[-1] if self._open else "",
                given,
                named,
                kind.written(given, named) if kind.writes else (),
                tuple(operands(self._described((result,)))),
                made,
                len(self._stream.sizes),
                self._times[-1],
            )
        )
        return result

    def _result(self, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        about = _about(func)
        if func in geometry.REAL:
            with running():
                result = func(*args, **kwargs)
            self.made_elsewhere(result)
            return result
        if about.consists_of_others:
            outermost = not self._inside
            self._inside = self._inside or func.overloadpacket.__name__
            try:
                return run_in_parts(func, args, kwargs)
            finally:
                if outermost:
                    self._inside = ""
        if about.gives_no_tensor:
            if func is aten.equal.default:
                return self._answer(torch.bool)
            with running():
                return func(*args, **kwargs)
        if about.may_refuse:
            self._refuse_values(func, args)
        own = self._scratch(func, args, kwargs)
        if not own and not about.is_known:
            self.unknown_scratch[func.overloadpacket.__name__] = None
        with running():
            result = self._computed(func, args, kwargs)
        for storage in reversed(own):
            self._stream.free(storage.number, storage.size)
        return result

    def _computed(self, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        if func in geometry.RESIZE:
            return self._resized(*args)
        values = self._known.before(func, tensors_in((args, kwargs) if kwargs else args))
        returned = geometry.returned_arguments(func)
        if returned and None not in returned:
            result: Any = [argument_of(each, args, kwargs) for each in returned if each]
            for tensor in result:
                if not tensor.numel():
                    self._fill(func, tensor, args, kwargs)
            result = result[0] if len(result) == 1 else tuple(result)
        elif not returned:
            result = None
        else:
            shapes = self._shapes(func, args, kwargs)
            result = self._all_made(shapes)
        self._known.after(func, args, kwargs, values, tensors_in(result))
        return result

    def _all_made(self, shapes: Any) -> Any:
        """New tensors in place of meta tensors."""
        if isinstance(shapes, torch.Tensor):
            return self._made(shapes)
        return tree_map(lambda e: self._made(e) if isinstance(e, torch.Tensor) else e, shapes)

    def _shapes(self, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        kwargs = {
            name: on_meta(name, value) for name, value in kwargs.items() if name != "generator"
        }
        try:
            return shapes_of(func, tuple(map(twin, args)), kwargs)
        except NotImplementedError:
            raise UntraceableError(
                f"{self._line()}: torch does not know the shape of what {func} gives without"
                " running it; measure the step (profile_step)"
            ) from None

    def _fill(
        self, func: Any, tensor: torch.Tensor, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> None:
        """A result is wanted in a tensor that has no elements yet."""
        if func.overloadpacket.__name__.endswith("_"):
            return
        shapes = self._shapes(func, args, kwargs)
        if isinstance(shapes, torch.Tensor) and shapes.numel():
            aten.set_.source_Tensor(tensor, self._made(shapes))

    def _name_results(self, func: Any, result: Any, first: int) -> tuple[int, ...]:
        """Say what new results are for; their numbers."""
        made: dict[int, None] = {}
        for tensor in tensors_in(result):
            number = self._number(tensor)
            if number >= first and number not in made:
                made[number] = None
                storage = self._storages[number]
                storage.label = f"{func.overloadpacket.__name__} {describe(tensor)}"
                self._mark(storage, self._category())
        return tuple(made)

    def _note_trainable(self, args: tuple[Any, ...]) -> None:
        for tensor in tensors_in(args):
            if tensor.requires_grad and tensor.is_leaf and tensor._base is None:
                self.trainable[self._number(tensor)] = weakref.ref(tensor)

    # Values ---------------------------------------------------------------------------------

    def _read(self, tensor: torch.Tensor) -> bool | int | float:
        self._number(tensor)  # it may be a number that was there
        with running():
            known = self._known.value(storage_pointer(tensor), tensor)
            if known is not None:
                value: bool | int | float = known.item()
                return value
        return self._answer(tensor.dtype)

    def _answer(self, dtype: torch.dtype) -> bool | int | float:
        self.reads.append((len(self._operators), self._line()))
        self._questions += 1
        return self._answers.value(dtype, self._questions - 1)

    def answer_list(self, tensor: torch.Tensor) -> Any:
        """What ``tolist`` gives."""
        if not is_absent(tensor):
            if self._storages[self._number(tensor)].found:
                self.reads.append((len(self._operators), self._line()))
            with running():
                return tensor.tolist()
        if not tensor.dim():
            return self._read(tensor)
        return [self.answer_list(each) for each in tensor]

    def refuse_export(self, tensor: torch.Tensor, method: str) -> None:
        """Elements are handed to code that is no operator of torch.

        Raises:
            ReadsDataError: They are not there.
        """
        if is_absent(tensor):
            raise ReadsDataError(
                f"{self._line()}: {method} hands values to code that is not torch's, which there"
                " are none of in a prediction; measure the step (profile_step)"
            )
        self.reads.append((len(self._operators), self._line()))

    def _refuse_values(self, func: Any, args: tuple[Any, ...]) -> None:
        """Raise if the size of something depends on values."""
        by_mask = func in geometry.BY_MASK and any(
            each.dtype in (torch.bool, torch.uint8) for each in tensors_in((args[1],))
        )
        if by_mask and len(args) > 2 and args[2].numel() == 1:
            return  # fills the places with one number, whichever they are
        if by_mask or geometry.gives_as_many_as_there_are(func):
            name = "a mask as an index" if by_mask else func.overloadpacket.__name__
            raise ReadsDataError(
                f"{self._line()}: the size of what {name} gives depends on data; measure the step"
                " on data that is typical (profile_step)"
            )

    def call_begins(self) -> tuple[int, int, int, int]:
        """A call of the step begins; numbers of events, marks, operators and storages so far."""
        self._questions = 0
        return self._position()
