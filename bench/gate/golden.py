"""The golden file: what deterministic figures are expected, and what may differ from them.

One JSON file holds many workloads, each scope of a workload (its whole, a stage, a phase of a
stage) on a line of its own, so that a change of one figure is a difference of one line::

    {
     "schema": "trainfit.golden/1",
     "conditions": {"torch": "2.13.0", "evidence": "allocator", "threads": 1, "onednn": false},
     "made_with": {"trainfit": "0.1.0", "suite": "goldens", ...},
     "rules": [...],
     "workloads": {
      "backprop mlp-64-10 digits b32": {
       "figures": {
        "workload": {"static_bytes": 3000, "peak_dynamic_bytes": 1000, ...},
        "all/gradient": {"peak_bytes": 1000, "category.gradients_bytes": 600, ...}
       },
       "tensors": {"all/gradient": [["gradients", "mm float32 10x64", 2560, 1]]}
      }
     }
    }

``torch`` is one version, or a list of versions that need the same bytes. Latency and energy have no
place in the file: they are compared as ratios within one job only.
"""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from trainfit._files import (
    FileError,
    NoFileError,
    parse_json,
    read_text,
    refuse_repeated_keys,
)
from trainfit._limits import LARGEST_DOCUMENT, LARGEST_INTEGER
from trainfit._schema_errors import explain
from trainfit._text import shown
from trainfit.bench.gate.figures import StepFigures
from trainfit.bench.gate.rules import NOISY, PAIRED, GoldenError, Rule, refuse_noisy
from trainfit.bench.records.schema.older import RENAMED

SCHEMA: Literal["trainfit.golden/1"] = "trainfit.golden/1"
"""Name and version of the format."""


class NoGoldenError(GoldenError):
    """There is no such file."""


class _Block(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


def _versions(given: object) -> object:
    """One version of torch, or a list of them."""
    versions = [given] if isinstance(given, str) else given
    if (
        not isinstance(versions, list | tuple)
        or not versions
        or not all(isinstance(each, str) and each for each in versions)
    ):
        raise ValueError(
            f"must be a version such as '2.13.0', or a list of them, got {shown(given)}"
        )
    return tuple(versions) if isinstance(given, list) else given


class Conditions(_Block):
    """What exact bytes depend on; two sets of figures with other conditions are not compared."""

    torch: Annotated[str | tuple[str, ...], BeforeValidator(_versions)]
    """Versions without what follows ``+``: the builds for CPU and for CUDA share their kernels."""
    evidence: str = "allocator"
    threads: Annotated[int, Field(ge=1, le=LARGEST_INTEGER)] = 1
    onednn: bool = False

    @property
    def torch_versions(self) -> tuple[str, ...]:
        """Every version of torch that the figures hold for."""
        return (self.torch,) if isinstance(self.torch, str) else self.torch

    def why_incomparable(self, run: Conditions) -> list[str]:
        """Why a run under other conditions cannot be compared, one sentence each."""
        pairs = {
            "the way bytes were measured": (self.evidence, run.evidence),
            "the number of threads": (self.threads, run.threads),
            "the use of oneDNN": (_SWITCH[self.onednn], _SWITCH[run.onednn]),
        }
        if run.torch not in self.torch_versions:
            pairs = {"torch": (" or ".join(self.torch_versions), run.torch), **pairs}
        return [
            f"{what} differs: the golden was made with {then}, the run with {now}"
            for what, (then, now) in pairs.items()
            if then != now
        ]


_SWITCH = {True: "on", False: "off"}


class Golden(_Block):
    """A golden file."""

    schema_: Literal["trainfit.golden/1"] = Field(default=SCHEMA, alias="schema")
    conditions: Conditions
    made_with: dict[str, str] = Field(default_factory=dict)
    """What to know about its making; nothing of it is compared."""
    rules: list[Rule] = Field(default_factory=list)
    workloads: dict[str, StepFigures] = Field(default_factory=dict)

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)

    def conditions_with(self, steps: Mapping[str, StepFigures], run: Conditions) -> Conditions:
        """What this golden holds for once steps of a run are in it.

        Where every step is known and equal, another torch is one more that the golden holds for.
        Otherwise the run's conditions are the only ones.
        """
        known, versions = self.workloads, self.conditions.torch_versions
        for key, step in steps.items():
            if key not in known or not known[key].same_figures(step):
                return run
        if run.torch not in versions:
            versions = (*versions, *run.torch_versions)
        both = self.conditions.model_copy(
            update={"torch": versions if versions[1:] else versions[0]}
        )
        return run if both.why_incomparable(run) else both


