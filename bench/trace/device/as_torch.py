"""The blocks of torch's own schedule: the device view where nothing better was found.

Straight-line C can always hold what torch holds, from the same births to the same deaths. Of a loop
that is shown in part the view has to be cautious, and may come out larger than that.
"""

from __future__ import annotations

from bisect import bisect_right

from trainfit.bench.profiler.events import MarkKind
from trainfit.bench.profiler.fold import OUTSIDE
from trainfit.bench.trace.device.block import Block
from trainfit.bench.trace.trace import Trace


def blocks_of_torch(trace: Trace) -> tuple[list[Block], list[int], list[tuple[str, str]]]:
    """Every storage that the step makes, from its birth to its death.

    Returns:
        The blocks, the bytes alive at every instant, and the instants: one for every birth and
        death, with the innermost phase.
    """
    stream = trace.stream
    levels, level = [], 0
    born: dict[int, int] = {}
    blocks: list[Block] = []

    def add(number: int, died: int) -> None:
        storage = trace.storages[number]
        at = born.pop(number)
        category, phase = storage.category, storage.phase
        block = Block(len(blocks), storage.size, at, died, category, storage.label, (phase,))
        blocks.append(block)

    for instant, (number, change) in enumerate(zip(stream.pointers, stream.sizes, strict=True)):
        if change > 0:
            born[number] = instant
        if number in born:  # else it was found before the step, and is freed in it
            level += change
        if change < 0 and number in born:
            add(number, instant)
        levels.append(level)
    for number in list(born):
        add(number, len(levels))
    return blocks, levels, [("", phase) for phase in _phases(trace)]


def _phases(trace: Trace) -> list[str]:
    """The innermost phase at every birth and death."""
    starts, names, stack = [0], [OUTSIDE], [OUTSIDE]
    for mark in trace.stream.marks:
        if mark.kind is MarkKind.ENTER:
            stack.append(mark.name)
        elif mark.kind is MarkKind.LEAVE:
            stack.pop()
        else:
            continue
        starts.append(mark.position)
        names.append(stack[-1])
    return [names[bisect_right(starts, event) - 1] for event in range(len(trace.stream.sizes))]
