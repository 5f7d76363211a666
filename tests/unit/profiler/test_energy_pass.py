"""Energy of a step: right where a sensor is honest, and honest where it is not."""

from __future__ import annotations

import threading
from contextlib import contextmanager

import pytest
import torch

from tests.fakes import boards
from tests.fakes.boards import FakePowercap
from tests.fakes.clock import FakeAlgorithm, FakeClock, FakeSensor
from trainfit.algorithms import build_algorithm
from trainfit.algorithms.phases import observing
from trainfit.bench.profiler.energy.measure import EnergyLimits, measure_energy
from trainfit.bench.records.schema import Energy, Evidence
from trainfit.bench.sensors.base import Reading, Unavailable
from trainfit.bench.sensors.jetson import open_jetson
from trainfit.bench.sensors.pacing import Timebase
from trainfit.bench.sensors.rails import UNKNOWN_TOTAL
from trainfit.bench.sensors.zeus_sensors import RaplSensor, open_rapl

STEP = {"forward": 0.01, "gradient": 0.02, "update": 0.01}
"""Phases shorter than a sampling interval; 0.04 s in all."""


@pytest.fixture
def clock():
    return FakeClock()


def flicker(now, watts=5.0):
    """A steady power as sensors show it: never twice the same."""
    return {"A": watts + (0.01 if round(now * 100) % 20 < 10 else -0.01)}


def measure(clock, sensor, phases=STEP, algorithm=None, **options):
    algorithm = algorithm or FakeAlgorithm(clock, phases)
    x, y = torch.zeros(1, 1), torch.zeros(1, dtype=torch.int64)
    found = measure_energy(
        algorithm, x, y, threads=1, sensor=sensor, timebase=clock.timebase, **options
    )
    assert clock.idle_again
    assert Energy.model_validate_json(found.model_dump_json()) == found
    return found


def test_steady_power(clock):
    found = measure(clock, FakeSensor(clock, flicker))
    assert found.evidence is Evidence.SENSOR
    assert found.valid
    assert found.reason is None
    assert found.joules_per_step == pytest.approx(5.0 * 0.04, rel=0.002)
    low, high = found.joules_per_step_interval.low, found.joules_per_step_interval.high
    assert low <= found.joules_per_step <= high
    assert found.idle_watts == pytest.approx(5.0, rel=0.002)
    assert not found.idle_subtracted
    assert (found.windows, found.sampling_interval_seconds) == (5, 0.1)
    assert found.window_seconds == pytest.approx(1.52)
    assert found.steps == 5 * 38
    assert (found.sensor, found.rails, found.coverage) == ("fake", ["A"], "what a test needs")


def test_a_sum_that_may_lack_a_part_of_the_board_judges_no_budget(clock):
    sensor = FakeSensor(clock, flicker)
    sensor.coverage = f"the sum of A and B: {UNKNOWN_TOTAL}"
    found = measure(clock, sensor)
    assert found.joules_per_step == pytest.approx(5.0 * 0.04, rel=0.002)
    assert not found.valid
    assert found.reason == sensor.coverage


def test_a_counter_is_exact(clock):
    sensor = FakeSensor(clock, lambda now: {"A": 3.0 * now}, counts=True, interval=0.02)
    found = measure(clock, sensor)
    assert found.joules_per_step == pytest.approx(3.0 * 0.04)
    assert found.window_seconds == pytest.approx(1.0, abs=0.041)


def by_state(clock, idle=2.0, **watts):
    """A counter that knows what the step is doing."""
    state = {"at": clock.now, "joules": 0.0, "busy": None}

    def tell(now):
        state["joules"] += watts.get(state["busy"], idle) * (now - state["at"])
        state.update(at=now, busy=clock.busy)

    clock.follow(tell)
    return lambda now: {"A": state["joules"]}


def test_idle_power_is_reported_and_subtracted_only_when_asked():
    found = {}
    for subtract in (False, True):
        clock = FakeClock()
        watts = {"forward": 6.0, "gradient": 6.0, "update": 6.0}
        sensor = FakeSensor(clock, by_state(clock, **watts), counts=True)
        found[subtract] = measure(clock, sensor, subtract_idle=subtract)
        assert found[subtract].idle_watts == pytest.approx(2.0)
        assert found[subtract].idle_subtracted == subtract
    assert found[False].joules_per_step == pytest.approx(6.0 * 0.04, rel=0.03)
    assert found[True].joules_per_step == pytest.approx(4.0 * 0.04, rel=0.03)
    assert found[True].rail_joules_per_step["A"] == pytest.approx(found[True].joules_per_step)
    for each in found.values():
        shares = [phase.joules for phase in each.phases.values()]
        assert sum(shares) == pytest.approx(each.joules_per_step, rel=0.001)


