import pytest

from tests.plots import frames
from tests.plots.frames import numbers
from tests.plots.images import assert_like_baseline
from trainfit.plots import MissingDataError
from trainfit.plots.figures import peak_by_phase


def record(algorithm, peaks=(32, 118, 101), *, closed=0, bound=-8, **changes):
    """A row of a run's records; peaks in KiB, the others as differences from them."""
    found = frames.record(algorithm, epochs=1, model="mlp-64-10", evidence="allocator")
    found["peak_dynamic_bytes"] = max((1024 * peak for peak in peaks if peak), default=None)
    found["values"] = [
        value
        for quantity, more in (("peak", 0), ("predicted", closed), ("device", bound))
        if more is not None
        for value in frames.by_phase(
            f"{quantity}_bytes", *(None if peak is None else 1024 * (peak + more) for peak in peaks)
        )
    ]
    return found | changes


def test_it_looks_as_it_did(tmp_path):
    rows = (
        record("backprop"),
        record("backprop", (32, 179, 101), options='{"micro_batch":8}', closed=12),
        record("tinyfoa", (25, 25, None), bound=None),
    )
    figure = peak_by_phase.draw(numbers(peak_by_phase, *rows), columns=2)
    assert_like_baseline(figure, "peak_by_phase", tmp_path)


def test_a_phase_that_a_rule_does_not_have_is_no_bar_of_nothing():
    table = numbers(peak_by_phase, record("zeroth_order", (32, None, 8)))
    assert table["phase"].tolist() == ["forward", "update"]
    assert table["peak_bytes"].tolist() == [32 * 1024, 8 * 1024]


def test_records_without_a_device_view_have_no_tick():
    table = numbers(peak_by_phase, record("backprop", bound=None))
    assert table["device_bytes"].isna().all()
    (legend,) = peak_by_phase.draw(table, columns=1).legends
    named = [text.get_text() for text in legend.get_texts()]
    assert named == ["forward", "gradient", "update", "predicted"]


def test_peaks_far_apart_are_on_a_logarithmic_axis_that_says_so():
    rows = record("backprop", (32, 18_000, 101)), record("tinyfoa", (25, 26, 20))
    figure = peak_by_phase.draw(numbers(peak_by_phase, *rows))
    assert figure.axes[0].get_xscale() == "log"
    assert figure.get_supxlabel().startswith("Logarithmic axis: compare the ends")


def test_seeds_that_differ_give_a_mean_with_its_deviation():
    rows = record("a", (32, 100, 8)), record("a", (32, 104, 8), seed=1)
    table = numbers(peak_by_phase, *rows).set_index("phase")
    assert table["peak_bytes"].tolist() == [32 * 1024, 102 * 1024, 8 * 1024]
    assert table["seeds"].tolist() == [2, 2, 2]
    assert table.loc["gradient", "peak_bytes_deviation"] == pytest.approx(2896.3, abs=0.1)
    assert peak_by_phase.draw(table.reset_index()).axes[0].containers


def test_forty_workloads_are_cut_to_what_a_page_holds():
    rows = [record("backprop", options=f'{{"checkpoint":{n}}}') for n in range(2, 41)]
    table = numbers(peak_by_phase, *rows, record("dfa"))
    assert table["workload"].nunique() == 36
    assert "dfa" in set(table["workload"])
    figure = peak_by_phase.draw(table, columns=2)
    assert figure.get_figheight() < 11
    assert "backprop, checkpoint=40" in figure.get_supxlabel()


def test_a_run_without_memory_says_what_measures_it():
    with pytest.raises(MissingDataError, match="measure the memory"):
        numbers(peak_by_phase, record("a", (None, None, None)))
