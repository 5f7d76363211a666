"""The latency pass by a clock that does what the test says."""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterable, Iterator
from itertools import chain, repeat
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from trainfit.algorithms import build_algorithm
from trainfit.algorithms.phases import observing, phase
from trainfit.bench.environment import cpu_governor
from trainfit.bench.profiler import clocks, latency, measure_latency
from trainfit.bench.profiler.clocks import CudaClock, HostClock, StepTimer, clock_for
from trainfit.bench.records.schema import Latency, Stop

X, Y = torch.rand(2, 3), torch.zeros(2, dtype=torch.int64)


class FakeClock:
    """Time passes when a test says so."""

    name = "fake"

    def __init__(self) -> None:
        self.at = 0.0
        self.read = self.settled = 0

    def now(self) -> float:
        self.read += 1
        return self.at

    def settle(self) -> None:
        self.settled += 1

    def seconds(self, start: float, end: float) -> float:
        return end - start


class Steps:
    """An algorithm whose steps last as long as the test says."""

    def __init__(self, clock: FakeClock, seconds: Iterable[float]) -> None:
        self._clock = clock
        self._seconds = iter(seconds)
        self.taken = 0
        self.collector: set[bool] = set()

    def step(self, x: torch.Tensor, y: torch.Tensor) -> None:
        self.taken += 1
        self.collector.add(gc.isenabled())
        seconds = next(self._seconds)
        with phase("forward"):
            self._clock.at += 0.75 * seconds
        self._clock.at += 0.25 * seconds


def measured(seconds: Iterable[float], **options: Any) -> tuple[Latency, Steps, FakeClock]:
    clock = FakeClock()
    steps = Steps(clock, seconds)
    return measure_latency(steps, X, Y, threads=1, clock=clock, **options), steps, clock


def noisy(spread: float, seed: int = 0) -> Iterator[float]:
    random = np.random.default_rng(seed)
    return (0.004 * float(value) for value in iter(lambda: random.lognormal(0, spread), None))


# ---- when it stops -------------------------------------------------------------------------------


def test_steps_that_are_all_alike_are_known_at_the_first_look() -> None:
    found, steps, _ = measured(repeat(0.004))

    assert found.stopped is Stop.SETTLED
    assert found.steps == latency.LEAST_STEPS
    assert found.warmup_steps == 4  # the first, and three that are no faster
    assert steps.taken == 24
    assert found.step_seconds_median == pytest.approx(0.004)
    assert found.step_seconds_iqr == pytest.approx(0, abs=1e-12)


def test_restless_steps_are_taken_until_the_interval_is_as_narrow_as_asked() -> None:
    found, *_ = measured(noisy(0.1), most_seconds=30.0)
    rough, *_ = measured(noisy(0.1), most_seconds=30.0, width=0.1)

    for each, width in ((found, 0.02), (rough, 0.1)):
        assert each.stopped is Stop.SETTLED
        assert each.asked_width == width
        assert each.step_interval.high - each.step_interval.low <= width * each.step_seconds_median
        assert each.step_interval.low <= each.step_seconds_median <= each.step_interval.high
    assert latency.LEAST_STEPS <= rough.steps < 100 < found.steps < 1500


def test_the_caps() -> None:
    by_steps, *_ = measured(noisy(0.5), most_steps=60)
    by_seconds, *_ = measured(noisy(0.5), most_seconds=0.5)
    slow, slow_steps, _ = measured(repeat(30.0))
    none, *_ = measured(noisy(0.5), most_steps=0)

    assert (by_steps.stopped, by_steps.steps) == (Stop.STEPS, 60)
    assert by_seconds.stopped is Stop.SECONDS
    assert 80 < by_seconds.steps < 180
    assert (slow.stopped, slow.steps, slow.warmup_steps) == (Stop.SECONDS, 5, 3)
    assert slow_steps.taken == 8
    assert (none.stopped, none.steps) == (Stop.STEPS, 5)


