"""Which rails add up to the figure that is reported, so that nothing is counted twice.

Boards measure some rails behind others. Adding everything up, as is often done, counts those twice:
on a Jetson Nano GPU and CPU are behind POM_5V_IN, on an AGX Orin the memory's rail is behind
VIN_SYS_5V0. Which rail feeds what is from NVIDIA's developer guides and forum answers, quoted at
second hand: nobody has checked it on a board for this project.
"""

from __future__ import annotations

from collections.abc import Sequence

_WHOLE = {
    "VIN": "VIN is all that the developer kit draws at its input, module and carrier board",
    "VDD_IN": "VDD_IN is the whole module with its memory and regulators, not the carrier board",
    "POM_5V_IN": "POM_5V_IN is all that is behind the 5 V input of the board",
}
"""Rails that the others are behind; the first one present is the total."""

_PARTS = {
    ("VDD_GPU_SOC", "VDD_CPU_CV", "VIN_SYS_5V0"): (
        "these rails together are the module with its memory (VDDQ_VDD2_1V8AO is behind "
        "VIN_SYS_5V0), not the carrier board"
    ),
    ("GPU", "CPU", "SOC", "CV", "VDDRQ", "SYS5V"): (
        "these rails together are the module with its memory, not the carrier board"
    ),
}
"""Boards without such a rail: rails beside each other that make up the module."""


def choose_total(rails: Sequence[str]) -> tuple[tuple[str, ...], str]:
    """The rails to add up, and one sentence on what their sum covers.

    Args:
        rails: The names of all rails of a board; at least one.
    """
    for rail, covered in _WHOLE.items():
        if rail in rails:
            return (rail,), covered
    for parts, covered in _PARTS.items():
        if set(parts) <= set(rails):
            return parts, f"the sum of {', '.join(parts)}: {covered}"
    if len(rails) == 1:
        return (rails[0],), f"what {rails[0]} feeds, and nothing else"
    return tuple(rails), (
        f"the sum of all rails, {', '.join(rails)}; whether one of them is behind another is not "
        f"known, so that energy may be counted twice"
    )
