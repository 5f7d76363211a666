"""What a device has and allows: one TOML file per device and one schema. Imports no other folder.

Every figure in a profile carries its source; one without is ``unknown``, and so is every verdict
that needs it.
"""

from __future__ import annotations

from .errors import ProfileError
from .figures import Figure, format_bytes
from .loading import device_names, load_device, parse_device
from .memory import Arena, Region
from .schema import Budgets, Device, PowerMode
from .sheet import Row

__all__ = [
    "Arena",
    "Budgets",
    "Device",
    "Figure",
    "PowerMode",
    "ProfileError",
    "Region",
    "Row",
    "device_names",
    "format_bytes",
    "load_device",
    "parse_device",
]