def test_the_interval_is_looked_at_now_and_then(monkeypatch: pytest.MonkeyPatch) -> None:
    # GIVEN steps that never settle
    looks: list[int] = []
    real = latency.median_interval

    def looked(values: list[float], confidence: float) -> tuple[float, float]:
        looks.append(len(values))
        return real(values, confidence)

    monkeypatch.setattr(latency, "median_interval", looked)
    found, *_ = measured(noisy(2.0), most_steps=1000, most_seconds=1e9)

    # THEN there are few looks among a thousand steps, and two at the end for the record
    assert found.stopped is Stop.STEPS
    assert looks[:3] == [20, 26, 33]
    assert looks[-2:] == [1000, 1000]
    assert len(looks) < 25


# ---- warming up ----------------------------------------------------------------------------------


def test_warming_up_goes_on_while_steps_become_faster() -> None:
    falling = [0.1, 0.05, 0.02, 0.01, 0.005]
    found, *_ = measured(chain(falling, repeat(0.004)))

    # the sixth is the fastest, and three are no faster than it
    assert found.warmup_steps == 9
    assert found.step_seconds_median == pytest.approx(0.004)
    assert found.step_seconds_iqr == pytest.approx(0, abs=1e-12)


def test_a_slow_step_does_not_prolong_warming_up() -> None:
    found, *_ = measured(chain([0.004, 0.004, 0.4], repeat(0.004)))
    assert found.warmup_steps == 4


def test_warming_up_ends() -> None:
    ever_faster = (0.9**number for number in range(10_000))
    assert len(latency.warm_up(lambda: next(ever_faster), most_seconds=100)) == 50
    assert len(latency.warm_up(lambda: 10.0, most_seconds=15)) == 3


# ---- what is in the record -----------------------------------------------------------------------


def test_the_record_says_how_it_was_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(latency, "cpu_governor", lambda: "performance")
    found, *_ = measured(repeat(0.004), confidence=0.9)

    assert (found.clock, found.cpu_governor) == ("fake", "performance")
    assert (found.confidence, found.asked_width) == (0.9, 0.02)
    assert Latency.model_validate_json(found.model_dump_json()) == found


def test_phases_have_the_same_figures() -> None:
    found, *_ = measured(noisy(0.1))

    forward = found.phases["forward"]
    assert set(found.phases) == {"forward"}
    assert forward.seconds_median == pytest.approx(0.75 * found.step_seconds_median)
    assert forward.seconds_iqr == pytest.approx(0.75 * found.step_seconds_iqr)
    assert forward.interval.low == pytest.approx(0.75 * found.step_interval.low)


def test_a_phase_that_is_rare_has_no_interval() -> None:
    clock = FakeClock()
    steps = Steps(clock, repeat(0.004))
    plain = steps.step

    def step(x: torch.Tensor, y: torch.Tensor) -> None:
        plain(x, y)
        if steps.taken == 10:
            with phase("update"):
                clock.at += 0.001

    steps.step = step
    found = measure_latency(steps, X, Y, threads=1, clock=clock)

    assert found.phases["update"].interval is None
    assert found.phases["update"].seconds_median == pytest.approx(0.001)
    assert found.phases["forward"].interval is not None


def test_the_collector_is_held_during_steps_and_let_go_after() -> None:
    assert gc.isenabled()
    _, steps, _ = measured(repeat(0.004))
    assert steps.collector == {False}
    assert gc.isenabled()


def test_a_real_step_by_the_real_clock() -> None:
    algorithm = build_algorithm("forward_forward", "mlp-24-16-16-4")
    x, y = torch.rand(10, 24), torch.randint(0, 4, (10,))
    found = measure_latency(algorithm, x, y, threads=1, most_steps=30)

    assert found.clock == "perf_counter"
    assert 0 < found.step_seconds_median < 1
    assert {"forward", "forward.positive", "gradient", "update"} <= set(found.phases)
    parts = sum(found.phases[each].seconds_median for each in ("forward", "gradient", "update"))
    assert parts < 1.5 * found.step_seconds_median


# ---- clocks --------------------------------------------------------------------------------------


def timed(walk: Callable[[FakeClock], None]) -> tuple[float, dict[str, float], FakeClock]:
    clock = FakeClock()
    timer = StepTimer(clock)
    with observing(timer):
        seconds, phases = timer.time(lambda: walk(clock))
    return seconds, phases, clock


