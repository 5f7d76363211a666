"""What the parts of a record's schema share."""

from __future__ import annotations

from enum import StrEnum

from pydantic import BaseModel, ConfigDict


class Evidence(StrEnum):
    """How a number was obtained."""

    ANALYTIC = "analytic"
    ALLOCATOR = "allocator"
    MODELLED = "modelled"
    SENSOR = "sensor"
    EMULATED = "emulated"
    DEVICE = "device"
    CLOCK = "clock"
    UNAVAILABLE = "unavailable"


class Block(BaseModel):
    """Fixed once made, and no key but its own."""

    model_config = ConfigDict(frozen=True, extra="forbid")
