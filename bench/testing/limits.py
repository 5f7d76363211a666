"""What a test asks for: the arguments of ``@pytest.mark.training_memory``."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

from trainfit._text import nearest
from trainfit.bench.errors import BenchError
from trainfit.hardware_profiles import Device, ProfileError, load_device
from trainfit.hardware_profiles.quantities import parse_bytes

MARKER = "training_memory"
SIZES = ("max_peak", "max_static", "max_ram", "min_margin", "max_left")
NO_LEAK = "0 B"
"""What a step may leave behind unless the marker says otherwise."""

ARGUMENTS = (*SIZES, "max_phase", "device", "golden")


_NOTHING = re.compile(r"0+ *([KMG]i)?B")


class LimitError(BenchError):
    """A marker that cannot be meant as it is written; one line, what would be right included."""


@dataclass(frozen=True)
class StepLimits:
    """What one test asks of its training step; None asks for nothing.

    Attributes:
        max_peak_bytes: For the peak dynamic bytes: the largest sum that is alive at any instant of
            the step and not both before and after it. Not the sum of all allocations.
        max_static_bytes: For what the step uses and neither makes nor frees.
        max_ram_bytes: For both together, which is what a device must hold.
        max_phase_bytes: For the peak dynamic bytes of single phases.
        devices: Each must have room for the RAM, less its reserve for stack and runtime.
        min_margin_bytes: So much must be left on each of them.
        max_left_bytes: For what every step leaves behind; None allows any leak.
        golden: The file that holds what the bytes were when somebody last agreed to them.
    """

    max_peak_bytes: int | None = None
    max_static_bytes: int | None = None
    max_ram_bytes: int | None = None
    max_phase_bytes: Mapping[str, int] = field(default_factory=dict)
    devices: tuple[Device, ...] = ()
    min_margin_bytes: int | None = None
    max_left_bytes: int | None = 0
    golden: Path | None = None


def golden_beside(test_file: Path) -> Path:
    """Where ``golden=True`` looks: ``test_step.py`` has ``test_step.training_memory.json``."""
    return test_file.with_name(f"{test_file.stem}.{MARKER}.json")


def read_limits(
    markers: Iterable[tuple[tuple[Any, ...], Mapping[str, Any]]], test_file: Path
) -> StepLimits:
    """The limits of a test from its markers.

    Args:
        markers: Positional and keyword arguments of each, the nearest to the test first. What
            several of them say (the module's, the class's, the test's own), the nearest decides;
            None takes an outer one's limit away, and the one on leaks that there is without
            being asked for.
        test_file: Paths that are not absolute begin in its folder.

    Raises:
        LimitError: An argument is unknown, malformed, or there is none at all.
    """
    given: dict[str, Any] = {}
    for positional, named in reversed(list(markers)):
        if positional:
            raise LimitError(
                f"{MARKER}({positional[0]!r}): takes named arguments only; write"
                f' {MARKER}(max_peak="256 KiB") or another of {", ".join(ARGUMENTS)}'
            )
        for name in named:
            if name not in ARGUMENTS:
                raise LimitError(f"{MARKER}: unknown argument {name!r}; {nearest(name, ARGUMENTS)}")
        given |= named
    any_leak = given.get("max_left", NO_LEAK) is None
    given = {name: value for name, value in given.items() if value is not None}
    if not given:
        raise LimitError(
            f"{MARKER}: asks for nothing; give it one of {', '.join(ARGUMENTS)}, or leave it out:"
            " the fixture measures without it"
        )
    sizes = {f"{name}_bytes": _size(name, given[name]) for name in SIZES if name in given}
    devices = _devices(given.get("device", ()), test_file.parent)
    if "min_margin" in given and not devices:
        raise LimitError(
            f"{MARKER}: min_margin is what is left on a device; add device=, such as"
            ' device="stm32f746"'
        )
    return StepLimits(
        **(sizes | ({"max_left_bytes": None} if any_leak else {})),
        max_phase_bytes=_phases(given.get("max_phase", {})),
        devices=devices,
        golden=_golden(given.get("golden", False), test_file),
    )


def _size(name: str, given: Any) -> int:
    if name == "max_left" and isinstance(given, str) and _NOTHING.fullmatch(given.strip()):
        return 0  # the one limit that may allow nothing
    try:
        return parse_bytes(given)
    except ValueError as error:
        raise LimitError(f"{MARKER}: {name}: {error}") from None


def _phases(given: Any) -> dict[str, int]:
    if not isinstance(given, Mapping) or not all(isinstance(name, str) for name in given):
        raise LimitError(
            f"{MARKER}: max_phase: {given!r} is not a table of phases; write"
            ' max_phase={"gradient": "100 KiB"}'
        )
    return {name: _size(f"max_phase[{name!r}]", size) for name, size in given.items()}


def _devices(given: Any, folder: Path) -> tuple[Device, ...]:
    names = (given,) if isinstance(given, str) else given
    if not isinstance(names, list | tuple) or not all(isinstance(name, str) for name in names):
        raise LimitError(
            f"{MARKER}: device: {given!r} is neither a name nor a list of names; write"
            ' device="stm32f746" or device=["stm32f746", "our-board.toml"]'
        )
    try:
        return tuple(
            load_cached(str(folder / name) if name.endswith(".toml") else name) for name in names
        )
    except ProfileError as error:
        raise LimitError(f"{MARKER}: device: {error}") from None


@lru_cache(maxsize=64)
def load_cached(name: str) -> Device:
    """``load_device``, once per name: many tests ask for the same board.

    Raises:
        ProfileError: As ``load_device``.
    """
    return load_device(name)


def _golden(given: Any, test_file: Path) -> Path | None:
    if isinstance(given, bool):
        return golden_beside(test_file) if given else None
    if isinstance(given, str | Path) and str(given):
        return test_file.parent / given
    raise LimitError(
        f"{MARKER}: golden: {given!r} is no file; write golden=True for"
        f" {golden_beside(test_file).name} beside the test, or a path"
    )
