"""How the memory of a step came and went: one JSON line per workload, beside its record.

::

    DIR/timelines.jsonl    one line per workload whose memory was measured, see TimelineLine

Records are read often and whole; a timeline is as long as a step has allocations, and only
figures want it. A line without its end is one that was cut off, and is ignored; of several lines
of a workload the last one counts.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal, Self

from pydantic import ConfigDict, Field, ValidationError, model_validator

from trainfit._files import FileError, NoFileError, read_lines
from trainfit.bench.errors import RunFolderError
from trainfit.bench.records.reading import line_problem, refuse_long_numbers, workload_key
from trainfit.bench.records.schema import Workload
from trainfit.bench.records.schema.base import Block, Count

TIMELINES = "timelines.jsonl"
SCHEMA: Literal["trainfit.timeline/1"] = "trainfit.timeline/1"


class Timeline(Block):
    """Dynamic bytes alive in the course of one step, by category, in columns of equal length.

    Attributes:
        stage: Whose step it is: the stage that needs the most RAM.
        events: How many allocations and frees the step had.
        index: Of how many of them each point is right after, from 0 (before the first), rising.
            Where a step has more than fit, a point is the highest of those around it.
        phase: The innermost phase at each point.
        bytes: Per category, what was alive at each point.
    """

    stage: str
    events: Count
    index: list[Count]
    phase: list[str]
    bytes: dict[str, list[Count]]

    @model_validator(mode="after")
    def _columns_match(self) -> Self:
        points = len(self.index)
        lengths = {"phase": len(self.phase)} | {k: len(v) for k, v in self.bytes.items()}
        for name, length in lengths.items():
            if length != points:
                raise ValueError(f"{name} has {length} points, index has {points}")
        return self


class TimelineLine(Timeline):
    """A timeline with the workload it belongs to."""

    schema_: Literal["trainfit.timeline/1"] = Field(default=SCHEMA, alias="schema")
    workload: Workload

    model_config = ConfigDict(populate_by_name=True)


def timeline_line(workload: Workload, timeline: dict[str, Any]) -> str:
    """The line of a workload, from its timeline as the workload's process sent it.

    Raises:
        ValidationError: It is not a timeline.
    """
    line = TimelineLine.model_validate({**timeline, "workload": workload})
    return line.model_dump_json(by_alias=True)


def read_timelines(run: Path) -> list[TimelineLine]:
    """The timelines of a run, one per workload; none where the run has no such file.

    Raises:
        RunFolderError: A finished line is not a timeline, or the file cannot be read.
    """
    file = run / TIMELINES
    found: dict[str, TimelineLine] = {}
    try:
        for number, text in enumerate(read_lines(file), start=1):
            try:
                refuse_long_numbers(text)
                line = TimelineLine.model_validate_json(text, strict=True)
            except (ValidationError, FileError) as error:
                what = str(error)
                if isinstance(error, ValidationError):
                    what = line_problem(error, text, TimelineLine)
                raise RunFolderError(
                    f"{file}:{number}: not a timeline of this version: {what}"
                ) from None
            found[workload_key(line.workload)] = line
    except NoFileError:
        return []
    except FileError as problem:
        raise RunFolderError(f"{file}: {problem}") from None
    return list(found.values())
