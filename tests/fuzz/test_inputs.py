"""Whatever an input looks like: it is accepted, or refused in one line, soon and without gigabytes.

``TRAINFIT_FUZZ_INPUTS`` says how many there are in all; an input that fails is shown, and the same
seed gives it again.
"""

from __future__ import annotations

import os
import resource
import time
import warnings
from pathlib import Path
from random import Random
from typing import Any

import pytest

from tests.fuzz.readers import READERS, Reader
from trainfit.algorithms.errors import ConfigurationError
from trainfit.bench.errors import BenchError
from trainfit.hardware_profiles import ProfileError

INPUTS = int(os.environ.get("TRAINFIT_FUZZ_INPUTS", "2000"))
REFUSALS = (BenchError, ProfileError, ConfigurationError)
LONGEST_MESSAGE = 10_000
MOST_SECONDS = 10.0
"""Of the processor, for one input."""
MOST_MIB = 700
"""What all inputs of a reader may add to the memory of this process."""

SHARES: float = sum(each.share for each in READERS)  # type: ignore[attr-defined]


@pytest.mark.parametrize("kind", READERS, ids=lambda kind: kind.__name__)
def test_every_input_is_accepted_or_refused_in_one_line(kind: Any, tmp_path: Path) -> None:
    if kind.__name__ == "WfdbReader":
        pytest.importorskip("wfdb", reason="reads the records", exc_type=ImportError)
    folder = tmp_path / "inputs"
    folder.mkdir()
    reader: Reader = kind(folder)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    rng = Random(f"{kind.__name__} {os.environ.get('TRAINFIT_FUZZ_SEED', '0')}")
    wrong: list[str] = []
    refused = 0
    for _ in range(max(10, round(INPUTS * kind.share / SHARES))):
        given = reader.mutated(rng)
        began = time.process_time()
        problem = ""
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                reader.read(given)
        except REFUSALS as error:
            refused += 1
            problem = what_is_wrong_with(str(error))
        except Exception as error:
            problem = f"{type(error).__name__}: {str(error)[:300]}"
        if time.process_time() - began > MOST_SECONDS:
            problem += " took too long"
        if problem:
            wrong.append(f"{problem}\n    for {str(given)[:400]!r}")
    assert not wrong, f"{len(wrong)} inputs; the first:\n" + "\n".join(wrong[:5])
    assert refused or kind.__name__ in ("BoardReader", "CommandReader")
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    assert grown < MOST_MIB * 1024


def what_is_wrong_with(message: str) -> str:
    """Of the message of an error; empty if nothing is."""
    if not message.strip():
        return "an empty message"
    if "pydantic" in message or "For further information" in message:
        return f"the library's own words: {message[:300]}"
    if len(message) > LONGEST_MESSAGE:
        return f"a message of {len(message):,} characters: {message[:300]}"
    return ""
