"""What a suite's TOML file may hold, as written."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field

from trainfit._limits import LONGEST_NAME, MOST_DEVICES
from trainfit._text import nearest, shown
from trainfit.bench.records.schema import PROBES, Augment, Measurement, Pretraining, Search
from trainfit.bench.sensors import sensor_names

LARGEST_SEED = 2**32 - 1


class Strict(BaseModel):
    """Fixed once read, no key but its own, and no value of another type."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


def listed(value: Any) -> Any:
    """A single value as a list of one."""
    return value if isinstance(value, list) else [value]


def _all_or_some(value: Any) -> Any:
    if value != "all" and not isinstance(value, list):
        raise ValueError(f'must be "all" or a list of names and paths, got {shown(value)}')
    return None if value == "all" else value


def _a_sensor(name: str) -> str:
    if name not in sensor_names() and not name.startswith("replay:"):
        raise ValueError(f"there is no sensor {shown(name)}; {nearest(name, sensor_names())}")
    return name


_Text = Annotated[str, Field(min_length=1, max_length=LONGEST_NAME)]
_Texts = Annotated[list[_Text], BeforeValidator(listed), Field(min_length=1)]
_Sizes = Annotated[list[Annotated[int, Field(ge=1)]], BeforeValidator(listed), Field(min_length=1)]
_Seeds = Annotated[
    list[Annotated[int, Field(ge=0, le=LARGEST_SEED)]],
    BeforeValidator(listed),
    Field(min_length=1),
]
_Rates = Annotated[
    list[Annotated[float, Field(gt=0, allow_inf_nan=False)]],
    BeforeValidator(listed),
    Field(min_length=1),
]

_Measurement = Annotated[Measurement, Field(strict=False)]
_Augment = Annotated[Augment, Field(strict=False)]


class Defaults(Strict):
    """What workloads share unless they say otherwise."""

    model: _Text | None = None
    dataset: _Text | None = None
    batch_size: Annotated[int, Field(ge=1)] | None = None
    epochs: int = Field(default=0, ge=0)
    evaluate_every: int = Field(default=1, ge=1)
    train_samples: Annotated[int, Field(ge=1)] | None = None
    held_out: Annotated[int, Field(ge=1)] | None = None
    standardise: bool = False
    shuffle: bool = True
    augment: _Augment | None = None
    pretrained: Pretraining | None = None
    seed: int = Field(default=0, ge=0, le=LARGEST_SEED)


class WorkloadEntry(Strict):
    """One ``[[workload]]`` as written."""

    algorithm: _Texts
    options: dict[str, Any] = Field(default_factory=dict)
    model: _Texts | None = None
    dataset: _Text | None = None
    batch_size: _Sizes | None = None
    seed: _Seeds | None = None
    epochs: Annotated[int, Field(ge=0)] | None = None
    evaluate_every: Annotated[int, Field(ge=1)] | None = None
    train_samples: Annotated[int, Field(ge=1)] | None = None
    held_out: Annotated[int, Field(ge=1)] | None = None
    rates: _Rates | None = None
    tuned: Search | None = None
    standardise: bool | None = None
    shuffle: bool | None = None
    augment: _Augment | None = None
    pretrained: Pretraining | None = None


class SuiteFile(Strict):
    """A suite as written."""

    name: str = Field(
        pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$",
        description="letters, digits, '.', '_' and '-'",
    )
    description: str = ""
    devices: Annotated[
        Annotated[list[_Text], Field(max_length=MOST_DEVICES)] | None,
        BeforeValidator(_all_or_some),
    ] = None
    timeout_seconds: float = Field(default=600, gt=0, le=1_000_000)
    memory_limit_mib: Annotated[int, Field(ge=1, le=2**40)] | None = None
    threads: int = Field(default=1, ge=1, le=1024)
    measure: Annotated[list[_Measurement], Field(min_length=1)] = [
        each for each in Measurement if each not in PROBES
    ]
    sensor: Annotated[_Text, AfterValidator(_a_sensor)] = "auto"
    subtract_idle: bool = False
    host: _Text | None = None
    budgets: dict[str, Any] = Field(default_factory=dict)
    defaults: Defaults = Defaults()
    workload: list[WorkloadEntry] = Field(min_length=1)
