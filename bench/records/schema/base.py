"""What the parts of a record's schema share."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

Count = Annotated[int, Field(ge=0)]
"""Bytes, operations, samples: what is counted. A prediction counts beyond what a file may say."""
Time = Annotated[float, Field(ge=0)]
"""Seconds."""
Share = Annotated[float, Field(ge=0, le=1)]
"""A fraction, such as an accuracy."""


FROM_FILE = "file"
"""The context of a validation of what anybody may have written."""


class Evidence(StrEnum):
    """How a number was obtained; ``analytic`` is what older records say of what is traced now."""

    ANALYTIC = "analytic"
    TRACED = "traced"
    PLANNED = "planned"
    ALLOCATOR = "allocator"
    MODELLED = "modelled"
    SENSOR = "sensor"
    EMULATED = "emulated"
    DEVICE = "device"
    CLOCK = "clock"
    UNAVAILABLE = "unavailable"


class Block(BaseModel):
    """Fixed once made, and no key but its own."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Bounds(Block):
    """An interval that a figure lies in, both ends included; the unit is that of the field."""

    low: float = Field(ge=0, allow_inf_nan=False)
    high: float = Field(ge=0, allow_inf_nan=False)

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.low > self.high:
            raise ValueError(f"low {self.low} is above high {self.high}")
        return self
