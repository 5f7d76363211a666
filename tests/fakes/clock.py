"""Time that passes only when somebody waits, and an algorithm whose steps take such time."""

from __future__ import annotations

from contextlib import contextmanager

from trainfit.algorithms.phases import phase
from trainfit.bench.sensors.base import Reading
from trainfit.bench.sensors.pacing import Timebase


class FakeClock:
    """Calls what is due on the way, in order; before each call, whoever follows sets the scene."""

    def __init__(self, now=1000.0):
        self.now = now
        self.busy = None  # the phase that a step is in
        self.followers = []
        self._due = []

    def __call__(self):
        return self.now

    def sleep(self, seconds):
        end = self.now + seconds
        while self._due and min(due[0] for due in self._due) <= end:
            first = min(self._due, key=lambda due: due[0])
            self.now = max(self.now, first[0])
            self._tell()
            first[0] += first[1]
            first[2]()
        self.now = end
        self._tell()

    @contextmanager
    def every(self, interval_seconds, call):
        due = [self.now + interval_seconds, interval_seconds, call]
        self._due.append(due)
        try:
            yield
        finally:
            self._due.remove(due)

    @property
    def idle_again(self):
        return not self._due

    @property
    def timebase(self):
        return Timebase(self, self.sleep, self.every)

    def follow(self, tell):
        self.followers.append(tell)
        tell(self.now)

    def _tell(self):
        for tell in self.followers:
            tell(self.now)


class FakeAlgorithm:
    """Each step goes through phases of known length; seconds by phase."""

    def __init__(self, clock, phases, fail_at=None):
        self.clock = clock
        self.phases = phases
        self.fail_at = fail_at
        self.steps = 0

    def step(self, x, y):
        self.steps += 1
        if self.steps == self.fail_at:
            raise RuntimeError("the step's own error")
        for name, seconds in self.phases.items():
            with phase(name):
                self.clock.busy = name
                self.clock.sleep(seconds)
                self.clock.busy = None


class FakeSensor:
    """Shows what ``show(now)`` says: watts or joules by rail, or an Unavailable."""

    name = "fake"
    coverage = "what a test needs"

    def __init__(self, clock, show, *, counts=False, interval=0.1, rails=("A",), total=("A",)):
        self.clock = clock
        self.show = show
        self.counts = counts
        self.interval_seconds = interval
        self.rails = rails
        self.total = total

    def read(self):
        shown = self.show(self.clock())
        if not isinstance(shown, dict):
            return shown
        return (
            Reading(self.clock(), joules=shown)
            if self.counts
            else Reading(self.clock(), watts=shown)
        )

    def close(self):
        pass


class SharedCore:
    """Counters of a process on a core that others want as well, and the work that uses it.

    A process that has slept gets the core at once, for one slice. After each slice of its own it
    waits while every other has one, and an involuntary switch is counted.
    """

    def __init__(self, *, others=0, slice_seconds=0.0035, random=None, tells_delay=True):
        self.others = others
        self.slice_seconds = slice_seconds
        self.tells_delay = tells_delay
        self.now = self.cpu = self.waited = 0.0
        self.involuntary = self.voluntary = 0
        self._random = random
        self._left = slice_seconds

    def wake(self):
        """It has slept, as a side does between turns; how much of a slice it gets is luck."""
        luck = self._random.uniform(0.95, 1.0) if self._random else 1.0
        self._left = self.slice_seconds * luck

    def work(self, seconds):
        """Use the core for so long."""
        while seconds > self._left:
            seconds -= self._left
            self._use(self._left)
            self._left = self.slice_seconds
            if self.others:
                self.now += self.others * self.slice_seconds
                self.waited += self.others * self.slice_seconds
                self.involuntary += 1
        self._left -= seconds
        self._use(seconds)

    def sleep(self, seconds):
        """Wait for something of its own."""
        self.now += seconds
        self.voluntary += 1

    def _use(self, seconds):
        self.now += seconds
        self.cpu += seconds

    def seconds(self):
        return self.now

    def cpu_seconds(self):
        return self.cpu

    def switches(self):
        return self.involuntary, self.voluntary

    def delay_seconds(self):
        return self.waited if self.tells_delay else None
