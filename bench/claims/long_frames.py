"""An adapter until the records are kept long: ``values`` and ``costs`` from the wide frame."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd

_VALUE = re.compile(r"phase\.(?P<phase>.+?)\.(?P<quantity>peak_bytes|macs)(\.(?P<part>\w+))?")
_COST = re.compile(r"modelled\.(?P<device>.+)\.(?P<quantity>seconds|joules)_low")


def load(runs: Sequence[Path], source: str) -> pd.DataFrame:
    """As :func:`trainfit.bench.records.sources.load_source`, with ``values`` and ``costs``."""
    import pandas as pd  # noqa: PLC0415

    from trainfit.bench.records.sources import load_source  # noqa: PLC0415

    if source not in ("values", "costs"):
        return load_source(runs, source)
    wide = load_source(runs, "records")
    known = ["run", "label", "seed", "epochs", "shuffle"]
    parts: list[Any] = []
    for name in wide:
        if source == "values" and (found := _VALUE.fullmatch(str(name))):
            part = wide[known].assign(**found.groupdict(), stage=wide["worst_stage"])
            parts.append(part.assign(value=wide[name]).dropna(subset="value"))
        if source == "costs" and (found := _COST.fullmatch(str(name))):
            part = wide[known].assign(**found.groupdict(), evidence="modelled", low=wide[name])
            high = wide[str(name).replace("_low", "_high")]
            parts.append(part.assign(high=high).dropna(subset="low"))
    columns = [*known, "stage", "phase", "quantity", "value", "device", "low", "high", "evidence"]
    empty = pd.DataFrame({name: pd.Series(dtype=object) for name in columns})
    return pd.concat(parts, ignore_index=True) if parts else empty
