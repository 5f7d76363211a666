"""Which rails add up to the figure that is reported, so that nothing is counted twice.

Boards measure some rails behind others. Adding everything up, as is often done, counts those twice:
on a Jetson Nano GPU and CPU are behind POM_5V_IN, on an AGX Orin the memory's rail is behind
VIN_SYS_5V0. Nobody has checked it on a board for this project. Where it is from:

- Names and chips of the Orin Nano, Orin NX, AGX Orin and IGX Orin: the kernel's device trees
  tegra234-p3767.dtsi and tegra234-p3701.dtsi (torvalds/linux at 24f171c7), of Jon Hunter, NVIDIA,
  "arm64: tegra: Add power-sensors for Tegra234 boards", 29 September 2023, Message-ID
  20230929102744.84989-5-jonathanh@nvidia.com. Xavier NX: tegra194-p3668.dtsi at 100c8542. TX1:
  tegra210-p2180.dtsi, power-sensor@40.
- VDD_IN: NVIDIA's staff, forums.developer.nvidia.com/t/200883: the rails of CPU, GPU and SoC are
  behind it, and "other parts like DDR and interface power rails are included in VDD_IN domain".
- AGX Xavier: NVIDIA's Product Design Guide DG-09840-001 v2.5, section 5.6.2: five rails behind one
  input and one behind the other, parallel, so that the six add up.
- AGX Orin: NVIDIA's developer guide, "VDDQ_VDD2_1V8AO power is also included in VIN_SYS_5V0 power";
  quoted at second hand, three concordant copies.
- VIN of an AGX Thor: NVIDIA's staff, forums.developer.nvidia.com/t/366461: the INA238 measures the
  total at the input, without it that total is lost. Names of its rails: logs of users.
- POM_5V_IN of the Nano: device trees of L4T 32.6.1 as energymon lists them (energymon/energymon at
  4bcb29c4, jetson/JetsonPowerRails.md); at second hand. The Nano 2GB has no monitor (same list).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

LEAST_WATTS = -1.0
"""A rail that is off may read below zero, since the offset of an INA3221 is not calibrated: the GPU
of a Thor was seen at -0.392 W. Beyond this it is no offset but a fault."""

UNKNOWN_TOTAL = "the total is not known"
"""Words of a coverage whose sum may lack a part of the board: no budget is judged by it."""

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
    ("VDD_GPU", "VDD_CPU_SOC_MSS", "VIN_SYS_5V0"): (
        f"{UNKNOWN_TOTAL}: on a Jetson AGX Thor only VIN has it, from an INA238 that is not "
        "listed here, and whether these rails make up the module is not documented"
    ),
}
"""Boards without such a rail: rails beside each other, and what their sum is known to be."""


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


class Offsets:
    """Rails that were seen below zero, for the note that they are reported as they were read."""

    def __init__(self) -> None:
        self._least: dict[str, float] = {}

    def see(self, watts: Mapping[str, float]) -> None:
        """Take note of a reading, by rail."""
        for rail, value in watts.items():
            if value < self._least.get(rail, 0.0):
                self._least[rail] = value

    def note(self) -> str:
        """What to add to the coverage; empty where nothing was below zero."""
        if not self._least:
            return ""
        found = ", ".join(f"{rail} down to {least:.3g} W" for rail, least in self._least.items())
        return f"; read below zero and kept so, an offset of the monitor: {found}"
