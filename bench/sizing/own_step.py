"""A step of one's own, measured or predicted for boards that are not here: ``module:make_step``.

``make_step`` is a function without arguments that makes net, optimiser and batch and returns the
step, a callable without arguments that trains once. It runs in a process of its own, in which the
current folder is searched for modules first.
"""

from __future__ import annotations

import inspect
import sys
import tempfile
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, fields
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any

from trainfit.bench.costs.device_model import not_modelled
from trainfit.bench.errors import BenchError
from trainfit.bench.processes.child import Ending, Message, Outcome, Send
from trainfit.bench.processes.isolation import call
from trainfit.bench.records.schema import Evidence
from trainfit.bench.verdicts.judge import ResourceDemand, judge_all
from trainfit.bench.verdicts.memory import Status, Verdict, unknown
from trainfit.bench.verdicts.ram import NOT_PLANNED, PlannedRam
from trainfit.hardware_profiles import Allocator, Budgets, Device

MEASURE_SECONDS = 600.0
"""A step of one's own may take this long, with all its repeats."""

MOST_TENSORS = 40
"""Tensors alive at the peak that are kept; the rest of a peak is small change."""

NOT_COUNTED = "the operations of a step of your own are not counted"

FORM = "train:make_step, for the function make_step of train.py in the current folder"

UNPREDICTED = ("UntraceableError", "ReadsDataError", "UnsettledError")
"""What tracing raises where bytes do not follow from the code of a step alone."""

UNSEEN = (
    *("SessionError", "ForeignThreadError", "ForeignProcessError", "NothingMeasuredError"),
    "StreamError",
)
"""What the profiler raises where it cannot see all that a step allocates."""

EXPLAINED = (
    "it has to be a function without arguments that makes net, optimiser and batch and returns the"
    " step, a callable without arguments that trains once"
)


class OwnStepError(BenchError):
    """The step cannot be found, made, measured or predicted; the message says why."""


@dataclass(frozen=True)
class Tensor:
    """A tensor that is alive at the peak, or that a step leaves behind.

    Attributes:
        bytes: Its size.
        phase: The phase it was made in; empty if before the step.
        category: What it is for.
        label: Operator, number format and shape.
        module: Path of the module that made it; empty if not known.
        line: Where in the user's code; empty if not known.
    """

    bytes: int
    phase: str
    category: str
    label: str
    module: str = ""
    line: str = ""


@dataclass(frozen=True)
class OwnStep:
    """What a step of one's own needs, to the byte.

    Attributes:
        target: As it was named.
        static_bytes: As :class:`~trainfit.bench.profiler.step.StepProfile` has it, as the rest.
        peak_dynamic_bytes: Likewise.
        peak_phase: Likewise.
        left_after_step_bytes: Likewise.
        steps: Likewise.
        deterministic: Likewise.
        repeats: Likewise.
        attribution: Likewise.
        notes: Likewise.
        advice: What to do if the repeats differ; then the bytes are those of one of them.
        phases: Peak in bytes by phase.
        tensors: Those alive at the peak, largest first.
        left: Those that a step leaves behind, largest first.
        evidence: Whether it was measured (``allocator``) or follows from its code (``traced``).
        arena_bytes: Of a planned arena for the step; None where none was planned.
        no_arena: Why none was; empty where nobody asked.
    """

    target: str
    static_bytes: int
    peak_dynamic_bytes: int
    peak_phase: str
    left_after_step_bytes: int
    steps: int
    deterministic: bool
    repeats: int
    attribution: str
    notes: tuple[str, ...] = ()
    advice: str = ""
    phases: dict[str, int] = field(default_factory=dict)
    tensors: tuple[Tensor, ...] = ()
    left: tuple[Tensor, ...] = ()
    evidence: str = str(Evidence.ALLOCATOR)
    arena_bytes: int | None = None
    no_arena: str = ""

    @property
    def ram_bytes(self) -> int:
        """Static plus peak dynamic bytes, under torch."""
        return self.static_bytes + self.peak_dynamic_bytes

    @property
    def arena_ram_bytes(self) -> int | None:
        """Static bytes and arena; None where none was planned."""
        return None if self.arena_bytes is None else self.static_bytes + self.arena_bytes

    def ram_on(self, device: Device) -> int:
        """RAM under the allocator of a device; under torch's where no arena was planned."""
        planned = device.allocator is Allocator.ARENA and self.arena_ram_bytes is not None
        return (self.arena_ram_bytes or 0) if planned else self.ram_bytes

    def planned(self) -> PlannedRam | str:
        """RAM with a planned arena, or why there is none."""
        if self.arena_bytes is None:
            return self.no_arena or NOT_PLANNED
        return PlannedRam(self.static_bytes, self.arena_bytes)

    def demand(self, device: Device) -> ResourceDemand:
        """What is to be judged; time and energy are unknown."""
        return ResourceDemand(
            static_bytes=self.static_bytes,
            peak_dynamic_bytes=self.peak_dynamic_bytes,
            storage_bytes=0,
            evidence=Evidence(self.evidence),
            batch_size=1,
            stages=1,
            model=lambda: not_modelled(device.name, NOT_COUNTED),
            left_bytes=max(0, self.left_after_step_bytes),
            plan=self.planned,
        )

    def verdicts(self, device: Device, budgets: Budgets) -> list[Verdict]:
        """On every budget of a device; what differs from call to call may need more elsewhere."""
        found = judge_all(self.demand(device), device, budgets)
        if self.deterministic:
            return found
        return [
            each
            if each.status is Status.EXCEEDS
            else unknown(each.device, each.budget, f"{each.reason}; but {self.advice}")
            for each in found
        ]


