"""The figures of a prediction that sizing needs: some integers, in place of a trace."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any


@dataclass
class StageFigures:
    """Of a step of one stage. What is None was not asked for yet.

    Attributes:
        static_bytes: Resident in RAM before, during and after the step.
        peak_bytes: Peak dynamic bytes under torch.
        storage_bytes: What stays out of RAM during the step.
        tensors: How many tensors are held between steps, those in storage included.
        device_bytes: Peak dynamic bytes of the same schedule as C would run it.
        arena_bytes: The arena for that.
        arena_gap_bytes: How much of it is fragmentation.
        operations: The arithmetic, as a record writes it.
    """

    static_bytes: int
    peak_bytes: int
    storage_bytes: int
    tensors: int
    device_bytes: int | None = None
    arena_bytes: int | None = None
    arena_gap_bytes: int | None = None
    operations: dict[str, Any] | None = None


@dataclass
class Figures:
    """Of a workload.

    Attributes:
        stages: Their names.
        storage_note: When what is in storage is read and written.
        plans: Of a step of every stage.
    """

    stages: tuple[str, ...]
    storage_note: str
    plans: list[StageFigures] = field(default_factory=list)

    def as_json(self) -> dict[str, Any]:
        """For :meth:`of_json`."""
        plans = [
            {name: value for name, value in vars(plan).items() if value is not None}
            for plan in self.plans
        ]
        return {"stages": self.stages, "storage_note": self.storage_note, "plans": plans}

    @classmethod
    def of_json(cls, document: Any) -> Figures:
        """What :meth:`as_json` gave.

        Raises:
            ValueError, TypeError, KeyError: Something else.
        """
        stages, note = tuple(document["stages"]), document["storage_note"]
        plans = [_stage(dict(each)) for each in document["plans"]]
        texts = all(isinstance(each, str) for each in (*stages, note))
        if not (texts and stages and len(plans) == len(stages)):
            raise ValueError("not the figures of a workload")
        return cls(stages, note, plans)


def _stage(document: dict[str, Any]) -> StageFigures:
    numbers = {name: each for name, each in document.items() if name != "operations"}
    if not all(type(each) is int and each >= 0 for each in numbers.values()):
        raise ValueError("not the figures of a stage")
    return StageFigures(**document)
