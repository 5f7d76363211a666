"""Bytes, energy and verdicts beside the times of pytest-benchmark, and back from its JSON.

pytest-benchmark keeps whatever a benchmark puts into ``extra_info``, but compares times only. So
the bytes of a step go in there in the shape of a golden's entry, and :func:`read_benchmarks` makes
of its JSON what ``trainfit gate-benchmark`` compares with a golden file, as ``trainfit gate`` does
with a run. Energy and verdicts go with them to be read; they are not gated.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from trainfit._files import FileError, NoFileError, parse_json, read_text
from trainfit._limits import LARGEST_DOCUMENT
from trainfit._schema_errors import explain
from trainfit._text import shown
from trainfit.bench.environment import trainfit_version
from trainfit.bench.errors import BenchError
from trainfit.bench.gate.figures import StepFigures, figures_of_profile, figures_of_record
from trainfit.bench.gate.golden import Conditions
from trainfit.bench.gate.run import GatedRun
from trainfit.bench.gate.totals import totals_of
from trainfit.bench.records.schema import Energy, Evidence, Memory, Record
from trainfit.bench.records.schema.base import Count
from trainfit.bench.verdicts.memory import judge
from trainfit.hardware_profiles import Device, load_device

if TYPE_CHECKING:
    from trainfit.bench.profiler import StepProfile

KEY = "trainfit"
"""Under which name of ``extra_info`` everything of ours is."""

SCHEMA = "trainfit.benchmark/1"


class BenchmarkError(BenchError):
    """A benchmark, or the JSON of pytest-benchmark, has no figures that could be used."""


class Benchmark(Protocol):
    """What is needed of pytest-benchmark's fixture."""

    extra_info: dict[str, Any]


class _Block(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)


class BenchmarkedStep(_Block):
    """What is kept of one step.

    ``entry`` is gated. ``verdicts`` and ``energy`` are to be read: plain values as in a record, and
    energy that was not measured is ``unavailable`` with the reason.
    """

    evidence: str = "allocator"
    deterministic: bool
    ram_bytes: Count
    entry: StepFigures
    verdicts: list[dict[str, Any]] = Field(default_factory=list)
    energy: dict[str, Any] = Field(default_factory=dict)


class Recorded(_Block):
    """All steps of one benchmark, by name."""

    schema_: str = Field(default=SCHEMA, alias="schema")
    torch: str
    steps: dict[str, BenchmarkedStep] = Field(default_factory=dict)


def record_benchmark(
    benchmark: Benchmark,
    measured: StepProfile | Record,
    *,
    device: str | Device | Sequence[str | Device] = (),
    name: str = "",
    energy: Energy | None = None,
) -> None:
    """Put the bytes of a step into ``benchmark.extra_info["trainfit"]``, before or after its times.

    ::

        def test_step(benchmark):
            record_benchmark(benchmark, trainfit.profile_step(step), device="stm32f746")
            benchmark(step)

    Args:
        benchmark: The fixture of pytest-benchmark.
        measured: From ``profile_step``, or a record of a run made with the torch that is installed.
        device: Names, files, or devices to judge against.
        name: Tells the steps of one benchmark apart.
        energy: What a step takes, as ``measure_energy`` gives it; a record brings its own.

    Raises:
        BenchmarkError: The name is taken, or the record has no bytes.
        ProfileError: There is no such device.
    """
    known = benchmark.extra_info.get(KEY, {})
    if name in known.get("steps", {}):
        raise BenchmarkError(
            f"this benchmark has a step named {name!r} already; tell them apart with name="
        )
    devices = [device] if isinstance(device, str | Device) else device
    judged = [load_device(each) if isinstance(each, str) else each for each in devices]
    step = _step(measured, judged, energy)
    found = Recorded(torch=version("torch").partition("+")[0], steps={name: step})
    added = found.model_dump(mode="json", by_alias=True)
    added["steps"] = {**known.get("steps", {}), **added["steps"]}
    benchmark.extra_info[KEY] = added


