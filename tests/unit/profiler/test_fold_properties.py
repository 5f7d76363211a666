"""What must hold for every stream, on streams that hypothesis makes up."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from trainfit.bench.profiler.events import Stream
from trainfit.bench.profiler.fold import fold

PHASES = ("forward", "gradient", "update", "forward.positive")

operations = st.lists(
    st.one_of(
        st.tuples(st.just("alloc"), st.integers(1, 10_000)),
        st.tuples(st.just("free"), st.integers(0, 30)),
        st.tuples(st.just("phase"), st.sampled_from(PHASES)),
        st.tuples(st.just("tag"), st.sampled_from(("activations", "gradients"))),
    ),
    max_size=60,
)


def replay(steps, *, before=0, split=None):
    """A stream from operations; the first ``before`` come before the measured step.

    ``split``: leave and enter the open phase again before that operation.
    """
    stream, live, phase, address = Stream(), [], None, 0
    for index, (kind, value) in enumerate(steps):
        if index == before:
            stream.begin()
        if index == split and phase is not None:
            stream.leave(phase)
            stream.enter(phase)
        if kind == "alloc":
            address += 64
            stream.alloc(address, value)
            live.append((address, value))
        elif kind == "free" and live:
            stream.free(*live.pop(value % len(live)))
        elif kind == "phase":
            if phase is not None:
                stream.leave(phase)
            stream.enter(value)
            phase = value
        elif kind == "tag" and live:
            stream.tag(live[-1][0], value)
    if before >= len(steps):
        stream.begin()
    stream.end()
    return stream


@given(operations, st.integers(0, 60))
def test_the_peak_is_the_largest_point_of_the_timeline(steps, before):
    result = fold(replay(steps, before=min(before, len(steps))))
    points = [point.dynamic_bytes for point in result.timeline]
    assert result.peak_dynamic_bytes == max([result.entry_bytes, *points])
    assert all(point >= 0 for point in points)
    assert result.peak_dynamic_bytes == max(p.peak_bytes for p in result.phases.values()) or (
        result.peak_phase == "outside"  # what was found on entry, before any phase
    )


@given(operations, st.integers(0, 60))
def test_categories_sum_to_the_peak_in_every_phase(steps, before):
    result = fold(replay(steps, before=min(before, len(steps))))
    assert sum(result.categories.values()) == result.peak_dynamic_bytes
    for phase in result.phases.values():
        assert sum(phase.categories.values()) == phase.peak_bytes
        assert phase.peak_bytes >= max(phase.entry_bytes, phase.exit_bytes)


@given(operations)
def test_a_longer_step_never_has_a_smaller_peak(steps):
    peaks = [fold(replay(steps[:end])).peak_dynamic_bytes for end in range(len(steps) + 1)]
    assert peaks == sorted(peaks)


@given(operations, st.integers(0, 60), st.integers(0, 60))
def test_splitting_a_phase_changes_no_bytes(steps, before, split):
    before = min(before, len(steps))
    whole, parts = (fold(replay(steps, before=before, split=s)) for s in (None, split))
    assert whole.peak_dynamic_bytes == parts.peak_dynamic_bytes
    assert whole.peak_phase == parts.peak_phase
    assert {n: p.peak_bytes for n, p in whole.phases.items()} == {
        n: p.peak_bytes for n, p in parts.phases.items()
    }
    assert {n: p.exit_bytes for n, p in whole.phases.items()} == {
        n: p.exit_bytes for n, p in parts.phases.items()
    }


@given(operations, st.integers(0, 60))
def test_what_is_left_is_the_sum_of_all_changes(steps, before):
    result = fold(replay(steps, before=min(before, len(steps))))
    assert result.left_after_step_bytes == int(result.allocations.sum())
