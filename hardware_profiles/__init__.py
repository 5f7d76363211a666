"""What a device has and allows: one TOML file per device and one schema. Imports no other folder.

Every figure in a profile carries its source; one without is ``unknown``, and so is every verdict
that needs it.
"""

from __future__ import annotations

from .budgets import Budgets, parse_budgets, tighten
from .core_table import CoreTable, CycleRange, core_names, load_core
from .errors import ProfileError
from .figures import Figure, format_bytes, format_si
from .loading import device_names, load_device, parse_device
from .memory import Arena, Region
from .schema import Device, PowerMode
from .sheet import Row

__all__ = [
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
