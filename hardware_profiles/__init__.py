"""Hardware profiles: what a device has and allows. One TOML file per device, and one schema.

Every figure in a profile has its source; a figure without one is ``unknown``, and so is every
verdict that needs it.
"""

from __future__ import annotations

if __name__ != "trainfit.hardware_profiles":  # found by its place on the path, a second copy
    raise ImportError(
        "import trainfit.hardware_profiles, not hardware_profiles: it is installed under that name"
    )

from trainfit._text import format_bytes
from trainfit.hardware_profiles.budgets import Budgets, parse_budgets, tighten
from trainfit.hardware_profiles.core_table import CoreTable, CycleRange, core_names, load_core
from trainfit.hardware_profiles.errors import ProfileError
from trainfit.hardware_profiles.figures import Figure, format_si
from trainfit.hardware_profiles.loading import device_names, load_device, parse_device
from trainfit.hardware_profiles.memory import Arena, Region
from trainfit.hardware_profiles.schema import Allocator, Device, PowerMode
from trainfit.hardware_profiles.sheet import Row

__all__ = [
    "Allocator",
    "Arena",
    "Budgets",
    "CoreTable",
    "CycleRange",
    "Device",
    "Figure",
    "PowerMode",
    "ProfileError",
    "Region",
    "Row",
    "core_names",
    "device_names",
    "format_bytes",
    "format_si",
    "load_core",
    "load_device",
    "parse_budgets",
    "parse_device",
    "tighten",
]
