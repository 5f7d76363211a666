"""From a stream of allocation events to peaks per phase: a pure fold, no torch.

* **static**: blocks alive at BEGIN that are still alive at END.
* **dynamic**: everything else that is alive between BEGIN and END, blocks that the step found
  and freed included. The *peak* is the largest sum of dynamic bytes at any instant.

Time belongs to the innermost open phase and counts in all phases around it; ``forward.positive``
counts in ``forward`` as well. Time in no phase is ``outside``.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from trainfit.bench.profiler.events import Mark, MarkKind, Stream, StreamError
from trainfit.bench.profiler.lifetimes import BlockLifetimes, Ints

OUTSIDE = "outside"
"""The name of time that belongs to no phase."""

WORKSPACE = "workspace"
"""The category of bytes that nothing claims."""


class Block(NamedTuple):
    """One allocation.

    Attributes:
        size: Bytes.
        phase: The innermost phase it was made in; empty if before the step.
        category: What it is for.
        label: Operator, dtype and shape.
        module: Path of the ``nn.Module`` that was running, as ``features.3.conv``; empty if none.
        line: Where in the user's code, as ``train.py:41``; empty if not known.
    """

    size: int
    phase: str
    category: str
    label: str
    module: str = ""
    line: str = ""


@dataclass(frozen=True)
class PhasePeak:
    """Dynamic bytes of one phase.

    Attributes:
        peak_bytes: Largest sum while the phase was open.
        entry_bytes: Level when it was first entered.
        exit_bytes: Level when it was last left.
        live_at_peak: Dynamic blocks alive at its peak, largest first; they sum to ``peak_bytes``.
    """

    peak_bytes: int
    entry_bytes: int
    exit_bytes: int
    live_at_peak: Sequence[Block]

    @property
    def categories(self) -> dict[str, int]:
        """Peak bytes by category; sums to ``peak_bytes``."""
        return by_category(self.live_at_peak)


class TimelinePoint(NamedTuple):
    """Dynamic bytes alive right after an allocation or a free."""

    phase: str
    dynamic_bytes: int


@dataclass(frozen=True)
class Fold:
    """What one measured step did to memory; all figures in bytes.

    Attributes:
        peak_dynamic_bytes: Largest sum of dynamic bytes at any instant.
        peak_phase: Innermost phase in which the peak was first reached.
        phases: Every phase that was entered, and ``outside`` if anything was allocated there.
        live_at_peak: Dynamic blocks alive at the peak, largest first.
        entry_bytes: Dynamic bytes that the step found and freed (gradients kept from before).
        left_after_step_bytes: Level after the step minus level before it: what it leaks.
        left_blocks: Blocks made by the step that outlive it and replace none, largest first.
        left_in_cycles_bytes: How much of what it leaves only the garbage collector frees: objects
            that refer to each other hold it.
        allocations: Bytes of every allocation (positive) and free (negative), in order.
        segments: (number of allocation events before it, innermost phase) of every phase border.
        entry_categories: ``entry_bytes`` by category.
        owners: Per allocation and free, the place of its block's category in ``owner_names``.
        owner_names: Categories.
    """

    peak_dynamic_bytes: int
    peak_phase: str
    phases: dict[str, PhasePeak]
    live_at_peak: tuple[Block, ...]
    entry_bytes: int
    left_after_step_bytes: int
    left_blocks: tuple[Block, ...]
    left_in_cycles_bytes: int
    allocations: Ints = field(repr=False, compare=False)
    segments: Sequence[tuple[int, str]] = field(repr=False, compare=False)
    entry_categories: dict[str, int] = field(repr=False, compare=False)
    owners: npt.NDArray[np.int16] = field(repr=False, compare=False)
    owner_names: Sequence[str] = field(repr=False, compare=False)

    @property
    def categories(self) -> dict[str, int]:
        """Bytes by category at the peak; sums to ``peak_dynamic_bytes``."""
        return by_category(self.live_at_peak)

    @cached_property
    def timeline(self) -> list[TimelinePoint]:
        """The level after every allocation and free of the measured step, in order."""
        levels = self.entry_bytes + np.cumsum(self.allocations)
        phases = self.innermost_phases(np.arange(len(levels)))
        return [
            TimelinePoint(phase, int(level)) for phase, level in zip(phases, levels, strict=True)
        ]

    def innermost_phases(self, events: Ints) -> list[str]:
        """The innermost phase in which some events happened, counted from 0; -1 is the begin."""
        starts = np.array([start for start, _ in self.segments])
        places = np.maximum(np.searchsorted(starts, events, side="right") - 1, 0)
        return [self.segments[place][1] for place in places]

    def same_bytes(self, other: Fold) -> bool:
        """Whether two repeats of a step agree in every allocation, free and phase border."""
        return (
            self.entry_bytes == other.entry_bytes
            and self.segments == other.segments
            and np.array_equal(self.allocations, other.allocations)
        )


@dataclass(slots=True)
class _Open:
    """A phase as the fold goes along; levels are relative to the level at BEGIN."""

    entry: int
    exit: int
    peak: int
    at: int
    allocated: bool


def with_prefixes(names: Iterable[str]) -> list[str]:
    """``["forward.positive"]`` to ``["forward", "forward.positive"]``, each once, in order."""
    found: dict[str, None] = {}
    for name in names:
        parts = name.split(".")
        for length in range(1, len(parts) + 1):
            found[".".join(parts[:length])] = None
    return list(found)


def fold(stream: Stream) -> Fold:
    """Fold a stream into peaks; linear in the number of events but for one sort by address.

    Raises:
        StreamError: No measured step, phases that do not nest, or a block allocated twice
            without a free between (it was freed where the session does not look).
    """
    lives = BlockLifetimes(stream)
    begin, end, borders, tags = _marks(stream.marks)
    sizes = lives.sizes[begin:end]
    # A free that nobody saw the birth of is a block from before the session: known by its size.
    levels: Ints = np.concatenate(([0], np.cumsum(sizes)))  # levels[i]: before event begin + i

    opened: dict[str, _Open] = {}
    segments: list[tuple[int, str]] = []
    best, best_at, best_phase = 0, 0, borders[0][1]
    for (start, innermost, names), (stop, _, _) in zip(
        borders, [*borders[1:], (end, "", [])], strict=True
    ):
        first, last = start - begin, stop - begin
        segments.append((first, innermost))
        at = first + int(np.argmax(levels[first : last + 1]))
        peak = int(levels[at])
        grew = bool(np.any(sizes[first:last] > 0))
        for name in names:
            state = opened.get(name)
            if state is None:
                opened[name] = _Open(int(levels[first]), int(levels[last]), peak, at, grew)
                continue
            if peak > state.peak:
                state.peak, state.at = peak, at
            state.exit = int(levels[last])
            state.allocated |= grew
        if peak > best:
            best, best_at, best_phase = peak, at, innermost

    # Blocks that the step found and freed are dynamic too: they raise every level by a constant.
    events = np.arange(lives.count)
    is_alloc = lives.sizes > 0
    ends_inside = (lives.died >= begin) & (lives.died < end)
    found = is_alloc & (events < begin) & ends_inside
    orphans = (~is_alloc) & (lives.born < 0) & (events >= begin) & (events < end)
    base = int(lives.sizes[found].sum() - lives.sizes[orphans].sum())
    dynamic = np.flatnonzero(found | (is_alloc & (events >= begin) & (events < end)))
    unseen = np.flatnonzero(orphans)

    tagged = _tagged(lives, tags)
    starts = np.array([start for start, _, _ in borders])

    def alive(at: int) -> list[Block]:
        """Dynamic blocks alive after ``at`` events of the measured step, largest first."""
        now = begin + at
        chosen = dynamic[(dynamic < now) & (lives.died[dynamic] >= now)]
        blocks = [
            Block(
                int(lives.sizes[event]),
                borders[int(np.searchsorted(starts, event, side="right")) - 1][1]
                if event >= begin
                else "",
                *tagged.get(int(event), (WORKSPACE, "", "", "")),
            )
            for event in chosen
        ]
        blocks += [
            Block(-int(lives.sizes[event]), "", WORKSPACE, "held from before the session")
            for event in unseen
            if event >= now
        ]
        return sorted(blocks, key=lambda block: -block.size)

    collected = next((m.position for m in stream.marks if m.kind is MarkKind.COLLECT), lives.count)
    by_collector = (is_alloc & (events >= begin) & (events < end)) & (
        (lives.died >= collected) & (lives.died < lives.count)
    )

    owner_names = list(dict.fromkeys([WORKSPACE, *(name for name, *_ in tagged.values())]))
    places = {name: place for place, name in enumerate(owner_names)}
    owners = np.zeros(lives.count, np.int16)
    for event, (name, *_) in tagged.items():
        owners[event] = places[name]
    freed = np.flatnonzero(lives.born >= 0)
    owners[freed] = owners[lives.born[freed]]

    return Fold(
        peak_dynamic_bytes=base + best,
        peak_phase=best_phase,
        phases={
            name: PhasePeak(
                base + state.peak,
                base + state.entry,
                base + state.exit,
                alive(state.at),
            )
            for name, state in opened.items()
            if name != OUTSIDE or state.allocated or len(opened) == 1
        },
        live_at_peak=tuple(alive(best_at)),
        entry_bytes=base,
        left_after_step_bytes=int(levels[-1]),
        left_blocks=_not_replacing(alive(end - begin), alive(0)),
        left_in_cycles_bytes=int(lives.sizes[by_collector].sum()),
        allocations=sizes,
        segments=segments,
        entry_categories=by_category(alive(0)),
        owners=owners[begin:end],
        owner_names=owner_names,
    )


def _marks(marks: Sequence[Mark]) -> tuple[int, int, list[tuple[int, str, list[str]]], list[Mark]]:
    """Split marks into the measured window, its phase borders, and the tags up to its end.

    A border is (position, innermost phase, all open phases with their prefixes).
    """
    stack: list[str] = []
    borders: list[tuple[int, str, list[str]]] = []
    tags: list[Mark] = []
    begin: int | None = None
    for mark in marks:
        if mark.kind is MarkKind.TAG:
            tags.append(mark)
        if mark.kind in (MarkKind.TAG, MarkKind.TOUCH):
            continue
        if mark.kind is MarkKind.ENTER:
            stack.append(mark.name)
        elif mark.kind is MarkKind.LEAVE:
            if not stack or stack.pop() != mark.name:
                raise StreamError(f"phase {mark.name!r} is left but was not the innermost one")
        elif mark.kind is MarkKind.BEGIN:
            if begin is not None:
                raise StreamError("the stream holds more than one measured step")
            begin = mark.position
        elif begin is not None:
            return begin, mark.position, borders, tags
        if begin is not None:
            innermost = stack[-1] if stack else OUTSIDE
            borders.append((mark.position, innermost, with_prefixes(stack) or [OUTSIDE]))
    raise StreamError("the stream holds no complete measured step (BEGIN ... END)")


def _tagged(lives: BlockLifetimes, tags: Sequence[Mark]) -> dict[int, tuple[str, str, str, str]]:
    """Category, label, module and line of every block that a tag speaks of, by its allocation.

    What a block is for may be said anew; where it was made stays.
    """
    tagged: dict[int, tuple[str, str, str, str]] = {}
    for mark in tags:
        event = lives.block_at(mark.pointer, mark.position)
        if event is not None:
            _, label, module, line = tagged.get(event, ("", "", "", ""))
            known = (mark.label or label, module or mark.module, line or mark.line)
            tagged[event] = (mark.name, *known)
    return tagged


def growth(stream: Stream) -> int:
    """Bytes alive after the measured step less those before it."""
    begin, end, _, _ = _marks(stream.marks)
    return int(BlockLifetimes(stream).sizes[begin:end].sum())


def _not_replacing(after: Iterable[Block], before: Iterable[Block]) -> tuple[Block, ...]:
    """Blocks alive after a step, less one for every block of its size that the step freed."""
    freed = Counter(block.size for block in before)
    left: list[Block] = []
    for block in after:
        if freed[block.size]:
            freed[block.size] -= 1
        else:
            left.append(block)
    return tuple(left)


def by_category(blocks: Iterable[Block]) -> dict[str, int]:
    """Bytes by category."""
    sums: dict[str, int] = {}
    for block in blocks:
        sums[block.category] = sums.get(block.category, 0) + block.size
    return sums
