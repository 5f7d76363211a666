"""The closed form: an itemised list of tensors, from which peak and lower bound follow.

An algorithm describes its step a second time, without computing: which tensor is born in which
phase, its shape, the bits of an element, and when it dies. Sizes come from the paper's definitions
and the batch size, never from a measurement. The same list gives

* the **closed form**: the largest sum over all items alive at one instant, which must equal the
  measured peak to the byte, and
* the **lower bound**: the same over the items that the algorithm itself requires
  (``essential``), each at its logical bit width.

The arithmetic of the step is counted in the same walk: see
:mod:`trainfit.algorithms.memory.operations`.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from trainfit.algorithms.memory.item import Item
from trainfit.algorithms.memory.operations import Kind, NumberFormat, Operations
from trainfit.algorithms.phases import Category

__all__ = ["OUTSIDE", "SCALAR_BYTES", "Item", "MemoryPlan", "PhasePlan"]

OUTSIDE = "outside"
"""The name of time that belongs to no phase."""

SCALAR_BYTES = 8
"""Dynamic tensors up to this size in bytes are always workspace, because a scalar that an algorithm
needs cannot be told from one that torch makes for itself."""


def _with_prefixes(names: list[str]) -> list[str]:
    """Open phases and the phases they refine: ``forward.positive`` counts in ``forward`` too."""
    parts = [name.split(".") for name in names]
    return list(dict.fromkeys(".".join(p[: i + 1]) for p in parts for i in range(len(p))))


@dataclass(frozen=True)
class PhasePlan:
    """Closed-form figures of one phase, in bytes of dynamic memory.

    Attributes:
        peak_bytes: Largest sum in the phase.
        categories: That sum by category.
        lower_bound_bytes: Largest sum over the essential items, each at its logical bit width.
    """

    peak_bytes: int
    categories: dict[Category, int]
    lower_bound_bytes: int


class MemoryPlan:
    """Births and deaths of a step's tensors; built by an algorithm's ``memory_model``."""

    def __init__(self) -> None:
        self.static: list[Item] = []
        self.storage: list[Item] = []
        self.items: list[Item] = []
        self._stack: list[str] = []
        self._open: list[str] = []  # the phases on the stack, and those they refine
        self._moved = False  # to another phase, and nothing has happened in it yet
        self._borders: list[tuple[int, str]] = []
        self._times = 1  # repetitions of the part that is walked through now
        self._live: dict[int, Item] = {}
        self._clock = 0
        self._level = 0
        self._essential_level = 0
        self._phase_peaks: dict[str, tuple[int, int]] = {}  # bytes, and the instant it was noted
        self._phase_bounds: dict[str, int] = {}
        self._peak = 0
        self._peak_phase = OUTSIDE
        self._lower_bound = 0
        self.operations = Operations()

    @contextmanager
    def phase(self, name: str) -> Iterator[None]:
        """Everything born or freed inside belongs to this (sub-)phase and to those around it."""
        outside = self._open
        self._stack.append(name)
        self._open = _with_prefixes(self._stack)
        self._moved = True
        self.operations.enter(self._open)
        self._note()
        try:
            yield
        finally:
            self._stack.pop()
            self._open = outside
            self._moved = True

    def tiles(self, extent: int, size: int) -> Iterator[int]:
        """Walk through a loop over ``extent`` rows, ``size`` at a time; yields the rows of a tile.

        Tiles of one size do the same: only the first is walked through, and its arithmetic is
        multiplied by their number. So a walk takes no longer for a larger tensor.

        Raises:
            ValueError: A tile leaves more or fewer tensors alive than before, so that the next tile
                of its size would not do the same.
        """
        whole, rest = divmod(extent, size)
        outside = self._times
        for rows, times in ((size, whole), (rest, min(rest, 1))):
            if times:
                found = len(self._live)
                self._times = outside * times
                yield rows
                self._times = outside
                if times > 1 and len(self._live) != found:
                    raise ValueError(
                        f"a tile found {found} tensors alive and leaves {len(self._live)}"
                    )

    def hold(
        self,
        name: str,
        shape: tuple[int, ...],
        category: Category,
        *,
        bits: int = 32,
        stored_bits: int | None = None,
        storage: bool = False,
    ) -> None:
        """Add a static tensor, resident in RAM or (``storage``) kept in flash during a step."""
        item = Item(name, shape, bits, stored_bits or bits, category, essential=True)
        (self.storage if storage else self.static).append(item)

    def alloc(
        self,
        name: str,
        shape: tuple[int, ...],
        category: Category,
        *,
        bits: int = 32,
        stored_bits: int | None = None,
        essential: bool = True,
    ) -> Item:
        """A dynamic tensor is born."""
        self._settle()
        since = len(self._borders) - bool(self._stack)
        item = Item(
            name,
            shape,
            bits,
            stored_bits or bits,
            category,
            essential,
            self._clock,
            borders=self._borders,
            since=since,
        )
        if item.stored_bytes <= SCALAR_BYTES:
            item.category = Category.WORKSPACE
        self.items.append(item)
        self._live[id(item)] = item
        self._clock += 1
        self._level += item.stored_bytes
        if essential:
            self._essential_level += item.logical_bytes
        self._note()
        return item

    def free(self, *items: Item) -> None:
        """Dynamic tensors die, in the order given."""
        for item in items:
            if id(item) not in self._live:
                raise ValueError(f"{item.name} is freed but not alive")
            del self._live[id(item)]
            item.died = self._clock
            self._clock += 1
            self._level -= item.stored_bytes
            if item.essential:
                self._essential_level -= item.logical_bytes

    def hand_over(self, old: Item, new: Item) -> None:
        """``old`` dies and ``new`` replaces it: in place, one of the two would suffice.

        ``new`` must not have been essential before, or the lower bound would count both.
        """
        if new.essential:
            raise ValueError(f"{new.name} is essential already, it cannot take over {old.name}")
        self.free(old)
        new.essential = True
        self._essential_level += new.logical_bytes
        self._note()

    def workspace(
        self, name: str, shape: tuple[int, ...], *, bits: int = 32, stored_bits: int | None = None
    ) -> None:
        """A short-lived tensor that only this implementation needs."""
        self.free(
            self.alloc(
                name,
                shape,
                Category.WORKSPACE,
                bits=bits,
                stored_bits=stored_bits,
                essential=False,
            )
        )

    @contextmanager
    def number(self) -> Iterator[None]:
        """A Python number as operand: torch converts it to a double, then to a float32."""
        double = self.alloc("number", (), Category.WORKSPACE, bits=64, essential=False)
        single = self.alloc("number as float32", (), Category.WORKSPACE, essential=False)
        yield
        self.free(single, double)

    def scalar(self) -> None:
        """Like ``number``, for an operator that makes no other tensor."""
        with self.number():
            pass

    def product(
        self,
        rows: int,
        inner: int,
        columns: int,
        number_format: NumberFormat = NumberFormat.FP32,
    ) -> None:
        """A (rows, inner) times (inner, columns) product is computed in the open phase."""
        self.operations.product(self._open, rows, inner, columns, number_format, times=self._times)

    def each(
        self, kind: Kind, elements: int, number_format: NumberFormat = NumberFormat.FP32
    ) -> None:
        """An operation on each of ``elements`` is done in the open phase."""
        self.operations.each(self._open, kind, elements, number_format, times=self._times)

    def _settle(self) -> None:
        """Set the border of a phase when something happens in it."""
        if self._moved and self._stack:
            self._moved = False
            self._borders.append((self._clock, self._stack[-1]))

    def _note(self) -> None:
        """Keep the peaks of all open phases up to date after a birth or a phase border."""
        self._settle()
        for name in self._open or [OUTSIDE]:
            known = self._phase_peaks.get(name)
            if known is None or self._level > known[0]:
                self._phase_peaks[name] = self._level, self._clock
            bound = self._phase_bounds.get(name, 0)
            self._phase_bounds[name] = max(bound, self._essential_level)
        if self._level > self._peak:
            self._peak = self._level
            self._peak_phase = self._stack[-1] if self._stack else OUTSIDE
        self._lower_bound = max(self._lower_bound, self._essential_level)

    def _by_category(self, instant: int) -> dict[Category, int]:
        sums: dict[Category, int] = {}
        for item in self.items:
            if item.born < instant and (item.died < 0 or item.died >= instant):
                sums[item.category] = sums.get(item.category, 0) + item.stored_bytes
        return sums

    @property
    def phases(self) -> dict[str, PhasePlan]:
        """Closed-form peak of every phase that was entered."""
        return {
            name: PhasePlan(peak_bytes, self._by_category(instant), self._phase_bounds[name])
            for name, (peak_bytes, instant) in self._phase_peaks.items()
        }

    @property
    def closed_form_bytes(self) -> int:
        """Peak dynamic bytes over all items."""
        return self._peak

    @property
    def peak_phase(self) -> str:
        """The innermost phase in which the closed form first reaches its peak."""
        return self._peak_phase

    @property
    def lower_bound_bytes(self) -> int:
        """Peak over the essential items at their logical bit width."""
        return self._lower_bound

    @property
    def static_bytes(self) -> int:
        """Bytes resident in RAM before, during and after the step."""
        return sum(item.stored_bytes for item in self.static)

    @property
    def storage_bytes(self) -> int:
        """Bytes that stay in flash during the step."""
        return sum(item.stored_bytes for item in self.storage)

    def peak_items(self) -> list[Item]:
        """The items alive at the closed form's peak, largest first."""
        level = peak = 0
        at = -1
        changes = sorted(
            [(item.born, item.stored_bytes) for item in self.items]
            + [(item.died, -item.stored_bytes) for item in self.items if item.died >= 0]
        )
        for instant, change in changes:
            level += change
            if level > peak:
                peak, at = level, instant
        alive = [i for i in self.items if i.born <= at and (i.died < 0 or i.died > at)]
        return sorted(alive, key=lambda item: -item.stored_bytes)
