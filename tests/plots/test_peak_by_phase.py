import pandas as pd
import pytest

from tests.plots.images import assert_like_baseline
from tests.plots.test_timeline import IDENTITY
from trainfit.plots import MissingDataError
from trainfit.plots.drawing.style import PHASES
from trainfit.plots.figures import peak_by_phase


def record(algorithm, peaks=(32, 118, 101), *, closed=0, bound=-8, **changes):
    """A row of a run's records; peaks in KiB, the others as differences from them."""
    row = IDENTITY | {"algorithm": algorithm, "evidence": "allocator"}
    known = [peak for peak in peaks if peak is not None]
    row["peak_dynamic_bytes"] = max(known) * 1024 if known else None
    for phase, peak in zip(PHASES, peaks, strict=True):
        for figure, more in (("peak", 0), ("closed_form", closed), ("lower_bound", bound)):
            missing = peak is None or more is None
            row[f"phase.{phase}.{figure}_bytes"] = None if missing else (peak + more) * 1024
    return row | changes


def run(*rows):
    frame = pd.DataFrame(rows)
    return frame.astype({name: "Int64" for name in frame if name.endswith("_bytes")})


def test_it_looks_as_it_did(tmp_path):
    frame = run(
        record("backprop"),
        record("backprop", (32, 179, 101), options='{"micro_batch":8}', closed=12),
        record("tinyfoa", (25, 25, None), bound=None),
    )
    figure = peak_by_phase.draw(peak_by_phase.numbers(frame), columns=2)
    assert_like_baseline(figure, "peak_by_phase", tmp_path)


def test_a_phase_that_a_rule_does_not_have_is_no_bar_of_nothing():
    numbers = peak_by_phase.numbers(run(record("zeroth_order", (32, None, 8))))
    assert numbers["phase"].tolist() == ["forward", "update"]
    assert numbers["peak_bytes"].tolist() == [32 * 1024, 8 * 1024]


def test_records_without_a_lower_bound_have_no_tick():
    old = run(record("backprop", bound=None))
    old = old.drop(columns=[name for name in old if "lower_bound" in name])
    numbers = peak_by_phase.numbers(old)
    assert numbers["lower_bound_bytes"].isna().all()
    (legend,) = peak_by_phase.draw(numbers, columns=1).legends
    named = [text.get_text() for text in legend.get_texts()]
    assert named == ["forward", "gradient", "update", "closed form"]


def test_peaks_far_apart_are_on_a_logarithmic_axis_that_says_so():
    frame = run(record("backprop", (32, 18_000, 101)), record("tinyfoa", (25, 26, 20)))
    figure = peak_by_phase.draw(peak_by_phase.numbers(frame))
    assert figure.axes[0].get_xscale() == "log"
    assert figure.get_supxlabel() == "Logarithmic axis."


def test_seeds_that_differ_give_a_mean_with_its_deviation():
    frame = run(record("a", (32, 100, 8)), record("a", (32, 104, 8), seed=1))
    numbers = peak_by_phase.numbers(frame).set_index("phase")
    assert numbers["peak_bytes"].tolist() == [32 * 1024, 102 * 1024, 8 * 1024]
    assert numbers["seeds"].tolist() == [2, 2, 2]
    assert numbers.loc["gradient", "peak_bytes_deviation"] == pytest.approx(2896.3, abs=0.1)
    assert peak_by_phase.draw(numbers.reset_index()).axes[0].containers


def test_forty_workloads_are_cut_to_what_a_page_holds():
    rows = [record("backprop", options=f'{{"checkpoint":{n}}}') for n in range(2, 41)]
    numbers = peak_by_phase.numbers(run(*rows, record("dfa")))
    assert numbers["workload"].nunique() == 36
    assert "dfa" in set(numbers["workload"])
    figure = peak_by_phase.draw(numbers, columns=2)
    assert figure.get_figheight() < 11
    assert "backprop, checkpoint=40" in figure.get_supxlabel()


def test_a_run_without_memory_says_what_measures_it():
    with pytest.raises(MissingDataError, match="measure the memory"):
        peak_by_phase.numbers(run(record("a", (None, None, None))))
