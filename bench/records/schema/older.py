"""Records of versions 1 to 4, brought into the shape of version 5.

Version 1 had no energy and no interval; operations lacked what products read and write. Version 2
had no bound per phase. Both are optional since. Up to version 3 a record held what follows from it
for devices, which is computed on reading now, and repeated the figures of its worst stage. Up to
version 4 the bytes of a prediction were called a closed form, those of the device view a lower
bound; before version 4 both were computed by hand.
"""

from __future__ import annotations

from typing import Any

_DERIVED = ("devices", "verdicts")
_OF_MEMORY = ("evidence", "worst_stage", "stages", "as_deployed")

RENAMED = {
    "closed_form_bytes": "predicted_bytes",
    "closed_form_static_bytes": "predicted_static_bytes",
    "lower_bound_bytes": "device_bytes",
}
"""Names of bytes up to version 4, and the present ones."""


def upgraded(raw: dict[str, Any]) -> dict[str, Any]:
    """The record without what was derived from it, and without what it said twice."""
    record = {key: value for key, value in raw.items() if key not in _DERIVED}
    return record | {"memory": upgraded_memory(record.get("memory"))}


def upgraded_memory(raw: Any) -> Any:
    """The memory of such a record: its worst stage stands among its stages, names are today's."""
    if not isinstance(raw, dict):
        return raw
    return {key: _renamed(raw[key]) for key in _OF_MEMORY if key in raw}


def _renamed(part: Any) -> Any:
    if isinstance(part, list):
        return [_renamed(each) for each in part]
    if isinstance(part, dict):
        return {RENAMED.get(key, key): _renamed(value) for key, value in part.items()}
    return part
