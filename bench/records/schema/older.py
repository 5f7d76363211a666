"""Records of versions 1 to 3, brought into the shape of version 4.

Version 1 had no energy and no interval; operations lacked what products read and write. Version 2
had no lower bound per phase. Both are optional since. Up to version 3 a record held what follows
from it for devices, which is computed on reading now, and repeated the figures of its worst stage.
"""

from __future__ import annotations

from typing import Any

_DERIVED = ("devices", "verdicts")
_OF_MEMORY = ("evidence", "worst_stage", "stages", "as_deployed")


def upgraded(raw: dict[str, Any]) -> dict[str, Any]:
    """The record without what was derived from it, and without what it said twice."""
    record = {key: value for key, value in raw.items() if key not in _DERIVED}
    memory = record.get("memory")
    if isinstance(memory, dict):
        record["memory"] = {key: memory[key] for key in _OF_MEMORY if key in memory}
    return record
