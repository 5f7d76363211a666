"""Tags carried from a step that was watched to the same step that was not, block by block.

Blocks of at most 8 bytes are always workspace: they are scalars, and watching operators makes a few
more of them.
"""

from __future__ import annotations

from collections.abc import Iterator

from trainfit.algorithms.phases import Category
from trainfit.bench.profiler.events import Mark, MarkKind, Stream

SCALAR_BYTES = 8

CHANGED = "watching operators changes what is allocated"
"""Why categories are not known."""


def carry_tags(source: Stream, target: Stream) -> str:
    """Tag the blocks of ``target`` as the matching blocks of ``source`` are tagged.

    Blocks are matched backwards from the end of the measured step, beyond its beginning as far
    as both agree, since a step may free what an earlier one made. Scalars between two of them are
    matched where there are as many of their size on both sides: so they have a place, too.

    Returns:
        Empty if every block of the measured step was matched, otherwise why not.
    """
    tags = _tags(source)
    ours, our_begin = _blocks(source)
    theirs, their_begin = _blocks(target)
    carried: list[Mark] = []
    mine_after, its_after = _end(source), _end(target)
    for mine, its in zip(reversed(ours), reversed(theirs), strict=False):
        if source.sizes[mine] != target.sizes[its] or (mine >= our_begin) != (its >= their_begin):
            if mine >= our_begin or its >= their_begin:
                return CHANGED
            break
        between = _scalars(source, mine, mine_after), _scalars(target, its, its_after)
        for one, other in [(mine, its), *_as_many(*between)]:
            carried += [_moved(tag, target, other) for tag in tags.get(one, [])]
        mine_after, its_after = mine, its
    if sum(e >= our_begin for e in ours) != sum(e >= their_begin for e in theirs):
        return CHANGED
    target.marks[:0] = carried
    return ""


def _tags(stream: Stream) -> dict[int, list[Mark]]:
    """Tags by the allocation of the block that they speak of."""
    tags: dict[int, list[Mark]] = {}
    born: dict[int, int] = {}
    marks = sorted((m for m in stream.marks if m.kind is MarkKind.TAG), key=lambda m: m.position)
    upcoming = iter(marks)
    mark = next(upcoming, None)
    for event in range(len(stream.sizes) + 1):
        while mark is not None and mark.position == event:
            if mark.pointer in born:
                tags.setdefault(born[mark.pointer], []).append(mark)
            mark = next(upcoming, None)
        if event < len(stream.sizes):
            if stream.sizes[event] > 0:
                born[stream.pointers[event]] = event
            else:
                born.pop(stream.pointers[event], None)
    return tags


def _moved(tag: Mark, target: Stream, event: int) -> Mark:
    small = target.sizes[event] <= SCALAR_BYTES
    name = str(Category.WORKSPACE) if small else tag.name
    return tag._replace(position=event + 1, pointer=target.pointers[event], name=name)


def _as_many(known: dict[int, list[int]], found: dict[int, list[int]]) -> Iterator[tuple[int, int]]:
    """Scalars of the sizes of which both have as many, in order."""
    for size, scalars in found.items():
        if len(scalars) == len(known.get(size, ())):
            yield from zip(known[size], scalars, strict=True)


def _end(stream: Stream) -> int:
    return next(m.position for m in stream.marks if m.kind is MarkKind.END)


def _scalars(stream: Stream, after: int, until: int) -> dict[int, list[int]]:
    """Allocations of scalars between two events, by size."""
    found: dict[int, list[int]] = {}
    for event in range(after + 1, until):
        size = stream.sizes[event]
        if 0 < size <= SCALAR_BYTES:
            found.setdefault(size, []).append(event)
    return found


def _blocks(stream: Stream) -> tuple[list[int], int]:
    """Allocations of more than a scalar up to the end of the measured step, and its begin."""
    begin = next(m.position for m in stream.marks if m.kind is MarkKind.BEGIN)
    sizes = stream.sizes[: _end(stream)]
    return [event for event, size in enumerate(sizes) if size > SCALAR_BYTES], begin
