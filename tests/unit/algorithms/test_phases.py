"""Phase markers and who hears them."""

from __future__ import annotations

import pytest
import torch

from trainfit.algorithms import phases
from trainfit.algorithms.phases import Category, observing, phase, tag


class Log:
    def __init__(self):
        self.heard = []

    def enter(self, name):
        self.heard.append(f">{name}")

    def leave(self, name):
        self.heard.append(f"<{name}")

    def tag(self, tensor, category, label):
        self.heard.append(f"{category}:{label}")


def test_nobody_measures():
    with phase("forward") as nothing:
        assert nothing is None
    x = torch.rand(1)
    assert tag(x, Category.INPUTS) is x


def test_an_observer_hears_borders_and_tags_in_order():
    log = Log()
    with observing(log), phase("forward"), phase("forward.inner"):
        tag(torch.rand(1), Category.INPUTS, "x")
    assert log.heard == [">forward", ">forward.inner", "inputs:x", "<forward.inner", "<forward"]


def test_a_phase_is_left_when_it_raises():
    log = Log()
    with observing(log), pytest.raises(KeyError), phase("forward"):
        raise KeyError
    assert log.heard == [">forward", "<forward"]


def test_a_phase_that_outlives_its_measurement_still_leaves_it():
    log = Log()
    marker = phase("forward")
    with observing(log):
        marker.__enter__()
    marker.__exit__(None, None, None)
    assert log.heard == [">forward", "<forward"]


def test_measurements_do_not_nest_and_are_put_away_after_an_error():
    with (
        pytest.raises(RuntimeError, match="cannot nest"),
        observing(Log()),
        observing(Log()),
    ):
        pass
    assert phases._observer is None


@pytest.mark.parametrize("name", ["", "a|b"])
def test_names_that_cannot_be(name):
    with pytest.raises(ValueError, match="a phase needs a name"):
        phase(name)


def test_a_plain_torch_profiler_sees_phases():
    cpu = [torch.profiler.ProfilerActivity.CPU]
    with torch.profiler.profile(activities=cpu) as session, phase("forward"):
        torch.ones(3).add_(1)
    assert "forward" in {event.key for event in session.key_averages()}