def read_golden(file: Path, *, make: str = "") -> Golden:
    """Read and check a golden file.

    Args:
        file: The file.
        make: The command that makes it, for a message.

    Raises:
        GoldenError: It is missing, no golden of this version, or holds what must not be gated.
    """
    text = golden_text(file, make=make)
    try:
        refuse_repeated_keys(text)
    except FileError as problem:
        raise GoldenError(f"{file}: {problem}") from None
    try:
        found = _with_present_names(Golden.model_validate_json(text, strict=True))
    except ValidationError as error:
        raise GoldenError(f"{file}: {_what_is_wrong(error, text)}") from None
    for number, rule in enumerate(found.rules, start=1):
        refuse_noisy([rule.metric], f"{file}: rules[{number}]")
        if rule.unit == "ratio":
            raise GoldenError(f"{file}: rules[{number}]: a ratio has no stored value; {PAIRED}")
    names: set[str] = set()  # thousands of workloads share a few dozen of them
    for step in found.workloads.values():
        names.update(*step.figures.values())
    if any(map(NOISY.search, names)):
        for key, step in found.workloads.items():
            known = (name for metrics in step.figures.values() for name in metrics)
            refuse_noisy(known, f"{file}: workload {key!r}")
    return found


def _with_present_names(golden: Golden) -> Golden:
    """The golden, where it was made of records that called the same bytes something else."""
    if not any(RENAMED.keys() & m for s in golden.workloads.values() for m in s.figures.values()):
        return golden
    workloads = {
        key: step.model_copy(
            update={
                "figures": {
                    scope: {RENAMED.get(name, name): value for name, value in metrics.items()}
                    for scope, metrics in step.figures.items()
                }
            }
        )
        for key, step in golden.workloads.items()
    }
    rules = [
        rule.model_copy(update={"metric": "/".join((*path, RENAMED.get(name, name)))})
        for rule in golden.rules
        for *path, name in [rule.metric.split("/")]
    ]
    return golden.model_copy(update={"workloads": workloads, "rules": rules})


def golden_text(file: Path, *, make: str = "") -> str:
    """The text of a golden file.

    Args:
        file: The file.
        make: The command that makes it, for a message.

    Raises:
        GoldenError: It cannot be read.
    """
    try:
        return read_text(file, LARGEST_DOCUMENT)
    except NoFileError:
        raise NoGoldenError(
            f"{file}: there is no golden; "
            + (f"make it: {make}" if make else _MAKE_IT.format(file=file))
        ) from None
    except FileError as problem:
        raise GoldenError(f"{file}: {problem}") from None


_MAKE_IT = "make it from a run: trainfit gate RUN --golden {file} --update"


def read_if_there(file: Path) -> Golden | None:
    """A golden file as :func:`read_golden` reads it; None where there is none.

    Raises:
        GoldenError: As :func:`read_golden`.
    """
    try:
        return read_golden(file)
    except NoGoldenError:
        return None


def write_golden(file: Path, golden: Golden) -> None:
    """Write a golden file, whole or not at all; the same content gives the same bytes.

    Raises:
        GoldenError: It cannot be written.
    """
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        descriptor, scratch = tempfile.mkstemp(prefix=f".{file.name}.", dir=file.parent)
        try:
            with os.fdopen(descriptor, "w", encoding="utf-8") as stream:
                stream.write(to_text(golden))
            Path(scratch).chmod(0o644)
            Path(scratch).replace(file)
        except BaseException:
            with suppress(OSError):
                Path(scratch).unlink()
            raise
    except OSError as error:
        raise GoldenError(f"{file}: cannot be written: {error.strerror}") from error


def to_text(golden: Golden) -> str:
    """A golden as JSON: workloads sorted by name, one line per rule and scope."""
    rules = [f"  {_compact(rule.model_dump(mode='json'))}" for rule in golden.rules]
    workloads = [_workload(*item) for item in sorted(golden.workloads.items())]
    parts = [
        _line("schema", golden.schema_, 1),
        _line("conditions", golden.conditions.model_dump(), 1),
        _line("made_with", golden.made_with, 1),
        ' "rules": ' + ("[\n" + ",\n".join(rules) + "\n ]" if rules else "[]"),
        _lines("workloads", workloads, 1),
    ]
    return "{\n" + ",\n".join(parts) + "\n}\n"


def line_of(workload: str, text: str) -> int | None:
    """The line, from 1, at which the text of a golden has a workload; None where it has not."""
    at = text.find(f"\n  {_compact(workload)}: ")
    return text.count("\n", 0, at + 1) + 1 if at >= 0 else None


def _workload(key: str, step: StepFigures) -> str:
    parts = [_lines("figures", [_line(*item, 4) for item in step.figures.items()], 3)]
    if step.tensors:
        parts.append(_lines("tensors", [_line(*item, 4) for item in step.tensors.items()], 3))
    return _lines(key, parts, 2)


def _compact(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)


def _line(key: str, value: Any, depth: int) -> str:
    return f"{' ' * depth}{_compact(key)}: {_compact(value)}"


def _lines(key: str, lines: list[str], depth: int) -> str:
    inner = "{\n" + ",\n".join(lines) + f"\n{' ' * depth}}}" if lines else "{}"
    return f"{' ' * depth}{_compact(key)}: {inner}"


def _what_is_wrong(error: ValidationError, text: str) -> str:
    """The first problem, with the place it has in the file."""
    try:
        raw = parse_json(text)
    except FileError as problem:
        return str(problem)
    if not isinstance(raw, dict) or raw.get("schema") != SCHEMA:
        given = raw.get("schema") if isinstance(raw, dict) else None
        return f"not a golden of this version: schema must be {SCHEMA!r}, got {shown(given)}"
    return explain(error, raw, Golden)
