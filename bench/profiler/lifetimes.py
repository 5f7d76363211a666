"""Which free ends which block: frees of a stream paired with the allocations before them.

::

    event       0     1     2     3     4
    stream     A a   A b   F a   A a   F c
    died        2     5     -     5     -      5, the number of events: never
    born        -     -     0     -    -1      -1: allocated before the stream began
"""

from __future__ import annotations

from functools import cached_property

import numpy as np
import numpy.typing as npt

from trainfit.bench.profiler.events import Stream, StreamError

Ints = npt.NDArray[np.int64]

_NONE: Ints = np.zeros(0, np.int64)


class BlockLifetimes:
    """Which allocation event ends which block: frees paired with the allocations before them.

    Attributes:
        count: Number of events.
        sizes: Bytes per event, negative for a free. A free takes what its allocation gave; its
            own size counts where nobody saw the allocation.
        died: Per allocation, the event that frees it; ``count`` if none does.
        born: Per free, the event that allocated the block; -1 if nobody saw it.

    Raises:
        StreamError: A block is allocated twice without a free between.
    """

    def __init__(self, stream: Stream) -> None:
        self.pointers: Ints = np.frombuffer(stream.pointers, np.int64) if stream.sizes else _NONE
        signed: Ints = np.frombuffer(stream.sizes, np.int64) if stream.sizes else _NONE
        self.count = len(signed)
        # Stable sort by address: the events of one address stand together, in time order.
        self.order = np.argsort(self.pointers, kind="stable")
        self.sorted_pointers = self.pointers[self.order]
        allocs = signed[self.order] > 0
        follows = np.zeros(self.count, bool)  # the event before it is of the same address
        follows[1:] = self.sorted_pointers[1:] == self.sorted_pointers[:-1]
        after_alloc = np.zeros(self.count, bool)
        after_alloc[1:] = follows[1:] & allocs[:-1]
        twice = np.flatnonzero(allocs & after_alloc)
        if len(twice):
            pointer = int(self.sorted_pointers[twice[0]])
            raise StreamError(
                f"address {pointer:#x} was allocated twice without a free between: a block was"
                " freed where the session does not look, most likely in another thread"
            )
        ends = np.flatnonzero(~allocs & after_alloc)
        self.died = np.full(self.count, self.count, np.int64)
        self.died[self.order[ends - 1]] = self.order[ends]
        self.born = np.full(self.count, -1, np.int64)
        self.born[self.order[ends]] = self.order[ends - 1]
        self.sizes = signed.copy()
        self.sizes[self.order[ends]] = -signed[self.order[ends - 1]]

    def block_at(self, pointer: int, position: int) -> int | None:
        """The allocation event of the block alive at an address before event ``position``."""
        events = self._events_at(pointer)
        place = int(np.searchsorted(events, position, side="left")) - 1
        if place < 0:
            return None
        event = int(events[place])
        return event if self.sizes[event] > 0 else None

    def block_around(self, pointer: int, position: int) -> int | None:
        """The same of the block that an address lies in, at its beginning or behind it."""
        exact = self.block_at(pointer, position)
        if exact is not None or not self._inside_any(pointer):
            return exact
        around = np.flatnonzero(
            (self.sizes[:position] > 0)
            & (self.pointers[:position] < pointer)
            & (self.pointers[:position] + self.sizes[:position] > pointer)
            & (self.died[:position] >= position)
        )
        return int(around[-1]) if len(around) else None

    def freed_unseen(self, pointer: int, start: int, stop: int) -> bool:
        """Whether a block that nobody saw allocated is freed at an address from event ``start``."""
        events = self._events_at(pointer)
        inside = events[(events >= start) & (events < stop)]
        return bool(len(inside)) and self.sizes[inside[0]] < 0 and self.born[inside[0]] < 0

    def _events_at(self, pointer: int) -> Ints:
        """Events of an address, in time order."""
        first = int(np.searchsorted(self.sorted_pointers, pointer, side="left"))
        last = int(np.searchsorted(self.sorted_pointers, pointer, side="right"))
        return self.order[first:last]

    def _inside_any(self, pointer: int) -> bool:
        """Whether any block ever lay around an address: cheap, and nearly always no."""
        reach = self._reach
        place = int(np.searchsorted(self.sorted_pointers, pointer, side="left")) - 1
        return place >= 0 and int(reach[place]) > pointer

    @cached_property
    def _reach(self) -> Ints:
        """How far the blocks at or before an address reach, in order of address."""
        ends = self.sorted_pointers + np.maximum(self.sizes[self.order], 0)
        return np.maximum.accumulate(ends) if len(ends) else ends
