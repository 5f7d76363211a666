"""What came of a workload, as a record: what its process sent, judged against every device."""

from __future__ import annotations

from trainfit.bench.costs.device_model import model_device
from trainfit.bench.processes.child import Ending, Message, Outcome
from trainfit.bench.records.schema import (
    DeviceModel,
    ErrorRecord,
    Evidence,
    Measurement,
    Record,
    RecordStatus,
    VerdictRecord,
    Workload,
)
from trainfit.bench.suite.suite import Suite
from trainfit.bench.verdicts.judge import ResourceDemand, judge_all
from trainfit.hardware_profiles import Device

STATUS = {
    Ending.RETURNED: RecordStatus.OK,
    Ending.RAISED: RecordStatus.FAILED,
    Ending.DIED: RecordStatus.FAILED,
    Ending.TIMED_OUT: RecordStatus.TIMED_OUT,
    Ending.OUT_OF_MEMORY: RecordStatus.OUT_OF_MEMORY,
}


PARTS = ("operations", "memory", "latency", "energy", "accuracy", "gradients", "noise")
"""What a worker sends, and a record has, under the same names."""


def make_record(
    suite: Suite,
    workload: Workload,
    devices: list[Device],
    parts: Message,
    *,
    outcome: Outcome,
    seconds: float,
) -> Record:
    """What came of a workload, judged against every device."""
    measured = Record.model_validate(
        {
            "workload": workload,
            "status": STATUS[outcome.ending],
            **{key: parts[key] for key in PARTS if key in parts},
            "error": _error(outcome, parts.get("doing", "start")),
            "seconds": seconds,
        }
    )
    if not (measured.operations or measured.memory):
        return measured  # it failed before anything was known of it
    models = [model_device(measured.operations, device, workload.batch_size) for device in devices]
    verdicts = [
        verdict
        for device, model in zip(devices, models, strict=True)
        for verdict in _verdicts(measured, model, device, suite)
    ]
    return measured.model_copy(update={"devices": models, "verdicts": verdicts})


def _verdicts(
    measured: Record, model: DeviceModel, device: Device, suite: Suite
) -> list[VerdictRecord]:
    memory = measured.memory
    if memory is None and Measurement.MEMORY in suite.measure:
        return []  # it failed before there was anything to judge
    needs = ResourceDemand(
        static_bytes=memory.static_bytes if memory else None,
        peak_dynamic_bytes=memory.peak_dynamic_bytes if memory else None,
        storage_bytes=memory.storage_bytes if memory else None,
        evidence=memory.evidence if memory else Evidence.UNAVAILABLE,
        batch_size=measured.workload.batch_size,
        stages=len(memory.stages) if memory else len(measured.operations),
        modelled=model,
        latency=measured.latency,
        energy=measured.energy,
    )
    return [
        VerdictRecord.model_validate(verdict.model_dump(mode="json"))
        for verdict in judge_all(needs, device, suite.limits, here=device.name == suite.host)
    ]


def _error(outcome: Outcome, doing: str) -> ErrorRecord | None:
    if outcome.ending is Ending.RETURNED:
        return None
    message = outcome.message
    if outcome.ending is not Ending.RAISED:
        message = f"{message} (during: {doing})"
    return ErrorRecord(type=outcome.type, message=message, where=outcome.where)