def measure_own_step(target: str, folder: Path, *, batch_size: int | None = None) -> OwnStep:
    """Import, make and measure a step in a process of its own.

    Args:
        target: ``module:function``.
        folder: Searched for the module before everything else.
        batch_size: What the function is called with under that name; None for nothing.

    Raises:
        OwnStepError: There is no such function, it makes no step, or the step cannot be measured.
    """
    return _found(target, folder, batch_size, measured=True)


def predict_own_step(
    target: str, folder: Path, *, batch_size: int | None = None, plan: bool = False
) -> OwnStep:
    """Import a step and predict it from its code, in a process of its own; nothing is computed.

    Net, optimiser and batch are made without bytes: they may be larger than this machine.

    Args:
        target: ``module:function``.
        folder: Searched for the module before everything else.
        batch_size: What the function is called with under that name; None for nothing.
        plan: Plan an arena for it, too, which takes up to some seconds.

    Raises:
        OwnStepError: There is no such function, it makes no step, or its bytes do not follow from
            its code alone.
    """
    return _found(target, folder, batch_size, measured=False, plan=plan)


def _found(
    target: str, folder: Path, batch_size: int | None, *, measured: bool, plan: bool = False
) -> OwnStep:
    module, colon, name = target.partition(":")
    if not (module and colon and name):
        raise OwnStepError(f"--step {target}: write module:function, such as {FORM}")
    if module.endswith(".py") or "/" in module:
        right = Path(module).stem
        raise OwnStepError(
            f"--step {target}: {module} is a file; write the name of the module, {right}:{name},"
            " in the folder of the file"
        )
    return in_process(
        "trainfit.bench.sizing.own_step:run",
        {
            "target": target,
            "folder": str(folder),
            "measured": measured,
            "plan": plan,
            "arguments": {} if batch_size is None else {"batch_size": batch_size},
        },
        lambda outcome, doing: OwnStepError(f"--step {target}: {_why(outcome, doing)}"),
    )


def in_process(
    entry: str,
    job: Message,
    refusal: Callable[[Outcome, str], BenchError],
    *,
    timeout_seconds: float = MEASURE_SECONDS,
) -> OwnStep:
    """What a function finds of a step, in a process of its own.

    Args:
        entry: The function, ``module:function``; it sends ``{"doing": ...}`` before every part and
            ``{"step": ...}`` in the end.
        job: Its argument.
        refusal: What is raised if it ends badly, of how it ended and of what it was doing.
        timeout_seconds: How long it may take.

    Raises:
        BenchError: That.
    """
    parts: Message = {}
    with tempfile.TemporaryDirectory() as scratch:
        outcome = call(
            entry,
            job,
            log=Path(scratch) / "log",
            timeout_seconds=timeout_seconds,
            on_message=parts.update,
        )
    if outcome.ending is not Ending.RETURNED or "step" not in parts:
        raise refusal(outcome, parts.get("doing", ""))
    found = parts["step"]
    return OwnStep(
        **found
        | {
            "notes": tuple(found["notes"]),
            "tensors": tuple(Tensor(**each) for each in found["tensors"]),
            "left": tuple(Tensor(**each) for each in found["left"]),
        }
    )


def _why(outcome: Outcome, doing: str) -> str:
    if outcome.type == OwnStepError.__name__:
        return outcome.message
    where = f" ({outcome.where})" if outcome.where else ""
    if outcome.type in UNPREDICTED:
        return f"the step cannot be predicted: {outcome.message}"
    if outcome.type in UNSEEN:
        return f"the step cannot be measured: {outcome.message}"
    if outcome.ending is Ending.RAISED:
        return f"{doing} raised {outcome.type}: {outcome.message}{where}"
    return f"{doing} ended badly: {outcome.type}: {outcome.message}{where}"


# ---- in the process of its own -------------------------------------------------------------------


def run(job: Message, send: Send) -> None:
    """Import, make and measure the step; runs in the process of its own.

    Args:
        job: ``target``, ``folder``, whether the step is ``measured``, whether an arena is to be
            planned (``plan``), and the ``arguments`` that the function gets.
        send: Gets ``{"doing": ...}`` before every part and ``{"step": ...}`` in the end.

    Raises:
        OwnStepError: There is no such function, or it makes no step.
    """
    target = job["target"]
    sys.path.insert(0, job["folder"])  # a module that is named on the command line lies there
    send({"doing": "importing the module"})
    arguments = job.get("arguments", {})
    make = partial(_function(target, arguments), **arguments)
    if not job.get("measured", True):
        send({"doing": "the step"})
        made = partial(_step, target, make)
        send({"step": predicted_step(target, made, plan=job.get("plan", False))})
        return
    send({"doing": f"{target.partition(':')[2]}()"})
    step = _step(target, make)
    send({"doing": "the step"})
    send({"step": measured_step(target, step)})


