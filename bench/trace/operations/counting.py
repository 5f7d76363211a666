"""The arithmetic of a traced step, operator by operator.

Every operator has a row in a table (torch's: products, elementwise, layers; our own: kernels) that
says what it computes, or that it only moves data. An operator that a loop over tiles repeats counts
as often as it is called. A call is one of an operator that computes something, whatever that is:
of ``_log_softmax`` there is one, and an operator of an optimiser that works tile by tile is called
once per tile.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

from trainfit.algorithms.memory.operations import Call, Operations, PhaseOperations
from trainfit.bench.profiler.events import MarkKind
from trainfit.bench.profiler.fold import OUTSIDE
from trainfit.bench.trace.operations import elementwise, kernels, layers, products
from trainfit.bench.trace.operations.contents import Contents
from trainfit.bench.trace.operations.lists import single_calls
from trainfit.bench.trace.operations.tiles import Tiles
from trainfit.bench.trace.operations.work import Product, Row, Work, nothing
from trainfit.bench.trace.trace import Operator, Trace

_TABLE: dict[str, Row] = {
    **elementwise.ROWS,
    **layers.ROWS,
    **products.ROWS,
    **kernels.ROWS,
    "profiler._record_function_enter_new": nothing,
    "profiler._record_function_exit": nothing,
}


class UncountedOperatorError(LookupError):
    """An operator has no row: what it computes is not known."""


@dataclass(frozen=True)
class Counted:
    """The arithmetic of a step, as far as it is known.

    Attributes:
        operations: By phase.
        uncounted: Operators without a row, each once, and how often they are called.
    """

    operations: Operations
    uncounted: Counter[str]


def operations_of(trace: Trace) -> Operations:
    """The arithmetic of a step, by phase; phases that refine others count in those, too.

    Every phase that the step enters is there, even if nothing is computed in it; what is computed
    in none is ``outside``.

    Args:
        trace: Of the step.

    Raises:
        UncountedOperatorError: An operator has no row.
    """
    counted = known_operations_of(trace)
    for name in counted.uncounted:
        raise UncountedOperatorError(
            f"what {name} computes is not known; add a row for {base_name(name)!r} to a table in"
            " bench/trace/operations (`nothing`, if it only moves data)"
        )
    return counted.operations


def known_operations_of(trace: Trace) -> Counted:
    """The same with the operators that have no row left out, and named."""
    operations = Operations()
    contents = Contents([each.size for each in trace.storages])
    tiles = Tiles(contents)
    uncounted: Counter[str] = Counter()
    for mark in trace.stream.marks:
        if mark.kind is MarkKind.ENTER:
            operations.enter(refined(mark.name))
    for call in (single for each in trace.operators for single in single_calls(each)):
        row = _TABLE.get(base_name(call.name))
        if row is None:
            uncounted[call.name] += call.times
        elif works := tuple(row(call, contents)):
            tally = _tally(call, works, tiles)
            phases = refined(call.phase)
            if not phases and (tally.macs or tally.elementwise):
                phases = [OUTSIDE]
                operations.enter(phases)
            for phase in phases:
                operations.phases[phase].add(tally)
        contents.after(call, base_name(call.name))
        tiles.after(call)
    return Counted(operations, uncounted)


@cache
def base_name(name: str) -> str:
    """An operator without its overload; ``add_`` and ``add.out`` are ``add``."""
    namespace, base, *_ = name.split(".")
    return f"{namespace}.{base.rstrip('_')}"


def refined(phase: str) -> list[str]:
    """A phase and those that it refines: ``forward.positive`` counts in ``forward``, too."""
    parts = phase.split(".") if phase else []
    return [".".join(parts[: count + 1]) for count in range(len(parts))]


def _tally(call: Operator, works: Sequence[Work], tiles: Tiles) -> PhaseOperations:
    tally = PhaseOperations()
    for work in works:
        if isinstance(work, Product):
            tally.macs[work.number_format] += call.times * work.macs
            read, written = tiles.counted(call, work)
            tally.operands[work.number_format] += read
            tally.results[work.number_format] += written
        elif work.elements:
            tally.elementwise[work.number_format, work.kind] += call.times * work.elements
    if call.again:  # a call is one over a whole tensor, however many tiles it is done in
        return tally
    if tally.macs:
        tally.calls[Call.PRODUCT] += call.times
    elif tally.elementwise:
        tally.calls[Call.ELEMENTWISE] += call.times
    return tally