def test_no_difference_to_idle_is_no_figure(clock):
    sensor = FakeSensor(clock, by_state(clock, idle=4.0, forward=3.0), counts=True)
    found = measure(clock, sensor, phases={"forward": 0.1}, subtract_idle=True)
    nothing_is_made_up(found, Evidence.SENSOR, "4 W idle, 3 W with steps: no energy is left")


def test_long_phases_are_sampled(clock):
    phases = {"forward": 0.55, "gradient": 1.05, "update": 0.05}
    sensor = FakeSensor(clock, by_state(clock, forward=4.0, gradient=8.0, update=2.0), counts=True)
    found = measure(clock, sensor, phases=phases)
    assert found.phase_split == "sampled"
    forward, gradient, update = (found.phases[name] for name in phases)
    # Energy is spread evenly over an interval: a border is off by less than one of 0.1 s x 4 W.
    assert forward.joules == pytest.approx(0.55 * 4.0, abs=0.4)
    assert gradient.joules == pytest.approx(1.05 * 8.0, abs=0.4)
    assert forward.valid
    assert gradient.valid
    assert forward.reason is None
    assert forward.window_seconds == pytest.approx(0.55 * found.steps)
    assert 5 * found.steps <= forward.samples <= 8 * found.steps
    # The update is too short to be seen, and was entered for less than ten intervals in all.
    assert not update.valid
    assert update.joules is None
    assert "fewer than ten sampling intervals of 0.1 s" in update.reason


def test_a_short_phase_among_long_ones_says_how_it_got_its_share(clock):
    phases = {"forward": 0.5, "update": 0.05}
    sensor = FakeSensor(clock, by_state(clock, forward=4.0, update=4.0), counts=True)
    found = measure(
        clock, sensor, phases=phases, limits=EnergyLimits(window_seconds=5.5, cap_seconds=100.0)
    )
    assert found.phase_split == "sampled"
    assert found.phases["update"].valid
    assert found.phases["update"].joules == pytest.approx(0.05 * 4.0, rel=0.02)
    assert "its share by time of the sampling intervals" in found.phases["update"].reason


def test_short_phases_share_by_time_and_say_so(clock):
    found = measure(clock, FakeSensor(clock, flicker))
    assert found.phase_split == "time_share"
    assert found.phases["gradient"].joules == pytest.approx(found.joules_per_step / 2)
    assert found.phases["update"].joules == pytest.approx(found.joules_per_step / 4)
    assert all(phase.valid for phase in found.phases.values())
    assert "its share by time of the window" in found.phases["forward"].reason


def test_phases_within_phases_count_in_both(clock):
    class Nested(FakeAlgorithm):
        def step(self, x, y):
            from trainfit.algorithms.phases import phase

            with phase("forward"):
                self.clock.sleep(0.02)
                with phase("forward.positive"):
                    self.clock.sleep(0.02)

    found = measure(clock, FakeSensor(clock, flicker), algorithm=Nested(clock, {}))
    assert found.phases["forward"].joules == pytest.approx(found.joules_per_step)
    assert found.phases["forward.positive"].joules == pytest.approx(found.joules_per_step / 2)


def test_steps_without_phases(clock):
    class Bare(FakeAlgorithm):
        def step(self, x, y):
            self.clock.sleep(0.04)

    found = measure(clock, FakeSensor(clock, flicker), algorithm=Bare(clock, {}))
    assert found.valid
    assert (found.phases, found.phase_split) == ({}, None)


def nothing_is_made_up(found, evidence, *reason):
    """The one shape of a record without a figure."""
    assert found.evidence is evidence
    assert not found.valid
    assert found.joules_per_step is None
    assert found.joules_per_step_interval is None
    assert found.rail_joules_per_step == {}
    assert found.phases == {}
    for part in reason:
        assert part in found.reason


def test_a_window_under_ten_intervals_is_invalid(clock):
    sensor = FakeSensor(clock, flicker, interval=5.0)
    found = measure(clock, sensor, limits=EnergyLimits(cap_seconds=30.0))
    nothing_is_made_up(
        found,
        Evidence.SENSOR,
        "a window of 30 s, all the time there is, is shorter than ten sampling intervals of 5 s",
    )


