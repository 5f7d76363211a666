"""The fold on synthetic streams of known bytes; no torch."""

from __future__ import annotations

import pytest

from trainfit.bench.profiler.events import Stream, StreamError
from trainfit.bench.profiler.fold import fold, with_prefixes


def in_step(build):
    """A stream with one measured step in which ``build`` happens."""
    stream = Stream()
    stream.begin()
    build(stream)
    stream.end()
    return stream


def test_allocate_and_free_peaks_at_what_was_alive_together():
    def build(s):
        s.alloc(1, 100)
        s.alloc(2, 50)
        s.free(1, 100)
        s.alloc(3, 60)
        s.free(2, 50)
        s.free(3, 60)

    result = fold(in_step(build))
    assert result.peak_dynamic_bytes == 150
    assert result.left_after_step_bytes == 0
    assert [point.dynamic_bytes for point in result.timeline] == [100, 150, 50, 110, 60, 0]
    assert [block.size for block in result.live_at_peak] == [100, 50]


def test_blocks_alive_before_and_after_are_static():
    stream = Stream()
    stream.alloc(1, 1000)
    stream.begin()
    stream.alloc(2, 10)
    stream.free(2, 10)
    stream.end()
    stream.free(1, 1000)
    assert fold(stream).peak_dynamic_bytes == 10


def test_a_block_that_the_step_found_and_freed_is_dynamic_from_the_beginning():
    stream = Stream()
    stream.alloc(1, 1000)
    stream.begin()
    stream.alloc(2, 10)
    stream.free(1, 1000)
    stream.alloc(3, 500)
    stream.end()
    result = fold(stream)
    assert result.entry_bytes == 1000
    assert result.peak_dynamic_bytes == 1010
    assert result.left_after_step_bytes == 10 + 500 - 1000
    assert [point.dynamic_bytes for point in result.timeline] == [1010, 10, 510]


def test_freeing_a_block_from_before_the_session_counts_by_the_size_of_its_free():
    def build(s):
        s.alloc(1, 7)
        s.free(99, 4096)
        s.free(1, 7)

    result = fold(in_step(build))
    assert result.peak_dynamic_bytes == 4103
    assert result.categories == {"workspace": 4103}
    assert result.live_at_peak[0].label == "held from before the session"


def test_unknown_frees_before_the_step_are_nobodys_business():
    stream = Stream()
    stream.free(99, 4096)
    stream.begin()
    stream.alloc(1, 7)
    stream.end()
    assert fold(stream).peak_dynamic_bytes == 7


def test_addresses_are_used_again():
    def build(s):
        for size in (10, 20, 30):
            s.alloc(1, size)
            s.free(1, size)

    assert fold(in_step(build)).peak_dynamic_bytes == 30


def test_phases_have_peak_entry_exit_and_categories():
    def build(s):
        s.enter("forward")
        s.alloc(1, 100)
        s.tag(1, "activations", "h")
        s.alloc(2, 30)
        s.free(2, 30)
        s.leave("forward")
        s.enter("gradient")
        s.alloc(3, 40)
        s.tag(3, "gradients")
        s.free(1, 100)
        s.alloc(4, 5)
        s.leave("gradient")

    result = fold(in_step(build))
    forward, gradient = result.phases["forward"], result.phases["gradient"]
    assert (forward.peak_bytes, forward.entry_bytes, forward.exit_bytes) == (130, 0, 100)
    assert forward.categories == {"activations": 100, "workspace": 30}
    assert (gradient.peak_bytes, gradient.entry_bytes, gradient.exit_bytes) == (140, 100, 45)
    assert gradient.categories == {"activations": 100, "gradients": 40}
    assert (result.peak_dynamic_bytes, result.peak_phase) == (140, "gradient")
    assert "outside" not in result.phases
    assert [point.phase for point in result.timeline] == ["forward"] * 3 + ["gradient"] * 3


def test_nested_phases_count_in_the_outer_one_and_belong_to_the_inner_one():
    def build(s):
        s.enter("gradient")
        s.alloc(1, 10)
        s.enter("update")
        s.alloc(2, 100)
        s.free(2, 100)
        s.leave("update")
        s.leave("gradient")

    result = fold(in_step(build))
    assert result.phases["gradient"].peak_bytes == 110
    assert result.phases["update"].peak_bytes == 110
    assert result.peak_phase == "update"


def test_dotted_phases_count_in_what_they_refine():
    def build(s):
        for name, size in (("forward.positive", 10), ("forward.negative", 30)):
            s.enter(name)
            s.alloc(1, size)
            s.free(1, size)
            s.leave(name)

    result = fold(in_step(build))
    assert result.phases["forward"].peak_bytes == 30
    assert result.phases["forward.positive"].peak_bytes == 10
    assert result.peak_phase == "forward.negative"
    assert with_prefixes(["a.b", "a.c"]) == ["a", "a.b", "a.c"]


def test_allocations_in_no_phase_are_outside():
    def build(s):
        s.enter("forward")
        s.alloc(1, 10)
        s.leave("forward")
        s.alloc(2, 10)

    result = fold(in_step(build))
    assert result.phases["outside"].peak_bytes == 20
    assert result.peak_phase == "outside"


def test_a_phase_entered_before_the_step_and_one_never_left():
    stream = Stream()
    stream.enter("forward")
    stream.begin()
    stream.alloc(1, 5)
    stream.enter("update")
    stream.alloc(2, 6)
    stream.end()
    result = fold(stream)
    assert result.phases["forward"].peak_bytes == 11
    assert result.peak_phase == "update"


def test_the_last_tag_counts_and_tags_of_dead_blocks_do_not():
    def build(s):
        s.alloc(1, 10)
        s.tag(1, "activations", "first")
        s.tag(1, "inputs")
        s.tag(2, "gradients")

    (block,) = fold(in_step(build)).live_at_peak
    assert (block.category, block.label) == ("inputs", "first")


def test_an_empty_step_has_no_bytes():
    result = fold(in_step(lambda s: None))
    assert result.peak_dynamic_bytes == 0
    assert result.timeline == []
    assert result.categories == {}


def test_allocating_nothing_is_not_an_event():
    def build(s):
        s.alloc(0, 0)
        s.alloc(0, 0)
        s.free(0, 0)

    assert len(fold(in_step(build)).allocations) == 0


def test_an_address_allocated_twice_betrays_a_free_that_was_not_seen():
    def build(s):
        s.alloc(0xAB, 10)
        s.alloc(0xAB, 10)

    with pytest.raises(StreamError, match=r"0xab was allocated twice.*another thread"):
        fold(in_step(build))


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda s: None, "no complete measured step"),
        (lambda s: s.begin(), "no complete measured step"),
        (lambda s: (s.begin(), s.begin()), "more than one measured step"),
        (lambda s: (s.begin(), s.leave("forward"), s.end()), "'forward' is left but was not"),
        (
            lambda s: (s.begin(), s.enter("a"), s.enter("b"), s.leave("a"), s.end()),
            "'a' is left but was not the innermost",
        ),
    ],
)
def test_contradictory_streams_are_refused(build, message):
    stream = Stream()
    build(stream)
    with pytest.raises(StreamError, match=message):
        fold(stream)


def test_same_bytes_compares_every_allocation_and_border():
    def build(size, phase):
        def steps(s):
            s.enter(phase)
            s.alloc(1, size)
            s.leave(phase)

        return fold(in_step(steps))

    assert build(1, "a").same_bytes(build(1, "a"))
    assert not build(1, "a").same_bytes(build(2, "a"))
    assert not build(1, "a").same_bytes(build(1, "b"))