def test_inner_phases_count_in_outer_ones_and_refined_ones_in_what_they_refine() -> None:
    def walk(clock: FakeClock) -> None:
        with phase("forward"):
            clock.at += 1
            with phase("forward.positive"):
                clock.at += 2
            with phase("gradient.local"):
                clock.at += 4
        with phase("gradient"):
            clock.at += 8
        clock.at += 16
        with phase("forward.positive"):
            clock.at += 32

    seconds, phases, _ = timed(walk)

    assert seconds == 63
    assert phases == {
        "forward": 1 + 2 + 4 + 32,
        "forward.positive": 2 + 32,
        "gradient.local": 4,
        "gradient": 4 + 8,
    }


def test_a_phase_inside_itself_counts_once() -> None:
    def walk(clock: FakeClock) -> None:
        with phase("forward"), phase("forward"):
            clock.at += 1

    assert timed(walk)[1] == {"forward": 1}


def test_the_clock_is_read_once_per_border_and_settled_outside_of_phases() -> None:
    open_phases: list[int] = []

    class Watched(FakeClock):
        depth = 0

        def settle(self) -> None:
            open_phases.append(self.depth)

    clock = Watched()

    def step() -> None:
        for name in ("forward", "gradient", "update"):
            with phase(name):
                clock.depth += 1
            clock.depth -= 1

    timer = StepTimer(clock)
    with observing(timer):
        for _ in range(3):
            clock.read = 0
            timer.time(step)
            # two reads for the step, two for each of three phases: nothing else costs time
            assert clock.read == 2 + 2 * 3
    assert open_phases == [0] * 6  # before a step and after it


class FakeEvent:
    """A CUDA event that knows what was queued when; the GPU lags behind the host."""

    log: list[str]
    gpu_milliseconds: float

    def record(self) -> None:
        self.log.append("record")
        self.at = type(self).gpu_milliseconds
        self.known = False

    def elapsed_time(self, end: FakeEvent) -> float:
        assert self.log[-1] != "record", "read before it was waited for"
        self.log.append("read")
        return end.at - self.at


def test_cuda_events_are_recorded_at_borders_and_read_after_waiting() -> None:
    # GIVEN events and a device that can be watched
    log: list[str] = []

    class Event(FakeEvent):
        gpu_milliseconds = 0.0

    Event.log = log
    clock = CudaClock(Event, lambda: log.append("wait"))

    def step() -> None:
        with phase("forward"):
            log.append("work")
            Event.gpu_milliseconds += 3
        with phase("update"):
            log.append("work")
            Event.gpu_milliseconds += 1

    # WHEN a step is timed
    timer = StepTimer(clock)
    with observing(timer):
        seconds, phases = timer.time(step)

    # THEN nothing waits between its beginning and its end, and milliseconds become seconds
    assert seconds == pytest.approx(0.004)
    assert phases == pytest.approx({"forward": 0.003, "update": 0.001})
    border = "record"
    inside = [border, border, "work", border, border, "work", border, border]
    assert log == ["wait", *inside, "wait", "read", "read", "read"]
    assert clock.name == "cuda_events"


def test_the_device_of_the_batch_chooses_the_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    class OnGpu:
        is_cuda = True

    assert isinstance(clock_for(X), HostClock)
    assert isinstance(clock_for(OnGpu()), CudaClock)
    assert clocks.HostClock.now() <= clocks.HostClock.now()


# ---- the governor --------------------------------------------------------------------------------


def test_the_governor_of_the_first_usable_core(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "trainfit.bench.environment.os.sched_getaffinity", lambda _: {7, 3}, raising=False
    )
    monkeypatch.setattr("trainfit.bench.environment.sys.platform", "linux")
    assert cpu_governor(tmp_path) is None

    folder = tmp_path / "cpu3" / "cpufreq"
    folder.mkdir(parents=True)
    (folder / "scaling_governor").write_text("powersave\n")
    assert cpu_governor(tmp_path) == "powersave"

    (folder / "scaling_governor").write_text("\n")
    assert cpu_governor(tmp_path) is None
    monkeypatch.setattr("trainfit.bench.environment.sys.platform", "darwin")
    assert cpu_governor(tmp_path) is None
