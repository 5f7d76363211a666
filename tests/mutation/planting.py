"""Changes planted in a training step, one at a time, without touching the algorithm's code.

A mode that sees every torch function called from Python stands between the step and torch. It
knows calls by their number within the step, which is the same in every repeat, and does to one of
them what a careless change would have done. What is planted is real: the tensors are allocated,
and measured as all others are.
"""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum

import torch
from torch.overrides import TorchFunctionMode

from trainfit.algorithms.contract import StaticTensor
from trainfit.algorithms.phases import Category, phase


class Mutation(StrEnum):
    """What a change can do to memory."""

    EXTRA_COPY = "one extra float copy"
    KEPT_GRADIENT = "a gradient kept beyond its phase, to the end of the step"
    LOST_IN_PLACE = "a lost in-place"
    OPTIMIZER_BUFFER = "one more optimiser buffer"
    WIDENED = "a dtype widened"
    DROPPED = "one buffer dropped"


@dataclass(frozen=True)
class Call:
    """One call of a step: what it was, where, and what it made."""

    number: int
    name: str
    phase: str
    bytes: int
    fresh: bool
    in_place: bool
    graph: bool


class _Widen(torch.autograd.Function):
    """The same values in a storage twice as large."""

    @staticmethod
    def forward(context, given):
        wide = torch.empty(2 * given.numel(), dtype=given.dtype)
        return wide[: given.numel()].view(given.shape).copy_(given)

    @staticmethod
    def backward(context, gradient):
        return gradient


class Planted(TorchFunctionMode):
    """Watches every call and, in every step, does one thing to one of them."""

    def __init__(self, mutation=None, target=None):
        super().__init__()
        self.mutation, self.target = mutation, target
        self.calls: list[Call] = []
        self.phases: list[str] = []
        self.kept: list[torch.Tensor] = []
        self.buffer: torch.Tensor | None = None
        self.bytes: set[int] = set()  # of what was planted or taken away, in any step
        self._busy = False

    def begin(self):
        """A step begins."""
        self.calls, self.kept = [], []

    def end(self):
        """A step has ended: whatever was planted does not outlive it."""
        self.kept = []

    def __torch_function__(self, function, types, args=(), kwargs=None):
        if self._busy or not self.phases:
            return function(*args, **(kwargs or {}))
        self._busy = True
        try:
            return self._call(function, args, kwargs or {})
        finally:
            self._busy = False

    def _call(self, function, args, kwargs):
        name = getattr(function, "__name__", "")
        number = len(self.calls)
        in_place = name.endswith("_") and not name.endswith("__")
        # Steps of other stages, and the first one, which makes what is lazy, have other calls.
        hit = self.target is not None and (number, name) == (self.target.number, self.target.name)
        if hit and self.mutation is Mutation.LOST_IN_PLACE:
            made = args[0].copy_(function(args[0].clone(), *args[1:], **kwargs))
            self.bytes.add(made.nbytes)
        else:
            made = function(*args, **kwargs)
        if name == "backward":
            made_bytes, fresh, graph = self._after_backward(args[0], hit), True, False
        elif isinstance(made, torch.Tensor):
            given = [each for each in (*args, *kwargs.values()) if isinstance(each, torch.Tensor)]
            known = {each.untyped_storage().data_ptr() for each in given}
            fresh = made.untyped_storage().data_ptr() not in known and made.is_contiguous()
            made_bytes, graph = made.nbytes, made.grad_fn is not None
            if hit:
                made = self._mutate(made)
        else:
            made_bytes, fresh, graph = 0, False, False
        self.calls.append(Call(number, name, self.phases[0], made_bytes, fresh, in_place, graph))
        return made

    def _mutate(self, made):
        if self.mutation is Mutation.EXTRA_COPY:
            self.kept.append(made.detach().float().clone())
            self.bytes.add(self.kept[-1].nbytes)
        elif self.mutation is Mutation.KEPT_GRADIENT:
            self.kept.append(made.detach())
            self.bytes.add(made.nbytes)
        elif self.mutation is Mutation.WIDENED:
            made = _Widen.apply(made)
            self.bytes.add(2 * made.nbytes)
        elif self.mutation is Mutation.DROPPED:
            if self.buffer is None or self.buffer.shape != made.shape:
                self.buffer = torch.empty_like(made)
            made = self.buffer.copy_(made)
            self.bytes.add(made.nbytes)
        return made

    def _after_backward(self, loss, hit):
        """autograd's gradients are on the leaves of the graph; the largest of them."""
        found, nodes = [], [loss.grad_fn]
        seen = set()
        while nodes:
            node = nodes.pop()
            if node is None or node in seen:
                continue
            seen.add(node)
            leaf = getattr(node, "variable", None)
            if leaf is not None and leaf.grad is not None:
                found.append(leaf.grad)
            nodes += [parent for parent, _ in node.next_functions]
        if not found:
            return 0
        largest = max(found, key=lambda tensor: tensor.nbytes)
        if hit and self.mutation is Mutation.KEPT_GRADIENT:
            self.kept.append(largest)
            self.bytes.add(largest.nbytes)
        elif hit and self.mutation is Mutation.EXTRA_COPY:
            self.kept.append(largest.clone())
            self.bytes.add(largest.nbytes)
        return largest.nbytes


@contextmanager
def planted(algorithm, mode):
    """The algorithm's steps run with the mode around them; phases are known to it."""
    step, enter, leave = algorithm.step, phase.__enter__, phase.__exit__

    def watched(x, y):
        mode.begin()
        with mode:
            made = step(x, y)
        mode.end()
        return made

    def entered(self):
        enter(self)
        mode.phases.append(self.name)

    def left(self, *error):
        mode.phases.pop()
        leave(self, *error)

    algorithm.step = watched
    phase.__enter__, phase.__exit__ = entered, left
    try:
        yield
    finally:
        phase.__enter__, phase.__exit__ = enter, leave
        del algorithm.step


def with_static(algorithm, *, more=False, fewer=False):
    """Another buffer beside the weights, or one tensor less among those held between steps."""
    held = algorithm.static_tensors

    def tensors():
        found = list(held())
        largest = max(found, key=lambda each: each.tensor.nbytes)
        if more:
            found.append(buffer)
        if fewer:
            found.remove(largest)
        return found

    largest = max(held(), key=lambda each: each.tensor.nbytes)
    buffer = StaticTensor(
        "second moment", torch.zeros_like(largest.tensor), Category.OPTIMIZER_STATE
    )
    algorithm.static_tensors = tensors
    return largest