def _step(
    measured: StepProfile | Record, devices: Sequence[Device], energy: Energy | None
) -> BenchmarkedStep:
    evidence, storage = Evidence.ALLOCATOR, 0
    memory: StepProfile | Memory
    if isinstance(measured, Record):
        if measured.memory is None:
            raise BenchmarkError(
                f"the record of {measured.workload.label} has no bytes (it is"
                f' {measured.status.value}); measure = ["memory"] in the suite makes them'
            )
        memory, energy = measured.memory, energy or measured.energy
        evidence, storage = memory.evidence, memory.storage_bytes
        figures = figures_of_record(memory, measured.operations)
    else:
        memory, figures = measured, figures_of_profile(measured)
    totals = totals_of(figures)
    left = max(0, totals.left) if totals else 0
    static, peak = memory.static_bytes, memory.peak_dynamic_bytes
    energies = {"evidence": "unavailable", "reason": "not measured"}
    if energy is not None:
        energies = energy.model_dump(mode="json", exclude_none=True)
    return BenchmarkedStep(
        evidence=evidence.value,
        deterministic=memory.deterministic,
        ram_bytes=static + peak,
        entry=figures,
        verdicts=[
            verdict.model_dump(mode="json")
            for device in devices
            for verdict in judge(static, peak, storage, device, left_bytes=left)
        ],
        energy=energies,
    )


# ---- and back ------------------------------------------------------------------------------------


def read_benchmarks(file: Path) -> GatedRun:
    """The steps in a file of ``pytest --benchmark-json``, named by test, as the gate sees a run.

    Raises:
        BenchmarkError: The file cannot be read, is of another kind, or has no bytes in it.
    """
    found = {test: each for test, each in _recorded(file) if each.steps}
    if not found:
        raise BenchmarkError(
            f"{file}: no benchmark in it has bytes; put them there with"
            " trainfit.record_benchmark(benchmark, trainfit.profile_step(step))"
        )
    torch = _one(file, "version of torch", {each.torch for each in found.values()})
    steps = {
        f"{test} {name}".rstrip(): step
        for test, each in found.items()
        for name, step in each.steps.items()
    }
    evidence = _one(file, "way of measuring bytes", {step.evidence for step in steps.values()})
    return GatedRun(
        file,
        figures={key: step.entry for key, step in steps.items() if step.deterministic},
        invalid={
            key: "its bytes are not deterministic: repeats differed"
            for key, step in steps.items()
            if not step.deterministic
        },
        conditions=Conditions(torch=torch, evidence=evidence),
        made_with={"made_by": "trainfit gate-benchmark", "trainfit": trainfit_version()},
    )


def _recorded(file: Path) -> Iterator[tuple[str, Recorded]]:
    for number, benchmark in enumerate(_benchmarks(file), start=1):
        extra, name = benchmark.get("extra_info") or {}, benchmark.get("fullname")
        where = f"{file}: benchmark {number} ({shown(name, quoted=False)}): extra_info"
        if not isinstance(extra, Mapping):
            raise BenchmarkError(f"{where}: must be a JSON object, got {shown(extra)}")
        where += f".{KEY}"
        raw = extra.get(KEY)
        if raw is None:
            continue
        if not isinstance(name, str):
            raise BenchmarkError(f"{where}: its benchmark has no fullname; got {shown(name)}")
        if not isinstance(raw, Mapping) or raw.get("schema") != SCHEMA:
            given = raw.get("schema") if isinstance(raw, Mapping) else raw
            raise BenchmarkError(
                f"{where}: schema is {shown(given)}, expected {SCHEMA!r}; run the benchmarks again"
                " with this trainfit"
            )
        try:
            yield name, Recorded.model_validate_json(json.dumps(raw), strict=True)
        except ValidationError as error:
            raise BenchmarkError(f"{where}: {explain(error, dict(raw), Recorded)}") from None


def _benchmarks(file: Path) -> list[dict[str, Any]]:
    try:
        document = parse_json(read_text(file, LARGEST_DOCUMENT))
    except NoFileError:
        raise BenchmarkError(
            f"{file}: no such file; make it with pytest --benchmark-json={file}"
        ) from None
    except FileError as problem:
        raise BenchmarkError(f"{file}: cannot be read as JSON: {problem}") from None
    found = document.get("benchmarks") if isinstance(document, dict) else None
    if not isinstance(found, list) or not all(isinstance(each, dict) for each in found):
        raise BenchmarkError(
            f"{file}: has no list of benchmarks; expected a file of pytest --benchmark-json"
        )
    return found


def _one(file: Path, what: str, found: set[str]) -> str:
    if len(found) > 1:
        raise BenchmarkError(
            f"{file}: more than one {what} in it ({', '.join(sorted(found))}); make one file for"
            " each"
        )
    return found.pop()
