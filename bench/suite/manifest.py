"""What a run folder keeps of the suite that made it, and the devices that a suite names."""

from __future__ import annotations

import hashlib
import json
from typing import Any

from pydantic import ValidationError

from trainfit._schema_errors import explain
from trainfit._text import shown
from trainfit.bench.errors import SuiteError
from trainfit.bench.suite.file import Defaults
from trainfit.bench.suite.suite import Suite, check_budgets
from trainfit.hardware_profiles import Device, device_names, load_device


def load_devices(suite: Suite) -> list[Device]:
    """The devices that a suite is judged against.

    Raises:
        ProfileError: One does not exist or its file is malformed.
        SuiteError: Two have the same name.
    """
    names = device_names() if suite.devices is None else suite.devices
    for index, name in enumerate(names):
        if name in names[:index]:
            raise SuiteError(f"suite {suite.name}: device {shown(name)} is named twice")
    devices = [load_device(name) for name in names]
    if suite.host is not None and suite.host not in [device.name for device in devices]:
        raise SuiteError(
            f"suite {suite.name}: host {suite.host!r} is none of its devices; add it to devices"
        )
    for index, device in enumerate(devices):
        if device.name in [other.name for other in devices[:index]]:
            raise SuiteError(f"suite {suite.name}: device {device.name!r} is named twice")
    return devices


def to_manifest(suite: Suite, devices: list[Device]) -> dict[str, Any]:
    """What a run folder keeps of its suite; devices with a digest of all their figures."""
    sources = suite.devices or [device.name for device in devices]
    return suite.model_dump(mode="json", exclude={"defaults"}) | {
        "devices": [
            {
                "name": device.name,
                "source": source,
                "sha256": device_digest(device),
            }
            for device, source in zip(devices, sources, strict=True)
        ]
    }


_ADDED_LATER = ("flash_at_least",)
"""Figures that profiles had no place for when the first runs were made."""


def device_digest(device: Device) -> str:
    """A digest of all figures of a device, by which a run knows it again.

    A profile that says nothing of a figure that came later has the digest that it had before, so
    that runs of an earlier version can go on.
    """
    unsaid = {name for name in _ADDED_LATER if getattr(device, name) is None}
    return hashlib.sha256(device.model_dump_json(exclude=unsaid).encode()).hexdigest()


def from_manifest(manifest: dict[str, Any], *, source: str) -> Suite:
    """The suite that a run folder keeps.

    Raises:
        SuiteError: It is not one that :func:`to_manifest` made.
    """
    try:
        devices = [device["source"] for device in manifest["devices"]]
        raw = manifest | {"devices": devices, "defaults": Defaults().model_dump()}
        suite = Suite.model_validate_json(json.dumps(raw), strict=True)
    except ValidationError as error:
        what = explain(error, raw, Suite)
    except KeyError as error:
        what = f"{error.args[0]}: is missing"
    except TypeError:
        what = "devices: must be a list of tables, each with its source"
    else:
        check_budgets(suite.budgets, source)
        return suite
    raise SuiteError(f"{source}: is not the suite of a run: {what}")