def _step(target: str, make: Callable[[], Any]) -> Callable[[], Any]:
    step = make()
    if not callable(step):
        raise OwnStepError(
            f"{target.partition(':')[2]} returned {_described(step)} and not a step; {EXPLAINED}"
        )
    _takes(step, "the step that it returned", {})
    return step  # type: ignore[no-any-return]


def _function(target: str, arguments: Message) -> Callable[..., Any]:
    module_name, _, name = target.partition(":")
    try:
        module = import_module(module_name)
    except ModuleNotFoundError as error:
        if error.name is None or not f"{module_name}.".startswith(f"{error.name}."):
            raise
        raise OwnStepError(
            f"there is no module {error.name!r} in the current folder or among what is installed;"
            f" write {FORM}"
        ) from error
    try:
        found = getattr(module, name)
    except AttributeError:
        raise OwnStepError(
            f"module {module_name!r} has no {name!r}; {_near(module, name)}"
        ) from None
    if not callable(found):
        raise OwnStepError(f"{name} is {_described(found)} and cannot be called; {EXPLAINED}")
    _takes(found, name, arguments)
    return found  # type: ignore[no-any-return]


def _near(module: Any, name: str) -> str:
    from trainfit._text import nearest  # noqa: PLC0415  (only where something is wrong)

    own = [each for each, value in vars(module).items() if callable(value)]
    return nearest(name, [each for each in own if not each.startswith("_")])


def _takes(function: Callable[..., Any], name: str, arguments: Message) -> None:
    try:
        inspect.signature(function).bind(**arguments)
    except TypeError as error:
        if arguments:
            raise OwnStepError(
                f"{name} cannot be called with batch_size=: {error}; to be asked about batches it"
                f" has to be a function of it: def {name}(batch_size=32)"
            ) from None
        raise OwnStepError(
            f"{name} cannot be called without arguments: {error}; {EXPLAINED}"
        ) from None
    except ValueError:
        return  # written in C: calling it will tell


def _described(value: Any) -> str:
    return "None" if value is None else f"of type {type(value).__name__}"


def measured_step(target: str, step: Callable[[], Any]) -> Message:
    """A step measured, as what makes an :class:`OwnStep`."""
    from trainfit.bench.profiler.step import profile_step  # noqa: PLC0415  (imports torch)
    from trainfit.bench.profiler.summary import period_advice  # noqa: PLC0415

    profile = profile_step(step)
    advice = "" if profile.deterministic else period_advice(profile)
    if profile.period > 1:
        advice += f", or let {target} return a step that makes all {profile.period} of them"
    own = {"target", "advice", "phases", "tensors", "left", "evidence"}
    own |= {"arena_bytes", "no_arena"}
    names = sorted({each.name for each in fields(OwnStep)} - own)
    return {
        **{name: getattr(profile, name) for name in names},
        "target": target,
        "advice": advice,
        "phases": {name: phase.peak_bytes for name, phase in profile.phases.items()},
        "tensors": _listed(profile.live_at_peak),
        "left": _listed(profile.left_blocks),
    }


def predicted_step(target: str, make: Callable[[], Any], *, plan: bool = False) -> Message:
    """The same from its code; ``make`` makes the step, ``plan`` asks for an arena."""
    from trainfit.bench.trace.strangers.prediction import predict_step  # noqa: PLC0415

    found = predict_step(make=make)
    notes = [
        f"asks for values of tensors at {place}, and does the same whatever they are"
        for place in found.reads_of_data
    ]
    if found.assumed:
        names = ", ".join(found.assumed)
        notes.append(f"what {names} makes for itself is not known, and taken as nothing")
    names = "static_bytes peak_dynamic_bytes peak_phase left_after_step_bytes steps"
    return {
        **{name: getattr(found, name) for name in names.split()},
        "target": target,
        "deterministic": True,
        "repeats": 1,
        "attribution": "",
        "notes": notes,
        "evidence": found.evidence,
        "arena_bytes": found.arena_bytes if plan else None,
        "no_arena": found.no_arena if plan else "",
        "phases": {name: phase.peak_bytes for name, phase in found.phases.items()},
        "tensors": _listed(found.live_at_peak),
        "left": _listed(found.left_blocks),
    }


def _listed(blocks: Iterable[Any]) -> list[Message]:
    ordered = sorted(blocks, key=lambda block: -block.size)[:MOST_TENSORS]
    return [
        {
            "bytes": block.size,
            "phase": block.phase,
            "category": str(block.category),
            "label": block.label,
            "module": block.module,
            "line": block.line,
        }
        for block in ordered
    ]
