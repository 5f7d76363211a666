"""What a step of an algorithm will need, from its trace: nothing is trained, nothing allocated.

Evidence is ``traced``; the memory pass confirms it by measurement.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from trainfit.algorithms import Algorithm, Category, ConfigurationError, twin_on_meta
from trainfit.algorithms.building import enter_on_meta
from trainfit.algorithms.memory.operations import Operations
from trainfit.algorithms.memory.stand_ins import other_value_of, value_of
from trainfit.bench.profiler.fold import Block, PhasePeak
from trainfit.bench.trace.arena import Arena
from trainfit.bench.trace.device import DeviceView, device_view
from trainfit.bench.trace.operations import Counted, known_operations_of
from trainfit.bench.trace.planned import arena_of
from trainfit.bench.trace.trace import Trace
from trainfit.bench.trace.tracing import batch_on_meta, trace_stage

_INDIFFERENT: set[tuple[type, str, int]] = set()
"""Rules, their options and stages, that were seen to do the same whatever they read."""


@dataclass(frozen=True)
class Prediction:
    """Bytes and arithmetic of one step of a stage.

    Attributes:
        trace: The step.
        static: Tensors held between steps in RAM, the batch included.
        storage: Tensors that no step needs in RAM.
    """

    trace: Trace
    static: tuple[Block, ...]
    storage: tuple[Block, ...]

    @property
    def static_bytes(self) -> int:
        """Bytes resident in RAM before, during and after the step."""
        return sum(each.size for each in self.static)

    @property
    def static_categories(self) -> dict[str, int]:
        """The same by category."""
        sums: Counter[str] = Counter()
        for each in self.static:
            sums[each.category] += each.size
        return dict(sorted(sums.items()))

    @property
    def storage_bytes(self) -> int:
        """Bytes that stay in flash during the step."""
        return sum(each.size for each in self.storage)

    @property
    def peak_bytes(self) -> int:
        """Peak dynamic bytes as torch's allocator will hold them."""
        return self.trace.torch_view.peak_dynamic_bytes

    @property
    def peak_phase(self) -> str:
        """The innermost phase in which that peak is first reached."""
        return self.trace.torch_view.peak_phase

    @property
    def phases(self) -> Mapping[str, PhasePeak]:
        """The same for every phase that was entered."""
        return self.trace.torch_view.phases

    @property
    def live_at_peak(self) -> tuple[Block, ...]:
        """Tensors alive at the peak, largest first."""
        return self.trace.torch_view.live_at_peak

    @property
    def ram_bytes(self) -> int:
        """Static plus peak dynamic bytes."""
        return self.static_bytes + self.peak_bytes

    @cached_property
    def _counted(self) -> Counted:
        return known_operations_of(self.trace)

    @property
    def operations(self) -> Operations:
        """The arithmetic of the step by phase.

        Nothing where some of its operators are not known: a part of it would be too little.
        """
        return Operations() if self._counted.uncounted else self._counted.operations

    @property
    def uncounted(self) -> tuple[str, ...]:
        """Operators of the step of which nobody knows what they compute."""
        return tuple(self._counted.uncounted)

    @property
    def device_bytes(self) -> int:
        """Peak dynamic bytes of the same schedule as C would run it."""
        return self.device.peak_bytes

    @property
    def arena_bytes(self) -> int:
        """Dynamic bytes of one planned piece of memory for that, every block in its place."""
        return self.arena.size_bytes

    @property
    def arena_gap_bytes(self) -> int:
        """How much of the arena is fragmentation."""
        return self.arena.fragmentation_bytes

    @cached_property
    def arena(self) -> Arena:
        """Where the blocks of the device view lie, checked."""
        return arena_of(self.device)

    @cached_property
    def device(self) -> DeviceView:
        """The same schedule as C would run it."""
        return device_view(self.trace)


def predict(algorithm: Algorithm[Any], batch_size: int) -> Prediction:
    """What a step of an algorithm's current stage will need.

    Args:
        algorithm: Built to train or on the meta device; it is left as it is. For one with values,
            a twin without them is made of the same model and options.
        batch_size: Rows of a batch.

    Raises:
        ConfigurationError: The batch is refused; the algorithm cannot be made without values; its
            step raises without them, or does something else with other values of its tensors.
    """
    algorithm.check_batch(batch_size)
    if not all(held.tensor.is_meta for held in algorithm.static_tensors()):
        algorithm = _fresh(algorithm)
    trace = _traced(algorithm, batch_size)
    held = _held(algorithm, batch_size)
    return Prediction(
        trace,
        tuple(block for block, stored in held if not stored),
        tuple(block for block, stored in held if stored),
    )


def _traced(algorithm: Algorithm[Any], batch_size: int) -> Trace:
    """The trace of a step that does the same whatever its tensors hold."""
    try:
        trace = trace_stage(algorithm, batch_size)
        known = (type(algorithm), algorithm.options.model_dump_json(), algorithm.entered)
        if not trace.reads_of_data or known in _INDIFFERENT:
            return trace
        one, other = (
            trace_stage(_fresh(algorithm), batch_size, answer=answer)
            for answer in (value_of, other_value_of)
        )
    except ConfigurationError:
        raise
    except Exception as error:
        raise ConfigurationError(
            f"{algorithm.name} cannot be predicted at batch size {batch_size}: without values of"
            f" its tensors its step raised {type(error).__name__}: {error}"
        ) from error
    if not one.same_steps(other):
        raise ConfigurationError(
            f"{algorithm.name} cannot be predicted: what its step does depends on values that it"
            f" reads at {', '.join(trace.reads_of_data)}"
        )
    _INDIFFERENT.add(known)
    return trace


def _fresh(algorithm: Algorithm[Any]) -> Algorithm[Any]:
    """A twin without values that has not taken a step, at the same stage."""
    twin = twin_on_meta(algorithm)
    enter_on_meta(twin, algorithm.entered)
    return twin


def _held(algorithm: Algorithm[Any], batch_size: int) -> list[tuple[Block, bool]]:
    """What is held between steps, each storage once; and whether it stays out of RAM.

    The batch is held, too: it is there before a step and after it.
    """
    x, y = batch_on_meta(algorithm, batch_size)
    taken = (("x", x, Category.INPUTS, False), ("y", y, Category.INPUTS, False))
    own = ((h.name, h.tensor, h.category, h.storage) for h in algorithm.static_tensors())
    seen: set[int] = set()
    found = []
    for name, tensor, category, stored in (*taken, *own):
        memory = tensor.untyped_storage()
        if memory._cdata not in seen:
            seen.add(memory._cdata)
            found.append((Block(memory.nbytes(), "", str(category), name), stored))
    return found
