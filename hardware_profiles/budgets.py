"""Budgets: limits for one training step on a device, and for a whole training on a battery.

In a file and on the command line a budget is text with a unit. A budget given on the command line
can tighten that of a profile, never loosen it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, Any, NamedTuple, Self

from pydantic import BeforeValidator, Field, model_validator

from trainfit._text import nearest, shown
from trainfit.hardware_profiles.errors import ProfileError
from trainfit.hardware_profiles.figures import Table
from trainfit.hardware_profiles.parsing import validate
from trainfit.hardware_profiles.quantities import (
    Formatter,
    format_joules,
    format_seconds,
    format_size,
    parse_bytes,
    parse_joules,
    parse_seconds,
    parse_stored_joules,
)

_SAMPLES = "training_samples"
_MOST_SAMPLES = 10**15
_WHOLE = re.compile(r"\s*(-?[0-9]{1,18})\s*")


def _whole_samples(given: Any) -> int:
    if isinstance(given, bool) or not isinstance(given, int):
        raise ValueError(
            f"{shown(given)} is not a number of samples; write a whole one, such as 60000"
        )
    if not 0 < given <= _MOST_SAMPLES:
        raise ValueError(f"{shown(given)} is no training; write 1 to {_MOST_SAMPLES:,} samples")
    return given


class Budgets(Table):
    """Limits for one training step, and for a whole training on one battery.

    The keys of a file are the bare words (``ram = "96 KiB"``); names of attributes have the unit.

    Attributes:
        ram_bytes: Contiguous memory.
        flash_bytes: Storage besides the program.
        step_latency_seconds: Time of one step.
        energy_per_step_joules: Energy of one step.
        battery_joules: Energy of the battery that a whole training may use.
        training_samples: Number of samples in that training, over all epochs.
    """

    ram_bytes: Annotated[int | None, BeforeValidator(parse_bytes)] = Field(
        default=None, alias="ram"
    )
    flash_bytes: Annotated[int | None, BeforeValidator(parse_bytes)] = Field(
        default=None, alias="flash"
    )
    step_latency_seconds: Annotated[float | None, BeforeValidator(parse_seconds)] = Field(
        default=None, alias="step_latency"
    )
    energy_per_step_joules: Annotated[float | None, BeforeValidator(parse_joules)] = Field(
        default=None, alias="energy_per_step"
    )
    battery_joules: Annotated[float | None, BeforeValidator(parse_stored_joules)] = Field(
        default=None, alias="battery"
    )
    training_samples: Annotated[int | None, BeforeValidator(_whole_samples)] = None

    @model_validator(mode="after")
    def _battery_and_samples(self) -> Self:
        if (self.battery_joules is None) != (self.training_samples is None):
            has, lacks = "battery", _SAMPLES
            if self.battery_joules is None:
                has, lacks = lacks, has
            raise ValueError(
                f"{has} without {lacks}: a battery is compared with the energy of a whole training;"
                ' write both, such as battery = "1000 mWh" and training_samples = 60000, or neither'
            )
        return self

    @property
    def energy_per_sample_joules(self) -> float | None:
        """Energy of the battery per sample of the training; None without a battery."""
        if self.battery_joules is None or self.training_samples is None:
            return None
        return self.battery_joules / self.training_samples


def parse_budgets(texts: Mapping[str, str], where: str) -> Budgets:
    """Budgets from a command line.

    Args:
        texts: Keys as in a file, each with its text: ``{"step_latency": "50ms"}``. A space between
            number and unit is optional.
        where: Beginning of an error message.

    Raises:
        ProfileError: A key is unknown, a text is no quantity of its kind, or one is missing.
    """
    known = [field.alias or name for name, field in Budgets.model_fields.items()]
    for key in texts:
        if key not in known:
            raise ProfileError(f"{where}: unknown budget {shown(key)}; {nearest(key, known)}")
    table: dict[str, Any] = dict(texts)
    samples = _WHOLE.fullmatch(texts.get(_SAMPLES, ""))
    if samples:
        table[_SAMPLES] = int(samples[1])
    return validate(Budgets, table, where, whole="these budgets")


class _Limit(NamedTuple):
    """One limit: its name, the fields that define it, its amount."""

    name: str
    fields: tuple[str, ...]
    amount: str
    text: Formatter


_LIMITS = (
    _Limit("ram", ("ram_bytes",), "ram_bytes", format_size),
    _Limit("flash", ("flash_bytes",), "flash_bytes", format_size),
    _Limit("step_latency", ("step_latency_seconds",), "step_latency_seconds", format_seconds),
    _Limit("energy_per_step", ("energy_per_step_joules",), "energy_per_step_joules", format_joules),
    _Limit(
        "training_energy",
        ("battery_joules", _SAMPLES),
        "energy_per_sample_joules",
        lambda joules: f"{format_joules(joules)} per sample",
    ),
)


def tighten(declared: Budgets, asked: Budgets) -> tuple[Budgets, dict[str, str]]:
    """The tighter of two budgets, for each limit.

    Args:
        declared: The budgets of the profile.
        asked: The budgets of the user.

    Returns:
        The budgets to judge by, and one sentence for each user budget that is looser than the
        profile's, by name: ``ram``, ``flash``, ``step_latency``, ``energy_per_step``,
        ``training_energy`` (a battery over its training samples).
    """
    changes: dict[str, Any] = {}
    refused: dict[str, str] = {}
    for limit in _LIMITS:
        held, wanted = getattr(declared, limit.amount), getattr(asked, limit.amount)
        if wanted is None:
            continue
        if held is not None and wanted > held:
            refused[limit.name] = (
                f"{limit.name}: {limit.text(wanted)} is looser than the {limit.text(held)} that the"
                " profile declares, which stays; a budget can only be tightened"
            )
        else:
            changes.update({field: getattr(asked, field) for field in limit.fields})
    return declared.model_copy(update=changes), refused
