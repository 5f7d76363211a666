"""Memory as regions, and its contiguous parts.

"1 MB of SRAM" is rarely one block. A **contiguous arena** is a maximal run of regions marked
``arena = true`` whose addresses adjoin. A region without an address adjoins nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import NamedTuple, Self

from pydantic import StrictBool, model_validator

from trainfit.hardware_profiles.figures import NaturalInt, Size, Table, Text


class Region(Table):
    """One block of memory.

    Attributes:
        name: The vendor's name.
        base: Its first address; without one the region adjoins no other.
        size: Its length.
        arena: Whether it may be part of a contiguous arena.
        note: The reason if it may not, or advice on using it.
    """

    name: Text
    base: NaturalInt | None = None
    size: Size
    arena: StrictBool
    note: str = ""

    @model_validator(mode="after")
    def _say_why_not(self) -> Self:
        if not self.arena and not self.note.strip():
            raise ValueError("has arena = false and no note; say in note why it may not hold data")
        return self

    @property
    def end(self) -> int | None:
        """The first address after it, None if address or size are unknown."""
        if self.base is None or self.size.value is None:
            return None
        return self.base + self.size.value


class Arena(NamedTuple):
    """A contiguous run of memory that may hold training data.

    Attributes:
        regions: Names of the regions it runs over, in address order.
        base: First address, None if the profile gives none.
        size_bytes: Its length, None if a region's size is unknown.
    """

    regions: tuple[str, ...]
    base: int | None
    size_bytes: int | None

    @property
    def name(self) -> str:
        """The regions joined by ``+``."""
        return "+".join(self.regions)


def contiguous(regions: Iterable[Region]) -> tuple[Arena, ...]:
    """All contiguous arenas, by address; regions without an address come last."""
    usable = sorted(
        (region for region in regions if region.arena),
        key=lambda region: (region.base is None, region.base or 0),
    )
    runs: list[list[Region]] = []
    for region in usable:
        before = runs[-1][-1].end if runs else None
        if before is not None and before == region.base:
            runs[-1].append(region)
        else:
            runs.append([region])
    return tuple(_arena(run) for run in runs)


def _arena(run: list[Region]) -> Arena:
    sizes = [region.size.value for region in run]
    known = [size for size in sizes if size is not None]
    return Arena(
        regions=tuple(region.name for region in run),
        base=run[0].base,
        size_bytes=sum(known) if len(known) == len(sizes) else None,
    )


def overlaps(regions: Sequence[Region]) -> Iterable[str]:
    """One sentence per pair of regions whose addresses overlap."""
    placed = sorted(
        (region.base, index) for index, region in enumerate(regions) if region.base is not None
    )
    for (_, before), (base, after) in pairwise(placed):
        end = regions[before].end
        if base == regions[before].base or (end is not None and base < end):
            first, second = regions[before], regions[after]
            upto = "" if end is None else f" to 0x{end - 1:08X}"
            right = (
                "its true address" if end is None else f"0x{end:08X} or above, or a smaller size"
            )
            yield (
                f"regions[{after + 1}].base: {second.name} at 0x{base:08X} overlaps {first.name}"
                f" (0x{first.base:08X}{upto}); write {right}"
            )
