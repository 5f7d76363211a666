"""What the records of a run are judged against: the devices, limits and host of its suite.

A record holds what was measured. What follows from it for a device is computed whenever somebody
looks, from the device tables of today.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import BaseModel, Field, ValidationError

from trainfit._files import is_file
from trainfit._schema_errors import explain
from trainfit.bench.costs.device_model import model_device, not_modelled
from trainfit.bench.costs.intervals import DeviceModel
from trainfit.bench.errors import RunFolderError
from trainfit.bench.records.reading import SUITE, profile_of, read_suite
from trainfit.bench.records.schema import Measurement, Record
from trainfit.bench.verdicts.judge import ResourceDemand, judge_all
from trainfit.bench.verdicts.memory import Verdict, unknown
from trainfit.hardware_profiles import Budgets, Device, ProfileError, load_device


@dataclass(frozen=True)
class LostDevice:
    """A device of a run whose profile cannot be read any more.

    Attributes:
        name: As the run's suite has it.
        reason: Why its profile cannot be read.
    """

    name: str
    reason: str


@dataclass(frozen=True)
class Judges:
    """Devices and limits that records are judged against.

    Attributes:
        devices: In the order of the suite.
        limits: Budgets beside those of the devices' profiles.
        host: The device that this machine is; what was measured is its own.
        measures: What the suite measures.
    """

    devices: Sequence[Device | LostDevice] = ()
    limits: Budgets = field(default_factory=Budgets)
    host: str | None = None
    measures: Sequence[str] = tuple(Measurement)

    def models(self, record: Record) -> list[DeviceModel]:
        """What a step takes on every device; none where the record holds nothing to model."""
        if not _is_known(record):
            return []
        return [self._model(record, device) for device in self.devices]

    def verdicts(self, record: Record) -> list[Verdict]:
        """The record against every budget of every device; none where nothing was measured."""
        if not _is_known(record) or self._bytes_are_missing(record):
            return []
        return [verdict for device in self.devices for verdict in self._judge(record, device)]

    def _bytes_are_missing(self, record: Record) -> bool:
        return record.memory is None and Measurement.MEMORY in self.measures

    def _model(self, record: Record, device: Device | LostDevice) -> DeviceModel:
        if isinstance(device, LostDevice):
            return not_modelled(device.name, device.reason)
        return model_device(record.operations, device, record.workload.batch_size)

    def _judge(self, record: Record, device: Device | LostDevice) -> list[Verdict]:
        if isinstance(device, LostDevice):
            return [unknown(device.name, "ram", device.reason)]
        demand = ResourceDemand.of(record, lambda: self._model(record, device))
        return judge_all(demand, device, self.limits, here=device.name == self.host)


def _is_known(record: Record) -> bool:
    return bool(record.operations or record.memory)


def judges_of(run: Path) -> Judges:
    """The devices and limits of a run folder, from its suite and the device tables of today.

    A profile that was given by file is read from the copy in the run folder, or where it lay.

    Raises:
        RunFolderError: There is no suite, or its limits are none.
    """
    raw = read_suite(run)
    try:
        suite = _Judging.model_validate_json(json.dumps(raw), strict=True)
    except ValidationError as error:
        raise RunFolderError(f"{run / SUITE}: {explain(error, raw, _Judging)}") from None
    try:
        limits = Budgets.model_validate(suite.budgets)
    except ValidationError as error:
        what = explain(error, suite.budgets, Budgets)
        raise RunFolderError(f"{run / SUITE}: budgets: {what}") from None
    return Judges(
        devices=[_load(run, each) for each in suite.devices or []],
        limits=limits,
        host=suite.host,
        measures=suite.measure or tuple(Measurement),
    )


class _Named(BaseModel):
    """A device as a run keeps it."""

    name: str
    source: str | None = None


class _Judging(BaseModel):
    """What of a run's suite says how it is judged; all else is not looked at."""

    devices: list[_Named] | None = None
    budgets: dict[str, Any] = Field(default_factory=dict)
    host: str | None = None
    measure: list[Measurement] | None = None


def _load(run: Path, device: _Named) -> Device | LostDevice:
    name = device.name
    copy = profile_of(run, name)
    try:
        return load_device(str(copy) if is_file(copy) else device.source or name)
    except ProfileError as error:
        return LostDevice(name, f"its profile cannot be read: {error}")
