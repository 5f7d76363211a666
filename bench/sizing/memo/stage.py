"""The prediction of a stage, of which figures are known; the rest is traced when it is asked for.

A trace has thousands of objects, and a search makes thousands of traces: only the last ones are
kept. An older one is made again, which takes milliseconds, if its tensors are asked for.
"""

from __future__ import annotations

import weakref
from collections import deque
from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import cached_property

from pydantic import ValidationError

from trainfit.bench.profiler.fold import Block, PhasePeak
from trainfit.bench.records.schema import StageOperations
from trainfit.bench.sizing.memo.figures import StageFigures
from trainfit.bench.trace.arena import Arena
from trainfit.bench.trace.device import DeviceView
from trainfit.bench.trace.prediction import Prediction
from trainfit.bench.trace.trace import Trace

KEPT = 32
"""So many traces are kept; what a search asks of one it asks at once."""

_last: deque[Prediction] = deque(maxlen=KEPT)


class StagePrediction:
    """Bytes and arithmetic of a step of a stage, as :class:`Prediction` has them.

    Args:
        name: Of the stage.
        figures: What is known; what is found out beside it is written there.
        trace: Makes the prediction, again if it must be.
        found_out: Called when something was.
        made: The prediction, if it has just been made.
    """

    def __init__(
        self,
        name: str,
        figures: StageFigures,
        trace: Callable[[], Prediction],
        *,
        found_out: Callable[[], None] = lambda: None,
        made: Prediction | None = None,
    ) -> None:
        self._name, self._figures, self._trace, self._found_out = name, figures, trace, found_out
        self._made: Callable[[], Prediction | None] = lambda: None
        if made is not None:
            self._keep(made)

    def _keep(self, made: Prediction) -> Prediction:
        _last.append(made)
        self._made = weakref.ref(made)
        return made

    @property
    def whole(self) -> Prediction:
        """With its trace."""
        return self._made() or self._keep(self._trace())

    # Figures --------------------------------------------------------------------------------

    @property
    def static_bytes(self) -> int:
        """Bytes resident in RAM before, during and after the step."""
        return self._figures.static_bytes

    @property
    def peak_bytes(self) -> int:
        """Peak dynamic bytes as torch's allocator will hold them."""
        return self._figures.peak_bytes

    @property
    def ram_bytes(self) -> int:
        """Static plus peak dynamic bytes."""
        return self.static_bytes + self.peak_bytes

    @property
    def storage_bytes(self) -> int:
        """Bytes that stay in flash during the step."""
        return self._figures.storage_bytes

    @property
    def tensors(self) -> int:
        """Number of tensors that are held between steps."""
        return self._figures.tensors

    @property
    def device_bytes(self) -> int:
        """Peak dynamic bytes of the same schedule as C would run it."""
        if self._figures.device_bytes is None:
            self._figures.device_bytes = self.whole.device_bytes
            self._found_out()
        return self._figures.device_bytes

    @property
    def arena_bytes(self) -> int:
        """Dynamic bytes of one planned piece of memory for that, every block in its place."""
        self._plan()
        assert self._figures.arena_bytes is not None
        return self._figures.arena_bytes

    @property
    def arena_gap_bytes(self) -> int:
        """How much of the arena is fragmentation."""
        self._plan()
        assert self._figures.arena_gap_bytes is not None
        return self._figures.arena_gap_bytes

    def _plan(self) -> None:
        figures = self._figures
        if figures.arena_bytes is None or figures.arena_gap_bytes is None:
            whole = self.whole
            figures.arena_bytes, figures.device_bytes = whole.arena_bytes, whole.device_bytes
            figures.arena_gap_bytes = whole.arena_gap_bytes
            self._found_out()

    @cached_property
    def stage_operations(self) -> StageOperations:
        """The arithmetic of the step."""
        if self._figures.operations is not None:
            with suppress(ValidationError):  # what another program wrote there
                return StageOperations.model_validate(self._figures.operations)
        phases = self.whole.operations.phases
        found = StageOperations.of(self._name, phases, self.static_bytes)
        self._figures.operations = found.model_dump(mode="json")
        self._found_out()
        return found

    # What only a trace has ------------------------------------------------------------------

    @property
    def static(self) -> tuple[Block, ...]:
        """Tensors held between steps in RAM, the batch included."""
        return self.whole.static

    @property
    def storage(self) -> tuple[Block, ...]:
        """Tensors that no step needs in RAM."""
        return self.whole.storage

    @property
    def peak_phase(self) -> str:
        """The innermost phase in which the peak is first reached."""
        return self.whole.peak_phase

    @property
    def phases(self) -> Mapping[str, PhasePeak]:
        """Peaks of every phase that was entered."""
        return self.whole.phases

    @property
    def live_at_peak(self) -> tuple[Block, ...]:
        """Tensors alive at the peak, largest first."""
        return self.whole.live_at_peak

    @property
    def device(self) -> DeviceView:
        """The same schedule as C would run it."""
        return self.whole.device

    @property
    def arena(self) -> Arena:
        """Where the blocks of that lie."""
        return self.whole.arena

    @property
    def trace(self) -> Trace:
        """The step."""
        return self.whole.trace