def test_a_window_that_the_cap_cut_short_is_dropped(clock):
    found = measure(clock, FakeSensor(clock, flicker), limits=EnergyLimits(cap_seconds=3.6))
    assert found.valid
    assert found.windows == 2


def test_one_window_has_no_interval(clock):
    found = measure(clock, FakeSensor(clock, flicker), limits=EnergyLimits(windows=1))
    assert found.valid
    assert found.joules_per_step_interval is None


def test_a_step_longer_than_the_cap_is_a_window(clock):
    found = measure(clock, FakeSensor(clock, flicker), phases={"forward": 40.0})
    assert (found.windows, found.steps) == (1, 1)
    assert found.joules_per_step == pytest.approx(200.0, rel=0.002)


def test_a_sampler_that_gets_no_turn_is_invalid(clock):
    @contextmanager
    def never(interval_seconds, call):
        yield

    found = measure_energy(
        FakeAlgorithm(clock, STEP),
        torch.zeros(1),
        torch.zeros(1),
        threads=1,
        sensor=FakeSensor(clock, flicker),
        timebase=Timebase(clock, clock.sleep, never),
    )
    nothing_is_made_up(found, Evidence.SENSOR, "only 2 readings were taken")


def test_a_sensor_that_is_stuck_is_unavailable(clock):
    found = measure(clock, FakeSensor(clock, lambda now: {"A": 5.0}))
    assert not found.reason.startswith("without steps")
    nothing_is_made_up(found, Evidence.UNAVAILABLE, "stuck: A 5 W, the same in")
    found = measure(clock, FakeSensor(clock, lambda now: {"A": 77.0}, counts=True))
    nothing_is_made_up(found, Evidence.UNAVAILABLE, "stuck: the counter of A did not move")


def after(clock, seconds, then, before=flicker):
    """A sensor that changes its ways some time into the measurement."""
    change = clock.now + seconds
    return lambda now: before(now) if now < change else then(now)


def test_a_sensor_that_gets_stuck_later_is_unavailable(clock):
    found = measure(clock, FakeSensor(clock, after(clock, 4.0, lambda now: {"A": 5.0})))
    nothing_is_made_up(found, Evidence.UNAVAILABLE, "stuck")


def test_a_sensor_that_goes_away_is_unavailable_with_its_words(clock):
    gone = Unavailable("cannot read in1_input: No such device")
    found = measure(clock, FakeSensor(clock, after(clock, 4.0, lambda now: gone)))
    nothing_is_made_up(
        found, Evidence.UNAVAILABLE, "stopped reading: cannot read in1_input: No such device"
    )


def test_a_sensor_that_goes_away_before_the_first_step(clock):
    found = measure(clock, FakeSensor(clock, lambda now: Unavailable("no permission to read x")))
    nothing_is_made_up(found, Evidence.UNAVAILABLE, "without steps:", "no permission to read x")


def test_a_sensor_that_raises_is_unavailable(clock):
    def broken(now):
        raise OSError("bus error")

    found = measure(clock, FakeSensor(clock, broken))
    nothing_is_made_up(found, Evidence.UNAVAILABLE, "OSError: bus error")


@pytest.mark.parametrize("value", [900.0, float("nan"), float("inf"), -3.0])
def test_a_power_that_cannot_be_is_invalid(value, clock):
    at = clock.now + 4.0

    def show(now):
        return {"A": value} if at <= now < at + 0.1 else flicker(now)

    found = measure(clock, FakeSensor(clock, show))
    nothing_is_made_up(found, Evidence.SENSOR, "jumped" if value == 900.0 else "A read")


@pytest.mark.parametrize(("by", "reason"), [(-50.0, "went back by 49."), (500.0, "jumped")])
def test_a_counter_that_jumps_is_invalid(by, reason, clock):
    at = clock.now + 4.03
    sensor = FakeSensor(
        clock, lambda now: {"A": 5.0 * now + (by if now > at else 0.0)}, counts=True
    )
    nothing_is_made_up(measure(clock, sensor), Evidence.SENSOR, reason)


def test_no_sensor(clock):
    found = measure(clock, Unavailable("needs the extra"))
    nothing_is_made_up(found, Evidence.UNAVAILABLE, "needs the extra")
    assert found.sensor is None


