"""A figure: a number with its unit and its source, or the reason why it is unknown.

One class per physical quantity, each with the only unit that a profile may use, so that readers
need not convert and kB cannot be mixed up with KiB. A figure without a document as source is
written as ``{ unknown = "why" }``, and every verdict that needs the number is unknown with that
reason.
"""

from __future__ import annotations

import re
from typing import Annotated, ClassVar, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from trainfit._text import format_bytes, shown

_TAG = re.compile(r"\[[^\]]*\]")

Text = Annotated[str, Field(min_length=1)]
PositiveInt = Annotated[int, Field(strict=True, gt=0)]
NaturalInt = Annotated[int, Field(strict=True, ge=0)]
PositiveFloat = Annotated[float, Field(strict=True, gt=0, allow_inf_nan=False)]


def format_si(value: float, unit: str) -> str:
    """A number with a decimal prefix: ``168 MHz``, ``34 GB/s``."""
    for prefix, scale in (("T", 1e12), ("G", 1e9), ("M", 1e6), ("k", 1e3)):
        if value >= scale:
            return f"{value / scale:g} {prefix}{unit}"
    return f"{value:g} {unit}"


class Table(BaseModel):
    """A table of a device file: immutable, with the keys of the schema only."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Sourced(Table):
    """A documented quantity with unit and source, or ``unknown`` with a reason; never both.

    Attributes:
        unit: The unit, repeated in the file so that the file can be read alone.
        source: The document: number and section, page title, file in a repository.
        unknown: Why there is no number.
    """

    quantity: ClassVar[str] = "figure"
    advice: ClassVar[str] = ""
    example: ClassVar[str] = '{ value = 1, unit = "...", source = "document, section" }'
    numbers: ClassVar[tuple[str, ...]] = ()

    unit: str | None = None
    source: str | None = None
    unknown: str | None = None

    @field_validator("source")
    @classmethod
    def _source_is_a_document(cls, source: str | None) -> str | None:
        # A tag such as [MEM] gives a degree of certainty, not a place to look the number up.
        if source is not None and not _TAG.sub("", source).strip():
            raise ValueError(
                f"{shown(source)} names no document; write its number or title and section,"
                ' or replace the figure by { unknown = "why" }'
            )
        return source

    @field_validator("unknown")
    @classmethod
    def _unknown_has_a_reason(cls, unknown: str | None) -> str | None:
        if unknown is not None and not unknown.strip():
            raise ValueError("the reason is empty; say why the figure is not known")
        return unknown

    @model_validator(mode="after")
    def _number_or_unknown(self) -> Self:
        absent = [key for key in self.numbers if getattr(self, key) is None]
        if self.unknown is not None:
            keys = (*self.numbers, "unit", "source")
            extra = [key for key in keys if getattr(self, key) is not None]
            if extra:
                raise ValueError(
                    f"has unknown and {' and '.join(extra)}; keep unknown alone, or drop it"
                )
        elif absent:
            raise ValueError(f'has no {absent[0]}; write {self.example} or {{ unknown = "why" }}')
        elif self.unit is None:
            raise ValueError(f"has no unit; {self.advice}")
        elif self.source is None:
            raise ValueError(
                'has no source; add source = "document, section", or write { unknown = "why" }'
            )
        return self

    @property
    def origin(self) -> str:
        """The source, or the reason why there is none."""
        return self.source or f"unknown: {self.unknown}"


class Figure(Sourced):
    """One number.

    Attributes:
        value: The number, in the unit of the class.
    """

    numbers: ClassVar[tuple[str, ...]] = ("value",)

    value: float | None = None

    @property
    def text(self) -> str:
        """The figure for people."""
        return "unknown" if self.value is None else format_si(self.value, self.unit or "")


class Size(Figure):
    """A number of bytes, greater than 0."""

    quantity: ClassVar[str] = "size"
    advice: ClassVar[str] = "write bytes as unit 'B'"
    example: ClassVar[str] = '{ value = 131072, unit = "B", source = "document, section" }'

    value: PositiveInt | None = None
    unit: Literal["B"] | None = None

    @property
    def text(self) -> str:
        """The size in KiB or similar, and the exact number if that is rounded."""
        return "unknown" if self.value is None else f"{format_bytes(self.value)} ({self.value:,} B)"


class Reserve(Size):
    """A number of bytes reserved for something else; 0 is allowed."""

    value: NaturalInt | None = None


class Frequency(Figure):
    """A clock."""

    quantity: ClassVar[str] = "frequency"
    advice: ClassVar[str] = "write hertz as unit 'Hz'"
    example: ClassVar[str] = '{ value = 168000000, unit = "Hz", source = "document, section" }'

    value: PositiveInt | None = None
    unit: Literal["Hz"] | None = None


class Voltage(Figure):
    """A supply voltage."""

    quantity: ClassVar[str] = "voltage"
    advice: ClassVar[str] = "write volts as unit 'V'"
    example: ClassVar[str] = '{ value = 3.3, unit = "V", source = "document, section" }'

    value: PositiveFloat | None = None
    unit: Literal["V"] | None = None


class CurrentPerMegahertz(Figure):
    """Current of a running core per megahertz of its clock."""

    quantity: ClassVar[str] = "current per clock"
    advice: ClassVar[str] = "write microampere per megahertz as unit 'uA/MHz'"
    example: ClassVar[str] = '{ value = 100.0, unit = "uA/MHz", source = "document, section" }'

    value: PositiveFloat | None = None
    unit: Literal["uA/MHz"] | None = None

    @property
    def text(self) -> str:
        """The figure for people."""
        return "unknown" if self.value is None else f"{self.value:g} µA/MHz"


class Power(Figure):
    """The budget of a power mode, or the power of a board."""

    quantity: ClassVar[str] = "power"
    advice: ClassVar[str] = "write watts as unit 'W'"
    example: ClassVar[str] = '{ value = 15.0, unit = "W", source = "document, section" }'

    value: PositiveFloat | None = None
    unit: Literal["W"] | None = None


class Bandwidth(Figure):
    """Peak memory traffic."""

    quantity: ClassVar[str] = "bandwidth"
    advice: ClassVar[str] = "write bytes per second as unit 'B/s' (34 GB/s is 34e9)"
    example: ClassVar[str] = '{ value = 34e9, unit = "B/s", source = "document, section" }'

    value: PositiveFloat | None = None
    unit: Literal["B/s"] | None = None


class Throughput(Figure):
    """Peak operations, in 10^12 per second, as vendors state them."""

    quantity: ClassVar[str] = "throughput"
    advice: ClassVar[str] = "write 10^12 operations per second as unit 'TOPS'"
    example: ClassVar[str] = '{ value = 20.0, unit = "TOPS", source = "document, section" }'

    value: PositiveFloat | None = None
    unit: Literal["TOPS"] | None = None

    @property
    def text(self) -> str:
        """The figure for people."""
        return "unknown" if self.value is None else f"{self.value:g} TOPS"


class FloatThroughput(Figure):
    """Peak floating-point operations, in 10^12 per second; a multiply-add counts two."""

    quantity: ClassVar[str] = "floating-point throughput"
    advice: ClassVar[str] = "write 10^12 floating-point operations per second as unit 'TFLOPS'"
    example: ClassVar[str] = '{ value = 0.64, unit = "TFLOPS", source = "document, section" }'

    value: PositiveFloat | None = None
    unit: Literal["TFLOPS"] | None = None

    @property
    def text(self) -> str:
        """The figure for people."""
        return "unknown" if self.value is None else f"{self.value:g} TFLOPS"