def test_what_a_step_raises_is_raised_and_everything_is_put_back(clock):
    torch.set_num_threads(1)
    algorithm = FakeAlgorithm(clock, STEP, fail_at=7)
    with pytest.raises(RuntimeError, match="the step's own error"):
        measure(clock, FakeSensor(clock, flicker), algorithm=algorithm)
    assert clock.idle_again
    assert torch.get_num_threads() == 1
    with observing(object()):
        pass  # nobody measures any more


def test_an_orin_nano(clock, tmp_path):
    board = boards.jetson_orin_nano(tmp_path)
    watts = {None: 4.0, "forward": 6.0, "gradient": 7.0, "update": 6.0}
    board.follow(
        clock,
        {
            "VDD_IN": lambda now: watts[clock.busy] + flicker(now, 0.0)["A"] * 4,
            "VDD_CPU_GPU_CV": lambda now: 1.5,
            "VDD_SOC": lambda now: 1.0,
        },
    )
    found = measure(clock, open_jetson(tmp_path, clock), phases={"forward": 0.7, "gradient": 0.7})
    assert found.valid
    assert found.idle_watts == pytest.approx(4.0, abs=0.03)
    # Two borders per step of one interval each, and 20 mW that the chip cannot tell apart.
    assert found.joules_per_step == pytest.approx(0.7 * 13.0, abs=0.1 * 4 + 1.4 * 0.03)
    assert found.phases["gradient"].joules == pytest.approx(0.7 * 7.0, abs=0.3)
    assert found.rails == ["VDD_IN", "VDD_CPU_GPU_CV", "VDD_SOC"]
    assert set(found.rail_joules_per_step) == set(found.rails)
    assert found.rail_joules_per_step["VDD_SOC"] == pytest.approx(1.4 * 1.0, abs=1.4 * 0.02)


def test_a_rail_with_an_offset_below_zero_is_left_out_and_named(clock):
    def show(now):
        return {**flicker(now), "VDD_GPU": -3.9}

    found = measure(clock, FakeSensor(clock, show, rails=("A", "VDD_GPU")))
    assert found.valid
    assert set(found.rail_joules_per_step) == {"A"}
    assert found.coverage.endswith("left out, since they do not read well: VDD_GPU")


def test_a_processor_whose_counter_wraps_again_and_again(clock, tmp_path, monkeypatch):
    rapl = pytest.importorskip("zeus.device.cpu.rapl")
    tree = FakePowercap(tmp_path, range_joules=65.0)
    tree.zone("intel-rapl:0", "package-0", 60.0)
    monkeypatch.setattr(rapl, "RAPL_DIR", str(tree.root))
    rapl.rapl_is_available.cache_clear()
    began = clock.now
    clock.follow(lambda now: tree.set_joules("intel-rapl:0", 60.0 + 50.0 * (now - began)))
    sensor = open_rapl(clock)
    rapl.rapl_is_available.cache_clear()
    assert isinstance(sensor, RaplSensor)
    found = measure(clock, sensor)  # 50 W: a wrap every 1.3 s
    assert found.valid
    assert found.joules_per_step == pytest.approx(50.0 * 0.04, rel=1e-4)
    assert found.idle_watts == pytest.approx(50.0, rel=1e-4)


def test_a_real_step_in_real_time():
    class Steady:
        """Watts that change with every reading, on the real clock."""

        name, coverage, rails, total, interval_seconds = "steady", "-", ("A",), ("A",), 0.004

        def __init__(self):
            self.count = 0

        def read(self):
            import time

            self.count += 1
            return Reading(time.perf_counter(), watts={"A": 5.0 + 0.001 * (self.count % 2)})

        def close(self):
            pass

    algorithm = build_algorithm("backprop", "mlp-64-32-10", {}, seed=0)
    x, y = torch.rand(8, 64), torch.randint(0, 10, (8,))
    # Some 60 readings where the machine has time for them; ten are enough.
    limits = EnergyLimits(windows=1, window_seconds=0.25, cap_seconds=5.0)
    found = measure_energy(algorithm, x, y, threads=1, sensor=Steady(), limits=limits)
    assert found.valid, found.reason
    assert found.joules_per_step * found.steps == pytest.approx(
        5.0 * found.window_seconds, rel=0.001
    )
    assert set(found.phases) == {"forward", "gradient", "update"}
    assert all(thread.name != "trainfit-sensor" for thread in threading.enumerate())
